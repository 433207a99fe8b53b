"""Giving one job its slots: best option first, the next when that is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fenglin.model.reason import Reason
from fenglin.planner.draft import Draft, Grant, Piece
from fenglin.planner.promises import Place
from fenglin.planner.rank import Figures, Scored, best_first
from fenglin.planner.runtime import FOREVER
from fenglin.planner.tail import finish_in, useful_slots
from fenglin.planner.waiting import why_no_room


def grant_slots(draft: Draft, row: int, wanted: int) -> int:
    """Grant up to `wanted` slots to a job and return how many it got.

    When it gets fewer, the cause is noted in the draft: the quota of its queue, the money of
    its account, its own faster slots being worth waiting for, or no room for its shape.
    """
    place = draft.book.lift(row)
    if place is None and draft.book.shut(row):
        return 0
    allowed = draft.quota_tasks(row)
    if allowed < wanted:
        draft.refused[row] = Reason.QUEUE_QUOTA
    if allowed <= 0:
        draft.closed_quotas.add((draft.job_queue[row], draft.job_shape[row]))
        return 0
    grant = draft.open(row)
    goal = min(wanted, allowed)
    turn = _Turn(goal, everywhere=draft.book.strict(draft.shape_of(row)), place=place)
    if not turn.everywhere:
        _serve(draft, grant, turn, grant.options, _room, _take)
    if turn.got < goal and (turn.everywhere or draft.book.reservations):
        _serve(draft, grant, turn, _lendable(draft, grant, turn), _borrowable, _borrow)
    if not turn.got and place is not None:
        _serve(draft, grant, turn, [_option(draft, grant, place)], _promised, _claim)
    if turn.got < goal:
        _note(draft, grant, turn)
    return turn.got


@dataclass(slots=True)
class _Turn:
    """What a job asks for in its turn and what came of it.

    Attributes:
        goal: Slots (gangs) it may take.
        everywhere: Whether it chooses its nodes among booked and other ones alike.
        place: What had been booked for it.
        got: Slots it got.
        useless: Whether room was left that its own slots make needless.
        unaffordable: Whether room was left that its account cannot pay.
    """

    goal: int
    everywhere: bool
    place: Place | None
    got: int = 0
    useless: bool = False
    unaffordable: bool = False


_Count = Callable[[Draft, Grant, Scored, _Turn], int]
_Taking = Callable[[Draft, Grant, Scored, _Turn, int], int]


def _serve(
    draft: Draft,
    grant: Grant,
    turn: _Turn,
    options: Sequence[Scored],
    room: _Count,
    take: _Taking,
) -> None:
    """Take from the options, best first, what helps and can be paid."""
    for option in options:
        if turn.got >= turn.goal:
            return
        slots = room(draft, grant, option, turn)
        if slots <= 0:
            continue
        helpful = _helpful(draft, grant, option)
        payable = _payable(draft, grant, option)
        count = min(turn.goal - turn.got, slots, helpful, payable)
        turn.got += take(draft, grant, option, turn, count)
        left = min(slots, turn.goal)
        turn.useless |= helpful < left
        turn.unaffordable |= payable < left


def _room(draft: Draft, grant: Grant, option: Scored, turn: _Turn) -> int:
    """Return how many slots of the option are free for ever."""
    return draft.pool.slots(grant.shape_row, option.figures.view.row, turn.goal)


def _lendable(draft: Draft, grant: Grant, turn: _Turn) -> list[Scored]:
    """Return the options with room until a task of the job has surely ended, best first."""
    shape = draft.snapshot.shapes[grant.shape_row]
    tasks, present = draft.pending(grant.row), draft.present(grant.row)
    found: list[Figures] = []
    for flavor_row in np.flatnonzero(draft.possible[grant.shape_row]).tolist():
        view = draft.flavors[flavor_row]
        figures = draft.figures(view, grant.shape_row, grant.runtime, tasks, 1, present)
        end_ms = _end_ms(draft, grant, figures)
        slots = draft.book.slots(shape, view, end_ms, everywhere=turn.everywhere)
        if slots > 1:
            figures = draft.figures(view, grant.shape_row, grant.runtime, tasks, slots, present)
        if slots:
            found.append(figures)
    number = int(draft.snapshot.job_number[grant.row])
    return best_first(draft.scored(found), number)


def _end_ms(draft: Draft, grant: Grant, figures: Figures) -> int:
    """Return when a task that starts now has surely ended, its data brought there first."""
    limit_ms = figures.moved.time_ms + grant.runtime.limit_on(figures.view.flavor)
    return min(FOREVER, draft.snapshot.now_ms + limit_ms)


def _borrowable(draft: Draft, grant: Grant, option: Scored, turn: _Turn) -> int:
    """Return how many slots of the option are free until a task has surely ended."""
    shape = draft.snapshot.shapes[grant.shape_row]
    end_ms = _end_ms(draft, grant, option.figures)
    return draft.book.slots(shape, option.figures.view, end_ms, everywhere=turn.everywhere)


def _borrow(draft: Draft, grant: Grant, option: Scored, turn: _Turn, count: int) -> int:
    """Take up to `count` slots (gangs) until they have surely ended; return how many."""
    shape, view = draft.snapshot.shapes[grant.shape_row], option.figures.view
    end_ms = _end_ms(draft, grant, option.figures)
    done = 0
    while done < count:
        deep = draft.pending(grant.row) > grant.slots + count - done
        lot = draft.book.take(
            shape, view, count - done, end_ms, deep=deep, everywhere=turn.everywhere
        )
        taken = sum(slots for _, slots in lot.shares) // shape.nodes
        if not taken:
            break
        draft.charge(grant, Piece(option, lot.shares, lot.cards, lot.until_ms), taken)
        done += taken
    return done


def _option(draft: Draft, grant: Grant, place: Place) -> Scored:
    """Return the option that a promised place belongs to."""
    tasks, present = draft.pending(grant.row), draft.present(grant.row)
    figures = draft.figures(place.view, grant.shape_row, grant.runtime, tasks, 1, present)
    return draft.scored([figures])[0]


def _promised(draft: Draft, grant: Grant, _option: Scored, turn: _Turn) -> int:
    """Return in how many slots the job may start in its own place: one, if it is free already."""
    shape = draft.snapshot.shapes[grant.shape_row]
    return int(turn.place is not None and draft.book.may_claim(shape, turn.place))


def _claim(draft: Draft, grant: Grant, option: Scored, turn: _Turn, count: int) -> int:
    """Start one task (gang) in the job's own place; return how many."""
    if turn.place is None or count <= 0:
        return 0
    shape = draft.snapshot.shapes[grant.shape_row]
    limit_ms = grant.runtime.limit_on(option.figures.view.flavor)
    lot = draft.book.claim(shape, turn.place, limit_ms)
    draft.charge(grant, Piece(option, lot.shares, lot.cards, lot.until_ms), 1)
    return 1


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


