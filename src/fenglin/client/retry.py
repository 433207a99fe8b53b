"""When a request is tried again, and after how long."""

from __future__ import annotations

from dataclasses import dataclass

MAX_RETRY_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Bounded exponential backoff with jitter, so that many clients do not come back at once.

    Attributes:
        tries: Most tries of one request, the first included.
        base_s: Longest pause after the first try.
        cap_s: Longest pause after any try.
    """

    tries: int = 8
    base_s: float = 0.1
    cap_s: float = 5.0

    def pause_s(self, failed: int, dice: float, retry_after: str = "") -> float:
        """Return the pause before the next try.

        The pause is spread evenly over the upper half of `base * 2^(failed - 1)`, capped. A
        Retry-After of the hub is a lower bound (itself capped at 30 s).

        Args:
            failed: Tries that have failed so far, at least 1.
            dice: A random number in 0…1.
            retry_after: The header's text; only the form in seconds is understood.
        """
        longest = min(self.cap_s, self.base_s * 2.0 ** (failed - 1))
        pause = longest * (0.5 + dice / 2)
        asked = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
        return max(pause, min(asked, MAX_RETRY_AFTER_S))
