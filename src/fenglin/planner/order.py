"""Who is asked first: priority, then turns between queues, then time of submission."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fenglin.snapshot.snapshot import I64, Bool, Snapshot


@dataclass(slots=True)
class Line:
    """The jobs of one queue at one priority, first come first.

    Attributes:
        queue: Queue row, -1 for a line over all queues (a policy without fair turns).
        jobs: Job rows.
        at: Position of the head.
    """

    queue: int
    jobs: list[int]
    at: int = 0


def may_start(snapshot: Snapshot) -> Bool:
    """Return [J]: jobs with a task that neither a parent, the clock nor its own limit stops."""
    limited = (snapshot.job_concurrency > 0) & (snapshot.job_active >= snapshot.job_concurrency)
    early = snapshot.job_not_before_ms > snapshot.now_ms
    return (snapshot.job_pending > 0) & ~limited & ~early


def levels(snapshot: Snapshot, eligible: Bool, *, fair: bool) -> list[list[Line]]:
    """Return for each priority, highest first, its lines by queue row."""
    rows = np.flatnonzero(eligible)
    if not len(rows):
        return []
    priority = snapshot.job_priority[rows]
    queue = snapshot.job_queue[rows] if fair else np.full(len(rows), -1, np.int32)
    ranks = np.lexsort(
        (snapshot.job_number[rows], snapshot.job_submitted_ms[rows], queue, -priority)
    )
    rows, priority, queue = rows[ranks], priority[ranks], queue[ranks]
    breaks = np.flatnonzero((np.diff(priority) != 0) | (np.diff(queue) != 0)) + 1
    starts = [0, *breaks.tolist()]
    stops = [*breaks.tolist(), len(rows)]
    found: list[list[Line]] = []
    last: int | None = None
    for start, stop in zip(starts, stops, strict=True):
        line = Line(int(queue[start]), rows[start:stop].tolist())
        if int(priority[start]) == last:
            found[-1].append(line)
        else:
            found.append([line])
            last = int(priority[start])
    return found


def planning_order(snapshot: Snapshot, turn: I64) -> I64:
    """Return all job rows in planning order.

    Args:
        snapshot: What was planned.
        turn: [J] when the job was first served; larger than any turn for those never served,
            which follow within their priority by time of submission.
    """
    return np.lexsort(
        (snapshot.job_number, snapshot.job_submitted_ms, turn, -snapshot.job_priority)
    )
