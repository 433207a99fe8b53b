"""What has come home of an attempt: its journal, its output, its artifacts, on the hub's disk.

    attempts/KEY/   begun (the cluster's life), stop, journal, INDEX.log      kept/KEY/ after forget

Everything is learned from the job's log, which is read from its start again whenever the line or
the hub broke: each line of it names its place, and one that is known already changes nothing.
"""

from __future__ import annotations

import binascii
import contextlib
import fcntl
import os
import re
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fenglin.errors import DriverError
from fenglin.runner.host.journal import JOURNAL, NONE
from fenglin.runner.host.workspace import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.model.reason import Reason

BEGUN = "begun"
STOP = "stop"
LOST_EXIT_CODE = 137
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)
_HEADS = {b"S": 5, b"E": 9, b"D": 4, b"O": 5, b"F": 7}


def checked(key: str, where: str) -> str:
    """Return a key if it can be a folder's name and a job's id.

    Raises:
        DriverError: no hub can have made it.
    """
    if not _KEY.fullmatch(key):
        raise DriverError(f"{key[:80]!r} is not an attempt key", where=where)
    return key


class Spool:
    """The folders of one site. Synchronous."""

    def __init__(self, directory: Path) -> None:
        """Make the two folders, private to this user.

        Raises:
            OSError: they cannot be made.
        """
        self.active = directory / "attempts"
        self.kept = directory / "kept"
        for folder in (self.active, self.kept):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def folder(self, key: str) -> Path | None:
        """Return where an attempt is; None when nothing is known of it."""
        if _KEY.fullmatch(key):
            for base in (self.active, self.kept):
                if (base / key).is_dir():
                    return base / key
        return None

    def is_kept(self, key: str) -> bool:
        """Return whether an attempt was forgotten."""
        return _KEY.fullmatch(key) is not None and (self.kept / key).is_dir()

    def begin(self, key: str, session: str) -> None:
        """Note, durably, that an attempt is about to exist in a cluster's present life.

        Raises:
            OSError: it cannot be written.
        """
        folder = self.active / key
        folder.mkdir(mode=0o700, exist_ok=True)
        if not (folder / BEGUN).exists():
            _write(folder, BEGUN, session)

    def begun(self, key: str) -> str:
        """Return the cluster's life in which an attempt began; empty when that is not known."""
        try:
            return (self.active / key / BEGUN).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def undo(self, key: str) -> None:
        """Drop what `begin` has made."""
        remove_tree(str(self.active / key))

    def stop(self, key: str, session: str) -> None:
        """Note, durably, that an end was asked for.

        Raises:
            OSError: it cannot be written.
        """
        self.begin(key, session)
        _write(self.active / key, STOP, "")

    def keep(self, key: str) -> None:
        """Move an ended attempt to `kept`, with its journal and its output only.

        Raises:
            OSError: the disk refuses; asked again it goes on.
        """
        folder = self.active / key
        if not folder.is_dir():
            return
        for name in (BEGUN, STOP):
            (folder / name).unlink(missing_ok=True)
        folder.rename(self.kept / key)


