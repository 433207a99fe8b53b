"""Artifacts on their way from a far cluster: an end is told only when they are here."""

from __future__ import annotations

import asyncio
import os
import stat
from collections import deque
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import asyncssh
import structlog
from msgspec.structs import replace

from fenglin.drivers.slurm.shared import OUTPUTS
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.runner.host.journal import NONE
from fenglin.runner.host.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fenglin.drivers.slurm.picture import Picture, Piece
    from fenglin.remote.agent import Remote

_log = structlog.get_logger("fenglin.slurm")


class Homing:
    """Writes pieces of journals in their order, each after its artifacts have come."""

    def __init__(self, remote: Remote, picture: Picture, wake: Callable[[], None]) -> None:
        """Take the agent, where pieces are written, and whom to tell."""
        self._remote = remote
        self._picture = picture
        self._wake = wake
        self._queues: dict[tuple[str, int], deque[Piece]] = {}
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}

    def keep_back(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Take pieces that must wait; return those that need not."""
        ready = []
        for piece in pieces:
            place = (piece.key, piece.element)
            if piece.tasks or place in self._queues:
                self._queues.setdefault(place, deque()).append(piece)
            else:
                ready.append(piece)
        return ready

    def go_on(self) -> None:
        """Fetch what waits and is not being fetched."""
        for place in self._queues:
            if place not in self._tasks:
                task = self._tasks[place] = asyncio.create_task(self._work(place))
                task.add_done_callback(partial(self._over, place))

    def is_waiting(self, key: str) -> bool:
        """Return whether a piece of an attempt is still to be written."""
        return any(place[0] == key for place in self._queues)

    def forget(self, key: str) -> None:
        """Drop what waits of an attempt."""
        for place in [place for place in self._queues if place[0] == key]:
            del self._queues[place]

    async def close(self) -> None:
        """Give up what is on its way; it is fetched anew after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, place: tuple[str, int], task: asyncio.Task[None]) -> None:
        self._tasks.pop(place, None)
        if not task.cancelled():
            task.exception()

    async def _work(self, place: tuple[str, int]) -> None:
        """Write an element's pieces; what fails is tried again after the next look."""
        try:
            while (queue := self._queues.get(place)) and queue:
                piece = queue[0]
                for task in piece.tasks:
                    if not await self._fetch(piece.key, task):
                        piece = _spoiled(piece, task)
                await asyncio.to_thread(self._picture.write, piece)
                queue.popleft()
            self._queues.pop(place, None)
        except (DriverError, OSError, asyncssh.Error) as error:
            _log.warning("artifacts_wait", attempt=place[0], error=str(error))
        self._wake()

    async def _fetch(self, key: str, task: int) -> bool:
        """Bring a task's artifacts beside its journal; return whether they were there."""
        answer, _ = await self._remote.ask("kept", key=key, tasks=[task])
        folder = self._picture.path(key) / OUTPUTS
        draft = folder / f".{task}.{os.urandom(4).hex()}"
        try:
            for _, name, _, mode in answer["files"]:
                parts = PurePosixPath(str(name)).parts
                if not parts or parts[0] == "/" or ".." in parts or "\0" in str(name):
                    raise DriverError(f"refused: an artifact named {str(name)[:80]!r}")
                target = draft.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                await self._get(f"{answer['base']}/{task}/{name}", str(target))
                target.chmod(0o755 if int(mode) & stat.S_IXUSR else 0o644)
            if answer["files"]:
                await asyncio.to_thread(remove_tree, str(folder / str(task)))
                draft.rename(folder / str(task))
        except asyncssh.SFTPNoSuchFile:
            return False
        finally:
            await asyncio.to_thread(remove_tree, str(draft))
        return True

    async def _get(self, source: str, target: str) -> None:
        """Fetch one file."""
        line = self._remote.line
        async with line.files:
            sftp = await line.sftp()
            try:
                await sftp.get(source, target)
            except asyncssh.SFTPNoSuchFile:
                raise
            except (asyncssh.Error, OSError):
                line.drop_sftp(sftp)
                raise


def _spoiled(piece: Piece, task: int) -> Piece:
    """Return a piece in which a task has failed: its artifacts cannot be had."""
    rows = []
    for line in piece.data.split(b"\n"):
        words = line.split(b" ")
        if words[0] == b"E" and words[1] == b"%d" % task and words[5] == NONE.encode():
            words[4], words[5] = b"1", Reason.STAGING_FAILED.value.encode()
        rows.append(b" ".join(words))
    return replace(piece, data=b"\n".join(rows))
