"""Microsoft Philly (ATC'19): the published log in JSON, and the table that Sia made of it.

The log has one object for each job with all its attempts. A job holds the GPUs of its first
attempt that names any, and runs as long as all its attempts together, from start to end. Moments
are of the world's clock. Neither CPUs nor memory are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.simulator.readers.cells import (
    BadCell,
    count,
    duration_ms,
    moment_ms,
    submission_ms,
    text,
)
from fenglin.simulator.readers.jsonlist import list_items
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import NodeOptions, ReadOptions
from fenglin.simulator.readers.shapes import shape, shares, spread
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_TABLE = ("timestamp", "duration", "num_gpus")


def drafts(path: Path, options: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of the log in its order."""
    for place, item in list_items(path, findings):
        try:
            yield _job(item, place, options, findings)
        except BadCell as bad:
            findings.add(str(bad), [place])
        except (AttributeError, KeyError, TypeError):
            findings.add("not in the form of a job", [place])


def _job(item: dict[str, Any], place: int, options: ReadOptions, findings: Findings) -> WorkJob:
    """Return one job of the log."""
    attempts = item["attempts"]
    machines = next(
        (
            sizes
            for attempt in attempts
            if (sizes := [len(one["gpus"]) for one in attempt["detail"] if one["gpus"]])
        ),
        None,
    )
    if machines is None:
        raise BadCell("no attempt that names its GPUs (never ran, or unknown)")
    spans = [_span_ms(attempt) for attempt in attempts]
    known = [span for span in spans if span is not None]
    if known and len(known) < len(spans):
        findings.add("an attempt without start or end", [place], "left out of the runtime")
    each = shares(sum(machines), len(machines), "GPUs", place, findings)
    return WorkJob(
        number=place,
        submitted_ms=submission_ms(item["submitted_time"], "submitted_time"),
        shape=shape(accelerator_milli=each * 1_000, nodes=len(machines)),
        runtimes_ms=(sum(known) if known else -1,),
        user=text(item.get("user")),
        queue=text(item.get("vc")) or DEFAULT_QUEUE if options.queues else DEFAULT_QUEUE,
    )


def _span_ms(attempt: dict[str, Any]) -> int | None:
    """Return how long an attempt took; None when that is not told."""
    start = moment_ms(attempt["start_time"], "start_time")
    end = moment_ms(attempt["end_time"], "end_time")
    return None if start is None or end is None else end - start


def table_drafts(table: Table, options: NodeOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of the table in the order of its rows."""
    names = (*_TABLE, "cluster")
    for line, (submitted, run, gpus, cluster) in table.rows(names, findings):
        try:
            nodes, each = spread(count(gpus, "num_gpus"), options.gpus_per_node)
            yield WorkJob(
                number=line,
                submitted_ms=submission_ms(submitted, "timestamp"),
                shape=shape(accelerator_milli=each * 1_000, nodes=nodes),
                runtimes_ms=(duration_ms(run, "duration"),),
                queue=text(cluster) or DEFAULT_QUEUE if options.queues else DEFAULT_QUEUE,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


LOG = Kind(
    name="philly",
    what="Microsoft Philly: cluster_job_log in JSON",
    text=drafts,
    rebase=True,
    unit="job",
)
TABLE = Kind(
    name="philly-table",
    what="Microsoft Philly as a table: timestamp, duration, num_gpus",
    columns=_TABLE,
    table=table_drafts,
    options=NodeOptions,
    rebase=True,
)
