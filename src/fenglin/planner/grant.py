"""Giving one job its slots: best option first, the next when that is full."""

from __future__ import annotations

from fenglin.model.reason import Reason
from fenglin.planner.draft import Draft, Grant, Piece
from fenglin.planner.rank import Scored
from fenglin.planner.tail import finish_in, useful_slots


def grant_slots(draft: Draft, row: int, wanted: int) -> int:
    """Grant up to `wanted` slots to a job and return how many it got.

    When it gets fewer, the cause is noted in the draft: the quota of its queue, the money of
    its account, its own faster slots being worth waiting for, or no room for its shape.
    """
    allowed = draft.quota_tasks(row)
    if allowed < wanted:
        draft.refused[row] = Reason.QUEUE_QUOTA
    if allowed <= 0:
        draft.closed_quotas.add((draft.job_queue[row], draft.job_shape[row]))
        return 0
    grant = draft.open(row)
    goal = min(wanted, allowed)
    got = 0
    useless = unaffordable = False
    for option in grant.options:
        if got >= goal:
            return got
        slots = draft.pool.slots(grant.shape_row, option.figures.view.row, goal)
        if slots <= 0:
            continue
        helpful = _helpful(draft, grant, option)
        payable = _payable(draft, grant, option)
        got += _take(draft, grant, option, min(goal - got, slots, helpful, payable))
        left = min(slots, goal)
        useless |= helpful < left
        unaffordable |= payable < left
    if got < goal:
        _note(draft, grant, useless=useless, unaffordable=unaffordable)
    return got


def _helpful(draft: Draft, grant: Grant, option: Scored) -> int:
    """Return how many slots of the option would help beside those the job holds."""
    tasks = draft.pending(grant.row)
    if not grant.held or not draft.policy.patience:
        return tasks
    return useful_slots(grant.held, tasks, option.figures.task_ms, draft.policy.patience)


def _payable(draft: Draft, grant: Grant, option: Scored) -> int:
    """Return for how many tasks on the option the account can stand."""
    hold = option.figures.hold_micro
    left = draft.account_left[draft.job_account[grant.row]]
    return max(0, left // hold) if hold else draft.pending(grant.row)


def _take(draft: Draft, grant: Grant, option: Scored, count: int) -> int:
    """Take up to `count` slots (gangs) of the option; return how many there were."""
    flavor_row = option.figures.view.row
    if count <= 0:
        return 0
    if draft.snapshot.shapes[grant.shape_row].nodes == 1:
        cards: dict[int, tuple[int, ...]] = {}
        shares = draft.pool.take(grant.shape_row, flavor_row, count, cards)
        taken = sum(slots for _, slots in shares)
        if taken:
            draft.charge(grant, Piece(option, shares, cards), taken)
        return taken
    for done in range(count):
        cards = {}
        gang = draft.pool.take_gang(grant.shape_row, flavor_row, cards)
        if not gang:
            return done
        draft.charge(grant, Piece(option, gang, cards), 1)
    return count


def _note(draft: Draft, grant: Grant, *, useless: bool, unaffordable: bool) -> None:
    """Write down why the job got fewer slots than it wanted."""
    if unaffordable:
        draft.refused[grant.row] = Reason.BUDGET_EXHAUSTED
        if not useless and not grant.held:
            account = draft.job_account[grant.row]
            draft.closed_accounts.add((account, grant.shape_row, grant.runtime))
    elif useless:
        draft.refused[grant.row] = Reason.BETTER_ELSEWHERE
        # Should the held slots break their promise, time alone must bring another look.
        wait = finish_in(grant.held, draft.pending(grant.row))
        again = draft.snapshot.now_ms + max(1, wait)
        draft.patient_until_ms = min(draft.patient_until_ms, again)
    else:
        draft.closed_shapes.add(grant.shape_row)
