"""Listings of jobs: filtered, sorted and paged by the database, never by the reader.

Pages are cut by key, not by offset: a row that is added or ends between two pages neither
hides nor repeats another.
"""

from __future__ import annotations

import base64
import binascii
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.errors import DamageError, InputError
from fenglin.intake.document import to_document
from fenglin.model.ids import allocation_id, job_id, parse_job_id
from fenglin.model.states import JobState, TaskState
from fenglin.quantities.taskset import TaskSet
from fenglin.storage.rows import ALLOCATION_COLUMNS, allocation_record, decode_spec
from fenglin.wire.views import AllocationView, JobView, Page, TaskCounts, TaskSets

if TYPE_CHECKING:
    from fenglin.model.job import JobSpec
    from fenglin.ports.hub import Listing
    from fenglin.ports.store import AllocationRecord

SORTS = {
    "id": "number",
    "name": "name",
    "queue": "queue",
    "account": "account",
    "priority": "priority",
    "state": "state",
    "submitted_ms": "submitted_ms",
}
_NUMBERS = ("number", "priority", "submitted_ms")
MOST_FILTERS = 100
MOST_IDS = 900  # below the 999 parameters that the oldest SQLite builds allow
FILTERS = ("id", "state", "queue", "account", "name", "label")
_VIEW = (
    "number, name, queue, account, priority, state, reason, detail, tasks, pending_set,"
    " succeeded_set, failed_set, cancelled_set, submitted_ms, started_ms, ended_ms, cost_micro,"
    " actor,"
    # Hours, whose commodity is longer than a currency's code, are no money. By the text: a row
    # that is no JSON hides no other job.
    " (SELECT coalesce(sum(held_micro), 0) FROM allocation"
    "  WHERE allocation.job = job.number AND allocation.state <> 'ended'"
    '  AND (CAST(price AS TEXT) NOT LIKE \'%"currency":"%\''
    '       OR CAST(price AS TEXT) LIKE \'%"currency":"___"%\')),'
    " (SELECT coalesce(max(finish_ms), 0) FROM allocation"
    "  WHERE allocation.job = job.number AND allocation.state <> 'ended')"
)


def list_jobs(conn: sqlite3.Connection, listing: Listing, account: str) -> Page[JobView]:
    """Return one page of jobs.

    Args:
        conn: A reading connection.
        listing: How it is cut, sorted and filtered.
        account: Only jobs of this account; empty for all.

    Raises:
        InputError: an unknown sort or filter, a bad state, or a cursor that is not ours.
    """
    sort = listing.sort or "-id"
    falling = sort.startswith("-")
    column = SORTS.get(sort.removeprefix("-"))
    if column is None:
        raise InputError(
            f"cannot sort by {sort!r}", where="sort", hint=f"one of {', '.join(SORTS)}"
        )
    where, values = _conditions(listing, account)
    if listing.cursor:
        key, number = _read_cursor(listing.cursor, int if column in _NUMBERS else str)
        sign = "<" if falling else ">"
        if column == "number":
            where.append(f"number {sign} ?")
            values.append(number)
        else:
            where.append(f"({column}, number) {sign} (?, ?)")
            values += [key, number]
    order = "DESC" if falling else "ASC"
    ordering = f"number {order}" if column == "number" else f"{column} {order}, number {order}"
    condition = " AND ".join(where) or "1 = 1"
    try:
        rows = conn.execute(
            # The page is cut before its rows are put together. Columns come from SORTS,
            # conditions from _conditions; values are bound.
            f"SELECT {_VIEW}, spec, {column} FROM job WHERE number IN"  # noqa: S608
            f" (SELECT number FROM job WHERE {condition} ORDER BY {ordering} LIMIT ?)"
            f" ORDER BY {ordering}",
            (*values, listing.limit + 1),
        ).fetchall()
    except (OverflowError, UnicodeEncodeError, sqlite3.DataError) as error:
        raise InputError(
            "a filter or the cursor holds a value that no job can have", where="filter"
        ) from error
    more = len(rows) > listing.limit
    rows = rows[: listing.limit]
    cursor = _write_cursor(rows[-1][-1], rows[-1][0]) if more else ""
    if listing.detail:
        return Page(_detailed(conn, rows), cursor)
    return Page([_job_view(row) for row in rows], cursor)


def show_job(conn: sqlite3.Connection, number: int, account: str) -> JobView | None:
    """Return one job with its allocations and spec; None when missing or another account's."""
    row = conn.execute(
        f"SELECT {_VIEW}, spec FROM job WHERE number = ?",  # noqa: S608 - our own constant
        (number,),
    ).fetchone()
    if row is None or (account and row[3] != account):
        return None
    return _detailed(conn, [row])[0]


