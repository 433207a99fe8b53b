"""What the hub learns of its attempts: journals read from cursors, and dead runners' tombstones.

A quiet attempt costs a dictionary lookup: its journal is opened when its runner has poked us,
when the cursor is not the one we handed out last, or once a second for certainty.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence
from fenglin.runner.host import sights
from fenglin.runner.host.attempts import RefusedError
from fenglin.runner.records import Cursor, read_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.runner.host.attempts import Attempts

SWEEP_INTERVAL_S = 1.0


class Observer:
    """Looks at attempts; one pass at a time, from a worker thread.

    Attributes:
        unread: Whether the last pass left news for the next, since one pass reads a page only.
    """

    def __init__(self, attempts: Attempts, now_ms: Callable[[], int]) -> None:
        """Take the folders and the clock of the context."""
        self._attempts = attempts
        self._looker = sights.Looker(attempts, now_ms)
        self.unread = False
        self._quiet: dict[str, tuple[Observation, float]] = {}

    def observe(self, cursors: Mapping[str, str], poked: set[str]) -> list[Observation]:
        """Return one observation per key."""
        now_s = time.monotonic()
        self._attempts.reap()
        self.unread = False
        result = []
        for key, cursor in cursors.items():
            quiet = self._quiet.get(key)
            if (
                quiet is not None
                and key not in poked
                and quiet[0].cursor == cursor
                and now_s < quiet[1] + SWEEP_INTERVAL_S
            ):
                result.append(quiet[0])
                continue
            result.append(self._look(key, cursor, now_s))
        return result

    def forget(self, key: str) -> None:
        """Drop what is remembered of a key."""
        self._quiet.pop(key, None)
        self._looker.forget(key)

    def _look(self, key: str, cursor: str, now_s: float) -> Observation:
        """Read one attempt's news; what cannot be read or understood is UNKNOWN."""
        self._quiet.pop(key, None)
        try:
            seen = self._read(key, Cursor.parse(cursor))
        except (OSError, ValueError, RefusedError):
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        if seen.presence is Presence.RUNNING and not seen.ends and seen.cursor:
            self._quiet[key] = (seen, now_s)
        return seen

    def _read(self, key: str, cursor: Cursor) -> Observation:
        """Return the news since the cursor."""
        sight = self._looker.look(key, cursor.offset)
        if sight.presence in (sights.ABSENT, sights.PREPARED):
            return Observation(key, Presence.ABSENT)
        if sight.presence == sights.UNKNOWN:
            return Observation(key, Presence.UNKNOWN, cursor=str(cursor))
        page = read_page(sight.data, cursor)
        self.unread = self.unread or sight.more
        return Observation(
            key,
            Presence(sight.presence),
            page.ends,
            page.cursor.started,
            page.cursor.first_start_ms,
            str(page.cursor) if sight.claimed else "",
            Reason(sight.reason) if sight.reason else None,
        )
