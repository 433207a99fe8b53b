"""Who is asked first: priority, the starving, turns between queues, deadlines, submission."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fenglin.fairness.tree import tree_of
from fenglin.planner.policy import Policy
from fenglin.snapshot.snapshot import I32, I64, Bool, Snapshot

F64 = NDArray[np.float64]
# What 16 bits hold, and nearly what 64 bits do.
_FEW, _WIDE = 2**15, 2**62
_NEVER = np.iinfo(np.int64).max


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
    line = snapshot.job_queue if policy.fair else np.full(len(eligible), -1, np.int32)
    # Rows rise by number, which therefore needs no look where nothing before it differs.
    rows = rows[_ranked(snapshot.job_submitted_ms[rows])]
    rows = rows[_ranked(line[rows])]
    rows = rows[_ranked(-snapshot.job_priority[rows])]
    priority, queue = snapshot.job_priority[rows], line[rows]
    breaks = np.flatnonzero((np.diff(priority) != 0) | (np.diff(queue) != 0)) + 1
    if policy.fair:
        rows = _late_first(snapshot, rows, breaks, policy)
    hungry = _hungry(snapshot, rows, policy)
    found: list[list[Line]] = []
    last: int | None = None
    for start, stop in pairwise([0, *breaks.tolist(), len(rows)]):
        jobs = Line(int(queue[start]), rows[start:stop].tolist())
        level = int(priority[start])
        if level == last:
            found[-1].append(jobs)
        else:
            first = hungry.get(level)
            found.append([Line(-1, first, starving=True), jobs] if first else [jobs])
            last = level
    return found


def _late_first(snapshot: Snapshot, rows: I64, breaks: I64, policy: Policy) -> I64:
    """Return the rows with those whose deadline is at risk first in their part, by deadline."""
    due = due_ms(snapshot, rows, policy)
    if due is None:
        return rows
    part = np.zeros(len(rows), np.int64)
    part[breaks] = 1
    late = due < _NEVER
    first = np.flatnonzero(late)
    order = np.concatenate((first[_ranked(due[first])], np.flatnonzero(~late)))
    return rows[order[_ranked(np.cumsum(part)[order])]]


def _ranked(numbers: I32 | I64) -> I64:
    """Return the stable order of whole numbers.

    Those of 16 bits NumPy sorts without comparing; others are told apart by their places, as an
    order that need not be stable is found several times sooner.
    """
    count = len(numbers)
    span = int(numbers.max()) - int(numbers.min()) if count else 0
    if span < _FEW or span >= _WIDE // max(1, count):
        few = (numbers - numbers.min()).astype(np.int16) if count and span < _FEW else numbers
        return np.argsort(few, kind="stable")
    keys = (numbers.astype(np.int64) - int(numbers.min())) * count + np.arange(count)
    keys.sort()
    return keys % count


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


def due_ms(snapshot: Snapshot, rows: I64, policy: Policy) -> I64 | None:
    """Return the deadlines of jobs that would miss them in their queue's own order.

    Such a job's laxity, deadline - now - its own expected time, is less than the expected time of
    what its queue would serve before it. Those go first within their queue and priority, earliest
    deadline first; for all others the answer is the largest number. A deadline that has passed
    asks for nothing any more.

    Args:
        snapshot: The picture.
        rows: Job rows by falling priority, then in the order in which their queue serves them.
        policy: Says what is assumed of unknown runtimes.

    Returns:
        One for each of `rows`; None when none is at risk.
    """
    hopeful = snapshot.job_deadline_ms[rows] > snapshot.now_ms
    if not hopeful.any():
        return None
    queue, pending = snapshot.job_queue[rows], snapshot.job_pending[rows]
    runtime = _runtime_ms(snapshot, policy)[rows]
    work = _held_at_once(snapshot)[rows] * runtime / _entitlement(snapshot, queue)[queue]
    by_queue = _ranked(queue)
    before = np.cumsum(work[by_queue]) - work[by_queue]
    firsts = np.searchsorted(queue[by_queue], queue, side="left")
    ahead = np.empty(len(rows))
    ahead[by_queue] = before
    ahead -= before[firsts]
    width = np.where(snapshot.job_concurrency[rows] > 0, snapshot.job_concurrency[rows], pending)
    own = np.maximum(-(-pending // np.maximum(1, width)) * runtime, work)
    laxity = snapshot.job_deadline_ms[rows] - snapshot.now_ms - own
    late = hopeful & (laxity < ahead)
    if not late.any():
        return None
    return np.where(late, snapshot.job_deadline_ms[rows], _NEVER)


def _runtime_ms(snapshot: Snapshot, policy: Policy) -> I64:
    """Return [J] one task's expected runtime on speed 1: the best that is known."""
    runtime = np.full(len(snapshot.job_number), policy.unknown_ms, np.int64)
    for known in (snapshot.job_estimate_ms, snapshot.job_predicted_ms, snapshot.job_learned_ms):
        runtime = np.where(known > 0, known, runtime)
    return runtime


def _held_at_once(snapshot: Snapshot) -> F64:
    """Return [J] what its waiting tasks hold at once, as a part of the pool's dominant share."""
    total = np.maximum(1, snapshot.node_capacity.sum(axis=0))
    needs = np.array([shape.resources.times(shape.nodes).values() for shape in snapshot.shapes])
    shares: F64 = (needs / total).max(axis=1)
    return shares[snapshot.job_shape] * snapshot.job_pending


def _entitlement(snapshot: Snapshot, waiting: I32) -> F64:
    """Return [Q] the part of the pool that is each queue's while those that wait now share it.

    A queue's part of its parent's part is its weight by the weights of all siblings that wait;
    jobs of a parent's own count as one sibling more, of weight 1.

    Args:
        snapshot: The picture.
        waiting: Rows of the queues that wait, any number of times.
    """
    tree = tree_of(snapshot.queues)
    waits = (np.bincount(waiting, minlength=len(tree.queues)) > 0).tolist()
    busy = list(waits)
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
    order = _ranked(snapshot.job_submitted_ms)
    order = order[_ranked((~starving(snapshot, policy)[order]).astype(np.int64))]
    order = order[np.argsort(turn[order], kind="stable")]
    return order[_ranked(-snapshot.job_priority[order])]
