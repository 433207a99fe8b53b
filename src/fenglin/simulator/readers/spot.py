"""Alibaba 2026: jobs of high priority and on spot GPUs, and the nodes they ran on.

CPUs and GPUs are whole ones for each worker, moments and durations are seconds from the first
submission. Spot jobs may be interrupted and come after the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fenglin.simulator.readers.cells import (
    BadCell,
    amount,
    count,
    duration_ms,
    submission_ms,
    text,
)
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.pai import GangOptions
from fenglin.simulator.readers.shapes import model_key, shape
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = (
    "organization",
    "gpu_model",
    "cpu_request",
    "gpu_request",
    "worker_num",
    "submit_time",
    "duration",
    "job_type",
)
NODE_COLUMNS = ("gpu_model", "gpu_capacity_num", "cpu_num", "node_name")
_SPOT = "Spot"


class SpotNode(NamedTuple):
    """One machine of the trace.

    Attributes:
        name: As in the file.
        cpus: Cores.
        gpus: Cards.
        model: Of the cards, as in the file.
    """

    name: str
    cpus: int
    gpus: int
    model: str


def drafts(table: Table, options: GangOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs in the order of the lines."""
    for line, cells in table.rows(_COLUMNS, findings):
        organization, model, cpu, gpu, workers, submitted, run, kind = cells
        try:
            number = count(workers, "worker_num")
            spot = text(kind) == _SPOT
            yield WorkJob(
                number=line,
                submitted_ms=submission_ms(submitted, "submit_time"),
                shape=shape(
                    cpu_milli=round(amount(cpu, "cpu_request") * 1_000),
                    accelerator_milli=round(amount(gpu, "gpu_request") * 1_000),
                    model=model_key(text(model), line, findings),
                    nodes=max(number, 1) if options.gang else 1,
                ),
                runtimes_ms=(duration_ms(run, "duration"),),
                tasks=min(number, 1) if options.gang else number,
                user=text(organization),
                priority=0 if spot else 1,
                preemptible=spot,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


def read_nodes(path: Path, findings: Findings) -> Iterator[SpotNode]:
    """Yield the machines of `node_info_df.csv`, for who builds a pool of them.

    Raises:
        InputError: columns are missing.
    """
    table = Table(path)
    table.need(NODE_COLUMNS)
    for line, (model, gpus, cpus, name) in table.rows(NODE_COLUMNS, findings):
        try:
            yield SpotNode(
                text(name), count(cpus, "cpu_num"), count(gpus, "gpu_capacity_num"), text(model)
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


KIND = Kind(
    name="spot",
    what="Alibaba 2026, jobs of high priority and on spot GPUs: job_info_df.csv",
    columns=_COLUMNS,
    table=drafts,
    options=GangOptions,
)
