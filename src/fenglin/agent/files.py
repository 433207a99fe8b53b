"""Files at the site: inputs on their way to tasks, artifacts on their way to the hub.

What a task left lies in `artifacts/KEY/TASK/…` until the hub has all of it; so the folder is the
list of what is still to be brought, after a crash too.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from fenglin.errors import FenglinError
from fenglin.ports.driver import Observation, Presence, StagedInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fenglin.agent.link import Link
    from fenglin.ports.agent import StartAsk
    from fenglin.ports.driver import StartOrder

MOST_AT_ONCE = 4
AGAIN_S = 2.0

_log = structlog.get_logger("fenglin.agent")


class Files:
    """The agent's folders of inputs and artifacts."""

    def __init__(self, folder: Path, link: Link, wake: Callable[[], None]) -> None:
        """Make the folders."""
        self._inputs = folder / "inputs"
        self._contents = folder / "contents"
        self._artifacts = folder / "artifacts"
        for place in (self._inputs, self._contents, self._artifacts):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._link = link
        self._wake = wake
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._bringing: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def stage(self, ask: StartAsk) -> StartOrder:
        """Fetch an order's inputs; return the order as this machine's driver needs it.

        A file that is being fetched already is waited for, and stays for the next attempt.

        Raises:
            FenglinError: one cannot be fetched.
        """
        order = ask.order
        own = self._inputs / order.key
        own.mkdir(exist_ok=True)
        wanted = sorted({one.digest for one in ask.inputs if one.digest})
        await asyncio.gather(*(self._fetch(order.key, digest) for digest in wanted))
        for digest in wanted:
            if not (own / digest).exists():
                os.link(self._contents / digest, own / digest)
        inputs = tuple(
            # One that is gone at the hub is missing here too, and the driver says so.
            StagedInput(one.target, str(own / (one.digest or "gone")), one.executable)
            for one in ask.inputs
        )
        return replace(order, inputs=inputs, artifacts_dir=str(self._artifacts / order.key))

    def settled(self, seen: Observation, cursor: str) -> Observation:
        """Hold an attempt's ends back until the hub has what their tasks left.

        Args:
            seen: What the driver tells.
            cursor: From which it was asked.
        """
        left = [
            end.index
            for end in seen.ends
            if end.reason is None and (self._artifacts / seen.key / str(end.index)).is_dir()
        ]
        if not left:
            return seen
        for task in left:
            self._begin(seen.key, task)
        return Observation(
            seen.key,
            Presence.RUNNING,
            started=seen.started,
            first_start_ms=seen.first_start_ms,
            cursor=cursor,
        )

    async def forget(self, key: str) -> None:
        """Drop what an attempt needed here."""
        await asyncio.to_thread(self._drop, key)

    async def close(self) -> None:
        """Give up what is on its way; it goes on after the next start."""
        tasks = [*self._fetching.values(), *self._bringing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, key: str, digest: str) -> None:
        goal = self._contents / digest
        if goal.exists():
            return
        if digest not in self._fetching:
            task = self._fetching[digest] = asyncio.create_task(self._fetch_gently(key, digest))
            task.add_done_callback(lambda ended: self._fetched(digest, ended))
        await asyncio.shield(self._fetching[digest])

    def _fetched(self, digest: str, ended: asyncio.Task[None]) -> None:
        del self._fetching[digest]
        if not ended.cancelled():
            # Whoever asked may have gone away; the next attempt fetches it again.
            ended.exception()

    async def _fetch_gently(self, key: str, digest: str) -> None:
        async with self._gate:
            await self._link.fetch(key, digest, self._contents / digest)

    def _begin(self, key: str, task: int) -> None:
        place = (key, task)
        if place not in self._bringing:
            bringing = self._bringing[place] = asyncio.create_task(self._bring(key, task))
            bringing.add_done_callback(lambda _: self._bringing.pop(place, None))

    async def _bring(self, key: str, task: int) -> None:
        """Bring one task's files; what fails is tried again at the next look."""
        folder = self._artifacts / key / str(task)
        try:
            async with self._gate:
                for file in await asyncio.to_thread(_regular, folder):
                    path = file.relative_to(folder).as_posix()
                    await self._link.bring(
                        (key, task, path), file, executable=os.access(file, os.X_OK)
                    )
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        except (FenglinError, OSError) as error:
            _log.warning("artifacts_wait", attempt=key, task=task, error=str(error))
            await asyncio.sleep(AGAIN_S)
        self._wake()

    def _drop(self, key: str) -> None:
        shutil.rmtree(self._artifacts / key, ignore_errors=True)
        own = self._inputs / key
        try:
            digests = [one.name for one in own.iterdir()]
        except FileNotFoundError:
            return
        shutil.rmtree(own, ignore_errors=True)
        for digest in digests:
            content = self._contents / digest
            try:
                if content.stat().st_nlink == 1:
                    content.unlink()
            except FileNotFoundError:
                continue


def _regular(folder: Path) -> list[Path]:
    """Return the regular files below a folder; links are left out."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
