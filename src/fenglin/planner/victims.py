"""The cheapest set of running allocations whose end makes room on some nodes.

Pure search: which allocations may be asked for is decided by the caller. Sets are compared by
the work that they destroy, then by how many they are, then by allocation number. Up to `EXACT`
allocations every subset is tried; beyond that a greedy cover is built node by node and then
thinned (reverse delete): whoever turns out not to be needed goes on running.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fenglin.snapshot.cards import rooms
from fenglin.snapshot.snapshot import I64, Bool

F64 = NDArray[np.float64]
# 2^8 subsets are tried in about the time of one greedy pass.
EXACT = 8
# A greedy cover looks at this many nodes, those that promise most.
MOST_NODES = 24


class Holdings(NamedTuple):
    """What live allocations hold, one row per allocation and node.

    Attributes:
        owner: [H] row of the allocation.
        node: [H] node row.
        amounts: [H, D + C] held there, per dimension and then per card.
        cost: [A] work destroyed when the allocation is stopped, weighted.
    """

    owner: I64
    node: I64
    amounts: I64
    cost: F64


class Ask(NamedTuple):
    """Room that is asked for.

    Attributes:
        need: [D] on each node.
        nodes: On how many distinct nodes.
        card_milli: Thousandths of cards on each node; two halves do not make a whole one.
    """

    need: I64
    nodes: int
    card_milli: int = 0

    def fits(self, free: I64) -> Bool:
        """Return [n]: whether one node's part has room in each row of [n, D + C] amounts."""
        width = len(self.need)
        enough = np.asarray((free[:, :width] >= self.need).all(axis=1))
        if self.card_milli:
            enough &= rooms(np.maximum(free[:, width:], 0), self.card_milli) > 0
        return enough


class Found(NamedTuple):
    """An answer.

    Attributes:
        cost: Work destroyed.
        owners: Allocation rows, sorted; empty when there is room without any.
        nodes: Node rows that then have the room, as many as asked for, sorted.
    """

    cost: float
    owners: tuple[int, ...]
    nodes: tuple[int, ...]

    def key(self) -> tuple[float, int, tuple[int, ...]]:
        """Return what answers are compared by."""
        return (self.cost, len(self.owners), self.owners)


Also = Callable[[Sequence[int]], bool]


def cheapest(
    ask: Ask, room: I64, nodes: I64, holdings: Holdings, lawful: Bool, also: Also | None = None
) -> Found | None:
    """Return the cheapest set that frees the room on the given nodes; None when none does.

    Args:
        ask: What is needed.
        room: [N, D + C] what is free.
        nodes: Node rows of which the answer is taken, rising.
        holdings: What is held.
        lawful: [A] whose allocations may be stopped.
        also: A further condition that the set must meet (a quota), given the owners; it must
            never fail for more owners when it holds for fewer.
    """
    fits = ask.fits(room[nodes])
    if np.count_nonzero(fits) >= ask.nodes and (also is None or also(())):
        return Found(0.0, (), tuple(nodes[fits][: ask.nodes].tolist()))
    rows = np.flatnonzero(lawful[holdings.owner])
    held = _by_node(holdings, rows, len(room))
    reach = nodes[ask.fits(room[nodes] + held[nodes])]
    if len(reach) < ask.nodes:
        return None
    if also is not None:
        return _search(ask, room, reach, holdings, rows, also)
    if ask.nodes > 1:
        # No more nodes than may be needed, those that promise most.
        reach = np.sort(_promising(room, reach, holdings, rows, ask, ask.nodes + MOST_NODES))
    near = np.zeros(len(room), np.bool_)
    near[reach] = True
    rows = rows[near[holdings.node[rows]]]
    if ask.nodes > 1:
        return _search(ask, room, reach, holdings, rows, None)
    found = [
        one
        for node in _promising(room, reach, holdings, rows, ask, MOST_NODES).tolist()
        if (one := _search(ask, room, np.array([node]), holdings, _on(holdings, rows, node), None))
    ]
    return min(found, key=Found.key, default=None)


