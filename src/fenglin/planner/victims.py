"""The cheapest set of running allocations whose end makes room on some nodes.

Pure search: which allocations may be asked for is decided by the caller. Sets are compared by
the work that they destroy, then by how many they are, then by allocation number. Up to `EXACT`
allocations every subset is tried; beyond that a greedy cover is built node by node and then
thinned (reverse delete): whoever turns out not to be needed goes on running.
"""

from __future__ import annotations

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
    held = np.zeros_like(room)
    np.add.at(held, holdings.node[rows], holdings.amounts[rows])
    reach = nodes[ask.fits(room[nodes] + held[nodes])]
    if len(reach) < ask.nodes:
        return None
    if also is not None:
        return _search(ask, room, reach, holdings, rows, also)
    rows = rows[np.isin(holdings.node[rows], reach)]
    if ask.nodes > 1:
        return _search(ask, room, reach, holdings, rows, None)
    found = [
        one
        for node in _promising(room, reach, holdings, rows, ask)
        if (one := _search(ask, room, np.array([node]), holdings, _on(holdings, rows, node), None))
    ]
    return min(found, key=Found.key, default=None)


def _on(holdings: Holdings, rows: I64, node: int) -> I64:
    on: I64 = rows[holdings.node[rows] == node]
    return on


def _promising(room: I64, reach: I64, holdings: Holdings, rows: I64, ask: Ask) -> list[int]:
    """Return the nodes on which one task may come cheapest, at most `MOST_NODES`.

    By the cheapest single allocation that suffices or, where none does, by all of them.
    """
    all_of = np.zeros(len(room))
    np.add.at(all_of, holdings.node[rows], holdings.cost[holdings.owner[rows]])
    alone = ask.fits(room[holdings.node[rows]] + holdings.amounts[rows])
    np.minimum.at(all_of, holdings.node[rows[alone]], holdings.cost[holdings.owner[rows[alone]]])
    ranks = np.lexsort((reach, all_of[reach]))
    chosen: list[int] = reach[ranks[:MOST_NODES]].tolist()
    return chosen


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
        chosen: list[int] = []
        while np.count_nonzero(self._fits(chosen)) < self.ask.nodes:
            more = self._cheapest_node(chosen)
            if more is None:
                return None
            chosen += more
        if self.also is not None and not self.also([self.owners[at] for at in chosen]):
            rest = [at for at in range(len(self.owners)) if at not in chosen]
            for at in sorted(rest, key=lambda at: (self.cost[at], at)):
                chosen.append(at)
                if self.also([self.owners[at] for at in chosen]):
                    break
            else:
                return None
        return self._found(self._thinned(chosen))

    def _cheapest_node(self, chosen: list[int]) -> list[int] | None:
        """Return the cheapest further set that completes one more node."""
        free = self._free(chosen)
        best: tuple[float, int, list[int]] | None = None
        open_nodes = np.flatnonzero(~self.ask.fits(free)).tolist()
        on: dict[int, list[int]] = {}
        for at in range(len(self.owners)):
            if at not in chosen:
                for spot, _ in self.frees[at]:
                    on.setdefault(spot, []).append(at)
        bill = {spot: sum(self.cost[at] for at in on.get(spot, ())) for spot in open_nodes}
        for spot in sorted(open_nodes, key=lambda spot: (bill[spot], spot))[:MOST_NODES]:
            found = self._fill_node(spot, free[spot], on.get(spot, []))
            if found is not None:
                key = (float(sum(self.cost[at] for at in found)), spot, found)
                best = key if best is None else min(best, key)
        return None if best is None else best[2]

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
        gain = np.zeros_like(self.room[0])
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
        free: I64 = self.room.copy()
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
