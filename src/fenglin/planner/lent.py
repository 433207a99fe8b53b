"""What is free on booked nodes until their bookings begin: lent to tasks that end in time.

Between the beginnings of a node's bookings what is free on it only grows, so the amounts right
after now and right after each beginning say all: a task that ends by E has the least of those
before E. The pool keeps, for everybody else, the least of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fenglin.model.job import Topology
from fenglin.planner.gang import gangs_by_block, gangs_in
from fenglin.planner.pack import MOST_PER_NODE, Pool
from fenglin.planner.runtime import FOREVER
from fenglin.planner.view import FlavorView
from fenglin.quantities.resources import Resources
from fenglin.snapshot.cards import FULL_MILLI, assign, rooms
from fenglin.snapshot.snapshot import I32, I64, Bool, Shape

Vector = tuple[int, ...]

# Free on a node in an interval that it does not have.
_PLENTY = 2**62
_NOTHING = Shape(Resources())


class Lent:
    """Free amounts of booked nodes over time; the pool is kept in step."""

    def __init__(self, pool: Pool, flavor_of: I32) -> None:
        """Begin without a booking. `flavor_of` is the flavor row of each node."""
        self._pool = pool
        self._flavor_of = flavor_of
        dimensions = len(pool.free)
        self.nodes: I64 = np.zeros(0, np.int64)
        self._begins: I64 = np.zeros((0, 0), np.int64)
        self._room: I64 = np.zeros((0, 1, dimensions), np.int64)
        # By how much the pool has less than is free for ever: it can only shrink.
        self._slack: I64 = np.zeros((0, dimensions), np.int64)
        # [M, C] thousandths of free cards that the pool does not show.
        self._cards: I64 = np.zeros((0, pool.cards.shape[1]), np.int64)

    def renew(self, nodes: I64, begins: I64, room: I64) -> None:
        """Take booked nodes in, or anew, and hold back from the pool what is not free for ever.

        Args:
            nodes: [M] node rows, rising.
            begins: [M, W] when their bookings begin, rising, FOREVER where one has fewer.
            room: [M, W + 1, D] what is free right after now and right after each beginning.
        """
        width = max(begins.shape[1], self._begins.shape[1])
        begins, room = _dates(begins, width), _wide(room, width)
        # Beyond the last booking of a node nothing gets less.
        room[:, 1:][begins >= FOREVER] = _PLENTY
        merged, place = np.unique(np.concatenate((nodes, self.nodes)), return_index=True)
        self._begins = np.concatenate((begins, _dates(self._begins, width)))[place]
        self._room = np.concatenate((room, _wide(self._room, width)))[place]
        self._slack = np.concatenate((np.zeros_like(room[:, 0]), self._slack))[place]
        self._cards = np.concatenate((self._cards_of(nodes), self._cards))[place]
        self.nodes = merged
        self._hold_back(np.searchsorted(merged, nodes))

    def release(self, nodes: I64, need: Vector, begin_ms: int, end_ms: int) -> None:
        """Take a booking out: its nodes have the need back from `begin_ms` to `end_ms`.

        Args:
            nodes: [M] its node rows, rising; they stay known here.
            need: What it took of each.
            begin_ms: When it would have begun.
            end_ms: When it would have ended.
        """
        self._follow()
        at = np.searchsorted(self.nodes, nodes)
        inside = (self._begins[at] >= begin_ms) & (self._begins[at] < end_ms)
        self._room[at, 1:] += inside[..., None] * np.array(need, np.int64)
        kept = self._room[at, 0] - self._pool.free[:, nodes].T
        self._pool.give_back(nodes, kept, self._cards[at])
        self._cards[at] = 0
        self._hold_back(at)

    def counts(self, shape: Shape, view: FlavorView, end_ms: int) -> tuple[I64, I64]:
        """Return (node rows, parts of a task that fit until then) of a flavor's booked nodes."""
        first, stop = np.searchsorted(self.nodes, (view.first, view.stop)).tolist()
        nodes = self.nodes[first:stop]
        if not len(nodes):
            return nodes, np.zeros(0, np.int64)
        self._follow()
        met = _met(self._begins[first:stop], end_ms)
        least = np.where(met[..., None], self._room[first:stop], _PLENTY).min(axis=1)
        counts = np.full(stop - first, MOST_PER_NODE, np.int64)
        for dimension, amount in enumerate(shape.resources.values()):
            if amount:
                np.minimum(counts, least[:, dimension] // amount, out=counts)
        milli = shape.resources.accelerator_milli
        if milli and len(nodes):
            cards = self._pool.cards[nodes] + self._cards[first:stop]
            np.minimum(counts, rooms(cards, milli), out=counts)
        return nodes, np.maximum(counts, 0)

    def counts_everywhere(
        self, shape: Shape, view: FlavorView, up: Bool, end_ms: int
    ) -> tuple[I64, I64]:
        """Return as `counts`, for all nodes of the flavor that are `up` ([N]), booked or not."""
        booked, least = self.counts(shape, view, end_ms)
        mine = slice(view.first, view.stop)
        counts = np.where(up[mine], MOST_PER_NODE, 0)
        for dimension, need in enumerate(shape.resources.values()):
            if need:
                np.minimum(counts, self._pool.free[dimension][mine] // need, out=counts)
        if shape.resources.accelerator_milli:
            cards = rooms(self._pool.cards[mine], shape.resources.accelerator_milli)
            np.minimum(counts, cards, out=counts)
        counts = np.maximum(counts, 0)
        counts[booked - view.first] = np.where(up[booked], least, 0)
        return np.arange(view.first, view.stop), counts

    def free_until(self, node: int, amounts: Vector) -> int:
        """Return how long the amounts are free on a booked node: till which booking begins."""
        at = int(np.searchsorted(self.nodes, node))
        short = np.flatnonzero((self._room[at] < np.array(amounts, np.int64)).any(axis=1))
        return int(self._begins[at, short[0] - 1]) if len(short) else FOREVER

    def take(self, node: int, need: Resources, slots: int, end_ms: int) -> tuple[int, ...]:
        """Take slots on a booked node from now until `end_ms`; return their cards, if any."""
        at = int(np.searchsorted(self.nodes, node))
        met = _met(self._begins[at : at + 1], end_ms)[0]
        self._room[at, met] -= np.array(need.times(slots).values(), np.int64)
        cards: tuple[int, ...] = ()
        if need.accelerator_milli:
            cards = self._take_cards(at, node, need.accelerator_milli, slots)
        self._hold_back(np.array([at]))
        return cards

    def give_back(self, node: int, need: Vector, cards: Sequence[int]) -> None:
        """Let a booked node have one task's need, and whole cards, more until its first booking."""
        self._follow()
        at = int(np.searchsorted(self.nodes, node))
        self._room[at, 0] += np.array(need, np.int64)
        self._cards[at, list(cards)] += FULL_MILLI
        self._hold_back(np.array([at]))

    def kept(self, nodes: I64) -> tuple[I64, I64]:
        """Return what is free now on booked nodes beyond what the pool shows: amounts, cards."""
        self._follow()
        at = np.searchsorted(self.nodes, nodes)
        kept = np.maximum(0, self._room[at, 0] - self._pool.free[:, nodes].T)
        return kept, self._cards[at]

    def freeze(self, nodes: I64) -> None:
        """Lend nothing more of booked nodes than is free for ever."""
        self._follow()
        at = np.searchsorted(self.nodes, nodes)
        self._room[at] = self._room[at].min(axis=1, keepdims=True)

    def _take_cards(self, at: int, node: int, milli: int, slots: int) -> tuple[int, ...]:
        """Choose among all free cards of the node; the pool shows at most what is left."""
        pool = self._pool
        free: list[int] = (pool.cards[node] + self._cards[at]).tolist()
        cards = assign(free, milli, slots)
        shown = np.minimum(pool.cards[node], free)
        pool.free[-1, node] -= int((pool.cards[node] - shown).sum())
        pool.cards[node] = shown
        self._cards[at] = free - shown
        # Tells the pool that the node was touched.
        pool.take_exactly(_NOTHING, int(self._flavor_of[node]), [(node, 1)])
        return cards

    def _cards_of(self, nodes: I64) -> I64:
        """Return the cards already held back on nodes, none on those not yet booked."""
        cards = np.zeros((len(nodes), self._cards.shape[1]), np.int64)
        known = np.isin(nodes, self.nodes)
        cards[known] = self._cards[np.searchsorted(self.nodes, nodes[known])]
        return cards

    def _follow(self) -> None:
        """Take off what was taken from the pool itself, as if it were never given back."""
        taken = self._room.min(axis=1) - self._slack - self._pool.free[:, self.nodes].T
        if taken.any():
            self._room -= taken[:, None, :]

    def _hold_back(self, places: I64) -> None:
        """Leave in the pool no more of these nodes than is free for ever."""
        pool, nodes = self._pool, self.nodes[places]
        least = self._room[places].min(axis=1)
        beyond = np.maximum(0, pool.free[:, nodes].T - least)
        for at in np.flatnonzero(beyond.any(axis=1)).tolist():
            node = int(nodes[at])
            before = pool.cards[node].copy()
            shape = Shape(Resources(*beyond[at].tolist()))
            pool.take_exactly(shape, int(self._flavor_of[node]), [(node, 1)])
            self._cards[places[at]] += before - pool.cards[node]
        self._slack[places] = least - pool.free[:, nodes].T


def tasks_in(shape: Shape, counts: I64, block: I32) -> int:
    """Return how many tasks (gangs) fit where nodes with these counts and blocks are free."""
    if shape.nodes == 1:
        return int(counts.sum())
    if not len(counts):
        return 0
    if shape.topology is not Topology.BLOCK:
        return gangs_in(counts, shape.nodes)
    blocks = block.astype(np.int64)
    return int(gangs_by_block(counts, blocks - blocks.min(), shape.nodes).sum())


def _met(begins: I64, end_ms: int) -> Bool:
    """Return [M, W + 1]: which of the amounts over time a task meets that ends by then."""
    return np.concatenate((np.ones((len(begins), 1), np.bool_), begins < end_ms), axis=1)


def _dates(begins: I64, width: int) -> I64:
    wide = np.full((len(begins), width), FOREVER, np.int64)
    wide[:, : begins.shape[1]] = begins
    return wide


def _wide(room: I64, width: int) -> I64:
    wide = np.full((len(room), width + 1, room.shape[2]), _PLENTY, np.int64)
    wide[:, : room.shape[1]] = room
    return wide
