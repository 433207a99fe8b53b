"""A submit, made durable: jobs, their parents and labels, and the key that makes it count once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, InputError
from fenglin.model.ids import job_id, parse_job_id
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.store import JobRecord
from fenglin.quantities.taskset import TaskSet
from fenglin.wire.views import Submitted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from fenglin.model.job import JobSpec
    from fenglin.ports.store import SubmitRequest

_INSERT = (
    "INSERT INTO job (number, name, queue, account, priority, tasks, actor, submitted_ms,"
    " pending_set, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def insert(
    conn: sqlite3.Connection, request: SubmitRequest, take: Callable[[int], int]
) -> tuple[list[Submitted], list[JobRecord]]:
    """Insert the jobs of one request, all or none.

    Args:
        conn: The writing connection, inside a transaction.
        request: What to store.
        take: Reserves that many job numbers and returns the first.

    Raises:
        ConflictError: the key came with another body.
        InputError: a parent job is unknown, or a per-task parent has another size.
    """
    if request.key and (again := _repeated(conn, request)) is not None:
        return again, []
    for spec in request.specs:
        _check_parents(conn, spec)
    first = take(len(request.specs))
    conn.executemany(
        _INSERT,
        [
            (
                first + i,
                spec.name,
                spec.queue,
                spec.account,
                spec.priority,
                spec.tasks,
                request.actor,
                request.now_ms,
                f"0-{spec.tasks - 1}" if spec.tasks > 1 else "0",
                body,
            )
            for i, (spec, body) in enumerate(zip(request.specs, request.spec_bytes, strict=True))
        ],
    )
    _insert_relations(conn, request, first)
    if request.key:
        conn.execute(
            "INSERT INTO idempotency (key, actor, body_hash, first_job, jobs, created_ms)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                request.key,
                request.actor,
                request.body_hash,
                first,
                len(request.specs),
                request.now_ms,
            ),
        )
    crash_point("c0")
    records = [
        JobRecord(first + i, spec, request.now_ms, TaskSet(((0, spec.tasks),)), actor=request.actor)
        for i, spec in enumerate(request.specs)
    ]
    return [Submitted(job_id(r.number), "pending") for r in records], records


def _repeated(conn: sqlite3.Connection, request: SubmitRequest) -> list[Submitted] | None:
    """Return the earlier answer for this key, if it has been used (J2)."""
    row = conn.execute(
        "SELECT body_hash, first_job, jobs FROM idempotency WHERE actor = ? AND key = ?",
        (request.actor, request.key),
    ).fetchone()
    if row is None:
        return None
    if row[0] != request.body_hash:
        raise ConflictError(
            "this idempotency key was used for another request",
            where="Idempotency-Key",
            hint="use a new key for a new request",
        )
    states = conn.execute(
        "SELECT number, state FROM job WHERE number >= ? AND number < ? ORDER BY number",
        (row[1], row[1] + row[2]),
    )
    return [Submitted(job_id(number), state, repeated=True) for number, state in states]


def _check_parents(conn: sqlite3.Connection, spec: JobSpec) -> None:
    for parent in spec.after:
        row = conn.execute(
            "SELECT account, tasks FROM job WHERE number = ?", (parse_job_id(parent.job),)
        ).fetchone()
        # Another account's job answers as a missing one (S1).
        if row is None or row[0] != spec.account:
            raise InputError(f"job {parent.job} does not exist", where="after")
        if parent.per_task and row[1] != spec.tasks:
            raise InputError(
                f"{parent.job} has {row[1]} tasks, this job has {spec.tasks}",
                where="after.per_task",
                hint="per_task needs arrays of equal size",
            )


def _insert_relations(conn: sqlite3.Connection, request: SubmitRequest, first: int) -> None:
    parents = [
        (first + i, parse_job_id(parent.job))
        for i, spec in enumerate(request.specs)
        for parent in spec.after
    ]
    if parents:
        conn.executemany("INSERT OR IGNORE INTO job_parent (child, parent) VALUES (?, ?)", parents)
    labels = [
        (name, value, first + i)
        for i, spec in enumerate(request.specs)
        for name, value in spec.labels
    ]
    if labels:
        conn.executemany("INSERT INTO label (name, value, job) VALUES (?, ?, ?)", labels)


def named(records: list[JobRecord]) -> str:
    """Return the jobs of one submit in few words: their numbers follow one another."""
    first, last = records[0].number, records[-1].number
    return job_id(first) if first == last else f"{job_id(first)}-{job_id(last)}"
