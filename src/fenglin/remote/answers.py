"""What servers at sites answer, read so far and no further: no site may fill the hub's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# All jobs of a cluster with 100,000 of them, in the words of slurmrestd, are half of this.
MOST_BYTES = 2**30


async def whole(pieces: AsyncIterator[bytes], where: str, *, effect_unknown: bool) -> bytes:
    """Return an answer's body.

    Args:
        pieces: Of the body, uncompressed.
        where: Which site, for the error.
        effect_unknown: Whether what was asked may have been done.

    Raises:
        DriverError: it is longer than `MOST_BYTES`.
    """
    body = bytearray()
    async for piece in pieces:
        if len(body) + len(piece) > MOST_BYTES:
            raise too_long("answer", where, effect_unknown=effect_unknown)
        body += piece
    return bytes(body)


async def lines(pieces: AsyncIterator[bytes], where: str) -> AsyncIterator[bytes]:
    """Yield the lines of an answer that may go on for ever, without their ends.

    Args:
        pieces: Of the body, uncompressed.
        where: Which site, for the error.

    Raises:
        DriverError: one line is longer than `MOST_BYTES`.
    """
    line = bytearray()
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        if len(line) + len(first) > MOST_BYTES:
            raise too_long("line", where, effect_unknown=False)
        line += first
        for other in others:
            yield bytes(line)
            line = bytearray(other)
    if line:
        yield bytes(line)


def too_long(what: str, where: str, *, effect_unknown: bool) -> DriverError:
    """Return the error for what is longer than `MOST_BYTES`."""
    return DriverError(
        f"the {what} is longer than {MOST_BYTES} bytes, and was given up",
        where=where,
        hint="is this the address of the site's own server?",
        effect_unknown=effect_unknown,
    )
