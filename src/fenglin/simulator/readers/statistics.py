"""What a workload looks like, from one pass over its jobs: some 50 bytes of each are kept."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import TypedDict, TypeVar

import numpy as np

from fenglin.simulator.workload import WorkJob

Name = TypeVar("Name")

_GIB = 2**30
_HOUR_MS = 3_600_000
_HOURS = 24
_QUANTILES = {"p10": 10, "p50": 50, "p90": 90, "p99": 99, "max": 100}
# Distinct names are counted up to here, so that a file of made-up ones does not fill the memory.
_MOST_NAMES = 100_000


class Spread(TypedDict):
    """Mean and quantiles of one figure."""

    mean: float
    p10: float
    p50: float
    p90: float
    p99: float
    max: float


class Statistics(TypedDict):
    """Figures of a workload, over its jobs.

    Attributes:
        jobs: How many.
        tasks: Of all arrays together.
        span_s: From the first submission to the last.
        gap_s: Between submissions.
        gap_cv: Standard deviation of the gaps over their mean; 1 for a Poisson stream.
        hours: Share of the submissions in each hour of the workload's day.
        runtime_s: Mean runtime of each job's tasks.
        tasks_per_job: Sizes of arrays.
        nodes: Of one task.
        cores: Of all tasks and nodes of a job.
        cards: Accelerators, likewise, over the jobs that have any.
        memory_gib: Of one task on one node, over the jobs that tell it.
        core_hours, card_hours: Runtime times cores or cards, over all tasks.
        busy_cores, busy_cards: The same over the span: what a pool needs to keep up.
        card_jobs, estimate_jobs, deadline_jobs, preemptible_jobs: Jobs that have such.
        estimate_ratio: Estimate over runtime, over the jobs that tell it and ran.
        users, names: Distinct ones.
        queues, models: Jobs by queue, and by the model of accelerator that they ask for.
    """

    jobs: int
    tasks: int
    span_s: float
    gap_s: Spread
    gap_cv: float
    hours: list[float]
    runtime_s: Spread
    tasks_per_job: Spread
    nodes: Spread
    cores: Spread
    cards: Spread
    memory_gib: Spread
    core_hours: float
    card_hours: float
    busy_cores: float
    busy_cards: float
    card_jobs: int
    estimate_jobs: int
    deadline_jobs: int
    preemptible_jobs: int
    estimate_ratio: Spread
    users: int
    names: int
    queues: dict[str, int]
    models: dict[str, int]


class Tally:
    """Takes jobs one by one."""

    def __init__(self) -> None:
        self._columns = {
            name: array("d")
            for name in ("submitted", "runtime", "tasks", "nodes", "cores", "cards", "memory")
        }
        self._ratios = array("d")
        self._core_ms = self._card_ms = 0.0
        self._deadlines = self._preemptible = self._estimates = 0
        self._users: set[str] = set()
        self._names: set[tuple[str, str]] = set()
        self._queues: Counter[str] = Counter()
        self._models: Counter[str] = Counter()

    def add(self, job: WorkJob) -> None:
        """Take one job."""
        needs, nodes = job.shape.resources, job.shape.nodes
        total_ms = sum(job.runtimes_ms) * (job.tasks if len(job.runtimes_ms) == 1 else 1)
        mean_ms = total_ms / job.tasks
        cores = needs.cpu_milli * nodes / 1_000
        cards = needs.accelerator_milli * nodes / 1_000
        row = (
            job.submitted_ms / 1_000,
            mean_ms / 1_000,
            job.tasks,
            nodes,
            cores * job.tasks,
            cards * job.tasks,
            needs.memory_bytes / _GIB,
        )
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        self._core_ms += cores * total_ms
        self._card_ms += cards * total_ms
        self._deadlines += job.deadline_ms > 0
        self._preemptible += job.preemptible
        self._estimates += job.estimate_ms > 0
        if job.estimate_ms and mean_ms:
            self._ratios.append(job.estimate_ms / mean_ms)
        _note(self._users, job.user)
        if job.name:
            _note(self._names, (job.user, job.name))
        self._queues[job.queue] += 1
        if job.shape.accelerator is not None and job.shape.accelerator.model:
            self._models[job.shape.accelerator.model] += 1

    def result(self) -> Statistics:
        """Return the figures of the jobs so far, of which there must be one."""
        columns = {name: np.frombuffer(values) for name, values in self._columns.items()}
        submitted = columns["submitted"]
        gaps = np.diff(submitted)
        span_s = float(submitted[-1] - submitted[0])
        counts = np.bincount((submitted // 3_600 % _HOURS).astype(np.int64), minlength=_HOURS)
        span_h = span_s / 3_600
        core_hours, card_hours = self._core_ms / _HOUR_MS, self._card_ms / _HOUR_MS
        mean_gap = float(gaps.mean()) if len(gaps) else 0.0
        return Statistics(
            jobs=len(submitted),
            tasks=int(columns["tasks"].sum()),
            span_s=span_s,
            gap_s=spread(gaps),
            gap_cv=float(gaps.std()) / mean_gap if mean_gap else 0.0,
            hours=[round(share, 5) for share in (counts / counts.sum()).tolist()],
            runtime_s=spread(columns["runtime"]),
            tasks_per_job=spread(columns["tasks"]),
            nodes=spread(columns["nodes"]),
            cores=spread(columns["cores"]),
            cards=spread(columns["cards"][columns["cards"] > 0]),
            memory_gib=spread(columns["memory"][columns["memory"] > 0]),
            core_hours=core_hours,
            card_hours=card_hours,
            busy_cores=core_hours / span_h if span_h else 0.0,
            busy_cards=card_hours / span_h if span_h else 0.0,
            card_jobs=int((columns["cards"] > 0).sum()),
            estimate_jobs=self._estimates,
            deadline_jobs=self._deadlines,
            preemptible_jobs=self._preemptible,
            estimate_ratio=spread(np.frombuffer(self._ratios)),
            users=len(self._users),
            names=len(self._names),
            queues=dict(self._queues.most_common(50)),
            models=dict(self._models.most_common(50)),
        )


def statistics(jobs: Iterable[WorkJob]) -> Statistics:
    """Return the figures of a workload that has a job."""
    tally = Tally()
    for job in jobs:
        tally.add(job)
    return tally.result()


def spread(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Spread:
    """Return mean and quantiles; zeros for nothing."""
    if not len(values):
        return Spread(mean=0.0, p10=0.0, p50=0.0, p90=0.0, p99=0.0, max=0.0)
    p10, p50, p90, p99, most = np.percentile(values, list(_QUANTILES.values())).tolist()
    mean = float(values.mean())
    return Spread(mean=mean, p10=p10, p50=p50, p90=p90, p99=p99, max=most)


def _note(names: set[Name], name: Name) -> None:
    """Count a name that is told."""
    if name and len(names) < _MOST_NAMES:
        names.add(name)
