"""The working copy of free capacity: how many tasks fit where, and taking them.

Free amounts stand in rows, one per dimension, and cards one by one. Capacity only shrinks while
a plan is made, but for bookings that are lifted (`give_back`); so a node that was full for a shape
stays full: each shape goes on looking where it last found room, and looks no further than it needs
to. Where the exact number is wanted, it
is kept by shape and flavor and brought up to date on the nodes that were touched since.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fenglin.model.job import Topology
from fenglin.planner.choose import Fragments, leftover
from fenglin.planner.gang import gang_nodes, gang_nodes_in_block, gangs_by_block, gangs_in
from fenglin.planner.policy import Packing
from fenglin.planner.view import FlavorView
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.cards import FULL_MILLI, assign, layout, occupy, rooms, rooms_on
from fenglin.snapshot.snapshot import I64, Bool, Shape, Snapshot

# A task that needs nothing still occupies a process slot; more than this many at once on one
# node would be a mistake of the job's author.
MOST_PER_NODE = 10_000
_CARDS = DIMENSIONS.index("accelerator_milli")
# How many nodes a search looks at first; each further step is so many times longer.
_FIRST_STEP = 32
_STEP_GROWTH = 4
# With more than this part of a flavor's nodes touched, all are counted anew.
_RECOUNT_DIVISOR = 8

Cards = MutableMapping[int, tuple[int, ...]]
Where = slice | I64


@dataclass(slots=True)
class _Fit:
    """How one shape fits.

    Attributes:
        shape: The shape.
        needs: (dimension, amount) of all that it needs but cards.
        card_milli: What it needs of cards.
        counts: By flavor row: tasks that fit on each of its nodes.
        slots: By flavor row: whole tasks (gangs) that fit on it.
        seen: By flavor row: how much of its log of touched nodes these know.
        added: By flavor row: fragments that a task adds on each of its nodes.
        added_seen: As `seen`, for `added`.
    """

    shape: Shape
    needs: list[tuple[int, int]]
    card_milli: int
    counts: dict[int, I64] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    added: dict[int, I64] = field(default_factory=dict)
    added_seen: dict[int, int] = field(default_factory=dict)


class Pool:
    """Free capacity while a plan is made."""

    def __init__(
        self,
        snapshot: Snapshot,
        flavors: tuple[FlavorView, ...],
        possible: Bool,
        free: I64 | None = None,
        *,
        cards: I64 | None = None,
        packing: Packing = Packing.FIRST,
    ) -> None:
        """Copy what is free.

        Args:
            snapshot: The world.
            flavors: Its flavors.
            possible: [shapes, flavors] which could ever hold which.
            free: [N, D] stands in for what the snapshot says is free.
            cards: [N, C] goes with it; without it, what is free of cards is supposed to lie
                together, whole cards first.
            packing: How a node is chosen.
        """
        self._snapshot = snapshot
        self._flavors = flavors
        self._possible = possible
        self._packing = packing
        self.free: I64 = np.ascontiguousarray((snapshot.node_free if free is None else free).T)
        self.free = self.free.copy()
        # The same numbers; single ones are read far faster from here.
        self._view: memoryview[int] = self.free.data
        if cards is None:
            cards = snapshot.node_cards if free is None else self._laid_out(free)
        self.cards: I64 = cards.copy()
        firsts = np.array([view.first for view in flavors], np.int64)
        # [shapes, flavors] the first node that may have room: those before it are full.
        self.cursor: I64 = np.repeat(firsts[None, :], len(snapshot.shapes), axis=0)
        self._licence_row = {name: i for i, name in enumerate(snapshot.licence_names)}
        self._licence_free: list[int] = snapshot.licence_free.tolist()
        self._fits: dict[int, _Fit] = {}
        self._touched: list[list[int]] = [[] for _ in flavors]
        self._fragments = Fragments(snapshot, possible) if packing is Packing.FGD else None

    def slots(self, shape_row: int, flavor_row: int, at_most: int | None = None) -> int:
        """Return how many tasks (gangs) of the shape could start on the flavor now.

        Args:
            shape_row: Row of the shape.
            flavor_row: Row of the flavor.
            at_most: More than that need not be told apart; looking for less is quicker.
        """
        if not self._possible[shape_row, flavor_row]:
            return 0
        shape = self._snapshot.shapes[shape_row]
        if at_most is not None and shape.nodes == 1:
            _, counts = self._search(shape_row, flavor_row, at_most)
            slots = min(at_most, int(counts.sum()))
        else:
            self._counts(shape_row, flavor_row)
            slots = self._fits[shape_row].slots[flavor_row]
        if shape.licences and slots:
            slots = min(slots, self._licensed(shape.licences, flavor_row))
        return slots if at_most is None else min(slots, at_most)

    def total(self, shape_row: int, at_most: int | None = None) -> int:
        """Return how many tasks could start over all flavors (licences counted per flavor).

        Args:
            shape_row: Row of the shape.
            at_most: As in `slots`.
        """
        total = 0
        for flavor_row in np.flatnonzero(self._possible[shape_row]).tolist():
            left = None if at_most is None else at_most - total
            total += self.slots(shape_row, flavor_row, left)
            if total == at_most:
                break
        return total

    def some_node_fits(self, shape_row: int, flavor_row: int) -> bool:
        """Return whether a node of the flavor has room for one task's part, licences aside."""
        if not self._possible[shape_row, flavor_row]:
            return False
        return len(self._search(shape_row, flavor_row, 1)[0]) > 0

    def nodes_that_fit(self, shape_row: int, flavor_row: int) -> int:
        """Return on how many of the flavor's nodes one task's part has room now.

        For a shape that must stay within a block: of the block with most of them.
        """
        fits = self._counts(shape_row, flavor_row) > 0
        if self._snapshot.shapes[shape_row].topology is Topology.BLOCK and fits.any():
            return int(np.bincount(self._blocks(flavor_row)[fits]).max())
        return int(np.count_nonzero(fits))

    def slots_when_idle(self, shape_row: int, flavor_row: int) -> int:
        """Return how many tasks of the shape the flavor's usable nodes hold when all is idle."""
        view, fit = self._flavors[flavor_row], self._fit(shape_row)
        node = view.flavor.node.values()
        per_node = [MOST_PER_NODE, *(node[d] // need for d, need in fit.needs)]
        if fit.card_milli:
            cards = np.array([layout(node[_CARDS])], np.int64)
            per_node.append(int(rooms(cards, fit.card_milli)[0]))
        up = self._snapshot.node_up[view.first : view.stop].astype(np.int64)
        return self._whole(fit, up * min(per_node), flavor_row)

    def free_column(self, dimension: int) -> I64:
        """Return the free amounts of all nodes in one dimension (not to be written)."""
        column: I64 = self.free[dimension]
        return column

    def free_for(self, shape: Shape, dimension: int) -> I64:
        """Return as `free_column`, but of cards only what one task of the shape could use."""
        milli = shape.resources.accelerator_milli
        if dimension != _CARDS or not milli or not self.cards.shape[1]:
            return self.free_column(dimension)
        largest, whole = np.zeros((2, len(self.cards)), np.int64)
        for left in self.cards.T:
            np.maximum(largest, left, out=largest)
            whole += left == FULL_MILLI
        return largest if milli < FULL_MILLI else whole * FULL_MILLI

    def usable(self, shape_row: int) -> Bool:
        """Return [N]: nodes in service of flavors that can hold the shape."""
        may: Bool = self._possible[shape_row][self._snapshot.node_flavor]
        return may & self._snapshot.node_up

    def take(
        self, shape_row: int, flavor_row: int, count: int, cards: Cards | None = None
    ) -> list[tuple[int, int]]:
        """Take up to `count` tasks' slots of a shape for single nodes.

        Args:
            shape_row: Row of the shape.
            flavor_row: Row of the flavor.
            count: Most tasks.
            cards: Gets the cards by node row, as in `Share`; those of a node that is there
                already are added to.

        Returns:
            (node row, slots) by rising node row.
        """
        if count <= 0 or not self._possible[shape_row, flavor_row]:
            return []
        if self._packing is Packing.FGD:
            return self._take_fragmenting_least(shape_row, flavor_row, count, cards)
        if self._packing is Packing.BEST:
            nodes, counts = self._tightest(shape_row, flavor_row)
        else:
            nodes, counts = self._search(shape_row, flavor_row, count)
        ends = np.cumsum(counts)
        stop = int(np.searchsorted(ends, count)) + 1
        nodes, slots = nodes[:stop], counts[:stop].copy()
        if len(slots):
            slots[-1] -= max(0, int(ends[len(slots) - 1]) - count)
        taken = sorted(zip(nodes.tolist(), slots.tolist(), strict=True))
        self._commit(self._fit(shape_row), flavor_row, taken, cards)
        return taken

    def take_gang(
        self, shape_row: int, flavor_row: int, cards: Cards | None = None
    ) -> list[tuple[int, int]]:
        """Take one gang, or nothing when it does not fit whole.

        Returns:
            (node row, 1) by rising node row.
        """
        if not self._possible[shape_row, flavor_row]:
            return []
        fit, view = self._fit(shape_row), self._flavors[flavor_row]
        counts = self._counts(shape_row, flavor_row)
        nodes = fit.shape.nodes
        if fit.shape.topology is Topology.BLOCK:
            chosen = gang_nodes_in_block(counts, self._blocks(flavor_row), nodes)
        else:
            chosen = gang_nodes(counts, nodes)
        if len(chosen) < nodes:
            return []
        taken = [(view.first + at, 1) for at in chosen.tolist()]
        self._commit(fit, flavor_row, taken, cards)
        return taken

    def take_exactly(
        self,
        shape: Shape,
        flavor_row: int,
        shares: Sequence[tuple[int, int]],
        cards: Sequence[tuple[int, ...]] = (),
    ) -> None:
        """Take given slots on given nodes: replays a start of a plan already made.

        Args:
            shape: Of the tasks.
            flavor_row: Row of the flavor.
            shares: (node row, slots).
            cards: Of each share, as in `Share`; without them, cards that have room are taken.
        """
        fit = _fit_of(shape)
        self._subtract(fit, flavor_row, shares)
        if fit.card_milli:
            for at, (node, slots) in enumerate(shares):
                free: list[int] = self.cards[node].tolist()
                if at < len(cards) and cards[at]:
                    for card in cards[at]:
                        free[card] -= min(fit.card_milli, FULL_MILLI)
                else:
                    occupy(free, fit.card_milli, slots)
                self.cards[node] = free
        self._take_licences(shape, flavor_row, shares)

    def give_back(self, nodes: I64, amounts: I64, cards: I64) -> None:
        """Let nodes [M] have amounts [M, D] and thousandths of cards [M, C] more."""
        self.free[:, nodes] += amounts.T
        self.cards[nodes] += cards
        self.touch(nodes)
        for view in self._flavors:
            mine = nodes[(nodes >= view.first) & (nodes < view.stop)]
            if len(mine):
                np.minimum(self.cursor[:, view.row], mine.min(), out=self.cursor[:, view.row])

    def give_back_licences(self, shape: Shape, flavor_row: int) -> None:
        """Let the flavor's site have one task's licences more."""
        site_row = self._flavors[flavor_row].site_row
        for name, count in shape.licences:
            self._licence_free[self._licence_row[site_row, name]] += count

    def touch(self, nodes: I64) -> None:
        """Take note that somebody has taken from `free` and `cards` of these nodes directly."""
        rows = np.unique(nodes)
        for view in self._flavors:
            mine = rows[(rows >= view.first) & (rows < view.stop)]
            self._touched[view.row] += mine.tolist()

    def _commit(
        self,
        fit: _Fit,
        flavor_row: int,
        taken: Sequence[tuple[int, int]],
        cards: Cards | None,
    ) -> None:
        self._subtract(fit, flavor_row, taken)
        if fit.card_milli:
            for node, slots in taken:
                free: list[int] = self.cards[node].tolist()
                numbers = assign(free, fit.card_milli, slots)
                self.cards[node] = free
                if cards is not None:
                    cards[node] = cards.get(node, ()) + numbers
        self._take_licences(fit.shape, flavor_row, taken)

    def _subtract(self, fit: _Fit, flavor_row: int, taken: Sequence[tuple[int, int]]) -> None:
        for node, slots in taken:
            for dimension, need in fit.needs:
                self.free[dimension, node] -= need * slots
            self.free[_CARDS, node] -= fit.card_milli * slots
            self._touched[flavor_row].append(node)

    def _take_licences(
        self, shape: Shape, flavor_row: int, taken: Sequence[tuple[int, int]]
    ) -> None:
        if not shape.licences:
            return
        tasks = sum(slots for _, slots in taken) // shape.nodes
        site_row = self._flavors[flavor_row].site_row
        for name, count in shape.licences:
            self._licence_free[self._licence_row[site_row, name]] -= count * tasks

    def _licensed(self, licences: tuple[tuple[str, int], ...], flavor_row: int) -> int:
        """Return how many tasks the site's free licences allow."""
        site_row = self._flavors[flavor_row].site_row
        free = [
            (self._licence_free[self._licence_row[site_row, name]], count)
            for name, count in licences
            if count > 0
        ]
        return max(0, min((have // want for have, want in free), default=MOST_PER_NODE))

    def _laid_out(self, free: I64) -> I64:
        """Return cards that sum to what is free of them on each node, whole ones first."""
        width = self._snapshot.node_cards.shape[1]
        before = np.arange(width, dtype=np.int64) * FULL_MILLI
        left = free[:, _CARDS, None] - before[None, :]
        return np.asarray(np.clip(left, 0, FULL_MILLI), np.int64)

    def _fit(self, shape_row: int) -> _Fit:
        fit = self._fits.get(shape_row)
        if fit is None:
            fit = self._fits[shape_row] = _fit_of(self._snapshot.shapes[shape_row])
        return fit

    def _count(self, fit: _Fit, where: Where) -> I64:
        """Count on some nodes: min over needed dimensions of free // need, and by cards."""
        counts = np.where(self._snapshot.node_up[where], MOST_PER_NODE, 0)
        for dimension, need in fit.needs:
            np.minimum(counts, self.free[dimension][where] // need, out=counts)
        if fit.card_milli:
            np.minimum(counts, rooms(self.cards[where], fit.card_milli), out=counts)
        return np.maximum(counts, 0, out=counts)

    def _count_one(self, fit: _Fit, node: int) -> int:
        """Count on one node as `_count` does: most searches end where the last one did."""
        if not self._snapshot.node_up[node]:
            return 0
        free, count = self._view, MOST_PER_NODE
        for dimension, need in fit.needs:
            count = min(count, free[dimension, node] // need)
        if fit.card_milli and count > 0:
            count = min(count, rooms_on(self.cards[node].tolist(), fit.card_milli))
        return max(0, count)

    def _search(self, shape_row: int, flavor_row: int, most: int) -> tuple[I64, I64]:
        """Return the first nodes with room, until `most` tasks fit, and how many fit on each."""
        fit = self._fit(shape_row)
        stop = self._flavors[flavor_row].stop
        at, step, found = int(self.cursor[shape_row, flavor_row]), _FIRST_STEP, 0
        if at < stop and (here := self._count_one(fit, at)) >= most:
            return np.array([at]), np.array([here])
        nodes: list[I64] = []
        slots: list[I64] = []
        while found < most and at < stop:
            end = min(stop, at + step)
            counts = self._count(fit, slice(at, end))
            rows = np.flatnonzero(counts)
            if len(rows):
                nodes.append(rows + at)
                slots.append(counts[rows])
                found += int(slots[-1].sum())
            if len(nodes) <= 1:
                self.cursor[shape_row, flavor_row] = nodes[0][0] if nodes else end
            at, step = end, step * _STEP_GROWTH
        if not nodes:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if len(nodes) == 1:
            return nodes[0], slots[0]
        return np.concatenate(nodes), np.concatenate(slots)

    def _counts(self, shape_row: int, flavor_row: int) -> I64:
        """Return the tasks that fit on each of the flavor's nodes, up to date."""
        fit, view = self._fit(shape_row), self._flavors[flavor_row]
        if not self._possible[shape_row, flavor_row]:
            return np.zeros(view.stop - view.first, np.int64)
        touched = self._touched[flavor_row]
        stale = self._stale(fit.seen.get(flavor_row), flavor_row)
        if stale is not None:
            if isinstance(stale, slice):
                fit.counts[flavor_row] = self._count(fit, stale)
            else:
                fit.counts[flavor_row][stale - view.first] = self._count(fit, stale)
            fit.slots[flavor_row] = self._whole(fit, fit.counts[flavor_row], flavor_row)
            fit.seen[flavor_row] = len(touched)
        return fit.counts[flavor_row]

    def _stale(self, seen: int | None, flavor_row: int) -> Where | None:
        """Return the nodes of a flavor of which something known is out of date."""
        view, touched = self._flavors[flavor_row], self._touched[flavor_row]
        if seen is None or (len(touched) - seen) * _RECOUNT_DIVISOR > view.stop - view.first:
            return slice(view.first, view.stop)
        if seen == len(touched):
            return None
        return np.array(sorted(set(touched[seen:])), np.int64)

    def _whole(self, fit: _Fit, counts: I64, flavor_row: int) -> int:
        """Return how many whole tasks fit, given what fits on each of the flavor's nodes."""
        if fit.shape.topology is Topology.BLOCK and fit.shape.nodes > 1:
            gangs = gangs_by_block(counts, self._blocks(flavor_row), fit.shape.nodes)
            return int(gangs.sum())
        return gangs_in(counts, fit.shape.nodes)

    def _blocks(self, flavor_row: int) -> I64:
        """Return the number of each node's block, from 0 within the flavor."""
        view = self._flavors[flavor_row]
        mine = self._snapshot.node_block[view.first : view.stop].astype(np.int64)
        return mine - mine.min() if len(mine) else mine

    def _tightest(self, shape_row: int, flavor_row: int) -> tuple[I64, I64]:
        """Return all nodes with room, the tightest first, and how many tasks fit on each."""
        view = self._flavors[flavor_row]
        counts = self._counts(shape_row, flavor_row)
        rows = np.flatnonzero(counts)
        rows = rows[np.argsort(self._leftover(rows + view.first, flavor_row), kind="stable")]
        return rows + view.first, counts[rows]

    def _leftover(self, nodes: I64, flavor_row: int) -> I64:
        capacity = np.array(self._flavors[flavor_row].flavor.node.values(), np.int64)
        return leftover(self.free[:, nodes], capacity)

    def _take_fragmenting_least(
        self, shape_row: int, flavor_row: int, count: int, cards: Cards | None
    ) -> list[tuple[int, int]]:
        """Take slots one by one, each where it adds the fewest fragments; ties go to the tightest.

        The state of only one node changes with each, so only that one is looked at again.
        """
        fit, view = self._fit(shape_row), self._flavors[flavor_row]
        slots: dict[int, int] = {}
        for _ in range(count):
            rows = np.flatnonzero(self._counts(shape_row, flavor_row))
            if not len(rows):
                break
            added = self._added(shape_row, flavor_row)[rows]
            rows = rows[added == added.min()] + view.first
            node = int(rows[self._leftover(rows, flavor_row).argmin()])
            self._commit(fit, flavor_row, [(node, 1)], cards)
            slots[node] = slots.get(node, 0) + 1
        return sorted(slots.items())

    def _added(self, shape_row: int, flavor_row: int) -> I64:
        """Return the fragments that one task adds on each of the flavor's nodes, up to date."""
        fit, view = self._fit(shape_row), self._flavors[flavor_row]
        stale = self._stale(fit.added_seen.get(flavor_row), flavor_row)
        if stale is not None and self._fragments is not None:
            need = np.array(fit.shape.resources.values(), np.int64)
            width = len(layout(view.flavor.node.accelerator_milli))
            cards = self.cards[stale][:, :width]
            added = self._fragments.added(flavor_row, self.free[:, stale], cards, need)
            if isinstance(stale, slice):
                fit.added[flavor_row] = added
            else:
                fit.added[flavor_row][stale - view.first] = added
            fit.added_seen[flavor_row] = len(self._touched[flavor_row])
        return fit.added[flavor_row]


def _fit_of(shape: Shape) -> _Fit:
    needs = [(d, need) for d, need in enumerate(shape.resources.values()) if need and d != _CARDS]
    return _Fit(shape, needs, shape.resources.accelerator_milli)
