"""After a start: every open intent is looked up before anything new is decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.engine.news import JobsAdded, StartUnclear
from fenglin.engine.parts import to_end
from fenglin.engine.threads import working_for
from fenglin.errors import InputError
from fenglin.model.ids import attempt_key, parse_attempt_key
from fenglin.model.states import AttemptState
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.driver import STOP_GRACE_MS, Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.engine.effects import Effects
    from fenglin.engine.loop import Loop
    from fenglin.engine.pool import Pool
    from fenglin.ports.driver import Driver

LISTING_DEADLINE_S = 30.0
AGAIN_S = 5.0
MOST_PAUSE_S = 60.0

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
        elif unwanted := to_end(pool, record):
            effects.stop_tasks(record, unwanted)


class Recovery:
    """Makes what sites hold and what the store knows agree, before anything new is started.

    Each site is listed, and asked about what it holds for this hub and the store does not take
    for live. What has ended is forgotten there; what runs is stopped. If the store never heard of
    it (it was restored from an older copy), nothing starts anywhere until it has ended: it may be
    the very tasks that would start again. A site that cannot be listed gets no new work until it
    can; an operator who drains it goes on without what it holds. What other hubs own is never
    touched.
    """

    def __init__(
        self,
        pool: Pool,
        drivers: Mapping[str, Driver],
        effects: Effects,
        replan: Callable[[], None],
    ) -> None:
        """Take what was loaded, and whom to tell that more may start."""
        self._pool = pool
        self._drivers = drivers
        self._effects = effects
        self._replan = replan
        self._unlisted = dict.fromkeys(drivers, "its attempts are not listed yet")
        # By site: what it holds that is not live, and what of it may run tasks that wait here.
        self._leftover: dict[str, set[str]] = {site: set() for site in drivers}
        self._strange: dict[str, set[str]] = {site: set() for site in drivers}
        self._hold()

    async def look(self) -> None:
        """Ask each site once, side by side; what cannot be settled at once is left to `run`."""
        await asyncio.gather(*(self._tend(site) for site in self._drivers))

    async def run(self) -> None:
        """Go on until all sites are settled, each at its own pace; then do nothing for ever."""
        await asyncio.gather(*(self._settle(site) for site in self._drivers))
        await asyncio.Event().wait()

    async def _settle(self, site: str) -> None:
        pause_s = AGAIN_S
        while site in self._unlisted or self._leftover[site]:
            await asyncio.sleep(pause_s)
            await self._tend(site)
            pause_s = min(MOST_PAUSE_S, pause_s * 1.5)

    async def _tend(self, site: str) -> None:
        """Do what can be done at one site now."""
        try:
            with working_for(site):
                if site in self._unlisted:
                    async with asyncio.timeout(LISTING_DEADLINE_S):
                        held = await self._drivers[site].keys()
                    self._listed(site, held)
                if self._leftover[site]:
                    async with asyncio.timeout(LISTING_DEADLINE_S):
                        await self._end(site)
        except Exception as error:  # noqa: BLE001 - one site's fault must not keep the hub down
            why = str(error) or type(error).__name__
            if site in self._unlisted:
                self._unlisted[site] = f"its attempts cannot be listed: {why}"
            _log.warning("site_not_settled", site=site, error=why)
        self._hold()

    def _listed(self, site: str, held: frozenset[str]) -> None:
        """Sort what a site holds for this hub and the store does not take for live."""
        del self._unlisted[site]
        pool = self._pool
        live = {attempt_key(pool.hub, r.number, r.attempt) for r in pool.allocations.values()}
        for key in sorted(held - live):
            try:
                hub, allocation, _ = parse_attempt_key(key)
            except InputError:
                hub, allocation = "", 0
            if hub != pool.hub:
                # Not ours, whatever the driver says: it is never touched.
                _log.warning("foreign_attempt_left_alone", site=site, key=key)
                continue
            if allocation in pool.aside_numbers:
                _log.warning("attempt_of_set_aside_job_left_alone", site=site, key=key)
                continue
            self._leftover[site].add(key)
            if allocation > pool.last_stored:
                # Its key must not be used for another one.
                pool.next_allocation = max(pool.next_allocation, allocation + 1)
                self._strange[site].add(key)

    async def _end(self, site: str) -> None:
        """Forget what has ended, and stop what has not."""
        driver, leftover, strange = self._drivers[site], self._leftover[site], self._strange[site]
        for seen in await driver.observe(dict.fromkeys(sorted(leftover), "")):
            if seen.key not in leftover:
                continue
            if seen.presence in (Presence.ENDED, Presence.ABSENT):
                leftover.discard(seen.key)
                strange.discard(seen.key)
                self._effects.forget(site, seen.key, parse_attempt_key(seen.key)[1])
            elif seen.presence is Presence.RUNNING:
                strange.add(seen.key)
        for key in sorted(strange):
            _log.warning("unknown_attempt_stopped", site=site, key=key)
            await driver.stop(key, STOP_GRACE_MS)

    def _hold(self) -> None:
        """Let each site's status say whether it may get work."""
        sites = self._pool.sites
        waits = [
            site for site, keys in self._strange.items() if keys and sites[site].drained is None
        ]
        hold = f"unknown attempts are being stopped at {', '.join(waits)}" if waits else ""
        changed = False
        for site in self._drivers:
            unready = self._unlisted.get(site) or hold
            changed = changed or unready != sites[site].unready
            sites[site].unready = unready
        if changed and not any(sites[site].unready for site in self._drivers):
            crash_point("c20")
        if changed:
            self._replan()
