"""What happened in a run, line by line, and the one number that two equal runs share."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Lines kept to be shown around a violation.
MOST_KEPT = 120


class Trace:
    """Takes lines, keeps the last ones, and hashes all of them.

    Attributes:
        lines: How many there were.
        sink: Hears every line as it comes; None for nobody.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Take the clock."""
        self._now_s = now_s
        self._hash = blake2b(digest_size=16)
        self._last: deque[str] = deque(maxlen=MOST_KEPT)
        self.lines = 0
        self.sink: Callable[[str], None] | None = None

    def note(self, who: str, what: str) -> None:
        """Write a line."""
        line = f"{self._now_s():12.6f} {who:8} {what}"
        self.lines += 1
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self._last.append(line)
        if self.sink is not None:
            self.sink(line)

    def last(self, count: int = MOST_KEPT) -> list[str]:
        """Return the newest lines, oldest first."""
        return list(self._last)[-count:]

    def digest(self) -> str:
        """Return the hash of all lines so far."""
        return self._hash.hexdigest()
