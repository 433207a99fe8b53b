"""Progressive filling: queues take turns by weighted dominant share, many tasks at a time."""

from __future__ import annotations

import heapq
import math

from fenglin.fairness.share import Claim, dominant_share, filling_level, slope, tasks_to_level
from fenglin.model.reason import Reason
from fenglin.planner.draft import Draft
from fenglin.planner.grant import grant_slots
from fenglin.planner.order import Line
from fenglin.planner.runtime import runtime_of


def fill(draft: Draft, levels: list[list[Line]]) -> None:
    """Grant slots level by level (priority), within a level by fair turns."""
    for lines in levels:
        _fill_level(draft, lines)
        if len(draft.closed_shapes) == len(draft.snapshot.shapes):
            return


def _fill_level(draft: Draft, lines: list[Line]) -> None:
    """Raise the lowest queue, again and again, until no queue can take more."""
    heap = [entry for line in lines if (entry := _entry(draft, line)) is not None]
    heapq.heapify(heap)
    waiting = {line.queue: line for line in lines}
    level = -math.inf
    while heap:
        share, _, _, queue = heapq.heappop(heap)
        line = waiting[queue]
        if not heap:
            level = math.inf
        elif share >= level:
            others = [waiting[entry[-1]] for entry in heap]
            claims = [_claim(draft, other) for other in [line, *others] if _head(draft, other) >= 0]
            level = filling_level(claims)
        _advance(draft, line, level)
        again = _entry(draft, line)
        if again is not None:
            heapq.heappush(heap, again)


def _entry(draft: Draft, line: Line) -> tuple[float, int, int, int] | None:
    """Return the line's place in the turn order (share, submission, number); None if at end."""
    row = _head(draft, line)
    if row < 0:
        return None
    snapshot = draft.snapshot
    submitted, number = int(snapshot.job_submitted_ms[row]), int(snapshot.job_number[row])
    return (_share(draft, line), submitted, number, line.queue)


def _share(draft: Draft, line: Line) -> float:
    if line.queue < 0:
        return 0.0
    weight = max(1, draft.snapshot.queues[line.queue].weight)
    return dominant_share(draft.queue_used[line.queue], draft.pool_total, weight)


def _claim(draft: Draft, line: Line) -> Claim:
    """Return what the line's head asks of the pool."""
    shape_row = draft.job_shape[_head(draft, line)]
    weight = max(1, draft.snapshot.queues[line.queue].weight)
    step = slope(draft.needs[shape_row], draft.pool_total, weight)
    return Claim(_share(draft, line), step, max(1, draft.pool.total(shape_row)))


def _head(draft: Draft, line: Line) -> int:
    """Return the first job of the line that may still get something; -1 at the end."""
    jobs, closed = line.jobs, draft.closed_shapes
    shape_of = draft.job_shape
    while line.at < len(jobs):
        row = jobs[line.at]
        if shape_of[row] not in closed and not _shut_out(draft, row):
            return row
        line.at += 1
    return -1


def _shut_out(draft: Draft, row: int) -> bool:
    """Return whether a job just like this one was refused for quota or money, and note it."""
    if draft.closed_quotas and (draft.job_queue[row], draft.job_shape[row]) in draft.closed_quotas:
        draft.refused.setdefault(row, Reason.QUEUE_QUOTA)
        return True
    if draft.closed_accounts:
        runtime = runtime_of(draft.snapshot, row, draft.policy)
        key = (draft.job_account[row], draft.job_shape[row], runtime)
        if key in draft.closed_accounts:
            draft.refused.setdefault(row, Reason.BUDGET_EXHAUSTED)
            return True
    return False


def _advance(draft: Draft, line: Line, level: float) -> None:
    """Grant to the line's jobs in turn until its queue's share reaches the level.

    The first job gets at least one task, or the filling would not move.
    """
    least = 1
    while (row := _head(draft, line)) >= 0:
        step = max(least, _tasks_to(draft, line, row, level))
        if step <= 0:
            return
        least = 0
        wanted = draft.wanted(row)
        goal = min(step, wanted)
        got = grant_slots(draft, row, goal) if goal else 0
        if got < goal or got == wanted:
            line.at += 1


def _tasks_to(draft: Draft, line: Line, row: int, level: float) -> int:
    """Return how many tasks of the job bring the queue's share up to the level."""
    if level == math.inf:
        return draft.pending(row)
    return tasks_to_level(
        level,
        draft.queue_used[line.queue],
        draft.needs[draft.job_shape[row]],
        draft.pool_total,
        max(1, draft.snapshot.queues[line.queue].weight),
    )
