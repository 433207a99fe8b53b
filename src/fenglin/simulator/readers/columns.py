"""Batch logs in columns, as the reference schedules of this project's data have them.

Times are seconds; a requested time of 0 or less is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from fenglin.simulator.readers.cells import (
    BadCell,
    count,
    duration_ms,
    number,
    submission_ms,
    text,
)
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.shapes import shape, spread
from fenglin.simulator.readers.swf import SwfOptions
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = ("job_id", "submit_s", "run_s", "procs", "req_time_s")


def drafts(table: Table, options: SwfOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs in the order of the rows."""
    names = ("submit_s", "run_s", "procs", "req_time_s", "user_id")
    for line, (submit, run, procs, request, user) in table.rows(names, findings):
        try:
            nodes, each = spread(count(procs, "procs"), options.procs_per_node)
            yield WorkJob(
                number=line,
                submitted_ms=submission_ms(submit, "submit_s"),
                shape=shape(cpu_milli=each * 1_000, nodes=nodes),
                runtimes_ms=(duration_ms(run, "run_s"),),
                estimate_ms=max(duration_ms(request, "req_time_s"), 0),
                user=text(user) if (number(user, "user_id") or 0) >= 0 else "",
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


KIND = Kind(
    name="columns",
    what="a batch log in columns: job_id, submit_s, run_s, procs, req_time_s",
    columns=_COLUMNS,
    table=drafts,
    options=SwfOptions,
)