def _by_node(holdings: Holdings, rows: I64, nodes: int) -> I64:
    """Return [N, D + C] what these holdings come to on each node; exact below 2^53."""
    node, amounts = holdings.node[rows], holdings.amounts[rows]
    columns = [np.bincount(node, column, nodes) for column in amounts.T]
    return np.stack(columns, axis=1).astype(np.int64)


def _on(holdings: Holdings, rows: I64, node: int) -> I64:
    on: I64 = rows[holdings.node[rows] == node]
    return on


def _promising(room: I64, reach: I64, holdings: Holdings, rows: I64, ask: Ask, most: int) -> I64:
    """Return the nodes on which one task may come cheapest.

    By the cheapest single allocation that suffices or, where none does, by all of them.
    """
    node, cost = holdings.node[rows], holdings.cost[holdings.owner[rows]]
    bill = np.bincount(node, weights=cost, minlength=len(room))
    bill[reach[ask.fits(room[reach])]] = 0.0
    alone = ask.fits(room[node] + holdings.amounts[rows])
    np.minimum.at(bill, node[alone], cost[alone])
    return np.asarray(reach[np.lexsort((reach, bill[reach]))[:most]], np.int64)


def _search(
    ask: Ask, room: I64, nodes: I64, holdings: Holdings, rows: I64, also: Also | None
) -> Found | None:
    """Search one group of nodes with the holdings of `rows`."""
    owners: list[int] = np.unique(holdings.owner[rows]).tolist()
    case = _Case(ask, room[nodes], nodes, holdings, rows, owners, also)
    return case.exact() if len(owners) <= EXACT else case.greedy()


