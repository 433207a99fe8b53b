"""The files of a folder that is brought along: without what its ignore files name."""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pathspec import GitIgnoreSpec

from fenglin.errors import InputError
from fenglin.quantities.sizes import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORE_FILES = (".gitignore", ".fenglinignore")
NEVER = frozenset({".git"})
MOST_FILES = 5_000
MOST_BYTES = 10 * 2**30
MOST_NAMES_BYTES = 512 * 2**10
MOST_PROBLEMS = 20
_LEAVE_OUT = "or name it in .fenglinignore, which leaves it out"


class Found(NamedTuple):
    """One file of a folder.

    Attributes:
        target: Its path relative to the folder, with `/` between the parts.
        path: Where it lies.
    """

    target: str
    path: Path


class FolderError(InputError):
    """A folder cannot be brought.

    Attributes:
        reasons: What is wrong with which file, at most `MOST_PROBLEMS`.
    """

    def __init__(self, folder: Path, reasons: list[str]) -> None:
        """Take what is wrong."""
        super().__init__("; ".join(reasons), where=str(folder), hint=f"mend it, {_LEAVE_OUT}")
        self.reasons = reasons


def files_below(folder: Path) -> list[Found]:
    """Return the files of a folder by name, without those that are ignored.

    Each folder's `.gitignore` and after it its `.fenglinignore` are heeded, the deepest that says
    anything of a file deciding, as git does; `.git` is never brought. A link inside the folder
    stands for what it points to.

    Raises:
        FolderError: a link leads out or nowhere, a file is none, cannot be read or has a name
            that cannot be brought, or there is too much.
    """
    walk = _Walk(folder)
    # A home folder named by mistake is not walked to its end.
    found = sorted(islice(walk.below(folder, "", [], ()), MOST_FILES + 1))
    names_bytes = sum(len(one.target.encode()) for one in found)
    if len(found) > MOST_FILES:
        walk.problems.insert(0, f"more than {MOST_FILES} files, the most that are brought")
    elif names_bytes > MOST_NAMES_BYTES:
        most = format_bytes(MOST_NAMES_BYTES)
        walk.problems.insert(0, f"the names of the files are longer than {most} together")
    if walk.size_bytes > MOST_BYTES:
        size, most = format_bytes(walk.size_bytes), format_bytes(MOST_BYTES)
        walk.problems.insert(0, f"{size} of files; at most {most} are brought")
    if walk.problems:
        raise FolderError(folder, walk.problems[:MOST_PROBLEMS])
    return found


class _Walk:
    """One walk, and what is wrong on the way."""

    def __init__(self, top: Path) -> None:
        self._top = top.resolve()
        self.problems: list[str] = []
        self.size_bytes = 0

    def below(
        self,
        folder: Path,
        prefix: str,
        specs: list[tuple[str, GitIgnoreSpec]],
        above: tuple[Path, ...],
    ) -> Iterator[Found]:
        """Yield the files of a folder and of all folders below it.

        Args:
            folder: Where to look.
            prefix: Its path from the top, empty or with a `/` at the end.
            specs: (prefix, what is ignored) of the folders above.
            above: Real paths of these, by which links that go in circles are known.
        """
        specs = [*specs, *self._spec(folder, prefix)]
        above = (*above, folder.resolve())
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._problem(f"{prefix or '.'} cannot be read: {error.strerror}")
            return
        for entry in entries:
            target = f"{prefix}{entry.name}"
            if entry.name in NEVER:
                continue
            path = Path(entry.path)
            is_folder = path.is_dir()
            if _ignored(target + "/" * is_folder, specs):
                continue
            if entry.is_symlink() and not self._stays(target, path, above):
                continue
            if is_folder:
                yield from self.below(path, f"{target}/", specs, above)
            elif self._good(target, path):
                yield Found(target, path)

    def _spec(self, folder: Path, prefix: str) -> Iterator[tuple[str, GitIgnoreSpec]]:
        """Yield what a folder's own files say is ignored."""
        lines: list[str] = []
        for name in IGNORE_FILES:
            path = folder / name
            if path.is_file():
                try:
                    lines += path.read_text(encoding="utf-8").splitlines()
                    GitIgnoreSpec.from_lines(lines)
                except (OSError, ValueError) as error:
                    self._problem(f"{prefix}{name} cannot be understood: {error}")
                    lines = []
        if lines:
            yield prefix, GitIgnoreSpec.from_lines(lines)

    def _stays(self, target: str, path: Path, above: tuple[Path, ...]) -> bool:
        """Return whether a link leads to something inside; note it when not."""
        real = path.resolve()
        if not real.exists():
            self._problem(f"the link {target} leads nowhere")
        elif not real.is_relative_to(self._top):
            self._problem(f"the link {target} leads out of the folder, to {real}")
        elif real in above:
            self._problem(f"the link {target} leads to a folder that it is in")
        else:
            return True
        return False

    def _good(self, target: str, path: Path) -> bool:
        """Return whether a file can be brought; note it when not."""
        try:
            info = path.stat()
        except OSError as error:
            self._problem(f"{target} cannot be read: {error.strerror}")
            return False
        if not stat.S_ISREG(info.st_mode):
            self._problem(f"{target} is not a plain file")
        elif not os.access(path, os.R_OK):
            self._problem(f"{target} may not be read")
        elif not target.isprintable() or "\\" in target:
            self._problem(f"{target!r} has a name that cannot be brought")
        else:
            self.size_bytes += info.st_size
            return True
        return False

    def _problem(self, text: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(text)


def _ignored(target: str, specs: list[tuple[str, GitIgnoreSpec]]) -> bool:
    """Return what the deepest file that says anything of a path says of it."""
    for prefix, spec in reversed(specs):
        said = spec.check_file(target.removeprefix(prefix)).include
        if said is not None:
            return said
    return False
