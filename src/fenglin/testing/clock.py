"""A clock that stands still until a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class FakeClock:
    """Implements `ports.clock.Clock`.

    Attributes:
        date_ms: Unix time; a test may set it, also backwards.
        passed_ms: Monotonic time.
    """

    date_ms: int = 1_700_000_000_000
    passed_ms: int = 0

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return self.date_ms

    def monotonic_ms(self) -> int:
        """Return milliseconds since this clock was made."""
        return self.passed_ms

    def advance(self, by_ms: int) -> None:
        """Let time pass on both clocks.

        Raises:
            ValueError: `by_ms` is negative; set `date_ms` to make the date alone jump.
        """
        if by_ms < 0:
            raise ValueError(f"time does not run backwards: {by_ms} ms")
        self.date_ms += by_ms
        self.passed_ms += by_ms
