"""What a job's input files hold: their digests, with folders taken apart."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

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
            Content(target, self._of(path), str(path), executable)
            for item in inputs
            for target, path, executable in _files(item)
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


def _files(item: StagedInput) -> Iterator[tuple[str, Path, bool]]:
    """Yield (target, path, executable) of an input; links inside a folder are left out."""
    source = Path(item.source)
    if not source.is_dir():
        yield item.target, source, item.executable
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                target = f"{item.target.rstrip('/')}/{path.relative_to(source).as_posix()}"
                yield target, path, os.access(path, os.X_OK)
