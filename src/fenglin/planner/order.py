"""Who is asked first: priority, the starving, turns between queues, deadlines, submission."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fenglin.fairness.tree import tree_of
from fenglin.planner.policy import Policy
from fenglin.snapshot.snapshot import I64, Bool, Snapshot

F64 = NDArray[np.float64]


@dataclass(slots=True)
class Line:
    """Jobs that are served one after another at one priority.

    Attributes:
        queue: Queue row; -1 for a line over all queues (a policy without fair turns, or the
            starving ones).
        jobs: Job rows.
        at: Position of the head.
        starving: Whether it goes before all others, one task per job: what a job needs not to
            starve, and no more.
    """

    queue: int
    jobs: list[int]
    at: int = 0
    starving: bool = False


def may_start(snapshot: Snapshot) -> Bool:
    """Return [J]: jobs with a task that neither a parent, the clock nor its own limit stops."""
    limited = (snapshot.job_concurrency > 0) & (snapshot.job_active >= snapshot.job_concurrency)
    early = snapshot.job_not_before_ms > snapshot.now_ms
    return (snapshot.job_pending > 0) & ~limited & ~early


def levels(snapshot: Snapshot, eligible: Bool, policy: Policy) -> list[list[Line]]:
    """Return for each priority, highest first, its lines: the starving, then by queue row."""
    rows = np.flatnonzero(eligible)
    if not len(rows):
        return []
    priority = snapshot.job_priority[rows]
    queue = snapshot.job_queue[rows] if policy.fair else np.full(len(rows), -1, np.int32)
    due = due_ms(snapshot, eligible, policy)[rows] if policy.fair else np.zeros(len(rows), np.int64)
    ranks = np.lexsort(
        (snapshot.job_number[rows], snapshot.job_submitted_ms[rows], due, queue, -priority)
    )
    rows, priority, queue = rows[ranks], priority[ranks], queue[ranks]
    breaks = np.flatnonzero((np.diff(priority) != 0) | (np.diff(queue) != 0)) + 1
    starts = [0, *breaks.tolist()]
    stops = [*breaks.tolist(), len(rows)]
    hungry = _hungry(snapshot, rows, policy)
    found: list[list[Line]] = []
    last: int | None = None
    for start, stop in zip(starts, stops, strict=True):
        line = Line(int(queue[start]), rows[start:stop].tolist())
        level = int(priority[start])
        if level == last:
            found[-1].append(line)
        else:
            jobs = hungry.get(level)
            found.append([Line(-1, jobs, starving=True), line] if jobs else [line])
            last = level
    return found


def starving(snapshot: Snapshot, policy: Policy) -> Bool:
    """Return [J]: jobs that have waited `guard_ms` without a single task being started.

    The wait counts from the submission, or from the earliest start where that is later.
    """
    if policy.guard_ms <= 0:
        return np.zeros(len(snapshot.job_number), np.bool_)
    untouched = snapshot.job_pending + snapshot.job_blocked >= snapshot.job_tasks
    since = np.maximum(snapshot.job_submitted_ms, snapshot.job_not_before_ms)
    waited = snapshot.now_ms - since >= policy.guard_ms
    hungry: Bool = waited & untouched & (snapshot.job_active == 0)
    return hungry


def _hungry(snapshot: Snapshot, rows: I64, policy: Policy) -> dict[int, list[int]]:
    """Return per priority those of the rows that starve, oldest first."""
    chosen = rows[starving(snapshot, policy)[rows]]
    ranks = np.lexsort((snapshot.job_number[chosen], snapshot.job_submitted_ms[chosen]))
    found: dict[int, list[int]] = {}
    for row in chosen[ranks].tolist():
        found.setdefault(int(snapshot.job_priority[row]), []).append(row)
    return found


def due_ms(snapshot: Snapshot, eligible: Bool, policy: Policy) -> I64:
    """Return [J] the deadlines of jobs that would miss them in their queue's own order.

    Such a job's laxity, deadline - now - its own expected time, is less than the expected time of
    what its queue would serve before it. Those go first within their queue and priority, earliest
    deadline first; for all others the answer is the largest number. A deadline that has passed
    asks for nothing any more.
    """
    due = np.full(len(snapshot.job_number), np.iinfo(np.int64).max, np.int64)
    hopeful = eligible & (snapshot.job_deadline_ms > snapshot.now_ms)
    if not hopeful.any():
        return due
    runtime = _runtime_ms(snapshot, policy)
    work = _work_ms(snapshot, runtime) / _entitlement(snapshot, eligible)[snapshot.job_queue]
    rows = np.flatnonzero(eligible)
    queue = snapshot.job_queue[rows]
    ranks = np.lexsort(
        (
            snapshot.job_number[rows],
            snapshot.job_submitted_ms[rows],
            -snapshot.job_priority[rows],
            queue,
        )
    )
    rows, queue = rows[ranks], queue[ranks]
    before = np.cumsum(work[rows]) - work[rows]
    firsts = np.searchsorted(queue, queue, side="left")
    before -= before[firsts]
    width = np.where(
        snapshot.job_concurrency[rows] > 0,
        snapshot.job_concurrency[rows],
        snapshot.job_pending[rows],
    )
    rounds = -(-snapshot.job_pending[rows] // np.maximum(1, width))
    own = np.maximum(rounds * runtime[rows], work[rows])
    laxity = snapshot.job_deadline_ms[rows] - snapshot.now_ms - own
    late = rows[hopeful[rows] & (laxity < before)]
    due[late] = snapshot.job_deadline_ms[late]
    return due


def _runtime_ms(snapshot: Snapshot, policy: Policy) -> I64:
    """Return [J] one task's expected runtime on speed 1: the best that is known."""
    runtime = np.full(len(snapshot.job_number), policy.unknown_ms, np.int64)
    for known in (snapshot.job_estimate_ms, snapshot.job_predicted_ms, snapshot.job_learned_ms):
        runtime = np.where(known > 0, known, runtime)
    return runtime


