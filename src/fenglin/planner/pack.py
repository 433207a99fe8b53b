"""The working copy of free capacity: how many tasks fit where, and taking them.

Free amounts stand in columns, one array per dimension. For each shape that is asked about, the
number of its tasks that fit on each node is kept, and brought up to date from a log of the
nodes that were touched since. Capacity only shrinks while a plan is made, so a node that was
full for a shape stays full and first-fit can go on from where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fenglin.planner.gang import gang_nodes, gangs_in
from fenglin.planner.view import FlavorView
from fenglin.snapshot.snapshot import I64, Bool, Shape, Snapshot

# A task that needs nothing still occupies a process slot; more than this many at once on one
# node would be a mistake of the job's author.
MOST_PER_NODE = 10_000
# With more touched nodes than this, recounting all in one NumPy pass is quicker.
_RECOUNT_AT = 48


@dataclass(slots=True)
class _Fit:
    """How one shape fits: per node and, in whole tasks, per flavor.

    The counts stand in `column` after a recount and become a list when single nodes are
    asked about; most shapes of a full pool never are.
    """

    needs: list[tuple[int, int]]
    nodes: int
    usable: Bool
    column: I64
    listed: list[int] | None
    slots: list[int]
    cursor: list[int]
    seen: int
    stale: list[bool]

    @property
    def counts(self) -> list[int]:
        """The counts as a list that may be written."""
        if self.listed is None:
            self.listed = self.column.tolist()
        return self.listed


class Pool:
    """Free capacity while a plan is made."""

    def __init__(
        self,
        snapshot: Snapshot,
        flavors: tuple[FlavorView, ...],
        possible: Bool,
        free: I64 | None = None,
    ) -> None:
        """Copy what is free. `possible` is [C, F]; `free` [N, D] stands in for the snapshot's."""
        self._shapes = snapshot.shapes
        self._flavors = flavors
        self._firsts = np.array([view.first for view in flavors], np.int64)
        self._stops = np.array([view.stop for view in flavors], np.int64)
        self._possible = possible
        self._node_flavor = snapshot.node_flavor
        self._flavor_of = snapshot.node_flavor.tolist()
        self._up = snapshot.node_up
        given = snapshot.node_free if free is None else free
        self._free = [np.array(column, np.int64) for column in given.T]
        self._licence_row = {name: i for i, name in enumerate(snapshot.licence_names)}
        self._licence_free: list[int] = snapshot.licence_free.tolist()
        self._fits: dict[int, _Fit] = {}
        self._touched: list[int] = []

    def slots(self, shape_row: int, flavor_row: int) -> int:
        """Return how many tasks (gangs) of the shape could start on the flavor now."""
        fit = self._fresh(shape_row)
        if fit.stale[flavor_row]:
            view = self._flavors[flavor_row]
            fit.slots[flavor_row] = gangs_in(fit.counts[view.first : view.stop], fit.nodes)
            fit.stale[flavor_row] = False
        slots = fit.slots[flavor_row]
        licences = self._shapes[shape_row].licences
        return min(slots, self._licensed(licences, flavor_row)) if licences and slots else slots

    def total(self, shape_row: int) -> int:
        """Return how many tasks could start over all flavors (licences counted per flavor)."""
        fit = self._fresh(shape_row)
        if fit.nodes == 1 and not self._shapes[shape_row].licences:
            return sum(fit.slots)
        return sum(self.slots(shape_row, row) for row in range(len(self._flavors)))

    def some_node_fits(self, shape_row: int, flavor_row: int) -> bool:
        """Return whether a node of the flavor has room for one task's part, licences aside."""
        fit = self._fresh(shape_row)
        if fit.nodes == 1:
            return fit.slots[flavor_row] > 0
        return self.nodes_that_fit(shape_row, flavor_row) > 0

    def nodes_that_fit(self, shape_row: int, flavor_row: int) -> int:
        """Return on how many of the flavor's nodes one task's part has room now."""
        view = self._flavors[flavor_row]
        return sum(count > 0 for count in self._fresh(shape_row).counts[view.first : view.stop])

    def slots_when_idle(self, shape_row: int, flavor_row: int) -> int:
        """Return how many tasks of the shape the flavor's usable nodes hold when all is idle."""
        view, shape = self._flavors[flavor_row], self._shapes[shape_row]
        per_node = min(MOST_PER_NODE, shape.resources.count_in(view.flavor.node))
        return gangs_in([per_node] * view.up_nodes, shape.nodes)

    def free_column(self, dimension: int) -> I64:
        """Return the free amounts of all nodes in one dimension (not to be written)."""
        return self._free[dimension]

    def usable(self, shape_row: int) -> Bool:
        """Return [N]: nodes in service of flavors that can hold the shape."""
        return self._fresh(shape_row).usable

    def take(self, shape_row: int, flavor_row: int, count: int) -> list[tuple[int, int]]:
        """Take up to `count` tasks' slots of a shape for single nodes, first fit.

        Returns:
            (node row, slots) by rising node row.
        """
        fit = self._fresh(shape_row)
        counts = fit.counts
        stop = self._flavors[flavor_row].stop
        taken: list[tuple[int, int]] = []
        node = fit.cursor[flavor_row]
        left = count
        while left > 0 and node < stop:
            slots = min(left, counts[node])
            if slots > 0:
                taken.append((node, slots))
                left -= slots
            node += left > 0
        fit.cursor[flavor_row] = node
        self._commit(fit, shape_row, flavor_row, taken)
        return taken

    def take_gang(self, shape_row: int, flavor_row: int) -> list[tuple[int, int]]:
        """Take one gang, or nothing when it does not fit whole.

        Returns:
            (node row, 1) by rising node row.
        """
        fit = self._fresh(shape_row)
        view = self._flavors[flavor_row]
        chosen = gang_nodes(fit.counts[view.first : view.stop], fit.nodes)
        if len(chosen) < fit.nodes:
            return []
        taken = [(view.first + at, 1) for at in chosen]
        self._commit(fit, shape_row, flavor_row, taken)
        return taken

    def take_exactly(
        self, shape: Shape, flavor_row: int, shares: Sequence[tuple[int, int]]
    ) -> None:
        """Take given slots on given nodes: replays a start of a plan already made."""
        needs = [(d, need) for d, need in enumerate(shape.resources.values()) if need]
        self._subtract(needs, shares)
        tasks = sum(slots for _, slots in shares) // shape.nodes
        self._take_licences(shape.licences, flavor_row, tasks)

    def _commit(
        self, fit: _Fit, shape_row: int, flavor_row: int, taken: Sequence[tuple[int, int]]
    ) -> None:
        self._subtract(fit.needs, taken)
        tasks = sum(slots for _, slots in taken) // fit.nodes
        self._take_licences(self._shapes[shape_row].licences, flavor_row, tasks)

    def _subtract(self, needs: list[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> None:
        for node, slots in taken:
            for dimension, need in needs:
                self._free[dimension][node] -= need * slots
            self._touched.append(node)

    def _take_licences(
        self, licences: tuple[tuple[str, int], ...], flavor_row: int, tasks: int
    ) -> None:
        site_row = self._flavors[flavor_row].site_row
        for name, count in licences:
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

    def _fresh(self, shape_row: int) -> _Fit:
        """Return the shape's counts, brought up to date with what was taken."""
        fit = self._fits.get(shape_row)
        if fit is None:
            fit = self._fits[shape_row] = self._new_fit(shape_row)
            return fit
        behind = len(self._touched) - fit.seen
        if behind > _RECOUNT_AT:
            self._recount(fit)
        elif behind:
            for node in self._touched[fit.seen :]:
                self._recount_node(fit, node)
            fit.seen = len(self._touched)
        return fit

    def _new_fit(self, shape_row: int) -> _Fit:
        shape = self._shapes[shape_row]
        usable = self._possible[shape_row][self._node_flavor] & self._up
        fit = _Fit(
            needs=[(d, need) for d, need in enumerate(shape.resources.values()) if need],
            nodes=shape.nodes,
            usable=usable,
            column=np.zeros(0, np.int64),
            listed=None,
            slots=[0] * len(self._flavors),
            cursor=[view.first for view in self._flavors],
            seen=0,
            stale=[],
        )
        self._recount(fit)
        return fit

    def _recount(self, fit: _Fit) -> None:
        """Count all nodes at once: min over needed dimensions of free // need."""
        counts = np.where(fit.usable, MOST_PER_NODE, 0)
        for dimension, need in fit.needs:
            np.minimum(counts, self._free[dimension] // need, out=counts)
        np.maximum(counts, 0, out=counts)
        fit.column, fit.listed = counts, None
        if fit.nodes == 1:
            sums = np.concatenate(([0], np.cumsum(counts)))
            fit.slots = (sums[self._stops] - sums[self._firsts]).tolist()
        fit.stale = [fit.nodes > 1] * len(self._flavors)
        fit.seen = len(self._touched)

    def _recount_node(self, fit: _Fit, node: int) -> None:
        counts = fit.counts
        before = counts[node]
        if before == 0:
            return
        fits = [int(self._free[dimension][node]) // need for dimension, need in fit.needs]
        after = max(0, min(fits, default=before))
        counts[node] = after
        flavor_row = self._flavor_of[node]
        if fit.nodes == 1:
            fit.slots[flavor_row] -= before - after
        else:
            fit.stale[flavor_row] = True
