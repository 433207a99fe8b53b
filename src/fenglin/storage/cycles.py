"""Kept cycles in a folder: one compressed file each, named by what a list of them shows."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
import zlib
from typing import TYPE_CHECKING, NamedTuple

import structlog

from fenglin.errors import DamageError, NotFoundError
from fenglin.ports.crashpoint import crash_point
from fenglin.wire.views import PlanView

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_CYCLES = 10_000
MOST_BYTES = 2**30
# Cycles that wait to be written, each with a whole snapshot in memory; beyond that the disk is
# too slow for the pace and a cycle is not kept.
MOST_WAITING = 8
# One of a long queue takes some ten MiB: of such fewer may wait.
MOST_WAITING_JOBS = 150_000
_NAME = re.compile(r"(\d{12,})-(\d{1,15})-(\d{1,9})-(\d{1,9})\.cycle", re.ASCII)

_log = structlog.get_logger("fenglin.cycles")


class _Job(NamedTuple):
    name: str
    jobs: int
    record: Callable[[], bytes]


class FolderCycles:
    """Implements `ports.cycles.Cycles` on a local folder; a thread of its own writes."""

    def __init__(
        self, folder: Path, *, most: int = MOST_CYCLES, most_bytes: int = MOST_BYTES
    ) -> None:
        """Open the folder, made if there is none; `most` cycles and bytes are kept."""
        self._folder = folder
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: queue.Queue[_Job | None] = queue.Queue(MOST_WAITING)
        # Jobs of the cycles that wait to be written.
        self._jobs = 0
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._kept = {entry.index: entry for entry in self._found()}
        self._bytes = sum(entry.size_bytes for entry in self._kept.values())
        self._thread = threading.Thread(target=self._write_all, name="fenglin-cycles", daemon=True)
        self._thread.start()

    def keep(
        self, index: int, now_ms: int, *, starts: int, waiting: int, record: Callable[[], bytes]
    ) -> bool:
        """See `ports.cycles.Cycles`."""
        name = f"{index:012d}-{now_ms}-{starts}-{waiting}.cycle"
        with self._lock:
            if self._jobs and self._jobs + waiting > MOST_WAITING_JOBS:
                return False
            try:
                self._waiting.put_nowait(_Job(name, waiting, record))
            except queue.Full:
                return False
            self._jobs += waiting
        return True

    def entries(self) -> list[PlanView]:
        """See `ports.cycles.Cycles`."""
        kept = dict(self._kept)
        return [kept[index] for index in sorted(kept, reverse=True)]

    def read(self, index: int) -> bytes:
        """See `ports.cycles.Cycles`."""
        entry = self._kept.get(index)
        if entry is None:
            raise NotFoundError(
                f"cycle {index} is not kept", hint="`fenglin plan list` shows which are"
            )
        path = self._folder / _name_of(entry)
        try:
            return zlib.decompress(path.read_bytes())
        except FileNotFoundError:
            raise NotFoundError(f"cycle {index} is kept no longer") from None
        except (OSError, zlib.error) as error:
            raise DamageError(f"cycle {index} cannot be read: {error}", where=str(path)) from error

    async def close(self) -> None:
        """See `ports.cycles.Cycles`."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._waiting.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        while (job := self._waiting.get()) is not None:
            try:
                self._write(job)
            except OSError as error:
                _log.warning("cycle_not_kept", error=str(error))
            with self._lock:
                self._jobs -= job.jobs
            # Its snapshot need not stay until the next one comes.
            del job

    def _write(self, job: _Job) -> None:
        """Write a cycle under its name at once whole, then make room."""
        data = zlib.compress(job.record(), 1)
        part = self._folder / f".{job.name}"
        part.write_bytes(data)
        crash_point("c17")
        part.replace(self._folder / job.name)
        entry = _entry_of(job.name, len(data))
        assert entry is not None  # noqa: S101 - the name was made above
        self._kept[entry.index] = entry
        self._bytes += entry.size_bytes
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            oldest = self._kept.pop(min(self._kept))
            self._bytes -= oldest.size_bytes
            (self._folder / _name_of(oldest)).unlink(missing_ok=True)

    def _found(self) -> list[PlanView]:
        """Return what a former hub kept, and clear away what it did not finish."""
        found: list[PlanView] = []
        for path in sorted(self._folder.iterdir()):
            entry = _entry_of(path.name, path.stat().st_size)
            if entry is not None:
                found.append(entry)
            elif path.name.startswith(".") and path.name.endswith(".cycle"):
                path.unlink(missing_ok=True)
        return found


def _entry_of(name: str, size_bytes: int) -> PlanView | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    index, now_ms, starts, waiting = map(int, match.groups())
    return PlanView(index, now_ms, starts, waiting, size_bytes)


def _name_of(entry: PlanView) -> str:
    return f"{entry.index:012d}-{entry.now_ms}-{entry.starts}-{entry.waiting}.cycle"
