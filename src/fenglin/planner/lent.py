"""What is free on booked nodes until their bookings begin: lent to tasks that end in time.

Between the beginnings of a node's bookings what is free on it only grows, so the amounts right
after now and right after each beginning say all: a task that ends by E has the least of those
before E. The pool keeps, for everybody else, the least of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fenglin.model.job import Topology
from fenglin.planner.backfill.twins import Kernel
from fenglin.planner.gang import gangs_by_block, gangs_in
from fenglin.planner.horizon_kernels import Booked, Shown
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

    def __init__(
        self, pool: Pool, flavor_of: I32, loops: Mapping[str, Kernel] | None = None
    ) -> None:
        """Begin without a booking.

        Args:
            pool: Of this plan.
            flavor_of: [N] the flavor row of each node.
            loops: `horizon_kernels.compiled_profile()` for the same sooner.
        """
        self._pool = pool
        self._flavor_of = flavor_of
        self._loops = loops
        dimensions = len(pool.free)
        # [M] the nodes that are or were booked, as they came; [N] their rows here, else -1.
        self._nodes: I64 = np.zeros(0, np.int64)
        self._slot: I64 = np.full(pool.free.shape[1], -1, np.int64)
        self._begins: I64 = np.zeros((0, 0), np.int64)
        self._room: I64 = np.zeros((0, 1, dimensions), np.int64)
        # [D, M] what the pool showed when last looked at: there it can only shrink.
        self._shown: I64 = np.zeros((dimensions, 0), np.int64)
        # [M, C] thousandths of free cards that the pool does not show.
        self._cards: I64 = np.zeros((0, pool.cards.shape[1]), np.int64)
        # All of these for the compiled loop; None when one was made anew.
        self._booked: Booked | None = None

    def renew(self, nodes: I64, begins: I64, room: I64) -> None:
        """Take booked nodes in, or anew, and hold back from the pool what is not free for ever.

        Args:
            nodes: [M] node rows, rising.
            begins: [M, W] when their bookings begin, rising, FOREVER where one has fewer.
            room: [M, W + 1, D] what is free right after now and right after each beginning.
        """
        self._widen(nodes[self._slot[nodes] < 0], begins.shape[1])
        width = self._begins.shape[1]
        begins, room = _dates(begins, width), _wide(room, width)
        # Beyond the last booking of a node nothing gets less.
        room[:, 1:][begins >= FOREVER] = _PLENTY
        at = self._slot[nodes]
        self._begins[at], self._room[at] = begins, room
        self._hold_back(at)

    def release(self, nodes: I64, need: Vector, begin_ms: int, end_ms: int) -> None:
        """Take a booking out: its nodes have the need back from `begin_ms` to `end_ms`.

        Args:
            nodes: [M] its node rows, rising; they stay known here.
            need: What it took of each.
            begin_ms: When it would have begun.
            end_ms: When it would have ended.
        """
        self._follow()
        at = self._slot[nodes]
        inside = (self._begins[at] >= begin_ms) & (self._begins[at] < end_ms)
        self._room[at, 1:] += inside[..., None] * np.array(need, np.int64)
        kept = self._room[at, 0] - self._pool.free[:, nodes].T
        self._pool.give_back(nodes, kept, self._cards[at])
        self._cards[at] = 0
        self._hold_back(at)

    def counts(
        self, shape: Shape, view: FlavorView, up: Bool, end_ms: int, *, everywhere: bool = False
    ) -> I64:
        """Return how many parts of a task fit until then on each of the flavor's nodes.

        Args:
            shape: Of the task.
            view: The flavor.
            up: [N] nodes in service.
            end_ms: Unix time.
            everywhere: Whether nodes that nobody booked count too.
        """
        return self._counted(shape, view, up, end_ms, everywhere=everywhere)[0]

    def nodes_with_room(
        self, shape: Shape, view: FlavorView, up: Bool, end_ms: int, *, everywhere: bool = False
    ) -> int:
        """Return on how many nodes a part of a task fits, as `counts` says."""
        return self._counted(shape, view, up, end_ms, everywhere=everywhere)[1]

    def _counted(
        self, shape: Shape, view: FlavorView, up: Bool, end_ms: int, *, everywhere: bool
    ) -> tuple[I64, int]:
        """Return the counts, and how many of them are above 0."""
        need: I64 = np.array(shape.resources.values(), np.int64)
        if self._loops is None:
            self._follow()
            found = self._count(need, view, up, end_ms, everywhere=everywhere)
            return found, int(np.count_nonzero(found))
        found = np.empty(view.stop - view.first, np.int64)
        some = self._loop(need, view, up, end_ms, int(everywhere), found)
        if some < 0:
            self._follow()
            some = self._loop(need, view, up, end_ms, int(everywhere), found)
        return found, some

    def _loop(
        self, need: I64, view: FlavorView, up: Bool, end_ms: int, everywhere: int, found: I64
    ) -> int:
        """Count by the compiled loop; -1 where the pool has changed."""
        assert self._loops is not None  # noqa: S101 - asked before
        if self._booked is None:
            columns = self._slot, self._begins, self._room, self._cards, self._shown
            self._booked = Booked(*columns)
        pool = Shown(self._pool.free, self._pool.cards, up)
        some: int = self._loops["counts"](
            self._booked, pool, need, end_ms, everywhere, view.first, found
        )
        return some

    def _count(
        self, need: I64, view: FlavorView, up: Bool, end_ms: int, *, everywhere: bool
    ) -> I64:
        """Count as the compiled loop does, many nodes at a time."""
        mine = slice(view.first, view.stop)
        counts = np.where(up[mine] & everywhere, MOST_PER_NODE, 0)
        milli = int(need[-1])
        if everywhere:
            for dimension in np.flatnonzero(need).tolist():
                np.minimum(counts, self._pool.free[dimension][mine] // need[dimension], out=counts)
            if milli:
                np.minimum(counts, rooms(self._pool.cards[mine], milli), out=counts)
        at = self._slot[mine]
        here = np.flatnonzero(at >= 0)
        if not len(here):
            return np.maximum(counts, 0)
        at = at[here]
        met = _met(self._begins[at], end_ms)
        fits = np.where(up[mine][here], MOST_PER_NODE, 0)
        for dimension in np.flatnonzero(need).tolist():
            least = np.where(met, self._room[at, :, dimension], _PLENTY).min(axis=1)
            np.minimum(fits, least // need[dimension], out=fits)
        if milli:
            cards = self._pool.cards[here + view.first] + self._cards[at]
            np.minimum(fits, rooms(cards, milli), out=fits)
        counts[here] = fits
        return np.maximum(counts, 0)

    def counts_everywhere(
        self, shape: Shape, view: FlavorView, up: Bool, end_ms: int
    ) -> tuple[I64, I64]:
        """Return (node rows, parts of a task that fit until then) of all nodes of the flavor."""
        counts = self.counts(shape, view, up, end_ms, everywhere=True)
        return np.arange(view.first, view.stop), counts

    def free_until(self, node: int, amounts: Vector) -> int:
        """Return how long the amounts are free on a booked node: till which booking begins."""
        at = int(self._slot[node])
        short = np.flatnonzero((self._room[at] < np.array(amounts, np.int64)).any(axis=1))
        return int(self._begins[at, short[0] - 1]) if len(short) else FOREVER

    def take(self, node: int, need: Resources, slots: int, end_ms: int) -> tuple[int, ...]:
        """Take slots on a booked node from now until `end_ms`; return their cards, if any."""
        at = int(self._slot[node])
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
        at = int(self._slot[node])
        self._room[at, 0] += np.array(need, np.int64)
        self._cards[at, list(cards)] += FULL_MILLI
        self._hold_back(np.array([at]))

    def kept(self, nodes: I64) -> tuple[I64, I64]:
        """Return what is free now on booked nodes beyond what the pool shows: amounts, cards."""
        self._follow()
        at = self._slot[nodes]
        kept = np.maximum(0, self._room[at, 0] - self._pool.free[:, nodes].T)
        return kept, self._cards[at]

    def freeze(self, nodes: I64) -> None:
        """Lend nothing more of booked nodes than is free for ever."""
        self._follow()
        at = self._slot[nodes]
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

    def _widen(self, nodes: I64, width: int) -> None:
        """Make room for nodes not known yet, and for so many bookings on each."""
        self._booked = None
        if width > self._begins.shape[1]:
            self._begins, self._room = _dates(self._begins, width), _wide(self._room, width)
        count = len(nodes)
        if not count:
            return
        width = self._begins.shape[1]
        self._slot[nodes] = len(self._nodes) + np.arange(count)
        self._nodes = np.concatenate((self._nodes, nodes))
        dates = np.full((count, width), FOREVER, np.int64)
        room = np.full((count, width + 1, self._room.shape[2]), _PLENTY, np.int64)
        cards = np.zeros((count, self._cards.shape[1]), np.int64)
        self._begins = np.concatenate((self._begins, dates))
        self._room = np.concatenate((self._room, room))
        self._cards = np.concatenate((self._cards, cards))
        self._shown = np.concatenate((self._shown, self._pool.free[:, nodes]), axis=1)

    def _follow(self) -> None:
        """Take off what was taken from the pool itself, as if it were never given back."""
        free = self._pool.free[:, self._nodes]
        if not np.array_equal(free, self._shown):
            self._room -= (self._shown - free).T[:, None, :]
            self._shown[:] = free

    def _hold_back(self, places: I64) -> None:
        """Leave in the pool no more of these nodes than is free for ever."""
        pool, nodes = self._pool, self._nodes[places]
        least = self._room[places].min(axis=1)
        beyond = np.maximum(0, pool.free[:, nodes].T - least)
        for at in np.flatnonzero(beyond.any(axis=1)).tolist():
            node = int(nodes[at])
            before = pool.cards[node].copy()
            shape = Shape(Resources(*beyond[at].tolist()))
            pool.take_exactly(shape, int(self._flavor_of[node]), [(node, 1)])
            self._cards[places[at]] += before - pool.cards[node]
        self._shown[:, places] = pool.free[:, nodes]


def tasks_in(shape: Shape, counts: I64, block: I32) -> int:
    """Return how many tasks (gangs) fit where nodes with these counts and blocks are free."""
    if shape.nodes == 1:
        return int(counts.sum())
    if np.count_nonzero(counts) < shape.nodes:
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
