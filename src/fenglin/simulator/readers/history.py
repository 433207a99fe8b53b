"""Fenglin's own jobs, one JSON line each: what a hub ran, or any workload once it was read.

`fenglin job export` writes the schema `fenglin-history/1`, with moments in Unix milliseconds. Of
runtimes a hub tells the sum for each allocation: every task of a job gets the mean, on a flavor of
speed 1, whether it succeeded or failed.

`fenglin simulate workload --out` writes `fenglin-workload/1`: the same fields, with moments from
the workload's own zero and all that it knew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from fenglin.intake.native import decode_json
from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.lines import numbered_lines
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import UNREASONABLE, reasonable
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.snapshot import Shape
from fenglin.wire.views import JobView

SCHEMA = "fenglin-history/1"
WORKLOAD_SCHEMA = "fenglin-workload/1"
_FULL_SPEED = 1_000
_UNKNOWN = -1


class HistoryJob(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line.

    Attributes:
        schema: One of the two.
        id: Public id in the hub that it comes from, or number in the workload.
        submitted_ms, started_ms, ended_ms: Moments; 0 for never.
        state: As it ended.
        tasks: Size of the array.
        runtime_ms: Mean runtime of a task on speed 1; -1 when no task ran to its end.
        runtimes_ms: Of each task, where that is known; empty where the mean stands for all.
        shape: Needs of one task.
        user: Who submitted it; empty for unknown.
        name, queue, account, priority: As submitted.
        estimate_ms, timeout_ms, deadline_ms, checkpoint_ms: See `WorkJob`; 0 for none.
        preemptible: Whether it may be interrupted for another.
    """

    schema: str
    id: str
    submitted_ms: int
    shape: Shape
    started_ms: int = 0
    ended_ms: int = 0
    state: str = ""
    tasks: int = 1
    runtime_ms: int = _UNKNOWN
    runtimes_ms: tuple[int, ...] = ()
    user: str = ""
    name: str = ""
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    estimate_ms: int = 0
    timeout_ms: int = 0
    deadline_ms: int = 0
    checkpoint_ms: int = 0
    preemptible: bool = False


_DECODER = msgspec.json.Decoder(HistoryJob)
_ENCODER = msgspec.json.Encoder()


def history_line(job: JobView, speeds_milli: Mapping[tuple[str, str], int]) -> bytes:
    """Return the line of a job, with its end.

    Args:
        job: As `job show` has it, with allocations and document.
        speeds_milli: Thousandths of speed by (site, flavor); 1000 for what is not in it.

    Raises:
        InputError: its document is none that this version understands.
    """
    # As of its submission, so that a deadline that has passed by now is no mistake.
    spec = decode_json(_ENCODER.encode(job.spec), job.submitted_ms)
    line = HistoryJob(
        schema=SCHEMA,
        id=job.id,
        submitted_ms=job.submitted_ms,
        started_ms=job.started_ms,
        ended_ms=job.ended_ms,
        state=job.state,
        tasks=job.task_count,
        runtime_ms=_runtime_ms(job, speeds_milli),
        shape=Shape.of(spec),
        name=job.name,
        queue=job.queue,
        account=job.account,
        priority=job.priority,
        estimate_ms=spec.estimate_ms,
        timeout_ms=spec.timeout_ms,
        deadline_ms=spec.deadline_ms,
    )
    return _ENCODER.encode(line) + b"\n"


def _runtime_ms(job: JobView, speeds_milli: Mapping[tuple[str, str], int]) -> int:
    """Return the mean runtime of a task on speed 1; -1 when none ran to its end."""
    work = done = 0
    for one in job.allocations:
        work += one.wall_ms * speeds_milli.get((one.site, one.flavor), _FULL_SPEED)
        done += one.succeeded + one.failed
    return round(work / (done * _FULL_SPEED)) if done else _UNKNOWN


def workload_line(job: WorkJob) -> bytes:
    """Return the line of a job of any workload, with its end; nothing of it is lost."""
    line = HistoryJob(
        schema=WORKLOAD_SCHEMA,
        id=str(job.number),
        submitted_ms=job.submitted_ms,
        tasks=job.tasks,
        runtime_ms=round(sum(job.runtimes_ms) / len(job.runtimes_ms)),
        runtimes_ms=job.runtimes_ms if len(job.runtimes_ms) > 1 else (),
        shape=job.shape,
        user=job.user,
        name=job.name,
        queue=job.queue,
        account=job.account,
        priority=job.priority,
        estimate_ms=job.estimate_ms,
        timeout_ms=job.timeout_ms,
        deadline_ms=job.deadline_ms,
        checkpoint_ms=job.checkpoint_ms,
        preemptible=job.preemptible,
    )
    return _ENCODER.encode(line) + b"\n"


def history(path: Path, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of a hub in the order of the lines."""
    return _drafts(path, SCHEMA, options.queues, findings)


def workload(path: Path, _: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of a written workload in the order of the lines; it keeps its queues."""
    return _drafts(path, WORKLOAD_SCHEMA, True, findings)  # noqa: FBT003 - said above


def _drafts(path: Path, schema: str, queues: bool, findings: Findings) -> Iterator[WorkJob]:  # noqa: FBT001 - one caller each
    for place, words in numbered_lines(path, findings):
        if not words.strip():
            continue
        try:
            line = _DECODER.decode(words)
        except (msgspec.MsgspecError, RecursionError):
            findings.add(f"no line of {schema}", [place])
            continue
        if line.schema != schema:
            findings.add(f"another schema than {schema}", [place])
        elif len(line.runtimes_ms) not in {0, line.tasks}:
            findings.add("another number of runtimes than of tasks", [place])
        elif not reasonable(line.shape.resources, line.shape.nodes):
            findings.add(UNREASONABLE, [place])
        else:
            yield WorkJob(
                number=place,
                submitted_ms=line.submitted_ms,
                shape=line.shape,
                runtimes_ms=line.runtimes_ms or (line.runtime_ms,),
                tasks=line.tasks,
                estimate_ms=line.estimate_ms,
                timeout_ms=line.timeout_ms,
                user=line.user,
                name=line.name,
                queue=line.queue if queues else DEFAULT_QUEUE,
                account=line.account if queues else DEFAULT_ACCOUNT,
                priority=line.priority,
                deadline_ms=line.deadline_ms,
                checkpoint_ms=line.checkpoint_ms,
                preemptible=line.preemptible,
            )


KIND = Kind(
    name="history",
    what="Fenglin's own past jobs: fenglin job export",
    text=history,
    rebase=True,
)
WORKLOAD = Kind(
    name="workload",
    what="any workload once it was read: fenglin simulate workload --out",
    text=workload,
)
