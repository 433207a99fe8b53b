"""What some nodes of a pool did when, for a Gantt chart: few nodes, and their longest runs."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fenglin.simulator.reports.steps import Flow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.model.site import Site
    from fenglin.simulator.pool.outcome import RunOutcome
    from fenglin.simulator.reports.steps import Floats

# More lanes or bars than these no eye tells apart on one page.
MOST_LANES = 24
MOST_BARS = 2_000


class Bar(NamedTuple):
    """One run on one of the lanes.

    Attributes:
        lane: Index of the node.
        from_ms, to_ms: When.
        queue: Index of its queue.
        cut: Whether it ended before its tasks did.
    """

    lane: int
    from_ms: int
    to_ms: int
    queue: int
    cut: bool


class Lanes:
    """Keeps the longest runs on the first nodes of every flavor, and when the nodes had any.

    Attributes:
        names: Of the lanes, `site/node`.
        nodes: How many nodes the pool has.
        seen: How many pieces of runs these lanes had, one for each run and node.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        """Choose the nodes."""
        chosen = _spread(sites)
        self.names = [f"{site}/{node}" for site, node in chosen]
        self.nodes = sum(len(site.nodes) for site in sites)
        self.seen = 0
        self._lane = {place: at for at, place in enumerate(chosen)}
        self._busy = Flow(len(chosen))
        self._kept: list[tuple[int, int, Bar]] = []

    def add(self, row: RunOutcome, queue: int) -> None:
        """Take a run, as far as it is on one of the lanes."""
        length_ms = row.ended_ms - row.started_ms
        if length_ms <= 0:
            return
        for node in row.nodes:
            lane = self._lane.get((row.site, node))
            if lane is None:
                continue
            self._busy.add(lane, row.started_ms, row.ended_ms, length_ms)
            bar = Bar(lane, row.started_ms, row.ended_ms, queue, bool(row.reason))
            # Of equally long ones the earlier stay.
            entry = (length_ms, -self.seen, bar)
            self.seen += 1
            if len(self._kept) < MOST_BARS:
                heapq.heappush(self._kept, entry)
            else:
                heapq.heappushpop(self._kept, entry)

    @property
    def shortest_ms(self) -> int:
        """Return the length of the shortest bar; 0 for none."""
        return self._kept[0][0] if self._kept else 0

    def bars(self) -> list[Bar]:
        """Return the bars by lane and start."""
        return sorted(bar for _, _, bar in self._kept)

    def busy(self) -> tuple[Floats, Floats]:
        """Return the bounds of cells of time in seconds, and the average number of runs in each.

        The second has a row for each lane.
        """
        edges_s, sums = self._busy.sums()
        return edges_s, np.diff(sums, axis=1) / np.maximum(np.diff(edges_s) * 1_000, 1)


def _spread(sites: Sequence[Site]) -> list[tuple[str, str]]:
    """Return some nodes of every flavor, in the order of the pool, as evenly as they allow."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for site in sites:
        for node in site.nodes:
            groups.setdefault((site.name, node.flavor), []).append((site.name, node.name))
    take = dict.fromkeys(groups, 0)
    left = min(MOST_LANES, sum(map(len, groups.values())))
    while left:
        for key, nodes in groups.items():
            if left and take[key] < len(nodes):
                take[key] += 1
                left -= 1
    return [place for key, nodes in groups.items() for place in nodes[: take[key]]]
