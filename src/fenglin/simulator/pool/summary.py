"""The figures of a run, kept up while it goes on, in memory that does not grow with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.quantities.resources import DIMENSIONS
from fenglin.simulator.pool.sketch import Sketch

if TYPE_CHECKING:
    from fenglin.simulator.pool.outcome import JobOutcome, RunOutcome, Sample

# Shortest runtime that counts in a bounded slowdown (Feitelson et al., JSSPP 1997).
TAU_MS = 10_000
_HOUR_MS = 3_600_000


class Summary:
    """A sink that keeps sums and distributions.

    Attributes:
        waits_ms: Waits of all jobs that were not refused.
        slowdowns: Their bounded slowdowns max(1, (wait + run) / max(run, τ)), where run is the
            time from first start to last end; only of those that ended.
        turnarounds_ms: From arrival to end.
        promise_errors_ms: How far first promised starts were off, either way.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.waits_ms = Sketch()
        self.slowdowns = Sketch()
        self.turnarounds_ms = Sketch()
        self.promise_errors_ms = Sketch()
        self.states: dict[str, int] = {}
        self._waits_by_queue: dict[str, Sketch] = {}
        self._work_by_site: dict[str, int] = {}
        self._cost_micro = 0
        self._carbon_mg = 0
        self._lost_ms = 0
        self._work_ms = 0
        self._evictions = 0
        self._late = 0
        self._end_ms = 0
        self._sampled_ms = 0
        self._used = (0.0,) * len(DIMENSIONS)
        self._areas = [0.0] * len(DIMENSIONS)
        self._most_waiting = 0

    def job(self, row: JobOutcome) -> None:
        """Count a job."""
        self.states[row.state] = self.states.get(row.state, 0) + 1
        if row.state == "refused":
            return
        self.waits_ms.add(row.wait_ms)
        self._waits_by_queue.setdefault(row.queue, Sketch()).add(row.wait_ms)
        self._cost_micro += row.cost_micro
        self._carbon_mg += row.carbon_mg
        self._lost_ms += row.lost_ms
        self._work_ms += row.work_ms
        self._evictions += row.evictions
        if row.promised_ms >= 0 and row.started_ms >= 0:
            self.promise_errors_ms.add(abs(row.started_ms - row.promised_ms))
        if row.ended_ms >= 0 and row.started_ms >= 0:
            run_ms = row.ended_ms - row.started_ms
            slowdown = (row.wait_ms + run_ms) / max(run_ms, TAU_MS)
            self.slowdowns.add(max(1.0, slowdown))
            self.turnarounds_ms.add(row.ended_ms - row.submitted_ms)
            self._end_ms = max(self._end_ms, row.ended_ms)

    def run(self, row: RunOutcome) -> None:
        """Count an allocation."""
        place = f"{row.site}/{row.flavor}"
        spent_ms = (row.ended_ms - row.started_ms) * row.slots
        self._work_by_site[place] = self._work_by_site.get(place, 0) + spent_ms

    def sample(self, row: Sample) -> None:
        """Add what was in use since the last sample."""
        span_ms = row.at_ms - self._sampled_ms
        for at, part in enumerate(self._used):
            self._areas[at] += part * span_ms
        self._sampled_ms, self._used = row.at_ms, row.used
        self._most_waiting = max(self._most_waiting, row.waiting_tasks)

    def close(self) -> None:
        """Count the time from the last plan to the last end at what was in use then."""
        span_ms = max(0, self._end_ms - self._sampled_ms)
        for at, part in enumerate(self._used):
            self._areas[at] += part * span_ms
        self._sampled_ms += span_ms

    def figures(self) -> dict[str, Any]:
        """Return all figures by name, units last."""
        whole_ms = max(1, self._sampled_ms)
        waits, slowdowns = self.waits_ms, self.slowdowns
        promises = self.promise_errors_ms
        figures: dict[str, Any] = {
            "jobs": sum(self.states.values()),
            "states": dict(sorted(self.states.items())),
            "mean_wait_s": waits.mean / 1_000,
            "p50_wait_s": waits.quantile(0.5) / 1_000,
            "p95_wait_s": waits.quantile(0.95) / 1_000,
            "p99_wait_s": waits.quantile(0.99) / 1_000,
            "max_wait_s": waits.largest / 1_000,
            "mean_bounded_slowdown": slowdowns.mean,
            "p99_bounded_slowdown": slowdowns.quantile(0.99),
            "mean_turnaround_s": self.turnarounds_ms.mean / 1_000,
            "makespan_s": self._end_ms / 1_000,
            "used": {
                name: area / whole_ms for name, area in zip(DIMENSIONS, self._areas, strict=True)
            },
            "most_waiting_tasks": self._most_waiting,
            "cost_micro": self._cost_micro,
            "carbon_kg": self._carbon_mg / 1_000_000,
            "evictions": self._evictions,
            "work_h": self._work_ms / _HOUR_MS,
            "lost_h": self._lost_ms / _HOUR_MS,
            "promises": promises.count,
            "p90_promise_error_s": promises.quantile(0.9) / 1_000,
            "mean_wait_s_by_queue": {
                name: one.mean / 1_000 for name, one in sorted(self._waits_by_queue.items())
            },
            "slot_h_by_site": {
                name: spent / _HOUR_MS for name, spent in sorted(self._work_by_site.items())
            },
        }
        return figures
