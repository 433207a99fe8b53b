# ruff: noqa: PTH120
"""The runner's record: an append-only file of one line per event, and the poke that tells of it.

    S INDEX PID UNIX_MS .                                             a task started
    E INDEX UNIX_MS WALL_MS EXIT REASON CPU_MS PEAK_BYTES .           a task ended
    D REASON UNIX_MS .                                                nothing follows

`REASON` is `-` for none, `peer` for a rank that was ended because another of its gang had failed
on another host. The closing dot tells a whole line from one that a crash tore. Lines wait in
memory while the disk is full; no end is ever dropped.
"""

from __future__ import annotations

import os
import time

JOURNAL = "journal"
POKE = "poke"
NONE = "-"
PEER = "peer"
POKE_INTERVAL_S = 0.01
SYNC_INTERVAL_S = 2.0
RETRY_FIRST_S = 0.1
RETRY_LAST_S = 2.0
NEVER_S = float("inf")


class Journal:
    """Appends lines in batches, one write each, and pokes the hub at most every 10 ms.

    Attributes:
        blocked: Whether lines wait because the disk did not take them.
    """

    def __init__(self, directory: str, key: str) -> None:
        """Open the journal of the attempt; the hub's FIFO stands two folders above."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(f"{directory}/{JOURNAL}", flags, 0o600)
        self._poke_path = f"{os.path.dirname(os.path.dirname(directory))}/{POKE}"
        self._poke_file = -1
        self._key = f"{key}\n".encode()
        self._pending = bytearray()
        self._retry_at_s = 0.0
        self._retry_wait_s = RETRY_FIRST_S
        self._poke_at_s = NEVER_S
        self._poked_s = 0.0
        self._sync_at_s = NEVER_S
        self.blocked = False

    def started(self, index: int, pid: int, unix_ms: int) -> None:
        """Add a start."""
        self._pending += b"S %d %d %d .\n" % (index, pid, unix_ms)

    def ended(
        self,
        index: int,
        started_ms: int,
        wall_ms: int,
        exit_code: int,
        reason: str,
        cpu_ms: int,
        peak_bytes: int,
    ) -> None:
        """Add an end."""
        self._pending += b"E %d %d %d %d %s %d %d .\n" % (
            index, started_ms, wall_ms, exit_code, (reason or NONE).encode(), cpu_ms, peak_bytes,
        )  # fmt: skip

    def done(self, reason: str, unix_ms: int) -> None:
        """Add the last line."""
        self._pending += b"D %s %d .\n" % ((reason or NONE).encode(), unix_ms)

    def flush(self, now_s: float) -> None:
        """Write what waits, if it is time; then sync and poke when they are due."""
        if self._pending and now_s >= self._retry_at_s:
            self._write(now_s)
        if now_s >= self._poke_at_s:
            self._poke(now_s)
        if now_s >= self._sync_at_s:
            self.sync()

    def due_s(self) -> float:
        """Return the monotonic time at which `flush` wants to be called at the latest."""
        retry = self._retry_at_s if self._pending else NEVER_S
        return min(retry, self._poke_at_s, self._sync_at_s)

    def close(self) -> None:
        """Write what is left, however long the disk stays full; sync; poke."""
        while self._pending:
            now_s = time.monotonic()
            time.sleep(max(0.0, self._retry_at_s - now_s))
            self._write(time.monotonic())
        self.sync()
        self._poke(time.monotonic())

    def sync(self) -> None:
        """Bring the journal to the disk, against loss of power while no hub reads it."""
        self._sync_at_s = NEVER_S
        try:
            os.fdatasync(self._file)
        except OSError:
            return

    def _write(self, now_s: float) -> None:
        """Write once; keep what did not fit and try again later, ever more slowly."""
        try:
            written = os.write(self._file, self._pending)
        except OSError:
            written = 0
        del self._pending[:written]
        if written:
            self._poke_at_s = min(self._poke_at_s, self._poked_s + POKE_INTERVAL_S)
            self._sync_at_s = min(self._sync_at_s, now_s + SYNC_INTERVAL_S)
        self.blocked = bool(self._pending)
        if self.blocked:
            self._retry_at_s = now_s + self._retry_wait_s
            self._retry_wait_s = min(RETRY_LAST_S, self._retry_wait_s * 2)
        else:
            self._retry_wait_s = RETRY_FIRST_S

    def _poke(self, now_s: float) -> None:
        """Write the key into the hub's FIFO; no hub listening, or a full FIFO, is no error."""
        self._poke_at_s = NEVER_S
        self._poked_s = now_s
        try:
            if self._poke_file < 0:
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
                self._poke_file = os.open(self._poke_path, flags)
            os.write(self._poke_file, self._key)
        except BlockingIOError:
            return
        except OSError:
            if self._poke_file >= 0:
                os.close(self._poke_file)
            self._poke_file = -1
