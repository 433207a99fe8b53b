"""Making an attempt exist at most once, whatever is asked twice, lost, late or killed half-way.

The array's name is the attempt's key. While `sbatch` runs, it holds a lock (an open file that it
inherits), so that nobody looks the name up too early, not even a hub that was killed and came
back while its old `sbatch` still waits for slurmctld. And should two arrays of one key come to
exist all the same, the attempt is bound to the one that comes first: elements of another find
the claim and end at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from fenglin.errors import DriverError
from fenglin.ports.crashpoint import crash_point
from fenglin.runner.host import claim as claims

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from fenglin.drivers.slurm.cluster import Cluster
    from fenglin.drivers.slurm.ground import Ground

LOCK_WITHIN_S = 22.0
LOCK_POLL_S = 0.02


class Submitter:
    """Submits attempts of one site."""

    def __init__(
        self, slurm: Cluster, ground: Ground, locks: Path, prefix: str, where: str
    ) -> None:
        """Take the cluster, the folders, one of this machine for locks, and how our names start."""
        self._slurm = slurm
        self._ground = ground
        self._locks = locks
        self._prefix = prefix
        self._where = where
        self._running: dict[str, asyncio.Task[None]] = {}

    async def submit(
        self, key: str, path: Path, options: Sequence[str], script: str, *, fresh: bool
    ) -> None:
        """Make the array exist, unless it does; callers that give up do not end what has begun.

        Args:
            key: Attempt key.
            path: Its folder, with the order.
            options: Of sbatch.
            script: Batch script.
            fresh: Whether nobody can have submitted it before.

        Raises:
            DriverError: refused, or unclear.
        """
        task = self._running.get(key)
        if task is None:
            work = self._submit(key, path, options, script, fresh=fresh)
            task = self._running[key] = asyncio.create_task(work)
            task.add_done_callback(lambda done: self._over(key, done))
        await asyncio.shield(task)

    def busy(self, key: str) -> bool:
        """Return whether an `sbatch` for the key may be on its way, of this hub or a former one."""
        if key in self._running or self._ground.is_busy(key):
            return True
        try:
            file = os.open(self._lock_path(key), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    async def cancel_unbound(self, key: str, path: Path) -> None:
        """End arrays of the key to which its attempt is not bound.

        Raises:
            DriverError: they could not be listed or ended.
        """
        claim = await asyncio.to_thread(claims.read, str(path))
        bound = claim.pid if claim is not None else 0
        found = await self._slurm.queue(self._prefix, key)
        for array in found.get(key, {}):
            if array != bound:
                await self._slurm.cancel(array)

    def forget(self, key: str) -> None:
        """Drop the lock of a key that has ended."""
        self._lock_path(key).unlink(missing_ok=True)

    async def close(self) -> None:
        """Let go of submissions under way; what became of them is looked up later."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _over(self, key: str, task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever still waits is told; nobody else need be

    async def _submit(
        self, key: str, path: Path, options: Sequence[str], script: str, *, fresh: bool
    ) -> None:
        async with self._locked(key) as lock:
            if await asyncio.to_thread(claims.read, str(path)) is not None:
                return
            array = 0 if fresh else await self._look_up(key)
            if not array:
                array = await self._slurm.submit(options, script, lock, key)
                crash_point("c4")
            if not await self._ground.bind(path, array):
                await self._slurm.cancel(array)

    async def _look_up(self, key: str) -> int:
        """Return the array that a former call made; 0 for none."""
        await self._slurm.settle(key)
        found = (await self._slurm.queue(self._prefix, key)).get(key, {})
        return min(found, default=0)

    @contextlib.asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[int]:
        """Hold the key's lock; it outlives us in an `sbatch` that does.

        Raises:
            DriverError: an earlier `sbatch` still has it.
        """
        file = os.open(self._lock_path(key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end_s = time.monotonic() + LOCK_WITHIN_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end_s:
                        raise DriverError(
                            f"an earlier sbatch of {key} has not answered yet",
                            where=self._where,
                            hint="is slurmctld up? try `scontrol ping`",
                            effect_unknown=True,
                        ) from None
                    await asyncio.sleep(LOCK_POLL_S)
            yield file
        finally:
            os.close(file)

    def _lock_path(self, key: str) -> Path:
        return self._locks / f"{key}.lock"
