"""From granted slots to starts: how many tasks each allocation takes in turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fenglin.model.allocation import Share
from fenglin.model.plan import Start
from fenglin.planner.draft import Draft, Grant
from fenglin.planner.rank import Figures
from fenglin.planner.runtime import FOREVER
from fenglin.planner.tail import piece_depth, piece_ms


class _Bundle(NamedTuple):
    """Slots that become one allocation.

    Attributes:
        figures: Of the option.
        shares: (node row, slots), by node row.
        cards: By node row, as in `Share`.
        slots: Tasks at once.
        until_ms: By when they must have ended.
    """

    figures: Figures
    shares: list[tuple[int, int]]
    cards: dict[int, tuple[int, ...]]
    slots: int
    until_ms: int


def starts_in(
    draft: Draft, order: Iterable[int], changed: frozenset[int] = frozenset()
) -> Iterator[Start]:
    """Yield the starts of all jobs that were granted something.

    Args:
        draft: After all granting.
        order: Job rows, in planning order.
        changed: Rows of jobs whose grants are no longer what the fast lane made of them.
    """
    quick = draft.lane.starts()
    for row in order:
        if row in quick and row not in changed:
            yield quick[row]
        elif (grant := draft.long_way.get(row)) is not None:
            yield from starts_of(draft, grant)


def starts_of(draft: Draft, grant: Grant) -> list[Start]:
    """Return the job's starts, best option first, and charge its account for their tasks.

    Every slot has at least one task. Beyond that, each slot takes what it can do in one piece's
    span; what then is left waits for whichever slot is free first.
    """
    pending = draft.pending(grant.row)
    span_ms = piece_ms(grant.held, pending, draft.policy)
    left = pending - grant.slots
    starts: list[Start] = []
    bundles = _bundles(draft, grant)
    for at, bundle in enumerate(bundles):
        figures = bundle.figures
        start_ms = figures.view.site.start_ms
        depth = piece_depth(span_ms, figures.task_ms, grant.runtime, draft.policy, start_ms)
        if bundle.until_ms < FOREVER:
            limit_ms = grant.runtime.limit_on(bundle.figures.view.flavor)
            depth = min(depth, max(1, (bundle.until_ms - draft.snapshot.now_ms) // limit_ms))
        # Where beginning is dear, nothing is left for an allocation of its own.
        alike = sum(b.slots for b in bundles[at:] if b.figures.view.row == figures.view.row)
        most = -(-left * bundle.slots // alike)
        if not start_ms:
            most = left // bundle.slots * bundle.slots
        more = min((depth - 1) * bundle.slots, most)
        more = _affordable(draft, grant, bundle.figures, more)
        left -= more
        starts.append(_start(draft, grant, bundle, bundle.slots + more))
    return starts


def _bundles(draft: Draft, grant: Grant) -> list[_Bundle]:
    """Join the job's pieces to allocations.

    One per flavor and `max_shares` nodes, or for each of a few nodes where the site wants them
    apart; each gang is one of its own.
    """
    nodes = draft.snapshot.shapes[grant.shape_row].nodes
    if nodes > 1:
        return [_Bundle(p.option.figures, p.shares, p.cards, 1, p.until_ms) for p in grant.pieces]
    joined: dict[tuple[int, int], tuple[Figures, dict[int, int], dict[int, tuple[int, ...]]]] = {}
    for piece in grant.pieces:
        figures = piece.option.figures
        key = (figures.view.row, piece.until_ms)
        _, slots_of, cards_of = joined.setdefault(key, (figures, {}, {}))
        for node, slots in piece.shares:
            slots_of[node] = slots_of.get(node, 0) + slots
        for node, cards in piece.cards.items():
            cards_of[node] = cards_of.get(node, ()) + cards
    bundles: list[_Bundle] = []
    for (_, until_ms), (figures, slots_of, cards_of) in joined.items():
        shares = sorted(slots_of.items())
        most = 1 if len(shares) <= figures.view.site.apart else draft.policy.max_shares
        for at in range(0, len(shares), most):
            part = shares[at : at + most]
            at_once = sum(slots for _, slots in part)
            bundles.append(_Bundle(figures, part, cards_of, at_once, until_ms))
    return bundles


def _affordable(draft: Draft, grant: Grant, figures: Figures, tasks: int) -> int:
    """Return how many of the further tasks the account can stand, and hold their money."""
    if tasks <= 0 or not figures.hold_micro:
        return max(0, tasks)
    account = draft.job_account[grant.row]
    tasks = max(0, min(tasks, draft.account_left[account] // figures.hold_micro))
    draft.account_left[account] -= tasks * figures.hold_micro
    return tasks


def _start(draft: Draft, grant: Grant, bundle: _Bundle, tasks: int) -> Start:
    """Write the decision down."""
    names, figures = draft.snapshot.node_names, bundle.figures
    turns = -(-tasks // bundle.slots)
    return Start(
        job=int(draft.snapshot.job_number[grant.row]),
        site=figures.view.site.name,
        flavor=figures.view.flavor.name,
        shares=tuple(
            Share(names[node], count, bundle.cards.get(node, ())) for node, count in bundle.shares
        ),
        tasks=tasks,
        task_ms=figures.task_ms,
        finish_ms=draft.snapshot.now_ms + turns * figures.task_ms,
        hold_micro=tasks * figures.hold_micro,
    )
