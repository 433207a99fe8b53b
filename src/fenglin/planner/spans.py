"""How long what was granted in this plan is held: for one task, or until the job is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.planner.policy import Backfill
from fenglin.planner.tail import finish_in

if TYPE_CHECKING:
    from fenglin.planner.draft import Draft, Grant


def span_ms(draft: Draft, grant: Grant, until_ms: int) -> int:
    """Return for how long a granted piece holds its slots.

    For one task, or as long as the job has tasks for them: it is ahead, they come back to it.
    """
    longest = max(piece.option.figures.task_ms for piece in grant.pieces)
    if draft.pending(grant.row) > grant.slots:
        longest = max(longest, flow_ms(draft, grant))
    return min(longest, until_ms - draft.snapshot.now_ms)


def flow_ms(draft: Draft, grant: Grant) -> int:
    """Return after what time a job that holds slots has done all its tasks on them.

    Where promises are kept, one task more is allowed for: by a promise made to the second, a job
    whose tasks end a second late could not go on, and its slots would idle till then.
    """
    time_ms = finish_in(grant.held, draft.pending(grant.row))
    if draft.policy.backfill is Backfill.CONSERVATIVE:
        time_ms += max(part.task_ms for part in grant.held)
    return time_ms
