"""What terms ask about the pool as a whole: reckoned at most once per cycle, when asked."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fenglin.catalog.network import Moved
from fenglin.planner.view import FlavorView
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.snapshot.snapshot import Bool, Shape, Snapshot

# Waiting shapes that stand for what the pool usually runs: those with most tasks.
MOST_COMMON = 16


class Scene:
    """One cycle's pool, for the terms."""

    def __init__(self, snapshot: Snapshot, flavors: tuple[FlavorView, ...], possible: Bool) -> None:
        """Take what the cycle has; `possible` is [C, F]."""
        self._snapshot = snapshot
        self._flavors = flavors
        self._possible = possible
        self._moved: dict[tuple[int, int], Moved] = {}
        self._stranded: dict[tuple[int, int], int] = {}

    def moved(self, shape_row: int, view: FlavorView) -> Moved:
        """Return what it takes to have the shape's data at the flavor's site."""
        key = (shape_row, view.site_row)
        if key not in self._moved:
            data = self._snapshot.shapes[shape_row].data
            self._moved[key] = view.network.bring(data, view.site.name)
        return self._moved[key]

    def load_and_part(self, provider: str) -> tuple[float, float]:
        """Return a provider's part of what the pool has in use, and of what it has.

        Each is the mean over the amounts (cores, memory, …) of which anything is in use; (0, 0)
        while nothing is.
        """
        return self._providers[provider]

    def stranded_milli(self, shape_row: int, view: FlavorView) -> int:
        """Return what a task strands on an idle node, in thousandths of the node.

        Counted in cards where the node has any, else in cores: for each common task, how many
        of them its like could use before and after, less what this task takes itself. Common
        are, half and half, the shapes with most waiting tasks and a task that takes one card
        (or core) with an even part of the rest: the pool will see such again. After the idea
        of Q. Weng et al., "Beware of Fragmentation", ATC'23: a node is judged by what typical
        tasks can still do with it.
        """
        key = (shape_row, view.row)
        if key not in self._stranded:
            self._stranded[key] = self._strand(self._snapshot.shapes[shape_row], view)
        return self._stranded[key]

    def _strand(self, shape: Shape, view: FlavorView) -> int:
        node = view.flavor.node
        valued = DIMENSIONS.index("accelerator_milli" if node.accelerator_milli else "cpu_milli")
        whole = node.values()[valued]
        if not whole or not shape.resources.fits_in(node):
            return 0
        rest = node - shape.resources
        own = shape.resources.values()[valued]
        even = _even_part(node, valued)
        mix = [(1, even)]
        waiting = [
            (tasks, self._snapshot.shapes[row].resources)
            for row, tasks in self._common
            if self._possible[row, view.row]
        ]
        total = sum(tasks for tasks, _ in waiting)
        if total:
            mix = [(total, even), *waiting]
        lost = weights = 0
        for weight, common in mix:
            unit = common.values()[valued]
            before, after = common.count_in(node), common.count_in(rest)
            lost += weight * max(0, min(whole, (before - after) * unit) - own)
            weights += weight
        return lost * 1_000 // (weights * whole)

    @cached_property
    def _common(self) -> list[tuple[int, int]]:
        """Return (shape row, waiting tasks) of the shapes with most of them."""
        snapshot = self._snapshot
        tasks = np.zeros(len(snapshot.shapes), np.int64)
        np.add.at(tasks, snapshot.job_shape, snapshot.job_pending)
        rows = np.argsort(-tasks, kind="stable")[:MOST_COMMON].tolist()
        return [(row, int(tasks[row])) for row in rows if tasks[row]]

    @cached_property
    def _providers(self) -> dict[str, tuple[float, float]]:
        """Return for each provider what `load_and_part` says."""
        snapshot = self._snapshot
        names = sorted({site.provider for site in snapshot.sites})
        row_of = {name: row for row, name in enumerate(names)}
        flavor_provider = np.array([row_of[view.site.provider] for view in self._flavors], np.int64)
        provider = flavor_provider[snapshot.node_flavor]
        capacity = np.zeros((len(names), len(DIMENSIONS)))
        used = np.zeros((len(names), len(DIMENSIONS)))
        np.add.at(capacity, provider, snapshot.node_capacity)
        np.add.at(used, provider, np.maximum(0, snapshot.node_capacity - snapshot.node_free))
        live = used.sum(axis=0) > 0
        if not live.any():
            return dict.fromkeys(names, (0.0, 0.0))
        load = (used / np.maximum(used.sum(axis=0), 1.0))[:, live].mean(axis=1)
        part = (capacity / np.maximum(capacity.sum(axis=0), 1.0))[:, live].mean(axis=1)
        return dict(zip(names, zip(load.tolist(), part.tolist(), strict=True), strict=True))


def _even_part(node: Resources, valued: int) -> Resources:
    """Return one card (or core) of a node with as much of the rest as everyone may have."""
    units = max(1, -(-node.values()[valued] // 1_000))
    return Resources(*(amount // units for amount in node.values()))
