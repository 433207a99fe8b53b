"""Sia (SOSP'23): workloads of training jobs, run rigidly with the size and batch they ask for.

The workloads tell no runtimes. What a job takes follows from two measured tables beside the file:
the iterations that its batch size needs (`validation.parquet`, to the last record), times the
measured time of one (`scalability.parquet`, for the nearest number of replicas). A batch too
large for the cards is split into steps of which only the last is synchronised. The result is an
estimate of a rigid run on one type of GPU, whose speed is 1; Sia itself changes sizes and
batches while jobs run.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fenglin.errors import InputError
from fenglin.simulator.readers.cells import (
    BadCell,
    amount,
    count,
    number,
    submission_ms,
    text,
)
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import NodeOptions
from fenglin.simulator.readers.shapes import shape, spread
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = ("set", "workload", "time", "application", "num_replicas", "batch_size")
# By replicas: (batch on each card, seconds of a step, seconds of them to synchronise), rising.
_Steps: TypeAlias = dict[int, list[tuple[float, float, float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiaOptions(NodeOptions):
    """Which workload, and on what it runs.

    Attributes:
        trace_set: Set of workloads in the file.
        workload: Number of the workload in the set.
        gpu: Type of GPU as the measured tables name it, such as `aws` (T4) or `rtx`.
        gpus_per_node: See `NodeOptions`.
    """

    trace_set: str = "philly"
    workload: int = 1
    gpu: str = "aws"
    gpus_per_node: int = 4


def drafts(table: Table, options: SiaOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of one workload in the order of the rows."""
    times = _Times(table.path, options.gpu)
    for line, cells in table.rows(_COLUMNS, findings):
        group, which, submitted, application, replicas, batch = cells
        try:
            if text(group) != options.trace_set or number(which, "workload") != options.workload:
                continue
            cards, name = count(replicas, "num_replicas"), text(application)
            nodes, each = spread(cards, options.gpus_per_node)
            runtime_s = times.runtime_s(name, cards, count(batch, "batch_size"))
            yield WorkJob(
                number=line,
                submitted_ms=submission_ms(submitted, "time"),
                shape=shape(accelerator_milli=each * 1_000, nodes=nodes),
                runtimes_ms=(round(runtime_s * 1_000),),
                name=name,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


class _Times:
    """The measured tables for one type of GPU."""

    def __init__(self, workloads: Path, gpu: str) -> None:
        self._gpu = gpu
        self._iterations: dict[str, dict[int, int]] = {}
        self._steps: dict[str, _Steps] = {}
        names: tuple[str, ...] = ("model", "batch_size", "iteration")
        for model, batch, iteration in _measured(workloads, "validation.parquet", names):
            needed = self._iterations.setdefault(text(model), {})
            size = count(batch, "batch_size")
            needed[size] = max(needed.get(size, 0), count(iteration, "iteration"))
        names = ("model", "gpu_type", "num_replicas", "local_bsz", "step_time", "sync_time")
        gpus: set[str] = set()
        path = "scalability.parquet"
        for model, kind, replicas, local, step, sync in _measured(workloads, path, names):
            gpus.add(text(kind))
            if text(kind) == gpu:
                at = self._steps.setdefault(text(model), {})
                point = (amount(local, "local_bsz"), amount(step, ""), amount(sync, ""))
                at.setdefault(count(replicas, "num_replicas"), []).append(point)
        if gpu not in gpus:
            raise InputError(
                f"no GPU {gpu!r} was measured",
                where=str(workloads.with_name(path)),
                hint=f"there are: {', '.join(sorted(gpus))}",
            )
        for at in self._steps.values():
            for points in at.values():
                points.sort()

    def runtime_s(self, model: str, cards: int, batch: int) -> float:
        """Return how long a job runs.

        Raises:
            BadCell: its application was not measured.
        """
        needed, steps = self._iterations.get(model), self._steps.get(model)
        if not needed or not steps or not cards:
            raise BadCell("no times were measured for its application")
        size = min(needed, key=lambda one: (abs(one - batch), one))
        points = steps[min(steps, key=lambda one: (abs(one - cards), one))]
        # Without synchronisation, all but the last of the steps that make one batch.
        splits = max(1, -(-batch // (cards * max(1, int(points[-1][0])))))
        step_s, sync_s = _between(points, batch / (cards * splits))
        return needed[size] * (splits * step_s - (splits - 1) * sync_s)


def _between(points: list[tuple[float, float, float]], local: float) -> tuple[float, float]:
    """Return step and synchronising time at a batch per card, linear between measured ones."""
    at = bisect_left(points, (local, 0.0, 0.0))
    if at == 0 or at == len(points):
        return points[min(at, len(points) - 1)][1:]
    (x0, a0, b0), (x1, a1, b1) = points[at - 1], points[at]
    part = (local - x0) / (x1 - x0) if x1 > x0 else 0.0
    return a0 + part * (a1 - a0), b0 + part * (b1 - b0)


def _measured(workloads: Path, name: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table beside the workloads."""
    path = workloads.with_name(name)
    if not path.is_file():
        raise InputError(
            f"there is no {name} beside it, which tells how long jobs run", where=str(workloads)
        )
    table = Table(path)
    table.need(columns)
    for _, cells in table.rows(columns, Findings(name)):
        yield cells


KIND = Kind(
    name="sia",
    what="Sia's workloads.parquet, with validation.parquet and scalability.parquet beside it",
    columns=_COLUMNS,
    table=drafts,
    options=SiaOptions,
)
