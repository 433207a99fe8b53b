"""Output of attempts, brought to the hub before their instances are given back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fenglin.ports.driver import LogChunk
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.drivers.cloud.attempts import Attempt
    from fenglin.ports.driver import Driver

PIECE_BYTES = 2**20
PIECES = 64


class Logs:
    """Files `logs/KEY/INDEX`."""

    def __init__(self, directory: Path) -> None:
        """Take the site's folder."""
        self._folder = directory / "logs"

    async def bring(self, attempt: Attempt, driver: Driver) -> None:
        """Copy the output of all tasks; what is there already is kept.

        Raises:
            DriverError: some may be there and cannot be read now.
            OSError: the hub's disk refuses.
        """
        folder = self._folder / attempt.key
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        for start, stop in TaskSet.parse(attempt.tasks).runs:
            for task in range(start, stop):
                path = folder / str(task)
                if not await asyncio.to_thread(path.exists):
                    await self._one(path, attempt.key, task, driver)

    async def _one(self, path: Path, key: str, task: int, driver: Driver) -> None:
        parts: list[bytes] = []
        offset = 0
        for _ in range(PIECES):
            chunk = await driver.read_log(key, task, offset, PIECE_BYTES)
            parts.append(chunk.data)
            offset = chunk.next_offset
            if chunk.complete or not chunk.data:
                break
        data = b"".join(parts)
        if data:
            draft = path.with_name(f".{path.name}")
            await asyncio.to_thread(draft.write_bytes, data)
            await asyncio.to_thread(draft.replace, path)

    async def read(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return a piece of what was brought; all of it is there.

        Raises:
            OSError: it cannot be read now.
        """
        return await asyncio.to_thread(self._read, key, task, offset, limit)

    def _read(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        try:
            with (self._folder / key / str(task)).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(offset)
                data = file.read(limit)
        except FileNotFoundError:
            return LogChunk(b"", offset, complete=True)
        after = offset + len(data)
        return LogChunk(data, after, complete=after >= size)
