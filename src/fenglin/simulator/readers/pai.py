"""Alibaba PAI, trace of 2020: the table of tasks, with the table of jobs beside it.

Both are CSV without a line of names, in the columns of their published headers. CPU and GPU are
percent (600 = 6 cores, 50 = half a card), memory is GiB, moments are seconds. Each task (a role,
such as `worker`) becomes a job with one task per instance. It was submitted when its job was, by
`pai_job_table`, which is kept in memory: some 200 bytes for each job of that table. The GPU type
is what a task was given, not what it asked for, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fenglin.simulator.readers.cells import BadCell, amount, count, moment_ms, text
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import GIB, shape
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

TASKS, JOBS = "pai_task_table", "pai_job_table"
_COLUMNS = (
    "job_name",
    "task_name",
    "inst_num",
    "status",
    "start_time",
    "end_time",
    "plan_cpu",
    "plan_mem",
    "plan_gpu",
    "gpu_type",
)
_JOB_COLUMNS = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
_MILLI_PER_PERCENT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class GangOptions(ReadOptions):
    """For traces of jobs with several equal workers.

    Attributes:
        gang: All workers start together, each on a node of its own; without it they are an array.
    """

    gang: bool = False


def drafts(table: Table, options: GangOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the tasks in the order of the lines."""
    submissions = _submissions(table.path, findings)
    names = ("job_name", *_COLUMNS[2:3], *_COLUMNS[4:9])
    for line, (job, instances, started, ended, cpu, memory, gpu) in table.rows(names, findings):
        try:
            start, end = moment_ms(started, "start_time"), moment_ms(ended, "end_time")
            submitted, user = submissions.get(text(job), (start, ""))
            if submitted is None:
                raise BadCell("no start_time")  # noqa: TRY301 - one place for all of them
            workers = count(instances, "inst_num")
            yield WorkJob(
                number=line,
                submitted_ms=submitted,
                shape=shape(
                    cpu_milli=round(amount(cpu, "plan_cpu") * _MILLI_PER_PERCENT),
                    memory_bytes=round(amount(memory, "plan_mem") * GIB),
                    accelerator_milli=round(amount(gpu, "plan_gpu") * _MILLI_PER_PERCENT),
                    nodes=max(workers, 1) if options.gang else 1,
                ),
                runtimes_ms=(-1 if start is None or end is None else end - start,),
                tasks=min(workers, 1) if options.gang else workers,
                user=user,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


def _submissions(tasks: Path, findings: Findings) -> dict[str, tuple[int | None, str]]:
    """Return when each job was submitted and by whom; empty without the table of jobs."""
    path = tasks.with_name(tasks.name.replace(TASKS, JOBS))
    if path == tasks or not path.is_file():
        findings.add(f"no {JOBS} beside it", [1], "a task's start is taken for its submission")
        return {}
    found: dict[str, tuple[int | None, str]] = {}
    users: dict[str, str] = {}
    apart = Findings(path.name)
    for line, (job, user, start) in Table(path, _JOB_COLUMNS).rows(
        ("job_name", "user", "start_time"), apart
    ):
        try:
            name = text(user)
            found[text(job)] = (moment_ms(start, "start_time"), users.setdefault(name, name))
        except BadCell as bad:
            apart.add(str(bad), [line])
    for one in apart.found.values():
        findings.add(f"{JOBS}: {one.what}", one.lines, one.done)
    return found


KIND = Kind(
    name="pai",
    what="Alibaba PAI 2020: pai_task_table.csv, with pai_job_table.csv beside it",
    columns=_COLUMNS,
    table=drafts,
    options=GangOptions,
    rebase=True,
    header=_COLUMNS,
)
