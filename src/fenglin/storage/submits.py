"""A submit, made durable: jobs, their parents and labels, and the key that makes it count once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, FenglinError, InputError
from fenglin.model.ids import job_id, parse_job_id
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.store import JobRecord
from fenglin.quantities.taskset import TaskSet
from fenglin.wire.views import Submitted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from fenglin.model.job import JobSpec
    from fenglin.ports.store import SubmitRequest

_INSERT = (
    "INSERT INTO job (number, name, queue, account, priority, tasks, actor, submitted_ms,"
    " pending_set, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


Answer = tuple[list["Submitted"], list["JobRecord"]]
_BY_KEY = (
    "SELECT actor, key, body_hash, first_job, jobs FROM idempotency WHERE actor = ? AND key = ?"
)
# Keys that are looked up at once: SQLite takes at most 500 queries as one.
_MOST_KEYS = 64


def insert_all(
    conn: sqlite3.Connection, requests: Sequence[SubmitRequest], take: Callable[[int], int]
) -> list[Answer | FenglinError]:
    """Insert the jobs of some requests, of each all or none, with as few statements as of one.

    Args:
        conn: The writing connection, inside a transaction.
        requests: What to store.
        take: Reserves that many job numbers and returns the first.

    Returns:
        For each request its answer with the new jobs, none for a repeated one; or why it is
        refused: ConflictError when its key came with another body, InputError when a parent job
        is unknown or a per-task parent has another size.
    """
    answers: dict[int, Answer | FenglinError] = {}
    left = list(range(len(requests)))
    while left:
        # Of those that carry the same key, the second finds what the first has stored.
        turn: dict[object, int] = {}
        for at in left:
            turn.setdefault((requests[at].actor, requests[at].key) if requests[at].key else at, at)
        places = list(turn.values())
        found = _insert_unlike(conn, [requests[at] for at in places], take)
        answers |= zip(places, found, strict=True)
        left = [at for at in left if at not in answers]
    return [answers[at] for at in range(len(requests))]


def answered(conn: sqlite3.Connection, request: SubmitRequest) -> list[Submitted] | None:
    """Return what the request's key was answered before; None for a new key, or without one.

    Raises:
        ConflictError: the key came with another body.
    """
    return _repeated(conn, request, _known_keys(conn, [request]))


def _insert_unlike(
    conn: sqlite3.Connection, requests: Sequence[SubmitRequest], take: Callable[[int], int]
) -> list[Answer | FenglinError]:
    """Insert the jobs of requests of which no two carry the same key."""
    known = _known_keys(conn, requests)
    answers: list[Answer | FenglinError] = []
    fresh: list[tuple[SubmitRequest, int]] = []
    for request in requests:
        try:
            again = _repeated(conn, request, known)
            if again is None:
                for spec in request.specs:
                    _check_parents(conn, spec)
        except FenglinError as refusal:
            answers.append(refusal)
            continue
        if again is not None:
            answers.append((again, []))
            continue
        first = take(len(request.specs))
        fresh.append((request, first))
        records = _records(request, first)
        answers.append(([Submitted(job_id(r.number), "pending") for r in records], records))
    if fresh:
        _write(conn, fresh)
        crash_point("c0")
    return answers


def _records(request: SubmitRequest, first: int) -> list[JobRecord]:
    return [
        JobRecord(first + i, spec, request.now_ms, TaskSet(((0, spec.tasks),)), actor=request.actor)
        for i, spec in enumerate(request.specs)
    ]


def _write(conn: sqlite3.Connection, fresh: Sequence[tuple[SubmitRequest, int]]) -> None:
    """Write the rows of requests, each with the number of its first job."""
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
            for request, first in fresh
            for i, (spec, body) in enumerate(zip(request.specs, request.spec_bytes, strict=True))
        ],
    )
    _insert_relations(conn, fresh)
    keys = [
        (
            request.key,
            request.actor,
            request.body_hash,
            first,
            len(request.specs),
            request.now_ms,
        )
        for request, first in fresh
        if request.key
    ]
    if keys:
        conn.executemany(
            "INSERT INTO idempotency (key, actor, body_hash, first_job, jobs, created_ms)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            keys,
        )


def _known_keys(
    conn: sqlite3.Connection, requests: Sequence[SubmitRequest]
) -> dict[tuple[str, str], tuple[bytes, int, int]]:
    """Return what is stored of the requests' keys, by actor and key."""
    asked = [(request.actor, request.key) for request in requests if request.key]
    found: dict[tuple[str, str], tuple[bytes, int, int]] = {}
    for start in range(0, len(asked), _MOST_KEYS):
        part = asked[start : start + _MOST_KEYS]
        # Few texts, so that each is prepared once: the last key fills up.
        part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
        # Each by itself: asked for several, PostgreSQL may read all keys of the actor.
        rows = conn.execute(
            " UNION ALL ".join([_BY_KEY] * len(part)), [value for pair in part for value in pair]
        )
        found |= {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}
    return found


def _repeated(
    conn: sqlite3.Connection,
    request: SubmitRequest,
    known: Mapping[tuple[str, str], tuple[bytes, int, int]],
) -> list[Submitted] | None:
    """Return the earlier answer for this key, if it has been used (J2)."""
    row = known.get((request.actor, request.key))
    if row is None:
        return None
    body_hash, first, jobs = row
    if body_hash != request.body_hash:
        raise ConflictError(
            "this idempotency key was used for another request",
            where="Idempotency-Key",
            hint="use a new key for a new request",
        )
    states = conn.execute(
        "SELECT number, state FROM job WHERE number >= ? AND number < ? ORDER BY number",
        (first, first + jobs),
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


def _insert_relations(conn: sqlite3.Connection, fresh: Sequence[tuple[SubmitRequest, int]]) -> None:
    specs = [(first + i, spec) for request, first in fresh for i, spec in enumerate(request.specs)]
    parents = [(job, parse_job_id(parent.job)) for job, spec in specs for parent in spec.after]
    if parents:
        conn.executemany("INSERT OR IGNORE INTO job_parent (child, parent) VALUES (?, ?)", parents)
    labels = [(name, value, job) for job, spec in specs for name, value in spec.labels]
    if labels:
        conn.executemany("INSERT INTO label (name, value, job) VALUES (?, ?, ?)", labels)


def named(records: list[JobRecord]) -> str:
    """Return the jobs of one submit in few words: their numbers follow one another."""
    first, last = records[0].number, records[-1].number
    return job_id(first) if first == last else f"{job_id(first)}-{job_id(last)}"
