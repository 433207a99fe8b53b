"""One watcher per site: asks its driver for news, at its own pace, and never twice from one cursor.

A slow or silent site delays nobody but itself: the loop takes what has come and goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.engine.news import MOST_OBSERVED, Observed, SiteSeen
from fenglin.engine.threads import working_for
from fenglin.errors import FenglinError
from fenglin.model.ids import attempt_key
from fenglin.model.states import AttemptState
from fenglin.ports.driver import Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.engine.news import News
    from fenglin.engine.pool import Pool
    from fenglin.ports.clock import Clock
    from fenglin.ports.driver import Driver, Observation

# Wakes come from the driver; these are only the nets beneath them.
BUSY_POLL_S = 1.0
IDLE_POLL_S = 15.0
OBSERVE_DEADLINE_S = 30.0
INVENTORY_DEADLINE_S = 10.0
INVENTORY_EVERY_MS = 15_000
# To look at many attempts takes the loop's time however little is new: some microseconds each.
# Of a site with more than so many, the next look waits by this much for each of them.
FEW_ATTEMPTS = 200
WAIT_PER_ATTEMPT_S = 0.0002

_log = structlog.get_logger("fenglin.watcher")


class Watcher:
    """Watches one site until cancelled."""

    def __init__(
        self, site: str, driver: Driver, pool: Pool, clock: Clock, tell: Callable[[News], None]
    ) -> None:
        """Take the site's driver and where to bring the news."""
        self.site = site
        self.driver = driver
        self._pool = pool
        self._clock = clock
        self._tell = tell
        self._wake = asyncio.Event()
        self._inventory_at_ms = -INVENTORY_EVERY_MS
        # Allocations that the site lacked when it was last asked.
        self._lacked: set[int] = set()

    def wake(self) -> None:
        """Look soon; called on the loop's thread."""
        self._wake.set()

    async def run(self) -> None:
        """Look, tell, wait; for ever."""
        with working_for(self.site):
            while True:
                await self._look()

    async def _look(self) -> None:
        self._wake.clear()
        await self._take_inventory()
        numbers: dict[str, int] = {}
        cursors: dict[str, str] = {}
        for record in self._pool.allocations.values():
            if record.site == self.site:
                key = attempt_key(self._pool.hub, record.number, record.attempt)
                numbers[key] = record.number
                cursors[key] = record.cursor
        if cursors:
            await self._observe(numbers, cursors)
        if len(cursors) > FEW_ATTEMPTS:
            await asyncio.sleep(len(cursors) * WAIT_PER_ATTEMPT_S)
        await self._rest(BUSY_POLL_S if cursors else IDLE_POLL_S)

    async def _observe(self, numbers: dict[str, int], cursors: dict[str, str]) -> None:
        try:
            async with asyncio.timeout(OBSERVE_DEADLINE_S):
                found = await self.driver.observe(cursors)
        except Exception as error:  # noqa: BLE001 - a driver's fault must not end the hub
            self._tell(SiteSeen(self.site, None, f"cannot be observed: {_why(error)}"))
            return
        news = [
            (numbers[seen.key], seen)
            for seen in found
            if seen.key in numbers and self._is_news(numbers[seen.key], seen)
        ]
        at_ms, told = self._clock.monotonic_ms(), []
        for at in range(0, len(news), MOST_OBSERVED):
            told.append(asyncio.Event())
            self._tell(Observed(self.site, news[at : at + MOST_OBSERVED], told[-1], at_ms))
        for taken in told:
            # Until these are committed the cursors stand, and asking again would repeat them.
            await taken.wait()

    def _is_news(self, number: int, seen: Observation) -> bool:
        """Return whether an observation says what the store does not know."""
        presence = seen.presence
        record = self._pool.allocations.get(number)
        if record is None:
            self._lacked.discard(number)
            return False
        if presence is Presence.ABSENT:
            self._lacked.add(number)
            return True
        if presence is Presence.UNKNOWN:
            # Nothing is known, so nothing has changed, unless it could tell ends all the same.
            return bool(seen.ends)
        # Back again: absences before and after are not one, however little else is new (D3).
        back = number in self._lacked
        self._lacked.discard(number)
        return (
            back
            or presence is not Presence.RUNNING
            or seen.cursor != record.cursor
            or record.state in (AttemptState.INTENT, AttemptState.UNKNOWN)
        )

    async def _take_inventory(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._inventory_at_ms < INVENTORY_EVERY_MS:
            return
        self._inventory_at_ms = now_ms
        try:
            async with asyncio.timeout(INVENTORY_DEADLINE_S):
                report = await self.driver.inventory()
        except Exception as error:  # noqa: BLE001 - a driver's fault must not end the hub
            self._tell(SiteSeen(self.site, None, f"no inventory: {_why(error)}"))
        else:
            self._tell(SiteSeen(self.site, report))

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return


def _why(error: Exception) -> str:
    """Return what an error says; for one that is no error of a site, also what it is."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, FenglinError | OSError):
        return str(error)
    _log.error("driver_fault", exc_info=error)
    return f"fault in the driver: {type(error).__name__}: {error}"
