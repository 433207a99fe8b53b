"""Batch jobs in the form of GAIA (ASPLOS'24): the samples of Alibaba PAI and Azure.

Arrival and length are hours, CPUs are whole cores; nothing else is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from fenglin.simulator.readers.cells import BadCell, amount, duration_ms, number
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = ("arrival_time", "length", "cpus")
_HOUR_S = 3_600


def drafts(table: Table, _: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs in the order of the rows."""
    for line, (arrival, length, cpus) in table.rows(_COLUMNS, findings):
        try:
            hours = number(arrival, "arrival_time")
            if hours is None:
                raise BadCell("no arrival_time")  # noqa: TRY301 - one place for all of them
            yield WorkJob(
                number=line,
                submitted_ms=round(hours * _HOUR_S * 1_000),
                shape=shape(cpu_milli=round(amount(cpus, "cpus") * 1_000)),
                runtimes_ms=(duration_ms(length, "length", _HOUR_S),),
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


KIND = Kind(
    name="gaia",
    what="GAIA's samples of Alibaba PAI and Azure: arrival_time, length, cpus",
    columns=_COLUMNS,
    table=drafts,
)
