"""Output of tasks: read from the kubelet while they run, kept on the hub's disk afterwards.

The cluster has no offsets and keeps a log only as long as the pod. So an ended task's log is
brought home once, cut in its middle to the cap, and read from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from fenglin.drivers.kubernetes.api import ApiError
from fenglin.drivers.kubernetes.names import CONTAINER
from fenglin.errors import DriverError
from fenglin.ports.driver import LogChunk
from fenglin.runner.host.output import TaskLog

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.drivers.kubernetes.api import Api

READ_LIMIT_BYTES = 2**20
AT_ONCE = 16
# The container has not started, or the pod is not on a node yet.
NOT_YET = 400


class Logs:
    """Logs of one site's tasks."""

    def __init__(self, api: Api, pods: str, where: str) -> None:
        """Take the server and the path of the pods there."""
        self._api = api
        self._pods = pods
        self._where = where
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._under_way: dict[Path, asyncio.Task[None]] = {}

    async def live(self, pod: str, offset: int, limit: int, cap: int) -> bytes:
        """Return output of a task that runs: of its first half of the cap, which stays as it is.

        Raises:
            DriverError: it cannot be read now.
        """
        most = min(offset + max(0, min(limit, READ_LIMIT_BYTES)), cap // 2)
        if most <= offset:
            return b""
        params = {"container": CONTAINER, "limitBytes": str(most)}
        data = bytearray()
        try:
            async with contextlib.aclosing(self._api.stream(self._path(pod), params)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    data += piece
        except ApiError as error:
            if error.status in {NOT_YET, 404}:
                return b""
            raise
        return bytes(data[offset:most])

    async def bring(self, pod: str, path: Path, cap: int) -> None:
        """Bring an ended task's log home, unless it is there; callers share one transfer.

        Raises:
            DriverError: it cannot be read now; nothing is kept.
        """
        if await asyncio.to_thread(path.exists):
            return
        task = self._under_way.get(path)
        if task is None:
            task = self._under_way[path] = asyncio.create_task(self._bring(pod, path, cap))
            task.add_done_callback(lambda done: self._over(path, done))
        await asyncio.shield(task)

    async def close(self) -> None:
        """Give up transfers. Idempotent."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring(self, pod: str, path: Path, cap: int) -> None:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        async with self._gate:
            try:
                draft.write_bytes(b"")
                log = TaskLog(str(draft), cap)
                params = {"container": CONTAINER}
                try:
                    async with contextlib.aclosing(
                        self._api.stream(self._path(pod), params)  # type: ignore[type-var]
                    ) as pieces:
                        async for piece in pieces:
                            log.write(piece)
                except ApiError as error:
                    if error.status not in {NOT_YET, 404}:
                        raise
                finally:
                    log.close()
                draft.replace(path)
            except OSError as error:
                raise DriverError(
                    f"cannot keep a log: {error.strerror}",
                    where=self._where,
                    hint="is the hub's disk full?",
                ) from error

    def _over(self, path: Path, task: asyncio.Task[None]) -> None:
        self._under_way.pop(path, None)
        if not task.cancelled():
            task.exception()  # whoever still waits is told

    def _path(self, pod: str) -> str:
        return f"{self._pods}/{pod}/log"


def read_kept(path: Path, offset: int, limit: int) -> LogChunk | None:
    """Return a piece of a log that was brought home; None when it was not.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(offset)
            data = log.read(max(0, min(limit, READ_LIMIT_BYTES)))
    except FileNotFoundError:
        return None
    after = offset + len(data)
    return LogChunk(data, after, complete=after >= size)
