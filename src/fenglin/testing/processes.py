"""Which processes belong to a test's hub: found by its folder, never by a name."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path


def below(folder: Path) -> list[int]:
    """Return the pids of runners and tasks of the hub whose folder this is, zombies left out."""
    place = os.fsencode(folder.absolute()) + b"/"
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and _belongs(entry, place)
    ]


def kill(folder: Path) -> None:
    """Kill what a test has left behind, runners before they can start anything new."""
    for _ in range(10):
        pids = below(folder)
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _belongs(entry: Path, place: bytes) -> bool:
    """Return whether a process runs an attempt of the hub, or a task of one."""
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
        names = (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    runner = any(word.startswith(place) and b"/sites/" in word for word in words)
    return runner or any(n.startswith(b"FENGLIN_ARTIFACTS_DIR=" + place) for n in names)
