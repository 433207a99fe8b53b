"""Bringing inputs into containers: in the attempt's Secret, or through the shared claim.

Each file of a Secret has a key of its own and is put in its place by the shell lines made here;
folders are walked on the hub. What is larger than a Secret may be goes through the claim.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fenglin.drivers.kubernetes.names import ROOM
from fenglin.drivers.kubernetes.script import quoted
from fenglin.remote.contents import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.ports.driver import StagedInput

# A Secret holds 1 MiB in all, and its object a little besides.
MOST_BYTES = 1_000_000


class StagingError(Exception):
    """An input cannot be brought, whatever is tried."""


class TooLargeError(Exception):
    """The inputs do not fit into a Secret.

    Attributes:
        size: Bytes of all, as far as they were counted.
    """

    def __init__(self, size: int) -> None:
        """Take the size."""
        super().__init__(f"{size} bytes")
        self.size = size


class Brought(NamedTuple):
    """How inputs get into a container.

    Attributes:
        files: Key of the Secret → content.
        lines: Shell lines that put everything in its place.
    """

    files: dict[str, bytes]
    lines: list[str]


def check(inputs: Sequence[StagedInput]) -> None:
    """Check that every input stays in the working directory, and is there.

    Raises:
        StagingError: one does not, or is not.
    """
    for item in inputs:
        parts = [part for part in item.target.split("/") if part not in {"", "."}]
        if item.target.startswith("/") or not parts or ".." in parts or "\0" in item.target:
            raise StagingError(f"input target {item.target!r} is not inside the working directory")
        if not Path(item.source).exists():
            raise StagingError(f"there is no {item.source}")


def by_secret(inputs: Sequence[StagedInput], room_bytes: int) -> Brought:
    """Return the inputs as files of a Secret.

    Raises:
        OSError: one cannot be read.
        TooLargeError: they are more than that.
    """
    files: dict[str, bytes] = {}
    lines: list[str] = []
    size = 0
    if room_bytes < 0:
        raise TooLargeError(MOST_BYTES - room_bytes)
    for item in inputs:
        for piece in pieces(item):
            if piece.folder:
                lines.append(f"mkdir -p -- {quoted(piece.target)} || fail staging_failed")
                continue
            size += piece.path.stat().st_size
            if size > room_bytes:
                raise TooLargeError(size)
            key = f"input{len(files)}"
            files[key] = piece.path.read_bytes()
            executable = item.executable or piece.executable
            lines += _place(f"cat <{ROOM}/job/{key} >", piece.target, executable=executable)
    return Brought(files, lines)


def by_claim(inputs: Sequence[StagedInput], folder: Path) -> Brought:
    """Put the inputs into a folder of the shared file system; return how they are taken there.

    Raises:
        OSError: one cannot be read, or the folder cannot be written.
    """
    lines: list[str] = []
    for number, item in enumerate(inputs):
        source, kept = Path(item.source), folder / str(number)
        if not kept.exists():
            draft = folder / f".{number}"
            shutil.rmtree(draft, ignore_errors=True)
            _copy(item, draft)
            draft.rename(kept)
        if source.is_dir():
            lines.append(f"mkdir -p -- {quoted(item.target)} || fail staging_failed")
            lines.append(
                f"cp -R {ROOM}/in/{number}/. {quoted('./' + item.target)} || fail staging_failed"
            )
        else:
            command = f"cat <{ROOM}/in/{number} >"
            lines += _place(command, item.target, executable=item.executable)
    return Brought({}, lines)


def _copy(item: StagedInput, to: Path) -> None:
    for piece in pieces(item):
        path = to / piece.path.relative_to(item.source)
        if piece.folder:
            path.mkdir()
        else:
            shutil.copy(piece.path, path)


def _place(command: str, target: str, *, executable: bool) -> list[str]:
    """Return the lines that write a file."""
    lines = []
    folder = target.rpartition("/")[0]
    if folder:
        lines.append(f"mkdir -p -- {quoted(folder)} || fail staging_failed")
    lines.append(f"{command}{quoted('./' + target)} || fail staging_failed")
    if executable:
        lines.append(f"chmod 755 {quoted('./' + target)} || fail staging_failed")
    return lines
