"""What the plots of a run need, kept while it goes on, in memory that does not grow with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fenglin.quantities.resources import DIMENSIONS
from fenglin.simulator.pool.sketch import Sketch
from fenglin.simulator.reports.lanes import Lanes
from fenglin.simulator.reports.steps import Flow, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.model.site import Site
    from fenglin.simulator.pool.outcome import JobOutcome, RunOutcome, Sample
    from fenglin.simulator.reports.steps import Band, Floats

# Queues that come later are counted together.
MOST_QUEUES = 64
OTHERS = f"(queues beyond the {MOST_QUEUES}th)"
_MICRO = 1_000_000
_MG_PER_KG = 1_000_000


class Spent(NamedTuple):
    """What was spent of something, such as money, over time and by place.

    Attributes:
        edges_s: Moments.
        sums: Spent up to each of them, a row for each site.
        sites: Names of the rows.
        by_queue: All that was spent, by queue.
    """

    edges_s: Floats
    sums: Floats
    sites: list[str]
    by_queue: dict[str, float]


class Series:
    """A sink that keeps what plots need, and no row.

    Attributes:
        has: Which dimensions the pool has any of.
        lanes: Runs on some of the nodes.
        all_waits_ms: Waits of the jobs that were not refused.
        waits_ms: The same by queue, in the order of meeting.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        """Take the pool's sites."""
        self.lanes = Lanes(sites)
        self.all_waits_ms = Sketch()
        self.waits_ms: dict[str, Sketch] = {}
        held = [site.flavor(node.flavor).node.values() for site in sites for node in site.nodes]
        self.has = [any(row[at] for row in held) for at in range(len(DIMENSIONS))]
        self._sites = {site.name: at for at, site in enumerate(sites)}
        self._queues: dict[str, int] = {}
        self._steps = Steps(3 + len(DIMENSIONS))
        self._money, self._carbon = Flow(len(sites)), Flow(len(sites))
        self._queue_money = np.zeros(MOST_QUEUES + 1)
        self._queue_carbon = np.zeros(MOST_QUEUES + 1)
        self._end_ms = 0

    def job(self, row: JobOutcome) -> None:
        """Count its wait."""
        self._end_ms = max(self._end_ms, row.ended_ms)
        if row.state == "refused":
            return
        name = self._known(row.queue)
        self.all_waits_ms.add(row.wait_ms)
        self.waits_ms.setdefault(name, Sketch()).add(row.wait_ms)

    def run(self, row: RunOutcome) -> None:
        """Count its money and carbon, and keep it if it is among the longest on shown nodes."""
        site, queue = self._sites[row.site], self._queues[self._known(row.queue)]
        span = (row.started_ms, max(row.ended_ms, row.started_ms))
        self._money.add(site, *span, row.cost_micro / _MICRO)
        self._carbon.add(site, *span, row.carbon_mg / _MG_PER_KG)
        self._queue_money[queue] += row.cost_micro / _MICRO
        self._queue_carbon[queue] += row.carbon_mg / _MG_PER_KG
        self._end_ms = max(self._end_ms, row.ended_ms)
        self.lanes.add(row, queue)

    def sample(self, row: Sample) -> None:
        """Follow the pool."""
        self._steps.add(row.at_ms, (row.waiting_jobs, row.waiting_tasks, row.running, *row.used))

    def close(self) -> None:
        """Let the last state last until the last end."""
        self._steps.advance(self._end_ms)

    @property
    def queues(self) -> list[str]:
        """Return the queues in the order of meeting; the last may stand for all further ones."""
        return list(self._queues)

    @property
    def end_s(self) -> float:
        """Return the moment of the last end."""
        return self._end_ms / 1_000

    def ranks(self) -> dict[str, int]:
        """Return the place of each queue that had a job taken in, those with most jobs first.

        All plots colour queues by it.
        """
        most = sorted(self.waits_ms, key=lambda name: -self.waits_ms[name].count)
        return {name: at for at, name in enumerate(most)}

    def waiting(self) -> tuple[Band, Band]:
        """Return how many jobs and tasks waited."""
        jobs, tasks, *_ = self._steps.bands()
        return jobs, tasks

    def used(self) -> dict[str, Band]:
        """Return the used part of each dimension that the pool has, 0 to 1."""
        bands = self._steps.bands()[3:]
        return {
            name: band for name, band, has in zip(DIMENSIONS, bands, self.has, strict=True) if has
        }

    def money(self) -> Spent:
        """Return what was paid, in currency units, each run's evenly over its time."""
        return self._spent(self._money, self._queue_money)

    def carbon(self) -> Spent:
        """Return the kilograms of CO2, each run's evenly over its time."""
        return self._spent(self._carbon, self._queue_carbon)

    def _known(self, name: str) -> str:
        """Return the name under which a queue is counted; a new one gets its own while it can."""
        if name not in self._queues and len(self._queues) >= MOST_QUEUES:
            name = OTHERS
        self._queues.setdefault(name, len(self._queues))
        return name

    def _spent(self, flow: Flow, by_queue: Floats) -> Spent:
        edges_s, sums = flow.sums()
        totals = dict(zip(self.queues, by_queue.tolist(), strict=False))
        return Spent(edges_s, sums, list(self._sites), totals)
