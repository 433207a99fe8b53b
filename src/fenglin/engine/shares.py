"""What allocations hold, as the planner's snapshot wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fenglin.model.states import AttemptState
from fenglin.snapshot.builder import ShareRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fenglin.ports.store import AllocationRecord, JobRecord


class Held(NamedTuple):
    """An allocation with its job and the time at which it should end. Neither record changes."""

    record: AllocationRecord
    job: JobRecord
    end_ms: int


def share_rows(held: Iterable[Held], aside: Sequence[AllocationRecord]) -> Iterator[ShareRow]:
    """Yield a row per node share.

    Args:
        held: By live allocations.
        aside: Allocations of jobs that are set aside: what they hold stays held.
    """
    for record in aside:
        for share in record.shares:
            yield ShareRow(
                job=record.job,
                site=record.site,
                node=share.node,
                slots=share.slots,
                end_ms=record.finish_ms,
                resources=record.resources,
                nodes=record.nodes,
                allocation=record.number,
                cards=share.cards,
            )
    for record, job, end_ms in held:
        for share in record.shares:
            yield ShareRow(
                job=record.job,
                site=record.site,
                node=share.node,
                slots=share.slots,
                end_ms=end_ms,
                resources=record.resources,
                queue=job.spec.queue,
                nodes=record.nodes,
                licences=job.spec.licences,
                allocation=record.number,
                priority=job.spec.rank,
                started_ms=record.started_ms,
                preemptible=job.spec.preemptible,
                checkpoint_ms=job.spec.checkpoint_ms,
                cards=share.cards,
                stopping=record.state is AttemptState.STOPPING,
            )
