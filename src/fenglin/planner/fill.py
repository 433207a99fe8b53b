"""Progressive filling: queues take turns by weighted dominant share, many tasks at a time."""

from __future__ import annotations

from functools import partial

import numpy as np

from fenglin.fairness.decay import past_share
from fenglin.fairness.tree import tree_of
from fenglin.fairness.turns import Claim, Turns, scarce_in
from fenglin.model.reason import Reason
from fenglin.planner.draft import Draft
from fenglin.planner.grant import grant_slots
from fenglin.planner.order import Line
from fenglin.planner.runtime import runtime_of
from fenglin.quantities.resources import DIMENSIONS


def fill(draft: Draft, levels: list[list[Line]]) -> None:
    """Grant slots level by level (priority), within a level by fair turns."""
    for lines in levels:
        _fill_level(draft, lines)
        if len(draft.closed_shapes) == len(draft.snapshot.shapes) and not draft.book.held:
            return


def _fill_level(draft: Draft, lines: list[Line]) -> None:
    """Feed the starving, then serve the lowest queue, until no queue can take more."""
    waiting: dict[int, Line] = {}
    for line in lines:
        if line.starving:
            _feed(draft, line)
        else:
            waiting[line.queue] = line
    if len(waiting) == 1:
        _serve_out(draft, *waiting.values())
        return
    turns = _turns(draft, waiting)
    while (queue := turns.first()) >= 0:
        line = waiting[queue]
        if turns.active == 1:
            _serve_out(draft, line)
            return
        if _key(draft, line) is not None:
            if turns.due:
                turns.reckon(_claims(draft, [waiting[row] for row in turns.waiting()]))
            _serve(draft, line, turns)
        turns.end_turn(queue, _key(draft, line))


def _turns(draft: Draft, waiting: dict[int, Line]) -> Turns:
    """Return the order of turns between these lines, none of which is over all queues."""
    snapshot, half_life_ms = draft.snapshot, draft.policy.decay_ms
    heads = {queue: key for queue, line in waiting.items() if (key := _key(draft, line))}
    return Turns(
        tree_of(snapshot.queues),
        draft.queue_used,
        draft.pool_total,
        heads,
        [past_share(spent, half_life_ms) for spent in snapshot.queue_spent_ms.tolist()],
    )


def _feed(draft: Draft, line: Line) -> None:
    """Give each starving job one task, if there is room and its quota allows."""
    while (row := _head(draft, line)) >= 0:
        if draft.wanted(row):
            grant_slots(draft, row, 1)
        line.at += 1


def _key(draft: Draft, line: Line) -> tuple[int, int] | None:
    """Return by what the line's head breaks a tie: (submission, number); None if at its end."""
    row = _head(draft, line)
    if row < 0:
        return None
    snapshot = draft.snapshot
    return int(snapshot.job_submitted_ms[row]), int(snapshot.job_number[row])


def _claims(draft: Draft, lines: list[Line]) -> dict[int, Claim]:
    """Return what the heads of these lines ask of the pool."""
    up = draft.snapshot.node_up
    free = [int(np.maximum(draft.pool.free_column(d), 0)[up].sum()) for d in range(len(DIMENSIONS))]
    found: dict[int, Claim] = {}
    claims: dict[int, Claim | None] = {}
    for line in lines:
        row = _head(draft, line)
        if row < 0:
            continue
        shape_row = draft.job_shape[row]
        if shape_row not in claims:
            need, room = draft.needs[shape_row], draft.pool.total(shape_row)
            claims[shape_row] = Claim(need, room, scarce_in(need, free, room)) if room else None
        claim = claims[shape_row]
        if claim is not None:
            found[line.queue] = claim
    return found


def _head(draft: Draft, line: Line) -> int:
    """Return the first job of the line that may still get something; -1 at the end."""
    jobs, closed = line.jobs, draft.closed_shapes
    shape_of = draft.job_shape
    while line.at < len(jobs):
        row = jobs[line.at]
        if (shape_of[row] not in closed or row in draft.book.held) and not _shut_out(draft, row):
            return row
        line.at += 1
    return -1


def _shut_out(draft: Draft, row: int) -> bool:
    """Return whether a job just like this one was refused for quota or money, and note it.

    What had been promised to it is lifted.
    """
    if draft.closed_quotas and (draft.job_queue[row], draft.job_shape[row]) in draft.closed_quotas:
        draft.refused.setdefault(row, Reason.QUEUE_QUOTA)
        draft.book.lift(row)
        return True
    if draft.closed_accounts:
        runtime = runtime_of(draft.snapshot, row, draft.policy)
        key = (draft.job_account[row], draft.job_shape[row], runtime)
        if key in draft.closed_accounts:
            draft.refused.setdefault(row, Reason.BUDGET_EXHAUSTED)
            draft.book.lift(row)
            return True
    return False


def _serve_out(draft: Draft, line: Line) -> None:
    """Grant to the line's jobs in turn all that they can take."""
    while (row := _head(draft, line)) >= 0:
        if not draft.lane.serve(line):
            _grant(draft, line, row, draft.pending(row))


def _serve(draft: Draft, line: Line, turns: Turns) -> None:
    """Grant to the line's jobs in turn until the queue's turn is over.

    The first that can take any gets at least one task, or the filling would not move.
    """
    limits = turns.limits(line.queue)
    shape_row, left, least = -1, 0, 1
    while (row := _head(draft, line)) >= 0:
        if not least and draft.lane.serve(line, partial(turns.rooms, limits)):
            shape_row = -1
            turns.count(line.queue)
            continue
        if draft.job_shape[row] != shape_row:
            shape_row = draft.job_shape[row]
            turns.count(line.queue)
            left = turns.tasks_to(limits, draft.needs[shape_row])
        step = max(least, left)
        if step <= 0:
            return
        got = _grant(draft, line, row, step)
        least = 0 if got else least
        left -= got


def _grant(draft: Draft, line: Line, row: int, step: int) -> int:
    """Grant up to `step` tasks to the head, and go on when it can take no more."""
    wanted = draft.wanted(row)
    goal = min(step, wanted)
    got = grant_slots(draft, row, goal) if goal else 0
    if got < goal or got == wanted:
        line.at += 1
    return got
