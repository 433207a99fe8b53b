"""Records to rows and back: the only place that knows the order of the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.errors import DamageError, InputError
from fenglin.model.allocation import Share, Usage
from fenglin.model.job import JobSpec
from fenglin.model.reason import Reason
from fenglin.model.site import Price
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.store import AllocationRecord, JobRecord
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

JSON = msgspec.json.Encoder()
decode_spec = msgspec.json.Decoder(JobSpec).decode
_SHARES = msgspec.json.Decoder(tuple[Share, ...])
_RESOURCES = msgspec.json.Decoder(Resources)
_PRICE = msgspec.json.Decoder(Price)
_UNREADABLE = (ValueError, TypeError, InputError, msgspec.MsgspecError)

JOB_COLUMNS = (
    "number, version, state, reason, detail, submitted_ms, started_ms, ended_ms, pending_set,"
    " succeeded_set, failed_set, cancelled_set, learned_tasks, learned_ms, retry_at_ms,"
    " cancelling, cost_micro, spec, actor, unwanted_set"
)
UPDATE_JOB = (
    "UPDATE job SET version = ?, state = ?, reason = ?, detail = ?, started_ms = ?,"
    " ended_ms = ?, pending_set = ?, succeeded_set = ?, failed_set = ?, cancelled_set = ?,"
    " learned_tasks = ?, learned_ms = ?, retry_at_ms = ?, cancelling = ?, cost_micro = ?,"
    " unwanted_set = ? WHERE number = ? AND version = ?"
)
ALLOCATION_COLUMNS = (
    "number, job, site, flavor, shares, resources, nodes, tasks_set, price, speed_milli,"
    " created_ms, finish_ms, held_micro, attempt, state, driver_cursor, succeeded_set, failed_set,"
    " started_ms, ended_ms, tasks_ended, wall_ms, billed_ms, cpu_ms, peak_memory_bytes,"
    " cost_micro, reason"
)
INSERT_ALLOCATION = (
    f"INSERT INTO allocation ({ALLOCATION_COLUMNS}, epoch)"  # noqa: S608 - our own constant
    f" VALUES ({', '.join('?' * 28)})"
)
UPDATE_ALLOCATION = (
    "UPDATE allocation SET shares = ?, attempt = ?, state = ?, driver_cursor = ?,"
    " succeeded_set = ?, failed_set = ?, started_ms = ?, ended_ms = ?, tasks_ended = ?,"
    " wall_ms = ?, billed_ms = ?, cpu_ms = ?, peak_memory_bytes = ?, cost_micro = ?, reason = ?,"
    " epoch = ? WHERE number = ? AND state <> 'ended'"
)


def job_values(job: JobRecord) -> tuple[Any, ...]:
    """Return the parameters of UPDATE_JOB; the row must be at the version before."""
    return (
        job.version,
        job.state,
        job.reason or "",
        job.detail,
        job.started_ms,
        job.ended_ms,
        str(job.pending),
        str(job.succeeded),
        str(job.failed),
        str(job.cancelled),
        job.learned_tasks,
        job.learned_ms,
        job.retry_at_ms,
        int(job.cancelling),
        job.cost_micro,
        str(job.unwanted),
        job.number,
        job.version - 1,
    )


def job_record(row: tuple[Any, ...], specs: dict[bytes, JobSpec]) -> JobRecord:
    """Return the record of a row of JOB_COLUMNS.

    Args:
        row: As read.
        specs: Decoded specs by their bytes: a burst of equal jobs shares one.

    Raises:
        DamageError: the row is unreadable; says which.
    """
    try:
        return _job_record(row, specs)
    except _UNREADABLE as error:
        raise _damage(f"job j{row[0]}", error) from error


def _job_record(row: tuple[Any, ...], specs: dict[bytes, JobSpec]) -> JobRecord:
    spec = specs.get(row[17])
    if spec is None:
        spec = specs[row[17]] = decode_spec(row[17])
    return JobRecord(
        number=row[0],
        version=row[1],
        state=JobState(row[2]),
        reason=Reason(row[3]) if row[3] else None,
        detail=row[4],
        submitted_ms=row[5],
        started_ms=row[6],
        ended_ms=row[7],
        pending=TaskSet.parse(row[8]),
        succeeded=TaskSet.parse(row[9]),
        failed=TaskSet.parse(row[10]),
        cancelled=TaskSet.parse(row[11]),
        learned_tasks=row[12],
        learned_ms=row[13],
        retry_at_ms=row[14],
        cancelling=bool(row[15]),
        cost_micro=row[16],
        spec=spec,
        actor=row[18],
        unwanted=TaskSet.parse(row[19]),
    )


def allocation_values(record: AllocationRecord, epoch: int) -> tuple[Any, ...]:
    """Return the parameters of INSERT_ALLOCATION."""
    return (
        record.number,
        record.job,
        record.site,
        record.flavor,
        JSON.encode(record.shares),
        JSON.encode(record.resources),
        record.nodes,
        str(record.tasks),
        JSON.encode(record.price),
        record.speed_milli,
        record.created_ms,
        record.finish_ms,
        record.held_micro,
        *_progress(record, epoch),
    )


def _progress(record: AllocationRecord, epoch: int) -> tuple[Any, ...]:
    """Return what changes while an allocation lives, in the order of both statements."""
    return (
        record.attempt,
        record.state,
        record.cursor,
        str(record.succeeded),
        str(record.failed),
        record.started_ms,
        record.ended_ms,
        record.usage.tasks,
        record.usage.wall_ms,
        record.usage.billed_ms,
        record.usage.cpu_ms,
        record.usage.peak_memory_bytes,
        record.cost_micro,
        record.reason or "",
        epoch,
    )


def allocation_update(record: AllocationRecord, epoch: int) -> tuple[Any, ...]:
    """Return the parameters of UPDATE_ALLOCATION."""
    return (
        JSON.encode(record.shares),
        *_progress(record, epoch),
        record.number,
    )


def allocation_record(row: tuple[Any, ...]) -> AllocationRecord:
    """Return the record of a row of ALLOCATION_COLUMNS.

    Raises:
        DamageError: the row is unreadable; says which.
    """
    try:
        return _allocation_record(row)
    except _UNREADABLE as error:
        raise _damage(f"allocation a{row[0]}", error) from error


def _damage(what: str, error: Exception) -> DamageError:
    return DamageError(
        f"the row of {what} cannot be read: {error}",
        where="database",
        hint="restore it from a backup",
    )


def _allocation_record(row: tuple[Any, ...]) -> AllocationRecord:
    return AllocationRecord(
        number=row[0],
        job=row[1],
        site=row[2],
        flavor=row[3],
        shares=_SHARES.decode(row[4]),
        resources=_RESOURCES.decode(row[5]),
        nodes=row[6],
        tasks=TaskSet.parse(row[7]),
        price=_PRICE.decode(row[8]),
        speed_milli=row[9],
        created_ms=row[10],
        finish_ms=row[11],
        held_micro=row[12],
        attempt=row[13],
        state=AttemptState(row[14]),
        cursor=row[15],
        succeeded=TaskSet.parse(row[16]),
        failed=TaskSet.parse(row[17]),
        started_ms=row[18],
        ended_ms=row[19],
        usage=Usage(*row[20:25]),
        cost_micro=row[25],
        reason=Reason(row[26]) if row[26] else None,
    )


def read_jobs(
    conn: sqlite3.Connection,
    where: str,
    values: Iterable[Any],
    unread: Callable[[int, str], None] | None = None,
) -> list[JobRecord]:
    """Return the jobs that match, with their tries, by number.

    Args:
        conn: Any connection.
        where: Our own SQL condition with `?` for values; never text from outside.
        values: Its parameters.
        unread: Hears of each row that cannot be read, and why; without it such a row raises.

    Raises:
        DamageError: a row is unreadable; says which.
    """
    specs: dict[bytes, JobSpec] = {}
    records: dict[int, JobRecord] = {}
    for row in conn.execute(
        f"SELECT {JOB_COLUMNS} FROM job WHERE {where} ORDER BY number",  # noqa: S608
        tuple(values),
    ):
        try:
            records[row[0]] = job_record(row, specs)
        except DamageError as error:
            if unread is None:
                raise
            unread(row[0], error.what)
    for job, task, tries in conn.execute(
        f"SELECT job, task, tries FROM task_try WHERE job IN"  # noqa: S608
        f" (SELECT number FROM job WHERE {where})",
        tuple(values),
    ):
        if job in records:
            records[job].tries[task] = tries
    return list(records.values())
