"""After a start: every open intent is looked up before anything new is decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.engine.news import JobsAdded, StartUnclear
from fenglin.engine.threads import working_for
from fenglin.errors import InputError
from fenglin.model.ids import attempt_key, parse_attempt_key
from fenglin.model.states import AttemptState
from fenglin.ports.driver import STOP_GRACE_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.engine.effects import Effects
    from fenglin.engine.loop import Loop
    from fenglin.engine.pool import Pool
    from fenglin.ports.driver import Driver

LISTING_DEADLINE_S = 30.0
STOP_DEADLINE_S = 10.0

_log = structlog.get_logger("fenglin.recovery")


def resume(pool: Pool, loop: Loop, effects: Effects) -> None:
    """Turn what the last hub left half done into news and calls.

    An intent may or may not have reached its site: it becomes unclear, and the first complete
    observation says which. A stop is simply asked again. Children are judged anew, since the
    last hub may have died between storing one and seeing that its parent had failed long ago.
    """
    loop.tell(JobsAdded([job for job in pool.jobs.values() if job.spec.after]))
    for record in list(pool.allocations.values()):
        if record.state is AttemptState.INTENT:
            loop.tell(StartUnclear(record.number, "the hub was restarted"))
        elif record.state is AttemptState.STOPPING:
            effects.stop(record)


async def sweep(pool: Pool, drivers: Mapping[str, Driver], effects: Effects) -> None:
    """List each site once and deal with what it holds for this hub but the store does not.

    What has ended is forgotten there; what the store never heard of (it was restored from an
    older copy) is stopped. What other hubs own does not show up in `keys`.
    """
    await asyncio.gather(*(_sweep_site(pool, site, drivers[site], effects) for site in drivers))


async def _sweep_site(pool: Pool, site: str, driver: Driver, effects: Effects) -> None:
    next_allocation = pool.next_allocation
    try:
        with working_for(site):
            async with asyncio.timeout(LISTING_DEADLINE_S):
                held = await driver.keys()
    except Exception as error:  # noqa: BLE001 - one site's fault must not keep the hub down
        _log.warning("sweep_failed", site=site, error=str(error) or type(error).__name__)
        return
    live = {attempt_key(pool.hub, r.number, r.attempt) for r in pool.allocations.values()}
    for key in sorted(held - live):
        try:
            hub, allocation, _ = parse_attempt_key(key)
        except InputError:
            hub, allocation = "", 0
        if hub != pool.hub:
            # Not ours, whatever the driver says: it is never touched.
            _log.warning("foreign_attempt_left_alone", site=site, key=key)
        elif allocation < next_allocation:
            effects.forget(site, key, allocation)
        else:
            _log.warning("unknown_attempt_stopped", site=site, key=key)
            await _stop(driver, site, key)


async def _stop(driver: Driver, site: str, key: str) -> None:
    try:
        with working_for(site):
            async with asyncio.timeout(STOP_DEADLINE_S):
                await driver.stop(key, STOP_GRACE_MS)
    except Exception as error:  # noqa: BLE001 - one site's fault must not keep the hub down
        _log.warning("stop_failed", site=site, key=key, error=str(error) or type(error).__name__)
