"""After a start: every open intent is looked up before anything new is decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.engine.news import JobsAdded, StartUnclear
from fenglin.errors import FenglinError
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
        async with asyncio.timeout(LISTING_DEADLINE_S):
            held = await driver.keys()
        live = {attempt_key(pool.hub, r.number, r.attempt) for r in pool.allocations.values()}
        for key in sorted(held - live):
            _, allocation, _ = parse_attempt_key(key)
            if allocation < next_allocation:
                effects.forget(site, key, allocation)
            else:
                _log.warning("unknown_attempt_stopped", site=site, key=key)
                await driver.stop(key, STOP_GRACE_MS)
    except (FenglinError, TimeoutError, OSError) as error:
        _log.warning("sweep_failed", site=site, error=str(error))
