"""What is free on each node while a plan is improved: now, and once a booking begins there.

On a booked node a task that has surely ended when the booking begins needs room only until then;
any other needs room beside what is booked as well. What leaves a booked node is reckoned to make
room only until the booking begins, since by then it might have ended anyhow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.planner.draft import Draft
from fenglin.planner.runtime import FOREVER
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.cards import FULL_MILLI, assign
from fenglin.snapshot.snapshot import I64, Shape

_CARDS = DIMENSIONS.index("accelerator_milli")

Vector = tuple[int, ...]


class Kept(NamedTuple):
    """What is kept for a reservation: node rows [M], amounts [M, D] and cards [M, C]."""

    nodes: I64
    amounts: I64
    cards: I64


class Taken(NamedTuple):
    """One task's room on a node: the numbers of its cards, and by when it must have ended."""

    cards: tuple[int, ...]
    until_ms: int


class Ground:
    """Free amounts of all nodes; the pool, and what is lent of it, are kept in step.

    Attributes:
        free: [N, D] what is free now, of cards what whole ones come to.
        later: [N, D] what of that stays free; the same where nothing is booked.
        begins_ms: [N] when the first booking begins; FOREVER where nothing is booked.
    """

    def __init__(self, draft: Draft) -> None:
        """Read the draft after all granting."""
        self._draft = draft
        self._pool, self._lent = draft.pool, draft.book.lent
        self.free: I64 = draft.pool.free.T.copy()
        self.free[:, _CARDS] = _whole(draft.pool.cards)
        self.later: I64 = self.free.copy()
        self.begins_ms: I64 = np.full(len(self.free), FOREVER, np.int64)
        for booking in draft.book.reservations:
            kept = draft.book.kept(int(np.searchsorted(draft.snapshot.job_number, booking.job)))
            if kept is not None:
                nodes = kept[0]
                np.minimum.at(self.begins_ms, nodes, booking.start_ms)
                self._look(nodes)

    def rooms(self, ends_ms: I64) -> I64:
        """Return [N, D]: what a task may use that has surely ended, on each node, by these [N]."""
        late = self.late(ends_ms)
        return np.where(late[:, None], np.minimum(self.free, self.later), self.free)

    def late(self, ends_ms: I64) -> I64:
        """Return [N]: where a task that ends by then might meet a booking."""
        return np.asarray(ends_ms > self.begins_ms)

    def open(self, kept: Kept) -> I64:
        """Take nodes as not booked while a job tries to start on what is kept for it.

        Returns:
            When the bookings begin, for `close`.
        """
        begins_ms = self.begins_ms[kept.nodes].copy()
        self.begins_ms[kept.nodes] = FOREVER
        self._pool.free[:, kept.nodes] += kept.amounts.T
        self._pool.cards[kept.nodes] += kept.cards
        return begins_ms

    def close(self, kept: Kept, begins_ms: I64) -> None:
        """Undo `open`, nothing having changed meanwhile."""
        self.begins_ms[kept.nodes] = begins_ms
        self._pool.free[:, kept.nodes] -= kept.amounts.T
        self._pool.cards[kept.nodes] -= kept.cards

    def take(self, node: int, shape: Shape, end_ms: int) -> Taken:
        """Take one task's room on a node.

        Args:
            node: Its row.
            shape: Of the task.
            end_ms: By when it has surely ended.
        """
        need = shape.resources
        begin_ms = int(self.begins_ms[node])
        if begin_ms < FOREVER:
            until_ms = FOREVER if end_ms > begin_ms else end_ms
            cards = self._lent.take(node, need, 1, until_ms)
            self._look(np.array([node]))
            return Taken(cards, until_ms)
        cards = ()
        if need.accelerator_milli:
            free: list[int] = self._pool.cards[node].tolist()
            cards = assign(free, need.accelerator_milli, 1)
            self._pool.cards[node] = free
        self._move(node, need.values(), -1)
        return Taken(cards, FOREVER)

    def give_back(self, node: int, need: Vector, cards: tuple[int, ...]) -> None:
        """Free one task's room on a node, and its cards."""
        if self.begins_ms[node] < FOREVER:
            self._lent.give_back(node, need, cards)
            self._look(np.array([node]))
            return
        for card in cards:
            self._pool.cards[node, card] += FULL_MILLI
        self._move(node, need, 1)

    def _move(self, node: int, need: Vector, sign: int) -> None:
        """Give a node that nobody booked more, or less."""
        change = sign * np.array(need, np.int64)
        self._pool.free[:, node] += change
        self.free[node] += change
        self.later[node] = self.free[node]

    def _look(self, nodes: I64) -> None:
        """Read booked nodes anew."""
        kept, cards = self._lent.kept(nodes)
        self.later[nodes] = self._pool.free[:, nodes].T
        self.later[nodes, _CARDS] = _whole(self._pool.cards[nodes])
        self.free[nodes] = self._pool.free[:, nodes].T + kept
        self.free[nodes, _CARDS] = _whole(self._pool.cards[nodes] + cards)


def _whole(cards: I64) -> I64:
    """Return what whole free cards come to on each node: parts of cards are of no use here."""
    return np.asarray(np.count_nonzero(cards == FULL_MILLI, axis=1) * FULL_MILLI, np.int64)
