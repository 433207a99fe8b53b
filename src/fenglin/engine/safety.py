"""What is set aside or held back, told to operators and let go by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from fenglin.engine.news import JobsAdded, StartUnclear
from fenglin.errors import ConflictError, DeniedError, NotFoundError
from fenglin.model.ids import job_id
from fenglin.model.role import Scope
from fenglin.model.states import AttemptState
from fenglin.wire.safety_views import AsideView, BrakedView, ReleasedView, SafetyView

if TYPE_CHECKING:
    from fenglin.engine.effects import Effects
    from fenglin.engine.loop import Loop
    from fenglin.engine.meters import Meters
    from fenglin.engine.pool import Pool
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.quarantine import Quarantine
    from fenglin.ports.store import AllocationRecord, JobRecord

_log = structlog.get_logger("fenglin.safety")


class SafetyDesk:
    """Implements `ports.safety.SafetyDesk`."""

    def __init__(
        self, loop: Loop, kept: Quarantine, effects: Effects, clock: Clock, meters: Meters
    ) -> None:
        """Take the loop that sets jobs aside, and where they are kept."""
        self._loop = loop
        self._effects = effects
        self._pool = loop.pool
        self._kept = kept
        self._clock = clock
        self._meters = meters

    async def show(self, principal: Principal) -> SafetyView:
        """See `ports.safety.SafetyDesk`."""
        _check(principal)
        aside, brakes = self._pool.aside, self._pool.brakes
        return SafetyView(
            quarantined=[
                AsideView(
                    job_id(number), aside[number].stage, aside[number].why, aside[number].time_ms
                )
                for number in sorted(aside)
            ],
            unsettled={
                name: one.unready for name, one in sorted(self._pool.sites.items()) if one.unready
            },
            braked=[
                BrakedView(user, one.failures, self._clock.now_ms() + brakes.left_ms(one))
                for user, one in brakes.braked().items()
            ],
            starts_per_s=brakes.pace(),
            keyless=self._pool.keyless.waits(),
        )

    async def release(self, job: int, principal: Principal) -> ReleasedView:
        """See `ports.safety.SafetyDesk`."""
        _check(principal)
        pool = self._pool
        found = await self._kept.release(pool.epoch, job, self._clock.now_ms(), principal.name)
        pool.put_back(job, found)
        self._meters.aside(len(pool.aside))
        _log.info("job_released", job=job_id(job), actor=principal.name)
        if found is not None:
            self._resume(found.job, found.allocations)
        return ReleasedView(job_id(job))

    async def release_user(self, user: str, principal: Principal) -> ReleasedView:
        """See `ports.safety.SafetyDesk`."""
        _check(principal)
        if not self._pool.brakes.let_go(user):
            raise NotFoundError(f"{user[:80]!r} is not slowed", hint="see `fenglin hub held`")
        _log.info("user_released", user=user, actor=principal.name)
        self._loop.replan()
        return ReleasedView(user)

    def _resume(self, job: JobRecord, allocations: list[AllocationRecord]) -> None:
        """Go on with a job as after a restart."""
        self._loop.tell(JobsAdded([job]))
        for one in allocations:
            if one.state is AttemptState.INTENT:
                self._loop.tell(StartUnclear(one.number, "its job was set aside"))
            elif one.state is AttemptState.STOPPING:
                self._effects.stop(one)
        self._loop.replan()


def check_not_aside(pool: Pool, job: int) -> None:
    """Refuse to end what is set aside: what it holds at sites is not known for certain.

    Raises:
        ConflictError: the job is set aside.
    """
    if job in pool.aside:
        raise ConflictError(
            f"{job_id(job)} is set aside: {pool.aside[job].why}",
            hint=f"an operator releases it first: fenglin job release {job_id(job)}",
        )


def notes(pool: Pool) -> tuple[str, ...]:
    """Return what waits for an operator, in words."""
    aside, braked = len(pool.aside), len(pool.brakes.braked())
    found = []
    if aside:
        are = "jobs are" if aside > 1 else "job is"
        found.append(f"{aside} {are} set aside: fenglin job quarantine")
    if braked:
        are = "users are" if braked > 1 else "user is"
        found.append(f"{braked} {are} slowed after failures: fenglin hub held")
    found += [
        f"jobs that wait for the key {key} of secrets: {jobs}, see fenglin doctor"
        for key, jobs in pool.keyless.waits().items()
    ]
    found += [f"{name}: {one.unready}" for name, one in pool.sites.items() if one.unready]
    return tuple(found)


def _check(principal: Principal) -> None:
    if not principal.may(Scope.ADMIN):
        raise DeniedError("only operators see and release what is held back")
