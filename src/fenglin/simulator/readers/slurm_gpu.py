"""GPU clusters under Slurm: Helios (SC'21) and Acme (NSDI'24), one line for each job.

CPUs and GPUs are totals over a job's nodes, which share them evenly; durations are seconds,
moments are of the world's clock. Kalos, of Acme, tells memory per node in GB (10^9 bytes). What
failed or was cancelled is taken with the time that it ran.
"""

from __future__ import annotations

from collections.abc import Iterator

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.simulator.readers.cells import (
    BadCell,
    Cell,
    amount,
    count,
    duration_ms,
    submission_ms,
    text,
)
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import shape, shares
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.snapshot import Shape

_COMMON = ("user", "gpu_num", "cpu_num", "node_num", "state", "submit_time", "duration")
_HELIOS = (*_COMMON, "vc")
_ACME = (*_COMMON, "type")
_MEMORY = "mem_per_pod_GB"
_GB = 10**9


def helios(table: Table, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of Helios; its virtual clusters are queues."""
    return _drafts(table, "vc", "", options, findings)


def acme(table: Table, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of Acme; the kind of work is the application's name and the queue."""
    return _drafts(table, "type", "type", options, findings)


def _drafts(
    table: Table, queue: str, name: str, options: ReadOptions, findings: Findings
) -> Iterator[WorkJob]:
    names = ("user", "submit_time", "duration", queue, "node_num", "gpu_num", "cpu_num", _MEMORY)
    for line, (user, submitted, run, label, *needs) in table.rows(names, findings):
        try:
            word = text(label)
            yield WorkJob(
                number=line,
                submitted_ms=submission_ms(submitted, "submit_time"),
                shape=_shape(needs, line, findings),
                runtimes_ms=(duration_ms(run, "duration"),),
                user=text(user),
                name=word if name else "",
                queue=word or DEFAULT_QUEUE if options.queues else DEFAULT_QUEUE,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


def _shape(cells: list[Cell], line: int, findings: Findings) -> Shape:
    """Return what each node of a job holds."""
    told, gpus, cpus, memory = cells
    nodes = count(told, "node_num")
    if not nodes:
        findings.add("no number of nodes", [line], "taken as one node")
        nodes = 1
    return shape(
        cpu_milli=shares(count(cpus, "cpu_num") * 1_000, nodes, "cores", line, findings),
        memory_bytes=round(amount(memory, _MEMORY) * _GB),
        accelerator_milli=1_000 * shares(count(gpus, "gpu_num"), nodes, "GPUs", line, findings),
        nodes=nodes,
    )


HELIOS = Kind(
    name="helios",
    what="SenseTime Helios: cluster_log.csv",
    columns=_HELIOS,
    table=helios,
    rebase=True,
)
ACME = Kind(
    name="acme",
    what="Shanghai AI Lab Acme: trace_seren.csv, trace_kalos.csv",
    columns=_ACME,
    table=acme,
    rebase=True,
)
