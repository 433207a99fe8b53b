"""The picture of a far folder on the hub's disk: orders, claims, journals. Synchronous."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.drivers.slurm.shared import elements_in
from fenglin.quantities.taskset import TaskSet
from fenglin.runner.host import claim as claims
from fenglin.runner.host.attempts import RefusedError, closing
from fenglin.runner.host.journal import JOURNAL
from fenglin.runner.host.order import ORDER
from fenglin.runner.host.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import Any

    from fenglin.drivers.slurm.shared import Shared

PRIVATE = 0o700
OF = "of"


class Piece(Struct, frozen=True):
    """What an element has added to its journal.

    Attributes:
        key: Attempt key.
        element: Which one.
        mtime_ms: When it was written there.
        data: Whole lines.
        tasks: Tasks among them whose artifacts must be here before their end is told.
    """

    key: str
    element: int
    mtime_ms: int
    data: bytes
    tasks: tuple[int, ...]


class _Known(Struct):
    """How much of an attempt has come: bytes per open element, and those that said their last."""

    sizes: dict[int, int]
    closed: set[int]


class Picture:
    """Keeps the files here as those there."""

    def __init__(self, shared: Shared) -> None:
        """Take the folders."""
        self._shared = shared
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._of = shared.root / OF

    def path(self, key: str) -> Path:
        """Return the folder of an attempt."""
        return self._shared.attempts.active / key

    def renew(self, memory: str) -> bool:
        """Note whose picture it is; begin anew and return True when that has another life now.

        Raises:
            OSError: the old one cannot be put away.
        """
        try:
            old = self._of.read_text("ascii")
        except FileNotFoundError:
            old = ""
        if old == memory:
            return False
        with self._lock:
            self._known.clear()
            if old:
                active = self._shared.attempts.active
                for entry in list(active.iterdir()):
                    if entry.is_dir():
                        remove_tree(str(entry))
            self._of.write_text(memory, "ascii")
        return bool(old)

    def lacking(self, keys: Collection[str]) -> list[str]:
        """Return the attempts of which there is no folder here, such as after its loss."""
        return [key for key in keys if key not in self._known and self._is_lacking(key)]

    def adopt(self, key: str, order: bytes) -> None:
        """Make the folder of an attempt that only the cluster knows.

        Raises:
            OSError: it cannot be made.
        """
        if order:
            self._shared.attempts.start(key, 0, order, go=False)

    def wanted(self, keys: Collection[str]) -> dict[str, tuple[str, dict[str, int]]]:
        """Return what is known of each open attempt: closed elements, and bytes of the others."""
        with self._lock:
            asked = {}
            for key in keys:
                known = self._state(key)
                if known is not None:
                    sizes = {str(element): size for element, size in known.sizes.items()}
                    asked[key] = (str(TaskSet.of(known.closed)), sizes)
            return asked

    def take(self, found: list[Any], body: bytes) -> list[Piece]:
        """Take an answer in; return what is to be written, in that order."""
        pieces: list[Piece] = []
        at = 0
        for key, claim, rows in found:
            if claim:
                self.claim(str(key), str(claim))
            for element, mtime_ms, size, tasks in rows:
                data = body[at : at + int(size)]
                at += int(size)
                piece = Piece(
                    str(key), int(element), int(mtime_ms), data, tuple(int(task) for task in tasks)
                )
                if self._note(piece):
                    pieces.append(piece)
        return pieces

    def write_all(self, pieces: Collection[Piece]) -> None:
        """Append pieces; see `write`."""
        for piece in pieces:
            self.write(piece)

    def write(self, piece: Piece) -> None:
        """Append a piece to the journal it belongs to.

        Raises:
            OSError: the disk refuses; the piece is asked for again.
        """
        folder = self.path(piece.key) / f"e{piece.element}"
        try:
            folder.mkdir(mode=PRIVATE, exist_ok=True)
            if not piece.data:
                return
            with (folder / JOURNAL).open("ab") as file:
                file.write(piece.data)
            os.utime(folder / JOURNAL, (piece.mtime_ms / 1_000, piece.mtime_ms / 1_000))
        except FileNotFoundError:
            return  # it was forgotten meanwhile
        except OSError:
            self.forget(piece.key)
            raise

    def prove(self, key: str, times: dict[str, int]) -> None:
        """Note when elements last wrote anything.

        Raises:
            OSError: the disk refuses.
        """
        for element, mtime_ms in times.items():
            path = self.path(key) / f"e{int(element)}" / JOURNAL
            if mtime_ms and path.exists():
                os.utime(path, (mtime_ms / 1_000, mtime_ms / 1_000))

    def claim(self, key: str, text: str) -> None:
        """Note who has an attempt on the cluster: an array, or nobody ever.

        Raises:
            OSError: it cannot be written.
        """
        pid, _, void = text.partition(" ")
        path = self.path(key)
        if text and claims.read(str(path)) is None:
            path.mkdir(mode=PRIVATE, exist_ok=True)
            claims.take(str(path), claims.Claim(int(pid), 0, "slurm", void))

    def forget(self, key: str) -> None:
        """Drop what is remembered; the files are read anew."""
        with self._lock:
            self._known.pop(key, None)

    def _is_lacking(self, key: str) -> bool:
        try:
            return self._shared.attempts.folder(key) is None
        except RefusedError:
            return False  # no key of ours, and nowhere

    def _state(self, key: str) -> _Known | None:
        """Return what is here of an open attempt; None when it is over or unknown."""
        if key in self._known:
            return self._known[key]
        try:
            path = self._shared.attempts.folder(key)
            if path is None or not (path / ORDER).exists() or closing(path) is not None:
                return None
            self._known[key] = _read(path)
        except (OSError, RefusedError):
            return None
        return self._known[key]

    def _note(self, piece: Piece) -> bool:
        """Count a piece as known; return False for one of an attempt that is over."""
        with self._lock:
            known = self._known.get(piece.key)
            if known is None:
                return False
            size = known.sizes.get(piece.element, 0) + len(piece.data)
            known.sizes[piece.element] = size
            if _is_last(piece.data):
                known.closed.add(piece.element)
                del known.sizes[piece.element]
        return True


def _read(path: Path) -> _Known:
    """Return what the files here say."""
    known = _Known({}, set())
    for element in elements_in(path):
        journal = path / f"e{element}" / JOURNAL
        try:
            data = journal.read_bytes()
        except FileNotFoundError:
            data = b""
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(journal, whole)  # a crash of the hub tore it
        if _is_last(data[:whole]):
            known.closed.add(element)
        else:
            known.sizes[element] = whole
    return known


def _is_last(data: bytes) -> bool:
    """Return whether the last of some lines closes a journal."""
    return data.rstrip(b"\n").rpartition(b"\n")[2].startswith(b"D ")
