# ruff: noqa: TID252
"""What is to be seen of an attempt: its journal from an offset, and a dead runner's tombstone."""

from __future__ import annotations

import fcntl
import os
import time

from . import claim as claims
from . import isolation, proc
from .attempts import closing
from .journal import JOURNAL, NONE
from .order import ORDER
from .output import mend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .attempts import Attempts

# One look reads at most this much of one journal, some 5,000 ends; the next one reads on.
PAGE_BYTES = 2**18
LOST_EXIT_CODE = 128 + proc.SIGKILL
KILL_WAIT_S = 0.2
KILL_POLL_S = 0.01

ABSENT = "absent"
PREPARED = "prepared"
RUNNING = "running"
ENDED = "ended"
UNKNOWN = "unknown"


class Sight:
    """What one look has found.

    Attributes:
        presence: ABSENT, PREPARED (an order is there and no runner), RUNNING, ENDED (nothing
            follows `data`) or UNKNOWN.
        reason: Why it ended early; empty when it did not.
        data: What the journal holds from the offset on, at most a page.
        more: Whether more follows.
        claimed: Whether a runner has the attempt or had it.
    """

    __slots__ = ("claimed", "data", "more", "presence", "reason")

    def __init__(self, presence: str, reason: str = "") -> None:
        """Take what is known without a look into the journal."""
        self.presence = presence
        self.reason = reason
        self.data = b""
        self.more = False
        self.claimed = False


class Looker:
    """Looks at attempts, one at a time."""

    def __init__(self, attempts: Attempts, now_ms: Callable[[], int]) -> None:
        """Take the folders and a clock (Unix time in milliseconds)."""
        self._attempts = attempts
        self._now_ms = now_ms
        self._alive_ms: dict[str, int] = {}

    def look(self, key: str, offset: int) -> Sight:
        """Return what there is since an offset; 0 when nothing was read yet.

        Whether the runner lives is asked before its journal is read, so that what it wrote last
        is not missed.

        Raises:
            OSError, ValueError, RefusedError: it cannot be read now.
        """
        folder = self._attempts.folder(key)
        if folder is None:
            return Sight(ABSENT)
        claim = claims.read(str(folder)) or self._unclaimed(key, folder)
        if isinstance(claim, str):
            return Sight(claim)
        if claim.void:
            return Sight(ENDED, claim.void)
        alive = self._attempts.alive(claim)
        last = closing(folder)
        data = _page(folder, offset)
        if not alive and last is None and len(data) < PAGE_BYTES:
            if not self._bury(key, folder, claim, offset):
                return Sight(UNKNOWN)
            last, data = closing(folder), _page(folder, offset)
        if alive:
            self._alive_ms[key] = self._now_ms()
        sight = Sight(RUNNING)
        sight.data, sight.more, sight.claimed = data, len(data) == PAGE_BYTES, True
        if last is not None and not sight.more:
            sight.presence, sight.reason = ENDED, "" if last == NONE else last
            self.forget(key)
        return sight

    def forget(self, key: str) -> None:
        """Drop what is remembered of a key."""
        self._alive_ms.pop(key, None)

    def _unclaimed(self, key: str, folder: Path) -> claims.Claim | str:
        """Judge a folder without a claim.

        Ours to start again unless a runner of ours is on its way. One that ended without a
        claim would end so every time: the attempt is closed.
        """
        pid = self._attempts.unclaimed_pid(key)
        if pid > 0:
            return RUNNING
        if pid < 0:
            return PREPARED if (folder / ORDER).exists() else ABSENT
        claims.take(str(folder), claims.Claim(0, 0, "", "start_failed"))
        return claims.read(str(folder)) or UNKNOWN

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
        reason = "node_rebooted" if rebooted else "runner_lost"
        file = os.open(folder / JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            data = _whole(file)
            if closing(folder) is not None:
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


def unended(data: bytes) -> dict[int, int]:
    """Return task index → Unix time of its start, for tasks that started and have no end."""
    running: dict[int, int] = {}
    for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
        words = line.split(b" ")
        if words[-1] != b".":
            continue
        if words[0] == b"S" and len(words) == 5:
            running[int(words[1])] = int(words[3])
        elif words[0] == b"E" and len(words) == 9:
            running.pop(int(words[1]), None)
    return running


def has_ended(data: bytes, task: int) -> bool:
    """Return whether the task has an end, or the attempt has, without parsing every line."""
    if data.startswith((b"E %d " % task, b"D ")):
        return True
    return b"\nE %d " % task in data or b"\nD " in data


def _page(folder: Path, offset: int) -> bytes:
    """Return the next page; empty when there is none."""
    try:
        file = os.open(folder / JOURNAL, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(file, PAGE_BYTES, offset)
    finally:
        os.close(file)


def _killed(key: str, claim: claims.Claim) -> bool:
    """Kill what the runner left; return whether nothing of it lives any more."""
    deadline_s = time.monotonic() + KILL_WAIT_S
    while proc.kill_leftovers(key, claim.pid, claim.start_ticks) + isolation.kill_leftovers(key):
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