class Attempt:
    """One attempt. Synchronous; one caller at a time.

    Attributes:
        closed: Whether its journal is: nothing follows.
        ended: Tasks that have an end in the journal.
        size: Bytes of the journal.
        told: Number of the last line of the log that was taken, none missing before it.
        gap: Whether lines after that one were missing in what was read last.
    """

    def __init__(self, folder: Path, target: str) -> None:
        """Take its folder and where its artifacts go; read what is known.

        Raises:
            OSError, ValueError: the journal cannot be read.
        """
        self.folder = folder
        self.closed = False
        self.ended: set[int] = set()
        self.size = 0
        self.told = 0
        self.gap = False
        self._target = target
        self._started: dict[int, int] = {}
        self._rest = b""
        folder.mkdir(mode=0o700, exist_ok=True)
        with self._changing():
            pass

    @property
    def stopped(self) -> bool:
        """Whether an end was asked for."""
        return (self.folder / STOP).exists()

    def rewind(self) -> None:
        """Expect the job's log, or the last lines of it, from the start of a line."""
        self._rest = b""
        self.gap = False

    def take(self, data: bytes) -> bool:
        """Take the next piece of the job's log; return whether the journal has grown.

        Raises:
            OSError: the disk refuses; the log is to be read again from its start.
        """
        if self.closed:
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        try:
            return self._take_lines(lines)
        except OSError:
            self.told = 0
            raise

    def bury(self, reason: Reason) -> None:
        """Close the journal of an attempt whose job is over and has not said so.

        Raises:
            OSError: the disk refuses.
        """
        if self.closed:
            return
        now_ms = time.time_ns() // 1_000_000
        # Usage is counted up to the last proof of life, not to the time of discovery.
        proof_ms = max((_changed_ms(path) for path in self.folder.iterdir()), default=now_ms)
        with self._changing() as file:
            rows = [
                f"E {task} {begun} {max(0, proof_ms - begun)} {LOST_EXIT_CODE} {reason} 0 0 ."
                for task, begun in sorted(self._started.items())
                if task not in self.ended
            ]
            rows.append(f"D {reason} {now_ms} .")
            self._add(file, [row.encode().split(b" ") for row in rows])

    def page(self, offset: int, limit: int) -> bytes:
        """Return what the journal holds from an offset."""
        try:
            with (self.folder / JOURNAL).open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    # --- inside -----------------------------------------------------------------------------

    def _take_lines(self, lines: list[bytes]) -> bool:
        rows: list[list[bytes]] = []
        for line in lines:
            number, words = _parsed(line)
            if number > self.told + 1:
                self.gap = True
            elif number > self.told and not self.gap:
                rows += self._heard(words)
                self.told = number
        if not rows:
            return False
        with self._changing() as file:
            return self._add(file, rows)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[int]:
        """Open the journal for appending, locked; what another hub has added is read first."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(self.folder / JOURNAL, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file).st_size != self.size:
                self._reload(file)
            yield file
        except OSError:
            self.size = -1  # what was noted and not written must be read again
            raise
        finally:
            os.close(file)

    def _reload(self, file: int) -> None:
        """Read the whole journal; cut off a line that a crash tore before anybody was told."""
        self.closed = False
        self.ended, self._started = set(), {}
        data = (self.folder / JOURNAL).read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.ftruncate(file, len(whole))
        for line in whole.split(b"\n"):
            self._note(line.split(b" "))
        self.size = len(whole)

    def _heard(self, words: list[bytes]) -> Iterator[list[bytes]]:
        """Put a piece of output or of an artifact in its place; yield what the journal gets."""
        try:
            if words[0] == b"O":
                self._output(int(words[1]), int(words[2]), words[3])
            elif words[0] == b"F":
                self._artifact(int(words[1]), int(words[2]), words[3], int(words[4]), words[5])
            elif words[0] == b"D" or int(words[1]) + int(words[3]) >= 0:
                yield words
        except ValueError:
            return  # not a line of ours after all

    def _add(self, file: int, rows: list[list[bytes]]) -> bool:
        """Append what is new; return whether anything is."""
        new = []
        for words in rows:
            if not self._note(words):
                continue
            if words[0] == b"E":
                self._deliver(int(words[1]), good=words[5] == NONE.encode())
            new.append(b" ".join(words) + b"\n")
        if not new:
            return False
        view = memoryview(b"".join(new))
        while view:
            written = os.write(file, view)
            self.size += written
            view = view[written:]
        os.fdatasync(file)
        return True

    def _note(self, words: list[bytes]) -> bool:
        """Note a start or an end; return whether it is new."""
        if words[-1] != b"." or self.closed:
            return False
        if words[0] == b"D":
            self.closed = True
            return True
        task = int(words[1]) if words[0] in {b"S", b"E"} else -1
        if words[0] == b"S" and task not in self._started:
            self._started[task] = int(words[3])
            return True
        if words[0] == b"E" and task not in self.ended:
            self.ended.add(task)
            return True
        return False

    def _output(self, task: int, offset: int, text: bytes) -> None:
        if task not in self.ended:
            _put(self.folder / f"{task}.log", offset, text, 0o600)

    def _artifact(self, task: int, mode: int, name: bytes, offset: int, text: bytes) -> None:
        """Write a piece of an artifact; its name comes from the cluster and is not trusted."""
        path = os.fsdecode(binascii.a2b_base64(name))
        parts = PurePosixPath(path).parts
        if task in self.ended or not self._target:
            return
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            return
        goal = self._draft(task).joinpath(*parts)
        goal.parent.mkdir(parents=True, exist_ok=True)
        _put(goal, offset, text, 0o755 if mode & 0o100 else 0o644)

    def _draft(self, task: int) -> Path:
        return Path(self._target) / f".{task}.{self.folder.name}"

    def _deliver(self, task: int, *, good: bool) -> None:
        """Let a task's artifacts appear at once, before its end is told."""
        if not self._target:
            return
        draft, goal = self._draft(task), Path(self._target) / str(task)
        if not good:
            remove_tree(str(draft))
        elif draft.is_dir():
            for folder, _, names in os.walk(draft):
                for name in [*names, ""]:
                    _sync(Path(folder, name))
            if goal.exists():
                shutil.rmtree(goal)
            draft.rename(goal)
            _sync(goal.parent)


def _parsed(line: bytes) -> tuple[int, list[bytes]]:
    """Return the number and the words of a line of ours; number 0 for any other."""
    head, _, rest = line.partition(b" ")
    words = rest.split(b" ")
    ours = head[:1] == b"~" and head[1:].isdigit()
    if not ours or words[-1] != b"." or _HEADS.get(words[0]) != len(words):
        return 0, []
    return int(head[1:]), words


def _put(path: Path, offset: int, text: bytes, mode: int) -> None:
    """Write a piece of a file at its place."""
    data = binascii.a2b_base64(text)
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, mode)
    try:
        while data:
            written = os.pwrite(file, data, offset)
            data, offset = data[written:], offset + written
    finally:
        os.close(file)


def _write(folder: Path, name: str, text: str) -> None:
    """Write a small file whole, and durably."""
    draft = folder / f".{name}.{os.urandom(4).hex()}"
    draft.write_text(text, encoding="utf-8")
    _sync(draft)
    draft.replace(folder / name)
    _sync(folder)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _changed_ms(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000
