"""One attempt as the hub sees it: its elements' journals, merged into one that is read by cursor.

Each element writes a journal of its own, since appends of several machines to one file are not
safe on a network file system. The hub alone merges them: an event that is in the merged journal
stays there in its place, so that from the same cursor the same follows, also after a restart. A
task starts once and ends once; a line that is there already is passed over, which is why no
offsets need to be kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from fenglin.drivers.slurm.shared import OUTPUTS, deliver, elements_in
from fenglin.model.reason import Reason
from fenglin.runner.host.journal import JOURNAL, NONE
from fenglin.runner.host.loop import STOP
from fenglin.runner.host.order import SECRETS
from fenglin.runner.host.task import ENDED_BY_TERM
from fenglin.runner.host.wishes import unwanted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from fenglin.drivers.slurm.layout import Layout
    from fenglin.drivers.slurm.parse import Ended

LOST_EXIT_CODE = 137
# A folder listed this soon after its last change may have changed again within one tick.
TICK_NS = 2_000_000_000
_REASONS = {
    "OUT_OF_MEMORY": Reason.MEMORY_EXCEEDED,
    "TIMEOUT": Reason.TIMEOUT,
    "DEADLINE": Reason.TIMEOUT,
    "BOOT_FAIL": Reason.NODE_REBOOTED,
}


class Attempt:
    """The elements of one array that is bound to an attempt. Synchronous.

    Attributes:
        path: Its folder.
        array: Id of the array job.
        done: Whether the merged journal is closed.
        missing: Element → monotonic time since when Slurm does not list it.
        ended: Tasks that have an end in the merged journal.
    """

    def __init__(self, path: Path, array: int, layout: Layout, target: Path) -> None:
        """Take its folder, its array, its layout and where artifacts go; read what was merged.

        Raises:
            OSError, ValueError: the merged journal cannot be read.
        """
        self.path = path
        self._base = str(path)
        self.array = array
        self.done = False
        self.missing: dict[int, float] = {}
        self.ended: set[int] = set()
        self._target = target
        self._tasks = layout.elements()
        self._open = set(self._tasks)
        self._offsets: dict[int, int] = {}
        self._started: dict[int, int] = {}
        self._reason = ""
        self._size = 0
        self._torn = False
        self._present: set[int] = set()
        self._listed_ns = 0
        self._reload()

    def element_of(self, task: int) -> int:
        """Return the element that runs a task; -1 for none."""
        if task in self._tasks and self._tasks[task] == (task,):
            return task
        return next((e for e, tasks in self._tasks.items() if task in tasks), -1)

    @property
    def stopped_s(self) -> float:
        """Unix time by which a stop should be over; 0 when none was asked for."""
        try:
            info = (self.path / STOP).stat()
            grace = (self.path / STOP).read_text(encoding="ascii")
        except FileNotFoundError:
            return 0.0
        return info.st_mtime + (int(grace) if grace.isdecimal() else 0) / 1_000

    def waiting(self, tasks: Collection[int]) -> set[int]:
        """Return elements all of whose tasks are among these, and that have not begun."""
        present = elements_in(self.path)
        return {e for e in self._open - present if set(self._tasks[e]) <= set(tasks)}

    @property
    def size(self) -> int:
        """Bytes of the merged journal."""
        return self._size

    def merge(self, live: set[int] | None) -> None:
        """Take in what the elements have written.

        Args:
            live: Elements that Slurm lists, from a listing made before; None when it cannot
                be asked.

        Raises:
            OSError, ValueError: something cannot be read or written now.
        """
        if self.done or not self._stirs(live):
            return
        with self._changing() as file:
            if os.fstat(file).st_size != self._size and self._reload():
                return
            rows: list[bytes] = []
            for element in sorted(self._open & (self._found() | self.missing.keys())):
                rows += self._read(element)
            gone = self._open - live if live is not None else set()
            now_s = time.monotonic()
            self.missing = {e: self.missing.get(e, now_s) for e in sorted(gone)}
            self._append(file, rows)

    def close(self, known: dict[int, Ended], rest: Ended | None, settle_s: float) -> None:
        """End what Slurm says has ended although it has not said so itself.

        An element that never had a node has nothing to say. Any other is given time, since its
        last words may still be on their way through the file system.

        Raises:
            OSError, ValueError: something cannot be read or written now.
        """
        now_s = time.monotonic()
        with self._changing() as file:
            rows: list[bytes] = []
            for element, since_s in list(self.missing.items()):
                state = known.get(element, rest)
                if state is not None and state.live:
                    del self.missing[element]
                    continue
                idle = state is not None and not state.ran and element not in self._present
                if element in self._open and (idle or now_s - since_s >= settle_s):
                    rows += self._read(element)
                    if element in self._open:
                        rows += self._bury(element, state)
            self._append(file, rows)

    # --- inside ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[int]:
        """Open the merged journal for appending, locked against another hub on this machine.

        After an error nothing is known: what was noted and not written must be read again.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        file = os.open(self.path / JOURNAL, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        except BaseException:
            self._size = -1
            self._listed_ns = 0
            raise
        finally:
            os.close(file)

    def _stirs(self, live: set[int] | None) -> bool:
        """Return whether there may be news; costs two looks at files for a quiet attempt."""
        if self._size < 0 or self.missing or (live is not None and not self._open <= live):
            return True
        if self._unlisted():
            return True
        for element in self._open & self._present:
            try:
                size = os.stat(f"{self._base}/e{element}/{JOURNAL}").st_size  # noqa: PTH116
            except FileNotFoundError:
                continue
            if size > self._offsets.get(element, 0):
                return True
        return False

    def _unlisted(self) -> bool:
        """Return whether the folder has changed since it was listed."""
        return os.stat(self._base).st_mtime_ns + TICK_NS > self._listed_ns  # noqa: PTH116

    def _found(self) -> set[int]:
        """Return the elements that have a folder; listed only when the folder has changed."""
        if self._unlisted():
            self._listed_ns = time.time_ns()
            self._present = elements_in(self.path)
        return self._present

    def _read(self, element: int) -> list[bytes]:
        """Return the lines that an element has added, translated, and note what they say."""
        offset = self._offsets.get(element, 0)
        path = f"{self._base}/e{element}/{JOURNAL}"
        try:
            # Most of ten thousand elements have nothing new: one look, no open.
            if os.stat(path).st_size <= offset:  # noqa: PTH116 - a third of the time
                return []
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        rows = []
        for line in whole.split(b"\n"):
            row = self._line(element, line)
            if row:
                rows.append(row)
        self._offsets[element] = offset + len(whole)
        return rows

    def _line(self, element: int, line: bytes) -> bytes:
        """Return a line as it is merged; empty when it says nothing new."""
        words = line.split(b" ")
        if words[-1] != b".":
            return b""
        if words[0] == b"D" and len(words) == 4:
            wishes = unwanted(self._base) if words[1] == b"cancelled" else {}
            alone = bool(wishes) and all(str(t) in wishes for t in self._tasks[element])
            self._shut(element, NONE.encode() if alone else self._judged(words[1]))
            return b""
        index = int(words[1])
        if index not in self._tasks.get(element, ()):
            return b""
        if words[0] == b"S" and len(words) == 5 and index not in self._started:
            self._started[index] = int(words[3])
            return line
        if words[0] == b"E" and len(words) == 9 and index not in self.ended:
            words[5] = self._judged(words[5], index)
            if words[5] == NONE.encode():
                deliver(self.path / OUTPUTS / str(index), self._target / str(index))
            self.ended.add(index)
            return b" ".join(words)
        return b""

    def _judged(self, reason: bytes, task: int = -1) -> bytes:
        """Return a reason; a stop that we did not ask for is the site's doing."""
        if reason != b"cancelled" or str(task) in unwanted(self._base):
            return reason
        if not self.stopped_s:
            return Reason.RUNNER_LOST.value.encode()
        return reason

    def _shut(self, element: int, reason: bytes) -> None:
        """Close an element."""
        self._open.discard(element)
        self.missing.pop(element, None)
        word = reason.decode("ascii", "replace")
        if word != NONE and not self._reason:
            self._reason = word

    def _bury(self, element: int, state: Ended | None) -> list[bytes]:
        """Close an element that ended without a word; what it had started has ended with it."""
        reason = _REASONS.get(state.state if state else "", Reason.RUNNER_LOST)
        running = [t for t in self._tasks[element] if t in self._started and t not in self.ended]
        if self.stopped_s:
            reason = Reason.CANCELLED
        elif not running and element not in self._present:
            reason = Reason.START_FAILED
        wishes = unwanted(self._base)
        left = [t for t in self._tasks[element] if t not in self.ended]
        # None left of one that never began: it was buried before this hub came.
        told = bool(left) or element not in self._present
        if told and not self.stopped_s and all(str(t) in wishes for t in left):
            return self._bury_unwanted(element, left)
        # Usage is counted up to the last proof of life, not to the time of discovery.
        proof_ms = self._proof_ms(element)
        self._shut(element, reason.value.encode())
        self.ended.update(running)
        return [
            f"E {task} {self._started[task]} {max(0, proof_ms - self._started[task])}"
            f" {LOST_EXIT_CODE} {reason} 0 0 .".encode()
            for task in running
        ]

    def _bury_unwanted(self, element: int, left: list[int]) -> list[bytes]:
        """Close an element of which nothing is wanted any more: its tasks were cancelled."""
        now_ms, proof_ms = time.time_ns() // 1_000_000, self._proof_ms(element)
        self._shut(element, NONE.encode())
        self.ended.update(left)
        rows = []
        for task in left:
            start_ms = self._started.get(task, now_ms)
            wall_ms = max(0, proof_ms - start_ms) if task in self._started else 0
            reason = Reason.CANCELLED.value
            rows.append(f"E {task} {start_ms} {wall_ms} {ENDED_BY_TERM} {reason} 0 0 .".encode())
        return rows

    def _proof_ms(self, element: int) -> int:
        """Return when an element was last seen to write anything."""
        times = [0]
        try:
            with os.scandir(self.path / f"e{element}") as entries:
                times += [entry.stat(follow_symlinks=False).st_mtime_ns for entry in entries]
        except FileNotFoundError:
            return 0
        return max(times) // 1_000_000

    def _append(self, file: int, rows: list[bytes]) -> None:
        """Write lines, and the last one when nothing is open any more; then sync."""
        if not self._open:
            self.done = True
            unended = sum(map(len, self._tasks.values())) > len(self.ended)
            reason = self._reason
            if self.stopped_s and (unended or reason):
                reason = Reason.CANCELLED.value
            now_ms = time.time_ns() // 1_000_000
            rows.append(f"D {reason or NONE} {now_ms} .".encode())
            # Nobody reads them any more.
            (self.path / SECRETS).unlink(missing_ok=True)
        if not rows:
            return
        view = memoryview(b"\n" * self._torn + b"\n".join([*rows, b""]))
        while view:
            written = os.write(file, view)
            self._size += written
            view = view[written:]
        self._torn = False
        os.fdatasync(file)

    def _reload(self) -> bool:
        """Read the merged journal anew; return whether it is closed.

        A line that a crash tore is closed off by the next.
        """
        try:
            data = (self.path / JOURNAL).read_bytes()
        except FileNotFoundError:
            data = b""
        self.done = False
        self.ended, self._started, self._offsets = set(), {}, {}
        self._open = set(self._tasks)
        self._reason = ""
        for line in data.split(b"\n"):
            words = line.split(b" ")
            if words[-1] != b".":
                continue
            if words[0] == b"S" and len(words) == 5:
                self._started[int(words[1])] = int(words[3])
            elif words[0] == b"E" and len(words) == 9:
                self.ended.add(int(words[1]))
            elif words[0] == b"D":
                self.done = True
        self._torn = bool(data) and not data.endswith(b"\n")
        self._size = len(data)
        return self.done
