"""How late the event loop comes to what is due, as requests feel it; and jumps of the date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from fenglin.engine.meters import Meters
    from fenglin.ports.clock import Clock

STEP_MS = 50
# A machine that slept was not late: what a longer gap hides is told once.
MOST_MISSED = 1_200
# Time servers that steer a clock change it by less between two looks.
LEAST_JUMP_MS = 1_000

_log = structlog.get_logger("fenglin.pulse")


class Pulse:
    """Looks at the clock in equal steps and tells by how much each look came late.

    A loop that stands still misses steps, and each of these counts with the delay it met. One look
    per stop would hide the longest ones, as a client does that waits before it asks again.
    """

    def __init__(self, clock: Clock, meters: Meters) -> None:
        """Take the clock, and what counts delays and jumps."""
        self._clock = clock
        self._meters = meters
        self._ahead_ms = clock.now_ms() - clock.monotonic_ms()

    async def run(self) -> None:
        """Look for ever."""
        due_ms = self._clock.monotonic_ms() + STEP_MS
        while True:
            await asyncio.sleep(max(0, due_ms - self._clock.monotonic_ms()) / 1_000)
            due_ms = self.look(due_ms)

    def look(self, due_ms: int) -> int:
        """Tell the delay of each step that was due, and a jump; return when the next step is.

        Args:
            due_ms: When the first of them was, on the monotonic clock.
        """
        now_ms = self._clock.monotonic_ms()
        ahead_ms = self._clock.now_ms() - now_ms
        if abs(by_ms := ahead_ms - self._ahead_ms) >= LEAST_JUMP_MS:
            # Nothing here goes by the date: timers, leases and bills count what has passed.
            _log.warning("date_jumped", by_s=by_ms / 1_000)
            self._meters.date_jumped()
        self._ahead_ms = ahead_ms
        due_ms = max(due_ms, now_ms - MOST_MISSED * STEP_MS)
        while due_ms <= now_ms:
            self._meters.lag((now_ms - due_ms) / 1_000)
            due_ms += STEP_MS
        return due_ms
