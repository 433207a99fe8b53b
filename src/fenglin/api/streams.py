"""Answers that are sent piece by piece: followed logs, kept files, exports.

An answer that has begun can no longer become an error. When one fails midway the connection
ends without the closing chunk, so that a client sees that something is missing.
"""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from litestar.response import Stream

from fenglin.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from fenglin.api.desk import Desk
    from fenglin.ports.driver import LogChunk
    from fenglin.ports.hub import Principal

PIECE_BYTES = 2**20
# With what the hub caches of tokens, a silent stream of a revoked one ends within 5 s.
FOLLOW_STEP_S = 2.5


async def primed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the same pieces after the first has been made.

    What is wrong from the start (no right, no such thing) is then raised while it can still
    become a proper error.
    """
    first = await anext(pieces, None)

    async def all_of_them() -> AsyncIterator[bytes]:
        if first is not None:
            yield first
            async for piece in pieces:
                yield piece

    return all_of_them()


async def follow(
    desk: Desk,
    headers: Mapping[bytes, bytes],
    who: Principal,
    number: int,
    place: tuple[int, int, int],
) -> AsyncIterator[bytes]:
    """Yield a task's output as it comes, until the task has ended.

    Args:
        desk: The hub.
        headers: Of the request; its token is checked again as long as the stream lives.
        who: Who asks.
        number: The job.
        place: Task, offset, and most bytes per piece.

    Raises:
        UnavailableError: the hub is stopping, or too many streams are open.
        DeniedError: the token has been revoked meanwhile.
    """
    task, offset, limit = place
    with desk.waiter():
        while True:
            chunk: LogChunk = await desk.hub.read_log(number, task, offset, limit, who)
            if chunk.data:
                yield chunk.data
            offset = chunk.next_offset
            if chunk.complete:
                return
            if not chunk.data:
                # The first empty piece makes the server send the headers at once.
                yield b""
                await desk.unless_stopped(desk.hub.wait_log(number, FOLLOW_STEP_S), never())
            # After every piece: an output that never pauses must not keep a revoked token in.
            who = await desk.admit(headers, "read")


async def never() -> None:
    """Wait without end."""
    await asyncio.get_running_loop().create_future()


async def file_answer(path: Path, name: str) -> Stream:
    """Return an answer that carries a regular file as an attachment.

    Args:
        path: Where it lies. A link in its place is not followed.
        name: What to call it at the client's side.

    Raises:
        NotFoundError: it is gone, or is no regular file.
    """
    try:
        file, size_bytes = await asyncio.to_thread(_open, path)
    except OSError:
        raise NotFoundError(
            "the file is not there any more", where=name, hint="list the job's artifacts"
        ) from None
    return Stream(
        _pieces(file, size_bytes),
        media_type="application/octet-stream",
        headers={
            "content-length": str(size_bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        },
    )


def _open(path: Path) -> tuple[BinaryIO, int]:
    # Without waiting: opening a FIFO would wait for somebody to write into it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags), "rb", buffering=0)
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise FileNotFoundError(path)
    return file, found.st_size


async def _pieces(file: BinaryIO, size_bytes: int) -> AsyncIterator[bytes]:
    """Yield exactly the announced number of bytes; the file may grow meanwhile."""
    with file:
        left = size_bytes
        while left > 0:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, left))
            if not piece:
                raise OSError("the file became shorter while it was sent")
            left -= len(piece)
            yield piece
