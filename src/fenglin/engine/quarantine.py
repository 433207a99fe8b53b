"""Jobs whose handling raises are set aside, so that all others go on (J9).

A row that no code of ours would have written, or one that a fault of ours cannot handle, must
stop neither the loop nor the hub. Whose it was is found out by trying smaller parts; what no job
can be blamed for still ends the hub, loudly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
from msgspec import structs

from fenglin.engine.news import JobsAdded, Observed
from fenglin.errors import UnavailableError
from fenglin.model.ids import job_id
from fenglin.planner import plan
from fenglin.ports.quarantine import Aside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.engine.meters import Meters
    from fenglin.engine.news import News
    from fenglin.engine.pool import Pool
    from fenglin.model.plan import Plan
    from fenglin.planner.policy import Policy
    from fenglin.ports.clock import Clock
    from fenglin.ports.quarantine import Quarantine
    from fenglin.ports.store import Change

_log = structlog.get_logger("fenglin.quarantine")


class Warden:
    """Sets jobs aside for the loop, where they are `kept`."""

    def __init__(self, pool: Pool, kept: Quarantine, clock: Clock, meters: Meters) -> None:
        """Take the picture to take them out of, and the store to hold them in."""
        self._pool = pool
        self.kept = kept
        self._clock = clock
        self._meters = meters
        meters.aside(len(pool.aside))
        for one in pool.aside.values():
            _log.error("job_is_set_aside", job=job_id(one.job), stage=one.stage, why=one.why)

    async def set_aside(self, job: int, stage: str, error: Exception) -> None:
        """Hold a job durably, then forget it.

        Raises:
            UnavailableError: the store cannot write; the job stays where it was.
        """
        why = f"{type(error).__name__}: {error}"
        one = Aside(job, stage, why, self._clock.now_ms())
        await self.kept.set_aside(self._pool.epoch, one)
        self._pool.set_aside(one)
        self._meters.quarantined()
        self._meters.aside(len(self._pool.aside))
        _log.error("job_quarantined", job=job_id(job), stage=stage, exc_info=error)

    async def found(self) -> None:
        """Set aside what could not be taken in."""
        for job, error in list(self._pool.poison.items()):
            await self.set_aside(job, "take in", error)

    async def unplannable(self, error: Exception, policy: Policy) -> None:
        """Find the jobs that no plan can be made with, and set them aside.

        Raises:
            Exception: `error` itself, when it is no job's fault.
        """
        known = {row.number for row in self._pool.rows()}
        known |= {record.job for record in self._pool.allocations.values()}
        culprits = self._culprits(sorted(known), policy)
        if not culprits:
            raise error
        for job in culprits:
            await self.set_aside(job, "plan", error)

    async def blame(self, inbox: list[News], portion: int, at: int, error: Exception) -> int:
        """Part the news that could not be recorded, or set aside the one job that they are of.

        Args:
            inbox: Whose first `portion` it is; parted there.
            portion: How many.
            at: The job that was being handled; 0 when the store refused.
            error: What was raised; raised again when no job can be blamed.

        Returns:
            How many to record next.
        """
        parts = smaller(inbox[:portion])
        if parts:
            inbox[:portion] = [news for part in parts for news in part]
            return len(parts[0])
        job = at or job_of(inbox[0], self._pool)
        if not job or job in self._pool.aside:
            raise error
        await self.set_aside(job, "record", error)
        return portion

    async def unstartable(
        self, error: Exception, made: Plan, commitments: Callable[[Plan], Change]
    ) -> None:
        """Find the jobs whose start or stop cannot be written down, and set them aside.

        Raises:
            Exception: `error` itself, when it is no job's fault.
        """
        alone = [
            (start.job, structs.replace(made, starts=(start,), evictions=()))
            for start in made.starts
        ] + [
            (
                self._pool.allocations[stop.allocation].job,
                structs.replace(made, starts=(), evictions=(stop,)),
            )
            for stop in made.evictions
            if stop.allocation in self._pool.allocations
        ]
        culprits: dict[int, Exception] = {}
        for job, part in alone:
            try:
                commitments(part)
            except Exception as own:  # noqa: BLE001 - whether it raises is the question
                culprits[job] = own
        if not culprits:
            raise error
        for job, its_own in culprits.items():
            await self.set_aside(job, "start", its_own)

    def _culprits(self, jobs: list[int], policy: Policy) -> list[int]:
        """Return those of the jobs with which alone no plan can be made."""
        if not jobs or self._plans(frozenset(jobs), policy):
            return []
        if len(jobs) == 1:
            return jobs if self._plans(frozenset(), policy) else []
        half = len(jobs) // 2
        return self._culprits(jobs[:half], policy) + self._culprits(jobs[half:], policy)

    def _plans(self, jobs: frozenset[int], policy: Policy) -> bool:
        try:
            plan(self._pool.picture(self._clock.now_ms(), only=jobs)(), policy)
        except Exception:  # noqa: BLE001 - whether it raises is the question
            return False
        return True


def is_poison(error: Exception) -> bool:
    """Return whether an error may be a job's own: not when the store is away or led by another."""
    return not isinstance(error, UnavailableError)


def job_of(news: News, pool: Pool) -> int:
    """Return the job that one piece of news is about; 0 for none or many."""
    if isinstance(news, Observed):
        numbers = {number for number, _ in news.observations}
    elif isinstance(news, JobsAdded):
        return news.jobs[0].number if len(news.jobs) == 1 else 0
    elif (job := getattr(news, "job", None)) is not None:
        return int(job)
    else:
        numbers = {getattr(news, "allocation", 0)}
    found = pool.allocations.get(numbers.pop()) if len(numbers) == 1 else None
    return found.job if found else 0


def smaller(news: Sequence[News]) -> list[list[News]]:
    """Return two parts of some news, in order; fewer when they cannot be parted."""
    if len(news) > 1:
        half = len(news) // 2
        return [list(news[:half]), list(news[half:])]
    for one in news:
        if isinstance(one, Observed) and len(one.observations) > 1:
            half = len(one.observations) // 2
            parts = (one.observations[:half], one.observations[half:])
            return [[replace(one, observations=part)] for part in parts]
        if isinstance(one, JobsAdded) and len(one.jobs) > 1:
            half = len(one.jobs) // 2
            return [[JobsAdded(one.jobs[:half])], [JobsAdded(one.jobs[half:])]]
    return []


def smaller_change(change: Change) -> list[Change]:
    """Return two parts of a plan's commitments, stops before starts; none for a single one."""
    stops, starts = change.allocations, change.starts
    if len(stops) + len(starts) < 2:
        return []
    if stops and starts:
        return [replace(change, starts=[]), replace(change, allocations=[], events=[])]
    if starts:
        half = len(starts) // 2
        return [replace(change, starts=part) for part in (starts[:half], starts[half:])]
    half = len(stops) // 2
    parts = []
    for part in (stops[:half], stops[half:]):
        jobs = {record.job for record in part}
        told = [event for event in change.events if event.job in jobs]
        parts.append(replace(change, allocations=part, events=told))
    return parts


def only_job(change: Change) -> int:
    """Return the job of a change that cannot be parted."""
    if change.starts:
        return change.starts[0].job.number
    return change.allocations[0].job if change.allocations else 0
