"""Jobs set aside: their rows stay as they are but for state and reason, to be put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, DamageError, NotFoundError
from fenglin.model.ids import job_id
from fenglin.model.reason import Reason
from fenglin.model.states import JobState
from fenglin.ports.quarantine import Aside, Released, Ward
from fenglin.ports.store import Event
from fenglin.storage.rows import ALLOCATION_COLUMNS, allocation_record, read_jobs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from fenglin.ports.store import AllocationRecord, JobRecord
    from fenglin.storage.store import SqlStore

MOST_WHY = 500


class SqliteQuarantine:
    """Implements `ports.quarantine.Quarantine`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def set_aside(self, epoch: int, one: Aside) -> None:
        """See `ports.quarantine.Quarantine`."""
        await self._store.write(epoch, lambda conn: set_aside(conn, one, epoch))

    async def release(self, epoch: int, job: int, now_ms: int, actor: str) -> Released | None:
        """See `ports.quarantine.Quarantine`."""

        def work(conn: sqlite3.Connection) -> Released | None:
            release(conn, job)
            _tell(conn, Event(job, "released", "tried again", actor), now_ms, epoch)
            try:
                return _read(conn, job)
            except DamageError as error:
                # Raised inside the transaction, so the row is held as before.
                raise ConflictError(
                    f"{job_id(job)} still cannot be read: {error.what}", where=error.where
                ) from error

        return await self._store.write(epoch, work)


def set_aside(conn: sqlite3.Connection, one: Aside, epoch: int) -> None:
    """Hold a job and remember how it stood; once it is held, only the reason is renewed."""
    why = one.why[:MOST_WHY]
    row = conn.execute(
        "SELECT state, reason, detail, ended_ms FROM job WHERE number = ?", (one.job,)
    ).fetchone()
    state, reason, detail, ended_ms = row or ("", "", "", 1)
    conn.execute(
        "INSERT INTO quarantine (job, stage, why, former_state, former_reason, former_detail,"
        " time_ms, epoch) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job) DO UPDATE SET"
        " stage = excluded.stage, why = excluded.why, time_ms = excluded.time_ms,"
        " epoch = excluded.epoch",
        (one.job, one.stage, why, state, reason, detail, one.time_ms, epoch),
    )
    if not ended_ms:
        conn.execute(
            "UPDATE job SET state = ?, reason = ?, detail = ?, version = version + 1"
            " WHERE number = ?",
            (JobState.HELD, Reason.QUARANTINED, f"{one.stage}: {why}", one.job),
        )
    _tell(conn, Event(one.job, "quarantined", f"set aside: {one.stage}: {why}"), one.time_ms, epoch)


def release(conn: sqlite3.Connection, job: int) -> None:
    """Put a job back as it stood.

    Raises:
        NotFoundError: it is not set aside.
    """
    former = conn.execute(
        "SELECT former_state, former_reason, former_detail FROM quarantine WHERE job = ?", (job,)
    ).fetchone()
    if former is None:
        raise NotFoundError(f"{job_id(job)} is not set aside", hint="see `fenglin job list`")
    conn.execute("DELETE FROM quarantine WHERE job = ?", (job,))
    conn.execute(
        "UPDATE job SET state = ?, reason = ?, detail = ?, version = version + 1"
        " WHERE number = ? AND ended_ms = 0",
        (*former, job),
    )


def take_in(
    conn: sqlite3.Connection,
    jobs: dict[int, JobRecord],
    found: Iterable[Aside],
    epoch: int,
    now_ms: int,
) -> tuple[dict[int, AllocationRecord], Ward]:
    """Read the live allocations, and set aside what cannot be read or has no live job.

    Args:
        conn: The writing connection, inside the transaction that takes over.
        jobs: The live jobs that could be read; those that are set aside are taken out.
        found: Those that could not.
        epoch: The new leader's.
        now_ms: Unix time.
    """
    ward = Ward({one.job: one for one in listed(conn)})
    fresh = {one.job: one for one in found}
    live: dict[int, AllocationRecord] = {}
    rows = conn.execute(
        f"SELECT {ALLOCATION_COLUMNS} FROM allocation"  # noqa: S608 - our own constant
        " WHERE state <> 'ended' ORDER BY number"
    ).fetchall()
    owners = {row[0]: row[1] for row in rows}
    for row in rows:
        try:
            record = live[row[0]] = allocation_record(row)
        except DamageError as error:
            fresh.setdefault(row[1], Aside(row[1], "load", error.what, now_ms))
            continue
        if record.job not in jobs:
            why = f"allocation a{record.number} is live, the job is not"
            fresh.setdefault(record.job, Aside(record.job, "load", why, now_ms))
    fresh = {job: one for job, one in fresh.items() if job not in ward.jobs}
    for one in fresh.values():
        set_aside(conn, one, epoch)
    ward.jobs |= fresh
    for job in ward.jobs:
        jobs.pop(job, None)
    ward.numbers = {number for number, owner in owners.items() if owner in ward.jobs}
    ward.allocations = [live.pop(number) for number in sorted(ward.numbers & live.keys())]
    return live, ward


def listed(conn: sqlite3.Connection) -> list[Aside]:
    """Return all jobs that are set aside, by number."""
    rows = conn.execute("SELECT job, stage, why, time_ms FROM quarantine ORDER BY job")
    return [Aside(*row) for row in rows]


def _read(conn: sqlite3.Connection, job: int) -> Released | None:
    records = read_jobs(conn, "number = ? AND ended_ms = 0", (job,))
    rows = conn.execute(
        f"SELECT {ALLOCATION_COLUMNS} FROM allocation"  # noqa: S608 - our own constant
        " WHERE job = ? AND state <> 'ended' ORDER BY number",
        (job,),
    ).fetchall()
    allocations = [allocation_record(row) for row in rows]
    if records:
        parents = read_jobs(
            conn,
            "ended_ms > 0 AND number IN (SELECT parent FROM job_parent WHERE child = ?)",
            (job,),
            lambda _parent, _why: None,
        )
        return Released(records[0], allocations, parents)
    if allocations:
        raise DamageError(f"allocation a{allocations[0].number} is live, the job is not")
    return None


def _tell(conn: sqlite3.Connection, event: Event, now_ms: int, epoch: int) -> None:
    conn.execute(
        "INSERT INTO event (time_ms, job, kind, text, actor, epoch) VALUES (?, ?, ?, ?, ?, ?)",
        (now_ms, event.job, event.kind, event.text, event.actor, epoch),
    )
