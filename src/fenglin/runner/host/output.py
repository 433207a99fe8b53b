# ruff: noqa: PTH105, PTH108, PTH208
"""A task's output on disk: the first half of the cap, and the end of what came after.

The middle is dropped by writing the later part to two segments in turn; the older is thrown
away when the newer is full. So no output waits in memory, and a crash leaves all three files.
"""

from __future__ import annotations

import os

TAIL_OLD = ".tail0"
TAIL_NEW = ".tail1"


class TaskLog:
    """Takes one task's output; makes no file before there is any."""

    __slots__ = ("_dropped", "_head", "_head_left", "_old", "_path", "_room", "_segment", "_tail")

    def __init__(self, path: str, cap_bytes: int) -> None:
        """Take the path of the log and the most bytes to keep."""
        self._path = path
        self._head_left = max(1, cap_bytes // 2)
        self._segment = max(1, cap_bytes // 4)
        self._head = -1
        self._tail = -1
        self._room = 0
        self._old = 0
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Keep or drop the next piece of output; a full disk drops it and is counted."""
        view = memoryview(data)
        if self._head_left:
            kept = view[: self._head_left]
            if self._head < 0:
                self._head = _create(self._path)
            self._dropped += len(kept) - _write(self._head, kept)
            self._head_left -= len(kept)
            view = view[len(kept) :]
        while view:
            if not self._room:
                self._next_segment()
            kept = view[: self._room]
            self._dropped += len(kept) - _write(self._tail, kept)
            self._room -= len(kept)
            view = view[len(kept) :]

    def note(self, text: str) -> None:
        """Add a line of the runner's own, for people."""
        self.write(f"fenglin: {text}\n".encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        """Join the parts; a line tells how many bytes are missing between them."""
        if self._tail >= 0:
            os.close(self._tail)
        if self._head < 0:
            return
        if self._dropped:
            _write(self._head, b"\nfenglin: %d bytes of output dropped here\n" % self._dropped)
        if not self._head_left:
            for suffix in (TAIL_OLD, TAIL_NEW):
                _append(self._head, self._path + suffix)
        os.close(self._head)
        self._head = self._tail = -1

    def _next_segment(self) -> None:
        """Throw the older segment away and start a new one."""
        new, old = self._path + TAIL_NEW, self._path + TAIL_OLD
        if self._tail >= 0:
            self._dropped += self._old
            self._old = self._segment
            os.close(self._tail)
            os.replace(new, old)
        self._tail = _create(new)
        self._room = self._segment


def mend(directory: str) -> None:
    """Join what a killed runner left apart; how much is missing between is not known."""
    for name in os.listdir(directory):
        if not name.endswith(TAIL_NEW):
            continue
        path = f"{directory}/{name.removesuffix(TAIL_NEW)}"
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write(log, b"\nfenglin: output may be missing here, its keeper was killed\n")
            for suffix in (TAIL_OLD, TAIL_NEW):
                _append(log, path + suffix)
        finally:
            os.close(log)


def _create(path: str) -> int:
    """Open a new file for appending; -1 when the disk is full, so that output is counted."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except OSError:
        return -1


def _write(file: int, data: bytes | memoryview) -> int:
    """Return how many bytes the disk took."""
    if file < 0:
        return 0
    done = 0
    while done < len(data):
        try:
            done += os.write(file, data[done:])
        except OSError:
            break
    return done


def _append(target: int, path: str) -> None:
    """Append a file to the log and remove it."""
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        while data := os.read(source, 2**16):
            _write(target, data)
    finally:
        os.close(source)
    os.unlink(path)
