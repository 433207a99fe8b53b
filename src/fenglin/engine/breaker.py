"""Brakes: a site that refuses starts rests for a while, and absence is believed only in time.

All of it is about how the outside behaves right now, so it starts afresh with the process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fenglin.ports.clock import Clock

FIRST_REST_MS = 500
MOST_REST_MS = 60_000
# D3: not-found counts only after complete listings have agreed for this long.
ABSENT_FOR_MS = 300_000
# An attempt that its site accepted and never reported: its runner may have died before it could
# claim anything. Asking again is safe at any time, since a start counts once per key (D1).
UNSEEN_FOR_MS = 3_000


@dataclass(slots=True)
class _Brake:
    failures: int = 0
    until_ms: int = 0
    why: str = ""
    resting: bool = False


class Breakers:
    """One brake per site, one absence watch per allocation."""

    def __init__(self, clock: Clock) -> None:
        """Take the monotonic clock."""
        self._clock = clock
        self._brakes: dict[str, _Brake] = {}
        self._absent_since_ms: dict[int, int] = {}

    def good(self, site: str) -> None:
        """A start went well: the site is trusted again."""
        self._brakes.pop(site, None)

    def bad(self, site: str, why: str) -> None:
        """A start was refused: rest, twice as long each time."""
        brake = self._brakes.setdefault(site, _Brake())
        rest_ms = min(MOST_REST_MS, FIRST_REST_MS << min(brake.failures, 16))
        brake.failures += 1
        brake.until_ms = self._clock.monotonic_ms() + rest_ms
        brake.why = why
        brake.resting = True

    def problem(self, site: str) -> str:
        """Return why the site rests; empty when it does not."""
        brake = self._brakes.get(site)
        if brake is None:
            return ""
        brake.resting = self._clock.monotonic_ms() < brake.until_ms
        if not brake.resting:
            return ""
        return f"resting after {brake.failures} refused starts: {brake.why}"

    def due_in_ms(self) -> list[int]:
        """Return in how many ms each site may be tried again that `problem` last called resting.

        Below zero when that moment has passed and nobody has asked `problem` since.
        """
        now_ms = self._clock.monotonic_ms()
        return [b.until_ms - now_ms for b in self._brakes.values() if b.resting]

    def absent_ms(self, allocation: int, at_ms: int = 0) -> int:
        """Note one complete listing without this attempt; return for how long that is so.

        Args:
            allocation: Whose attempt.
            at_ms: When it was listed, by the monotonic clock; 0 for now.
        """
        at_ms = at_ms or self._clock.monotonic_ms()
        return at_ms - self._absent_since_ms.setdefault(allocation, at_ms)

    def present(self, allocation: int) -> None:
        """Note that the site knows the attempt, or that the attempt has ended."""
        self._absent_since_ms.pop(allocation, None)