class _Case:
    """One group of nodes and the allocations that may be stopped for it."""

    def __init__(
        self,
        ask: Ask,
        room: I64,
        nodes: I64,
        holdings: Holdings,
        rows: I64,
        owners: list[int],
        also: Also | None,
    ) -> None:
        self.ask = ask
        self.room = room
        self.nodes = nodes
        self.owners = owners
        self.cost = holdings.cost[owners]
        self.also = also
        place = {owner: at for at, owner in enumerate(owners)}
        spot = {node: at for at, node in enumerate(nodes.tolist())}
        # What each allocation would free: [(position of the node, amounts)].
        self.frees: list[list[tuple[int, I64]]] = [[] for _ in owners]
        for row in rows.tolist():
            at = spot.get(int(holdings.node[row]))
            if at is not None:
                owner = place[int(holdings.owner[row])]
                self.frees[owner].append((at, holdings.amounts[row]))

    def exact(self) -> Found | None:
        """Try every subset, cheapest first."""
        masks = np.arange(1 << len(self.owners))
        bits = (masks[:, None] >> np.arange(len(self.owners))) & 1
        ranks = np.lexsort((masks, bits.sum(axis=1), bits @ self.cost))
        for mask in ranks.tolist():
            chosen = [at for at in range(len(self.owners)) if mask >> at & 1]
            if self._suffices(chosen):
                return self._found(chosen)
        return None

    def greedy(self) -> Found | None:
        """Cover node by node, each time where it is cheapest; then drop whoever is not needed."""
        chosen = self._cover()
        if chosen is None:
            return None
        if self.also is not None and not self.also([self.owners[at] for at in chosen]):
            rest = [at for at in range(len(self.owners)) if at not in chosen]
            for at in sorted(rest, key=lambda at: (self.cost[at], at)):
                chosen.append(at)
                if self.also([self.owners[at] for at in chosen]):
                    break
            else:
                return None
        return self._found(self._thinned(chosen))

    def _cover(self) -> list[int] | None:
        """Return allocations that complete enough nodes, the cheapest node next each time.

        What is chosen for one node may free others too, so these are looked at again.
        """
        free, chosen = self.room.copy(), set[int]()
        fits = self.ask.fits(free)
        on: list[list[int]] = [[] for _ in self.nodes]
        for at, places in enumerate(self.frees):
            for spot, _ in places:
                on[spot].append(at)
        version = [0] * len(self.nodes)
        heap: list[tuple[float, int, int, list[int]]] = []
        stale = np.flatnonzero(~fits).tolist()
        while np.count_nonzero(fits) < self.ask.nodes:
            for spot in stale:
                version[spot] += 1
                there = [at for at in on[spot] if at not in chosen]
                more = None if fits[spot] else self._fill_node(spot, free[spot], there)
                if more is not None:
                    cost = float(sum(self.cost[at] for at in more))
                    heapq.heappush(heap, (cost, spot, version[spot], more))
            while heap and version[heap[0][1]] != heap[0][2]:
                heapq.heappop(heap)
            if not heap:
                return None
            more = heapq.heappop(heap)[3]
            chosen.update(more)
            touched = {spot for at in more for spot, _ in self.frees[at]}
            for at in more:
                for spot, amounts in self.frees[at]:
                    free[spot] += amounts
            stale = sorted(touched)
            fits[stale] = self.ask.fits(free[stale])
        return sorted(chosen)

    def _fill_node(self, spot: int, free: I64, there: list[int]) -> list[int] | None:
        """Return a thinned greedy set of `there` that completes one node."""
        gains = {at: self._gain(at, spot) for at in there}
        taken: list[int] = []
        left = list(there)
        while not self._fits_one(free):
            if not left:
                return None
            at = min((self.cost[at] / _part(gains[at], self.ask.need, free), at) for at in left)[1]
            left.remove(at)
            taken.append(at)
            free = free + gains[at]
        for at in sorted(taken, key=lambda at: (-self.cost[at], at)):
            if self._fits_one(free - gains[at]):
                taken.remove(at)
                free = free - gains[at]
        return taken

    def _fits_one(self, free: I64) -> bool:
        return bool(self.ask.fits(free[None, :])[0])

    def _gain(self, at: int, spot: int) -> I64:
        """Return what the end of an allocation frees on a node."""
        gain = np.zeros(self.room.shape[1], np.int64)
        for other, amounts in self.frees[at]:
            if other == spot:
                gain += amounts
        return gain

    def _thinned(self, chosen: list[int]) -> list[int]:
        """Drop, dearest first, every allocation without which the rest still suffices."""
        for at in sorted(chosen, key=lambda at: (-self.cost[at], -at)):
            rest = [other for other in chosen if other != at]
            if self._suffices(rest):
                chosen = rest
        return chosen

    def _free(self, chosen: Sequence[int]) -> I64:
        free = np.array(self.room)
        for at in chosen:
            for spot, amounts in self.frees[at]:
                free[spot] += amounts
        return free

    def _fits(self, chosen: Sequence[int]) -> Bool:
        return self.ask.fits(self._free(chosen))

    def _suffices(self, chosen: Sequence[int]) -> bool:
        enough = np.count_nonzero(self._fits(chosen)) >= self.ask.nodes
        return bool(enough) and (self.also is None or self.also([self.owners[at] for at in chosen]))

    def _found(self, chosen: Sequence[int]) -> Found:
        nodes = self.nodes[self._fits(chosen)][: self.ask.nodes]
        return Found(
            float(sum(self.cost[at] for at in chosen)),
            tuple(sorted(self.owners[at] for at in chosen)),
            tuple(nodes.tolist()),
        )


def _part(gain: I64, need: I64, free: I64) -> float:
    """Return how much of what is lacking an allocation frees, summed over short dimensions.

    Where only cards are short, as their sums suffice, any allocation helps alike.
    """
    lack = need - free[: len(need)]
    short = lack > 0
    if not short.any():
        return 1.0
    part = (np.minimum(gain[: len(need)], lack)[short] / lack[short]).sum()
    return float(max(1e-12, part))
