"""What the hub learns of its attempts: journals read from cursors, and dead runners' tombstones.

A quiet attempt costs a dictionary lookup: its journal is opened when its runner has poked us,
when the cursor is not the one we handed out last, or once a second for certainty.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from fenglin.drivers.local.records import Cursor, Page, read_page, unended
from fenglin.drivers.local.runner import claim as claims
from fenglin.drivers.local.runner import proc
from fenglin.drivers.local.runner.journal import JOURNAL
from fenglin.drivers.local.runner.output import mend
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Observation, Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fenglin.drivers.local.attempts import Attempts

SWEEP_INTERVAL_S = 1.0
# One look reads at most this much of one journal, some 5,000 ends; the next cycle reads on.
PAGE_BYTES = 2**18
LOST_EXIT_CODE = 128 + proc.SIGKILL
KILL_WAIT_S = 0.2
KILL_POLL_S = 0.01


class Observer:
    """Looks at attempts; one pass at a time, from a worker thread.

    Attributes:
        unread: Whether the last pass left news for the next, since one pass reads a page only.
    """

    def __init__(self, attempts: Attempts, now_ms: Callable[[], int]) -> None:
        """Take the folders and the clock of the context."""
        self._attempts = attempts
        self._now_ms = now_ms
        self.unread = False
        self._quiet: dict[str, tuple[Observation, float]] = {}
        self._alive_ms: dict[str, int] = {}

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
        self._alive_ms.pop(key, None)

    def _look(self, key: str, cursor: str, now_s: float) -> Observation:
        """Read one attempt's news; what cannot be read or understood is UNKNOWN."""
        self._quiet.pop(key, None)
        try:
            seen = self._read(key, Cursor.parse(cursor))
        except (OSError, ValueError, DriverError):
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        if seen.presence is Presence.RUNNING and not seen.ends and seen.cursor:
            self._quiet[key] = (seen, now_s)
        elif seen.presence is not Presence.RUNNING:
            self._alive_ms.pop(key, None)
        return seen

    def _read(self, key: str, cursor: Cursor) -> Observation:
        """Return the news since the cursor.

        Whether the runner lives is asked before its journal is read, so that what it wrote last
        is not missed.
        """
        folder = self._attempts.folder(key)
        if folder is None:
            return Observation(key, Presence.ABSENT)
        claim = claims.read(str(folder)) or self._unclaimed(key, folder)
        if isinstance(claim, Presence):
            return Observation(key, claim)
        if claim.void:
            return Observation(key, Presence.ENDED, reason=Reason(claim.void))
        alive = self._attempts.alive(claim)
        page, more = _page(folder, cursor)
        if not alive and not more and not page.done:
            if not self._bury(key, folder, claim, cursor.offset):
                return Observation(key, Presence.UNKNOWN, cursor=str(cursor))
            page, more = _page(folder, cursor)
        if alive:
            self._alive_ms[key] = self._now_ms()
        self.unread = self.unread or more
        return Observation(
            key,
            Presence.ENDED if page.done else Presence.RUNNING,
            page.ends,
            page.cursor.started,
            page.cursor.first_start_ms,
            str(page.cursor),
            page.reason,
        )

    def _unclaimed(self, key: str, folder: Path) -> claims.Claim | Presence:
        """Judge a folder without a claim.

        Ours to start again (ABSENT) unless a runner of ours is on its way (RUNNING). One that
        ended without a claim would end so every time: the attempt is closed.
        """
        pid = self._attempts.unclaimed_pid(key)
        if pid != 0:
            return Presence.RUNNING if pid > 0 else Presence.ABSENT
        claims.take(str(folder), claims.Claim(0, 0, "", Reason.START_FAILED.value))
        return claims.read(str(folder)) or Presence.UNKNOWN

    def _bury(self, key: str, folder: Path, claim: claims.Claim, offset: int) -> bool:
        """Close the journal of a dead runner; return False while a task of it still lives.

        The ends are written into the journal itself, so that every later reader, from whatever
        cursor, is told the same. A loss of power may have cut lines that the hub knows already
        (the runner syncs every two seconds): the file is padded to the hub's offset, and tasks
        whose start alone was left are told to have ended with the machine.
        """
        rebooted = claim.boot != self._attempts.boot
        if not rebooted and not _killed(key, claim):
            return False
        mend(str(folder))
        reason = Reason.NODE_REBOOTED if rebooted else Reason.RUNNER_LOST
        file = os.open(folder / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            data = _whole(file)
            if read_page(data, Cursor()).done:
                return True
            # Usage is counted up to the last proof of life, not to the time of discovery.
            proof_ms = max(os.fstat(file).st_mtime_ns // 1_000_000, self._alive_ms.get(key, 0))
            torn = bool(data) and not data.endswith(b"\n")
            padding = "\n" * max(torn, offset - len(data))
            rows = [
                f"E {index} {start} {max(0, proof_ms - start)} {LOST_EXIT_CODE} {reason} 0 0 ."
                for index, start in unended(data).items()
            ]
            rows += [f"D {reason} {self._now_ms()} .", ""]
            _append(file, (padding + "\n".join(rows)).encode())
        finally:
            os.close(file)
        return True


def _page(folder: Path, cursor: Cursor) -> tuple[Page, bool]:
    """Return the next page and whether more follows it."""
    try:
        file = os.open(folder / JOURNAL, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return Page(cursor, ()), False
    try:
        data = os.pread(file, PAGE_BYTES, cursor.offset)
    finally:
        os.close(file)
    return read_page(data, cursor), len(data) == PAGE_BYTES


def _killed(key: str, claim: claims.Claim) -> bool:
    """Kill what the runner left; return whether nothing of it lives any more."""
    deadline_s = time.monotonic() + KILL_WAIT_S
    while proc.kill_leftovers(key, claim.pid, claim.start_ticks):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(KILL_POLL_S)
    return True


def _whole(file: int) -> bytes:
    """Return a whole journal."""
    parts = []
    offset = 0
    while data := os.pread(file, 2**20, offset):
        parts.append(data)
        offset += len(data)
    return b"".join(parts)


def _append(file: int, data: bytes) -> None:
    """Append and sync.

    Raises:
        OSError: the disk is full; what was written of the last line is torn and ignored.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    os.fsync(file)
