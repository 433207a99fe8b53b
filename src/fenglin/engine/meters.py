"""Prometheus metrics of one hub, in a registry of its own. Tenants are never labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from fenglin.model.allocation import Usage

PROMISE_BUCKETS_S = (1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Meters:
    """What the hub counts about itself."""

    def __init__(self) -> None:
        """Start from zero."""
        self.registry = CollectorRegistry()
        self._cycle = Histogram(
            "fenglin_cycle_seconds", "Time of one control cycle", registry=self.registry
        )
        self._lag = Histogram(
            "fenglin_loop_lag_seconds",
            "How late the event loop comes to what is due",
            buckets=LAG_BUCKETS_S,
            registry=self.registry,
        )
        self._jumps = Counter(
            "fenglin_date_jumps", "Times that the date jumped", registry=self.registry
        )
        self._promises = Histogram(
            "fenglin_promise_error_seconds",
            "How far promised starts were off",
            buckets=PROMISE_BUCKETS_S,
            registry=self.registry,
        )
        self._not_kept = Counter(
            "fenglin_cycles_not_kept",
            "Cycles that cannot be planned again later",
            registry=self.registry,
        )
        self._started = Counter(
            "fenglin_tasks_committed", "Tasks committed", ["site"], registry=self.registry
        )
        self._ended = Counter(
            "fenglin_tasks_ended", "Tasks ended", ["site"], registry=self.registry
        )
        self._wall = Counter(
            "fenglin_task_seconds", "Runtime of ended tasks", ["site"], registry=self.registry
        )
        self._submitted = Counter(
            "fenglin_jobs_submitted", "Jobs made durable", registry=self.registry
        )
        self._jobs = Gauge("fenglin_jobs_unended", "Jobs not ended", registry=self.registry)
        self._quarantined = Counter(
            "fenglin_jobs_quarantined", "Jobs set aside since they raised", registry=self.registry
        )
        self._aside = Gauge(
            "fenglin_jobs_aside", "Jobs that are set aside now", registry=self.registry
        )
        self._put_off = Counter(
            "fenglin_starts_put_off", "Starts that lacked the key of a secret",
            registry=self.registry,
        )  # fmt: skip
        self._without_key = Gauge(
            "fenglin_jobs_without_key", "Jobs that wait for the key of a secret",
            registry=self.registry,
        )  # fmt: skip
        self._epoch = Gauge("fenglin_epoch", "Leader's epoch", registry=self.registry)
        self.cycle_ms = 0.0

    def promise(self, error_ms: int) -> None:
        """Count a promised start that has come, late or early."""
        self._promises.observe(abs(error_ms) / 1_000)

    def cycle_not_kept(self) -> None:
        """Count a cycle that cannot be planned again later, since the disk is too slow."""
        self._not_kept.inc()

    def quarantined(self) -> None:
        """Count a job that was set aside."""
        self._quarantined.inc()

    def aside(self, jobs: int) -> None:
        """Tell how many jobs are set aside now."""
        self._aside.set(jobs)

    def put_off(self) -> None:
        """Count a start that is put off until the key of a secret is there."""
        self._put_off.inc()

    def without_key(self, jobs: int) -> None:
        """Tell how many jobs wait for a key now."""
        self._without_key.set(jobs)

    def cycle(self, seconds: float) -> None:
        """Count one cycle."""
        self._cycle.observe(seconds)
        self.cycle_ms = seconds * 1_000

    def lag(self, seconds: float) -> None:
        """Count a moment at which the event loop came late by so much."""
        self._lag.observe(seconds)

    def date_jumped(self) -> None:
        """Count a jump of the date."""
        self._jumps.inc()

    def started(self, site: str, tasks: int) -> None:
        """Count committed tasks."""
        self._started.labels(site).inc(tasks)

    def ended(self, site: str, usage: Usage) -> None:
        """Count an ended attempt."""
        self._ended.labels(site).inc(usage.tasks)
        self._wall.labels(site).inc(usage.wall_ms / 1_000)

    def submitted(self, jobs: int) -> None:
        """Count durable submits."""
        self._submitted.inc(jobs)

    def expose(self, unended_jobs: int, epoch: int) -> bytes:
        """Return the text exposition with the gauges set to now."""
        self._jobs.set(unended_jobs)
        self._epoch.set(epoch)
        return generate_latest(self.registry)
