"""Time and identity as values handed in, so that the simulator can be their source."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The two clocks: one for dates, one for durations."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds; may jump."""
        ...

    def monotonic_ms(self) -> int:
        """Return milliseconds since some start; never runs backwards."""
        ...
