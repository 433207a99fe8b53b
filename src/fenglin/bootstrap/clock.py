"""The machine's clocks."""

from __future__ import annotations

import time


class SystemClock:
    """Implements `ports.clock.Clock`."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds that never run backwards."""
        return time.monotonic_ns() // 1_000_000
