"""What terms ask about the pool as a whole: reckoned at most once per cycle, when asked."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from fenglin.catalog.network import Moved
from fenglin.planner.view import FlavorView
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.snapshot.snapshot import I64, Bool, Snapshot

# Waiting shapes that stand for what the pool usually runs: those with most tasks.
MOST_COMMON = 16
_NO_LIMIT = 2**62


class Scene:
    """One cycle's pool, for the terms."""

    def __init__(self, snapshot: Snapshot, flavors: tuple[FlavorView, ...], possible: Bool) -> None:
        """Take what the cycle has; `possible` is [C, F]."""
        self._snapshot = snapshot
        self._flavors = flavors
        self._possible = possible
        self._moved: dict[tuple[int, int], Moved] = {}
        # By shape row: thousandths of a node, by kind of node.
        self._stranded: dict[int, list[int]] = {}

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
        if shape_row not in self._stranded:
            need = np.array(self._snapshot.shapes[shape_row].resources.values(), np.int64)
            self._stranded[shape_row] = self._kinds.stranded_milli(need)
        return self._stranded[shape_row][self._kinds.of_flavor[view.row]]

    @cached_property
    def _kinds(self) -> _Kinds:
        """Return the kinds of nodes that strand alike, and what is common on each."""
        shapes = self._snapshot.shapes
        common = [shapes[row].resources.values() for row, _ in self._common]
        known: dict[tuple[Resources, tuple[bool, ...]], int] = {}
        of_flavor: list[int] = []
        mixes: list[_Mix] = []
        for view in self._flavors:
            fits = tuple(bool(self._possible[row, view.row]) for row, _ in self._common)
            key = (view.flavor.node, fits)
            if key not in known:
                known[key] = len(mixes)
                tasks = [count * fit for (_, count), fit in zip(self._common, fits, strict=True)]
                mixes.append(_mix(view.flavor.node, common, tasks))
            of_flavor.append(known[key])
        return _Kinds(of_flavor, mixes)

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


class _Mix(NamedTuple):
    """What is common on a kind of node.

    Attributes:
        node: What it has.
        valued: Dimension that counts.
        needs: Of each common task; of one that takes an even part at first.
        weights: Of each; they may be beyond 64 bits when multiplied.
    """

    node: tuple[int, ...]
    valued: int
    needs: list[tuple[int, ...]]
    weights: list[int]


class _Kinds:
    """All kinds of nodes side by side, since a job asks for all of them at once."""

    def __init__(self, of_flavor: list[int], mixes: list[_Mix]) -> None:
        """Lay out which kind each flavor is of, and what is common on each kind."""
        self.of_flavor = of_flavor
        rows = np.arange(len(mixes))
        self._node: I64 = np.array([mix.node for mix in mixes], np.int64)
        self._valued = np.array([mix.valued for mix in mixes], np.int64)
        self._whole: I64 = self._node[rows, self._valued]
        self._needs: I64 = np.array([mix.needs for mix in mixes], np.int64)
        self._unit: I64 = self._needs[rows, :, self._valued]
        self._before = self._counts(self._node)
        most = max(sum(mix.weights) for mix in mixes) * 1_000 * int(self._whole.max())
        # Python's own numbers where 64 bits are not enough.
        kind = np.int64 if most < 2**63 else np.object_
        self._weights = np.array([mix.weights for mix in mixes], kind)
        self._divisor = np.maximum(1, self._weights.sum(axis=1) * self._whole)

    def stranded_milli(self, need: I64) -> list[int]:
        """Return what a task strands on each kind, in thousandths of the node; see `Scene`."""
        gone = self._before - self._counts(self._node - need)
        lost = np.minimum(self._whole[:, None], gone * self._unit) - need[self._valued][:, None]
        fits = (need <= self._node).all(axis=1) & (self._whole > 0)
        lost = np.where(fits[:, None], np.maximum(0, lost), 0)
        milli = (lost * self._weights).sum(axis=1) * 1_000 // self._divisor
        return [int(one) for one in milli.tolist()]

    def _counts(self, free: I64) -> I64:
        """Return how many of each common task fit into what is free on each kind: [K, M].

        Where a task needs nothing of a dimension, that does not count; see `Resources.count_in`.
        """
        each = free[:, None, :] // np.maximum(1, self._needs)
        found: I64 = np.where(self._needs > 0, each, _NO_LIMIT).min(axis=2)
        return np.maximum(0, found)


def _mix(node: Resources, common: list[tuple[int, int, int, int]], tasks: list[int]) -> _Mix:
    """Return what is common on a node: so many tasks of each shape, and as many of an even part."""
    valued = DIMENSIONS.index("accelerator_milli" if node.accelerator_milli else "cpu_milli")
    even = _even_part(node, valued).values()
    return _Mix(node.values(), valued, [even, *common], [sum(tasks) or 1, *tasks])


def _even_part(node: Resources, valued: int) -> Resources:
    """Return one card (or core) of a node with as much of the rest as everyone may have."""
    units = max(1, -(-node.values()[valued] // 1_000))
    return Resources(*(amount // units for amount in node.values()))
