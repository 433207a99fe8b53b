"""Input files on their way to hosts: by content address, each only where it is missing.

An upload goes on when the call that wanted it has given up: the next call finds it done, so a
file that takes longer than a start may last arrives all the same.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import asyncssh

from fenglin.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.remote.agent import Remote
    from fenglin.remote.contents import Content


class Uploads:
    """Brings files to nodes."""

    def __init__(self) -> None:
        """Nothing is on its way."""
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def bring(self, remote: Remote, contents: Sequence[Content]) -> None:
        """Have every file on a node's host.

        Raises:
            DriverError: one cannot be brought; what did arrive stays for the next time.
        """
        sources = {one.digest: one.source for one in contents if one.digest}
        if not sources:
            return
        answer, _ = await remote.ask("lacks", digests=sorted(sources))
        uploads = str(answer["uploads"])
        lacks = [digest for digest in map(str, answer["lacks"]) if digest in sources]
        tasks = [self._task(remote, digest, sources[digest], uploads) for digest in lacks]
        await asyncio.gather(*(asyncio.shield(task) for task in tasks))

    async def close(self) -> None:
        """Give up what is on its way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _task(self, remote: Remote, digest: str, source: str, uploads: str) -> asyncio.Task[None]:
        place = (remote.node, digest)
        if place not in self._tasks:
            task = self._tasks[place] = asyncio.create_task(
                _upload(remote, digest, source, uploads)
            )
            task.add_done_callback(lambda _: self._tasks.pop(place, None))
        return self._tasks[place]


async def _upload(remote: Remote, digest: str, source: str, uploads: str) -> None:
    """Send one file and have it taken in."""
    name = f"{digest}.{os.urandom(6).hex()}"
    async with remote.line.files:
        sftp = await remote.line.sftp()
        try:
            await sftp.put(source, f"{uploads}/{name}")
        except (asyncssh.Error, OSError) as error:
            remote.line.drop_sftp(sftp)
            raise DriverError(
                f"cannot bring {source} to {remote.node}: {error}",
                where=f"node {remote.node}",
                hint="is there room on the host's disk?",
            ) from error
    await remote.ask("take", digest=digest, name=name)