def _detailed(conn: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> list[JobView]:
    """Return jobs with all that is known of them; allocations come in one query."""
    held: dict[int, list[AllocationView]] = {}
    numbers = ", ".join(str(int(row[0])) for row in rows)
    for row in conn.execute(
        f"SELECT {ALLOCATION_COLUMNS} FROM allocation"  # noqa: S608 - numbers of our own
        f" WHERE job IN ({numbers}) ORDER BY number"
    ):
        try:
            record = allocation_record(row)
        except DamageError:
            # Its job is set aside, or will be; what can be read of it is shown.
            continue
        held.setdefault(record.job, []).append(_allocation_view(record))
    specs: dict[bytes, JobSpec] = {}
    views = []
    for row in rows:
        spec = specs.get(row[20])
        if spec is None and (spec := _spec(row[20])) is not None:
            specs[row[20]] = spec
        views.append(
            msgspec.structs.replace(
                _job_view(row),
                allocations=held.get(row[0], []),
                spec=to_document(spec) if spec else {},
                labels=dict(spec.labels) if spec else {},
                task_sets=_task_sets(row),
            )
        )
    return views


def _task_sets(row: tuple[Any, ...]) -> TaskSets:
    """Return which task is where; what is in no other set runs."""
    others = TaskSet()
    for text in row[9:13]:
        others |= _tasks(text)
    running = TaskSet.span(0, row[8]) - others
    return TaskSets(row[9], str(running), row[10], row[11], row[12])


def allocations_of(conn: sqlite3.Connection, number: int) -> list[AllocationRecord]:
    """Return a job's allocations, oldest first."""
    return [
        allocation_record(row)
        for row in conn.execute(
            f"SELECT {ALLOCATION_COLUMNS} FROM allocation"  # noqa: S608 - our own constant
            " WHERE job = ? ORDER BY number",
            (number,),
        )
    ]


def _conditions(listing: Listing, account: str) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if account:
        where.append("account = ?")
        values.append(account)
    chosen: dict[str, list[str]] = {}
    ids = sum(field == "id" for field, _ in listing.filters)
    if ids > MOST_IDS or len(listing.filters) - ids > MOST_FILTERS:
        hint = f"at most {MOST_FILTERS}, and {MOST_IDS} ids"
        raise InputError(f"{len(listing.filters)} filters", hint=hint)
    for field, value in listing.filters:
        if field not in FILTERS:
            raise InputError(
                f"cannot filter by {field!r}", where=field, hint=f"one of {', '.join(FILTERS)}"
            )
        chosen.setdefault(field, []).append(value)
    for field, wanted in chosen.items():
        parts, bound = _any_of(field, wanted)
        where.append(f"({' OR '.join(parts)})")
        values += bound
    return where, values


def _any_of(field: str, wanted: list[str]) -> tuple[list[str], list[Any]]:
    """Return conditions of which any may hold, with their parameters."""
    if field == "id":
        marks = ", ".join("?" * len(wanted))
        return [f"number IN ({marks})"], [parse_job_id(value) for value in wanted]
    if field == "name":
        return ["instr(name, ?) > 0"] * len(wanted), list(wanted)
    if field == "label":
        pairs = [value.partition("=") for value in wanted]
        if any(not sign for _, sign, _ in pairs):
            raise InputError("a label filter is key=value", where="label")
        part = "number IN (SELECT job FROM label WHERE label.name = ? AND value = ?)"
        return [part] * len(pairs), [text for key, _, value in pairs for text in (key, value)]
    if field == "state":
        known = [str(state) for state in JobState]
        for value in wanted:
            if value not in known:
                raise InputError(
                    f"{value!r} is no job state", where="state", hint=f"one of {', '.join(known)}"
                )
    return [f"{field} = ?"] * len(wanted), list(wanted)


def _job_view(row: tuple[Any, ...]) -> JobView:
    pending, succeeded, failed, cancelled = (len(_tasks(text)) for text in row[9:13])
    running = max(0, row[8] - pending - succeeded - failed - cancelled)
    return JobView(
        id=job_id(row[0]),
        name=row[1],
        queue=row[2],
        account=row[3],
        priority=row[4],
        state=row[5],
        reason=row[6],
        detail=row[7],
        task_count=row[8],
        tasks=TaskCounts(
            **{
                TaskState.PENDING: pending,
                TaskState.RUNNING: running,
                TaskState.SUCCEEDED: succeeded,
                TaskState.FAILED: failed,
                TaskState.CANCELLED: cancelled,
            }
        ),
        submitted_ms=row[13],
        started_ms=row[14],
        ended_ms=row[15],
        cost_micro=row[16],
        user=row[17],
        held_micro=row[18],
        expected_finish_ms=row[19],
    )


def _allocation_view(record: AllocationRecord) -> AllocationView:
    return AllocationView(
        id=allocation_id(record.number),
        site=record.site,
        flavor=record.flavor,
        tasks=str(record.tasks),
        slots=record.slots,
        nodes=[share.node for share in record.shares],
        state=record.state,
        attempt=record.attempt,
        started_ms=record.started_ms,
        ended_ms=record.ended_ms,
        succeeded=len(record.succeeded),
        failed=len(record.failed),
        expected_finish_ms=record.finish_ms,
        held_micro=record.held_micro,
        cost_micro=record.cost_micro,
        currency=record.price.currency,
        reason=record.reason or "",
        wall_ms=record.usage.wall_ms,
        ended=str(record.succeeded | record.failed),
    )


def _spec(body: bytes) -> JobSpec | None:
    """Return a job's document; None for one that cannot be read, which hides no other job."""
    try:
        return decode_spec(body)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None


def _tasks(text: str) -> TaskSet:
    """Return a set of tasks; none for one that cannot be read."""
    try:
        return TaskSet.parse(text)
    except (InputError, ValueError, TypeError):
        return TaskSet()


def _write_cursor(key: object, number: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([key, number])).decode().rstrip("=")


def _read_cursor(text: str, kind: type[str | int]) -> tuple[str | int, int]:
    """Return the last row's sort key and number; the key is of the kind that the sort asks for."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        key, number = msgspec.json.decode(raw, type=tuple[kind, int])  # type: ignore[valid-type]
    except (binascii.Error, msgspec.MsgspecError, ValueError, UnicodeError) as error:
        raise InputError(
            "this cursor is not ours", where="cursor", hint="take it from `next`"
        ) from error
    return key, number
