"""What a job's inputs hold: folders taken apart, and the digests of their files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fenglin.ports.driver import StagedInput

MOST_REMEMBERED = 100_000


class Content(Struct, frozen=True):
    """One file to stand in a working directory.

    Attributes:
        target: Relative path there.
        digest: SHA-256 of its content; empty when the file is not there.
        source: Path on the hub's machine.
        executable: Whether it gets the execute bit.
    """

    target: str
    digest: str
    source: str
    executable: bool


class Piece(NamedTuple):
    """A file of an input, or a folder.

    Attributes:
        target: Relative path in the working directory.
        path: Where it is on the hub's machine.
        executable: Whether it gets the execute bit; False for a folder.
        folder: Whether it is one.
    """

    target: str
    path: Path
    executable: bool
    folder: bool


class Digests:
    """SHA-256 of files, computed once for each state of a file. Synchronous."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[str, int, int, int], str] = {}

    def contents(self, inputs: Sequence[StagedInput]) -> list[Content]:
        """Return every file of every input, folders taken apart.

        Raises:
            OSError: one is there and cannot be read.
        """
        return [
            Content(piece.target, self._of(piece.path), str(piece.path), piece.executable)
            for item in inputs
            for piece in pieces(item)
            if not piece.folder
        ]

    def _of(self, path: Path) -> str:
        try:
            info = path.stat()
        except FileNotFoundError:
            return ""
        state = (str(path), info.st_ino, info.st_size, info.st_mtime_ns)
        if state not in self._known:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            with path.open("rb") as file:
                self._known[state] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[state]


def pieces(item: StagedInput) -> Iterator[Piece]:
    """Yield what an input is made of, each folder before what stands in it.

    Links inside a folder are left out, whatever they lead to, and so is what is neither file nor
    folder: nothing but the folder's own content leaves the hub's machine. A source that is not
    there is yielded as a file.
    """
    source = Path(item.source)
    if not source.is_dir():
        yield Piece(item.target, source, item.executable, folder=False)
        return
    top = item.target.rstrip("/")
    for folder, folders, names in os.walk(source):
        folders.sort()
        here = Path(folder)
        below = here.relative_to(source).as_posix()
        target = top if here == source else f"{top}/{below}"
        yield Piece(target, here, executable=False, folder=True)
        for name in sorted(names):
            path = here / name
            if path.is_file() and not path.is_symlink():
                executable = os.access(path, os.X_OK)
                yield Piece(f"{target}/{name}", path, executable, folder=False)