def _work_ms(snapshot: Snapshot, runtime: I64) -> F64:
    """Return [J] the work of the waiting tasks: milliseconds of the whole pool's dominant share."""
    total = np.maximum(1, snapshot.node_capacity.sum(axis=0))
    needs = np.array([shape.resources.times(shape.nodes).values() for shape in snapshot.shapes])
    shares: F64 = (needs / total).max(axis=1)
    return shares[snapshot.job_shape] * snapshot.job_pending * runtime


def _entitlement(snapshot: Snapshot, eligible: Bool) -> F64:
    """Return [Q] the part of the pool that is each queue's while those that wait now share it.

    A queue's part of its parent's part is its weight by the weights of all siblings that wait;
    jobs of a parent's own count as one sibling more, of weight 1.
    """
    tree = tree_of(snapshot.queues)
    waits = np.bincount(snapshot.job_queue[eligible], minlength=len(tree.queues)) > 0
    busy = waits.tolist()
    for row in tree.upward:
        if tree.parent[row] >= 0:
            busy[tree.parent[row]] |= busy[row]
    part = [1.0] * len(tree.queues)
    own = [1.0] * len(tree.queues)
    tops = [row for row, above in enumerate(tree.parent) if above < 0]
    families = [(-1, tops), *((row, list(tree.children[row])) for row in reversed(tree.upward))]
    for above, below in families:
        weights = {row: max(1, tree.queues[row].weight) for row in below if busy[row]}
        whole = sum(weights.values()) + (1_000 if above >= 0 and waits[above] else 0)
        base = part[above] if above >= 0 else 1.0
        for row, weight in weights.items():
            part[row] = own[row] = base * weight / whole
        if above >= 0 and below and waits[above]:
            own[above] = base * 1_000 / whole
    return np.array(own)


def planning_order(snapshot: Snapshot, turn: I64, policy: Policy) -> I64:
    """Return all job rows in planning order.

    Args:
        snapshot: What was planned.
        turn: [J] when the job was first served; larger than any turn for those never served,
            which follow within their priority, the starving first, then by time of submission.
        policy: Says who starves.
    """
    return np.lexsort(
        (
            snapshot.job_number,
            snapshot.job_submitted_ms,
            ~starving(snapshot, policy),
            turn,
            -snapshot.job_priority,
        )
    )
