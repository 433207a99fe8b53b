"""Alibaba 2025: instances of recommendation services, CPU nodes and GPU nodes apart.

CPUs and GPUs are whole ones, memory and disk are GiB, moments are seconds from the trace's zero.
An instance that was there before the trace began is submitted at 0; one that outlives the trace
runs to its last recorded moment. RDMA shares and `max_instance_per_node` have no place in a
job's shape and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.simulator.readers.cells import BadCell, amount, count, moment_ms, text
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import GIB, shape
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_MOMENTS = ("creation_time", "scheduled_time", "deletion_time")
_COLUMNS = (
    "app_name",
    "role",
    "cpu_request",
    "gpu_request",
    "memory_request",
    "disk_request",
    "max_instance_per_node",
    *_MOMENTS,
)


def drafts(table: Table, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the instances in the order of the rows."""
    last_ms = _last_ms(table)
    for line, cells in table.rows(_COLUMNS, findings):
        app, role, cpu, gpu, memory, disk, _, created, scheduled, deleted = cells
        try:
            submitted = moment_ms(created, "creation_time")
            start = moment_ms(scheduled, "scheduled_time")
            end = moment_ms(deleted, "deletion_time")
            if submitted is not None and start is None:
                raise BadCell("created in the trace and never scheduled")  # noqa: TRY301 - above
            if end is None:
                findings.add("not deleted within the trace", [line], "runs to the trace's end")
            yield WorkJob(
                number=line,
                submitted_ms=submitted or 0,
                shape=shape(
                    cpu_milli=round(amount(cpu, "cpu_request") * 1_000),
                    memory_bytes=round(amount(memory, "memory_request") * GIB),
                    disk_bytes=round(amount(disk, "disk_request") * GIB),
                    accelerator_milli=count(gpu, "gpu_request") * 1_000,
                ),
                runtimes_ms=((last_ms if end is None else end) - (start or 0),),
                name=text(app),
                queue=text(role) or DEFAULT_QUEUE if options.queues else DEFAULT_QUEUE,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


def _last_ms(table: Table) -> int:
    """Return the last moment that the trace tells; what is broken is noted elsewhere."""
    last_ms = 0
    for _, cells in table.rows(_MOMENTS, Findings("")):
        for cell, name in zip(cells, _MOMENTS, strict=True):
            try:
                last_ms = max(last_ms, moment_ms(cell, name) or 0)
            except BadCell:
                continue
    return last_ms


KIND = Kind(
    name="dlrm",
    what="Alibaba 2025, recommendation services: CPU, GPU, memory and disk of instances",
    columns=_COLUMNS,
    table=drafts,
)