def _take(draft: Draft, grant: Grant, option: Scored, _turn: _Turn, count: int) -> int:
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


def _note(draft: Draft, grant: Grant, turn: _Turn) -> None:
    """Write down why the job got fewer slots than it wanted, and reserve if it may."""
    if turn.unaffordable:
        draft.refused[grant.row] = Reason.BUDGET_EXHAUSTED
        if not turn.useless and not grant.held:
            account = draft.job_account[grant.row]
            draft.closed_accounts.add((account, grant.shape_row, grant.runtime))
    elif turn.useless:
        draft.refused[grant.row] = Reason.BETTER_ELSEWHERE
        # Should the held slots break their promise, time alone must bring another look.
        wait = finish_in(grant.held, draft.pending(grant.row))
        again = draft.snapshot.now_ms + max(1, wait)
        draft.patient_until_ms = min(draft.patient_until_ms, again)
    else:
        own, kept = turn.place, False
        if not grant.held and (own is not None or draft.book.may_reserve(grant.shape_row)):
            kept = draft.book.keeps_room(grant.shape_row)
            busy = Reason.RESERVED_FOR_OTHERS if kept else why_no_room(draft, grant.shape_row)
            draft.book.reserve(grant, busy, own)
        # A booking begins later, so what was kept before it is kept after it.
        draft.book.note_full(grant, kept=kept)
