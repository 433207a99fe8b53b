"""Fenglin's own past jobs, one JSON line each: what `fenglin job export` writes.

The schema is `fenglin-history/1`. Moments are Unix milliseconds. Of runtimes a hub keeps what its
allocations tell: their time times their slots, over the tasks that ended in them, on a flavor of
speed 1. Every task of a job gets that mean; where the last slots of an array stood empty at its
end, it is a little too long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from fenglin.intake.native import decode_json
from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE, MAX_NODES, JobSpec
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.lines import numbered_lines
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob
from fenglin.snapshot.snapshot import Shape
from fenglin.wire.views import JobView

SCHEMA = "fenglin-history/1"
_FULL_SPEED = 1_000
_UNKNOWN = -1
# Of bytes or thousandths; sums over a pool stay far from the end of 64 bits.
MAX_AMOUNT = 2**50


class HistoryJob(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line.

    Attributes:
        schema: `fenglin-history/1`.
        id: Public id in the hub that it comes from.
        submitted_ms, started_ms, ended_ms: Moments; 0 for never.
        state: As it ended.
        tasks: Size of the array.
        runtime_ms: Mean runtime of a task on speed 1; -1 when no task ran to its end.
        shape: Needs of one task.
        name, queue, account, priority: As submitted.
        estimate_ms, timeout_ms, deadline_ms: As submitted; 0 for none.
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
    name: str = ""
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    estimate_ms: int = 0
    timeout_ms: int = 0
    deadline_ms: int = 0


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
        shape=_shape(spec),
        name=job.name,
        queue=job.queue,
        account=job.account,
        priority=job.priority,
        estimate_ms=spec.estimate_ms,
        timeout_ms=spec.timeout_ms,
        deadline_ms=spec.deadline_ms,
    )
    return _ENCODER.encode(line) + b"\n"


def _shape(spec: JobSpec) -> Shape:
    """Return what one task needs."""
    return Shape(
        resources=spec.resources,
        nodes=spec.nodes,
        accelerator=spec.accelerator,
        licences=spec.licences,
        compute_class=spec.compute_class,
        sites=spec.sites,
    )


def _runtime_ms(job: JobView, speeds_milli: Mapping[tuple[str, str], int]) -> int:
    """Return the mean runtime of a task on speed 1; -1 when none ran to its end."""
    work = done = 0
    for one in job.allocations:
        ended = one.succeeded + one.failed
        if ended and one.started_ms and one.ended_ms >= one.started_ms:
            speed = speeds_milli.get((one.site, one.flavor), _FULL_SPEED)
            work += (one.ended_ms - one.started_ms) * min(one.slots, ended) * speed
            done += ended
    return round(work / (done * _FULL_SPEED)) if done else _UNKNOWN


def drafts(path: Path, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs in the order of the lines."""
    for place, words in numbered_lines(path, findings):
        if not words.strip():
            continue
        try:
            line = _DECODER.decode(words)
        except (msgspec.MsgspecError, RecursionError):
            findings.add(f"no line of {SCHEMA}", [place])
            continue
        if line.schema != SCHEMA:
            findings.add(f"another schema than {SCHEMA}", [place])
            continue
        amounts = line.shape.resources.values()
        if min(amounts) < 0 or max(amounts) > MAX_AMOUNT or not 0 < line.shape.nodes <= MAX_NODES:
            findings.add("needs of no reasonable size", [place])
            continue
        yield WorkJob(
            number=place,
            submitted_ms=line.submitted_ms,
            shape=line.shape,
            runtimes_ms=(line.runtime_ms,),
            tasks=line.tasks,
            estimate_ms=line.estimate_ms,
            timeout_ms=line.timeout_ms,
            name=line.name,
            queue=line.queue if options.queues else DEFAULT_QUEUE,
            account=line.account if options.queues else DEFAULT_ACCOUNT,
            priority=line.priority,
            deadline_ms=line.deadline_ms,
        )


KIND = Kind(
    name="history",
    what="Fenglin's own past jobs: fenglin job export",
    text=drafts,
    rebase=True,
)
