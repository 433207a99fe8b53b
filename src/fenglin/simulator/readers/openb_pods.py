"""Pods of Alibaba's GPU-sharing cluster (trace of 2023, "openb"), as jobs that come and go.

CPU and GPU are thousandths, memory is MiB, moments are seconds from the trace's zero. A pod of
one GPU may ask for a part of it; one of several asks for whole ones. It runs from its scheduling
to its deletion. Best-effort pods (`qos` BE) may be interrupted. `fenglin simulate openb` uses the
same files for another question: there pods never leave.
"""

from __future__ import annotations

from collections.abc import Iterator

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.simulator.readers.cells import BadCell, Cell, amount, count, moment_ms, text
from fenglin.simulator.readers.cells import submission_ms as submission
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import model_key, shape
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = (
    "cpu_milli",
    "memory_mib",
    "num_gpu",
    "gpu_milli",
    "creation_time",
    "deletion_time",
    "scheduled_time",
)
_MIB = 2**20


def drafts(table: Table, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the pods in the order of the lines."""
    for line, cells in table.rows((*_COLUMNS, "gpu_spec", "qos"), findings):
        cpu, memory, gpus, milli, created, deleted, scheduled, spec, qos = cells
        try:
            start, end = moment_ms(scheduled, "scheduled_time"), moment_ms(deleted, "deletion_time")
            cards = count(gpus, "num_gpu")
            share = count(milli, "gpu_milli")
            if cards and not (0 < share <= 1_000 if cards == 1 else share == 1_000):
                raise BadCell("gpu_milli is no share of its GPUs")  # noqa: TRY301 - see except
            yield WorkJob(
                number=line,
                submitted_ms=submission(created, "creation_time"),
                shape=shape(
                    cpu_milli=count(cpu, "cpu_milli"),
                    memory_bytes=round(amount(memory, "memory_mib") * _MIB),
                    accelerator_milli=cards * share,
                    model=_model(spec, line, findings) if cards else "",
                ),
                runtimes_ms=(-1 if start is None or end is None else end - start,),
                queue=text(qos) or DEFAULT_QUEUE if options.queues else DEFAULT_QUEUE,
                preemptible=text(qos) == "BE",
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


def _model(spec: Cell, line: int, findings: Findings) -> str:
    """Return the one model that a pod needs."""
    names = sorted(set(text(spec).split("|")) - {""})
    if len(names) > 1:
        findings.add("several GPU models, any of which would do", [line], "taken without a model")
        return ""
    return model_key(names[0], line, findings) if names else ""


KIND = Kind(
    name="openb",
    what="Alibaba 2023, GPU-sharing pods: pods_*.csv with creation and deletion",
    columns=_COLUMNS,
    table=drafts,
)
