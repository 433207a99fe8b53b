"""What the hub keeps of attempts at a site that dials in: their inputs, and where files come back.

A note is written before its start leaves the hub, so that a restarted hub can still give inputs
out and take files in.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from fenglin.errors import InputError, LimitError, NotFoundError, UnavailableError
from fenglin.ports.agent import InputFile
from fenglin.remote.contents import Digests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fenglin.ports.driver import StartOrder

MOST_PARTS = 64


class Note(msgspec.Struct, frozen=True):
    """One attempt.

    Attributes:
        artifacts_dir: Folder on the hub's machine that receives `<task index>/…`.
        inputs: Digest → absolute path on the hub's machine.
    """

    artifacts_dir: str
    inputs: dict[str, str]


class Notes:
    """Notes in files, one per key. Synchronous; keys are checked by the caller."""

    def __init__(self, folder: Path) -> None:
        """Make the folder."""
        self._folder = folder / "notes"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._digests = Digests()

    def write(self, order: StartOrder) -> tuple[InputFile, ...]:
        """Write an order's note durably; return its inputs, folders taken apart.

        Raises:
            OSError: an input cannot be read, or the note not be written.
        """
        contents = self._digests.contents(order.inputs)
        sources = {one.digest: one.source for one in contents if one.digest}
        data = msgspec.json.encode(Note(order.artifacts_dir, sources))
        place = self._place(order.key)
        draft = place.with_suffix(f".{secrets.token_hex(4)}")
        _write_durably(draft, data)
        draft.replace(place)
        _sync(self._folder)
        return tuple(InputFile(one.target, one.digest, one.executable) for one in contents)

    def read(self, key: str) -> Note:
        """Return a note.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return msgspec.json.decode(self._place(key).read_bytes(), type=Note)
        except (OSError, msgspec.MsgspecError):
            raise NotFoundError("there is no such attempt", where=key[:80]) from None

    def forget(self, key: str) -> None:
        """Drop a note."""
        self._place(key).unlink(missing_ok=True)

    def _place(self, key: str) -> Path:
        return self._folder / f"{key}.json"


async def keep_file(note: Note, task: int, path: str, chunks: AsyncIterator[bytes]) -> Path:
    """Write a file that a task left, durably; it appears whole or not at all.

    Raises:
        InputError: the path leads elsewhere.
        UnavailableError: the disk refuses.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise InputError(f"refused: an artifact named {path[:80]!r}", where="path")
    if len(parts) > MOST_PARTS:
        raise LimitError(f"the artifact lies {len(parts)} folders deep", where="path")
    if not note.artifacts_dir:
        raise NotFoundError("this attempt keeps no files", where=path[:80])
    goal = Path(note.artifacts_dir, str(task), *parts)
    draft = goal.with_name(f".{secrets.token_hex(8)}")
    try:
        await asyncio.to_thread(goal.parent.mkdir, parents=True, exist_ok=True)
        if goal.parent.resolve() != goal.parent.absolute() and _has_link(goal, len(parts)):
            raise InputError(f"refused: {path[:80]!r} leads through a link", where="path")
        with draft.open("xb") as file:
            async for piece in chunks:
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(_flush, file)
        draft.replace(goal)
        await asyncio.to_thread(_sync, goal.parent)
    except OSError as error:
        raise UnavailableError(
            f"cannot store the artifact: {error.strerror}", where=path[:80], hint="free some space"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return goal


def _has_link(goal: Path, depth: int) -> bool:
    """Return whether one of the folders below the artifacts' own is a link."""
    return any(folder.is_symlink() for folder in list(goal.parents)[:depth])


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
