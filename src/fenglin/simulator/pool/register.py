"""What is known of each job while it is in the pool, and the rows made of it at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fenglin.catalog.carbon import task_carbon_mg
from fenglin.model.reason import Reason
from fenglin.simulator.pool.outcome import JobOutcome, RunOutcome

if TYPE_CHECKING:
    from fenglin.model.plan import Plan
    from fenglin.model.site import Site
    from fenglin.ports.store import AllocationRecord, JobRecord
    from fenglin.simulator.pool.outcome import Sink
    from fenglin.simulator.workload import WorkJob

# Where the workload's zero lies on the hub's calendar: a moment of 0 would mean "never" there.
ZERO_MS = 10**12


@dataclass(slots=True)
class Life:
    """What is remembered of a job besides its record.

    Attributes:
        work: As the workload gave it.
        work_ms, lost_ms, carbon_mg, evictions, promised_ms: As in `JobOutcome`, so far.
        refused: Whether no site can ever hold it.
    """

    work: WorkJob
    work_ms: int = 0
    lost_ms: int = 0
    carbon_mg: int = 0
    evictions: int = 0
    promised_ms: int = -1
    refused: bool = False


class Register:
    """Follows jobs from arrival to end and writes their rows."""

    def __init__(self, sites: tuple[Site, ...], sink: Sink) -> None:
        """Begin with no job."""
        self.lives: dict[int, Life] = {}
        self._sites = {site.name: site for site in sites}
        self._sink = sink
        # Nodes and slots of live allocations, which their records lose bit by bit.
        self._places: dict[int, tuple[tuple[str, ...], int]] = {}

    def arrived(self, work: WorkJob) -> None:
        """Follow a new job."""
        self.lives[work.number] = Life(work)

    def started(self, record: AllocationRecord) -> None:
        """Note where an allocation runs."""
        nodes = tuple(share.node for share in record.shares)
        self._places[record.number] = (nodes, record.slots)

    def worked(self, record: AllocationRecord, wall_ms: int) -> None:
        """Add what ended or interrupted tasks of an allocation ran."""
        life = self.lives[record.job]
        life.work_ms += wall_ms
        life.carbon_mg += self._carbon_mg(record, wall_ms)

    def evicted(self, record: AllocationRecord, lost_ms: int) -> None:
        """Note an eviction and the work that it destroyed."""
        life = self.lives[record.job]
        life.evictions += 1
        life.lost_ms += lost_ms

    def promised(self, made: Plan) -> None:
        """Keep the first start that a plan promised to each job."""
        for reservation in made.reservations:
            life = self.lives.get(reservation.job)
            if life is not None and life.promised_ms < 0:
                life.promised_ms = reservation.start_ms - ZERO_MS

    def run_ended(self, record: AllocationRecord) -> None:
        """Write the row of an allocation."""
        nodes, slots = self._places.pop(record.number)
        self._sink.run(
            RunOutcome(
                allocation=record.number,
                job=record.job,
                queue=self.lives[record.job].work.queue,
                site=record.site,
                flavor=record.flavor,
                nodes=nodes,
                slots=slots,
                tasks=len(record.tasks),
                started_ms=record.created_ms - ZERO_MS,
                ended_ms=record.ended_ms - ZERO_MS,
                cost_micro=record.cost_micro,
                carbon_mg=self._carbon_mg(record, record.usage.wall_ms),
                reason=str(record.reason or ""),
            )
        )

    def job_ended(self, job: JobRecord, now_ms: int, state: str) -> None:
        """Write the row of a job, and follow it no longer."""
        life = self.lives.pop(job.number)
        work = life.work
        started_ms = job.started_ms - ZERO_MS if job.started_ms else -1
        arrived_ms = job.submitted_ms - ZERO_MS
        begun_ms = now_ms - ZERO_MS if started_ms < 0 else started_ms
        reason = Reason.NO_SITE_CAN_HOLD if life.refused else job.reason
        self._sink.job(
            JobOutcome(
                job=job.number,
                user=work.user,
                name=work.name,
                queue=work.queue,
                account=work.account,
                state="refused" if life.refused else state,
                reason=str(reason or ""),
                tasks=work.tasks,
                submitted_ms=arrived_ms,
                started_ms=started_ms,
                ended_ms=job.ended_ms - ZERO_MS if job.ended_ms else -1,
                wait_ms=begun_ms - arrived_ms,
                work_ms=life.work_ms,
                lost_ms=life.lost_ms,
                longest_ms=max(work.runtimes_ms),
                cost_micro=job.cost_micro,
                carbon_mg=life.carbon_mg,
                evictions=life.evictions,
                promised_ms=life.promised_ms,
            )
        )

    def _carbon_mg(self, record: AllocationRecord, wall_ms: int) -> int:
        site = self._sites[record.site]
        flavor = site.flavor(record.flavor)
        return task_carbon_mg(site, flavor, record.resources, wall_ms) * record.nodes
