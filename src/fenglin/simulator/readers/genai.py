"""Alibaba 2026: requests to an image-generating service.

Each request is a job on one accelerator, whole or in part; its runtime is `exec_time_seconds`.
Its base model is the application's name: equal models run alike. Moments are of the world's
clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.simulator.readers.cells import BadCell, duration_ms, submission_ms, text
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions, at_least
from fenglin.simulator.readers.shapes import shape
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_COLUMNS = (
    "gmt_create",
    "predict_type",
    "predict_status",
    "exec_time_seconds",
    "groupId",
    "checkpoint_model_version_id",
)
_NEVER_RAN = frozenset({"PENDING", "PROCESSING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GenaiOptions(ReadOptions):
    """What the trace does not tell.

    Attributes:
        gpu_milli: Thousandths of a card that a request takes.
    """

    gpu_milli: int = 1_000

    def __post_init__(self) -> None:
        """Refuse requests that take nothing."""
        at_least(self, "gpu_milli", 1)


def drafts(table: Table, options: GenaiOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the requests in the order of the rows."""
    needs = shape(accelerator_milli=options.gpu_milli)
    for line, (created, kind, status, run, user, model) in table.rows(_COLUMNS, findings):
        try:
            ran = text(status) not in _NEVER_RAN
            yield WorkJob(
                number=line,
                submitted_ms=submission_ms(created, "gmt_create"),
                shape=needs,
                runtimes_ms=(duration_ms(run, "exec_time_seconds") if ran else -1,),
                user=text(user),
                name=text(model),
                queue=text(kind) or DEFAULT_QUEUE if options.queues else DEFAULT_QUEUE,
            )
        except BadCell as bad:
            findings.add(str(bad), [line])


KIND = Kind(
    name="genai",
    what="Alibaba 2026, requests to an image-generating service",
    columns=_COLUMNS,
    table=drafts,
    options=GenaiOptions,
    rebase=True,
)
