"""Gavel (OSDI'20): jobs of its continuous experiments, with their duration on V100 cards.

A speed of 1 is that of a V100. Arrivals are in units of the mean gap between jobs, which the
rate sets; the file holds one stream for each of its seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fenglin.errors import InputError
from fenglin.simulator.readers.cells import BadCell, count, duration_ms, number, text
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import NodeOptions
from fenglin.simulator.readers.shapes import shape, spread
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = ("unit_arrival", "job_type", "scale_factor", "v100_duration_s")
_HOUR_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class GavelOptions(NodeOptions):
    """Which stream, and how dense.

    Attributes:
        trace_seed: Stream of the file.
        jobs_per_hour: Mean rate of arrivals.
    """

    trace_seed: int = 0
    jobs_per_hour: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a rate of nothing."""
        NodeOptions.__post_init__(self)
        if not self.jobs_per_hour > 0:
            raise InputError(f"jobs_per_hour is {self.jobs_per_hour}", hint="more than 0")


def drafts(table: Table, options: GavelOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs of one stream in the order of the rows."""
    gap_s = _HOUR_S / options.jobs_per_hour
    for line, (arrival, kind, cards, run, seed) in table.rows((*_COLUMNS, "seed"), findings):
        try:
            if (number(seed, "seed") or 0) != options.trace_seed:
                continue
            units = number(arrival, "unit_arrival")
            if units is None:
                raise BadCell("no unit_arrival")  # noqa: TRY301 - one place for all of them
            nodes, each = spread(count(cards, "scale_factor"), options.gpus_per_node)
            yield WorkJob(
                number=line,
                submitted_ms=round(units * gap_s * 1_000),
                shape=shape(accelerator_milli=each * 1_000, nodes=nodes),
                runtimes_ms=(duration_ms(run, "v100_duration_s"),),
                name=text(kind),
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


KIND = Kind(
    name="gavel",
    what="Gavel's continuous experiments: unit_arrival, job_type, scale_factor, v100_duration_s",
    columns=_COLUMNS,
    table=drafts,
    options=GavelOptions,
)
