# ruff: noqa: PTH100, PTH102, PTH108, PTH116, PTH118, PTH120, PTH123, SIM105
r"""A place of an attempt: some slots on one node, whose runner it starts and whose news it tells.

As the entrypoint of a job (`python -I -S -E place.py`) it runs all tasks of the order beside it
and tells their news as lines of the job's log, the only thing that Ray keeps for us. A line of
ours starts with `~` and its number, is plain ASCII and ends with a dot; what Ray itself says
between is passed over:

    ~1 S …, ~2 E …, ~3 D …                 the runner's journal, see `host/journal.py`
    ~4 O INDEX OFFSET BASE64 .             a piece of a task's output
    ~5 F INDEX MODE PATH OFFSET BASE64 .   a piece of an artifact (its path in base64 too)

All that belongs to a task stands before its end. Each piece names its place, so that a log may be
read again from its start at any time.
"""

from __future__ import annotations

import binascii
import os
import select
import socket
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from fenglin.runner.host import claim, order, proc, sights, workspace
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from host import claim, order, proc, sights, workspace

HERE = os.path.dirname(os.path.abspath(__file__))
PIECE_BYTES = 2**15
LOOK_MS = 200
SIGTERM = 15
START_FAILED = 1
# What a payload needs to be itself, and what tells it where it is; the rest is Ray's own.
PASSED = {
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER",
    "LD_LIBRARY_PATH", "RAY_ADDRESS", "VIRTUAL_ENV",
}  # fmt: skip
# Cards that Ray has given to this process.
CARDS = (
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "ASCEND_RT_VISIBLE_DEVICES", "HABANA_VISIBLE_MODULES", "NEURON_RT_VISIBLE_CORES",
    "ONEAPI_DEVICE_SELECTOR", "TPU_VISIBLE_CHIPS",
)  # fmt: skip


def read_order(folder: str) -> dict[str, list[str]]:
    """Return the decoded order that was sent with us."""
    with open(f"{folder}/{order.ORDER}", "rb") as file:
        return order.decode(file.read())


class Teller:
    """Writes numbered lines into the job's log, which our standard output is."""

    def __init__(self) -> None:
        """Begin with line 1."""
        self._number = 0

    def tell(self, data: bytes) -> None:
        """Write whole lines; a line break first, should Ray have left one open."""
        parts = [b"\n"]
        for line in data.split(b"\n"):
            if line:
                self._number += 1
                parts.append(b"~%d %s\n" % (self._number, line))
        view = memoryview(b"".join(parts))
        while view and len(parts) > 1:
            view = view[os.write(1, view) :]


class Place:
    """One runner and its news.

    Attributes:
        live: Tasks that have started and not ended.
    """

    def __init__(
        self, values: dict[str, list[str]], slots: int, emit: Callable[[bytes], None]
    ) -> None:
        """Start the runner.

        Args:
            values: The order.
            slots: How many tasks may run here at once.
            emit: Takes whole lines for the hub, without their numbers.

        Raises:
            OSError: there is no room for it.
        """
        self.live: dict[int, int] = {}
        self._key = values["key"][0]
        self._cap_bytes = int(values["artifact_cap"][0])
        self._keeps = bool(values.get("artifact"))
        self._emit = emit
        scratch = values["scratch"][0] or os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - of Ray
        self._base = f"{scratch}/fenglin-{self._key}-{os.urandom(4).hex()}"
        self._folder = f"{self._base}/run/attempt"
        for folder in (self._base, f"{self._base}/run", self._folder):
            os.mkdir(folder, 0o700)
        self._offset = 0
        self._logged: dict[int, int] = {}
        self._done = False
        with open(f"{self._folder}/{order.ORDER}", "wb") as file:
            file.write(order.encode(self._own_order(values, slots)))
        poke = f"{self._base}/poke"
        os.mkfifo(poke, 0o600)
        self._poke = os.open(poke, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._line, theirs = socket.socketpair()
        try:
            self._spawn(theirs.fileno())
        finally:
            theirs.close()

    def give(self, tasks: Sequence[int]) -> None:
        """Add tasks."""
        for first in range(0, len(tasks), 1_000):
            self._say("task " + " ".join(map(str, tasks[first : first + 1_000])))

    def close(self) -> None:
        """Say that no more tasks follow."""
        self._say("close")

    def stop(self, grace_ms: int) -> None:
        """End what runs; nothing begins any more."""
        self._say(f"stop {grace_ms}")

    def run(self) -> None:
        """Tell news until nothing follows; then leave nothing on the disk."""
        poll = select.poll()
        for file in (self._poke, self._line.fileno()):
            poll.register(file, select.POLLIN)
        while not self._done:
            ready = [file for file, _ in poll.poll(LOOK_MS if self.live else None)]
            if self._poke in ready:
                os.read(self._poke, 2**16)
            gone = self._line.fileno() in ready and self._broken()
            self._tell_journal()
            for task in list(self.live):
                self._tell_output(task)
            if gone and not self._done:
                self._bury()
        self._line.close()
        os.close(self._poke)
        workspace.remove_tree(self._base)

    # --- inside -----------------------------------------------------------------------------

    def _own_order(self, values: dict[str, list[str]], slots: int) -> Iterator[tuple[str, str]]:
        """Yield the lines of the runner's order: ours, with what only this node knows."""
        unpacked = values["inputs_package"][0]
        known = [p for p in os.environ.get("PYTHONPATH", "").split(":") if p.endswith(unpacked)]
        own = {
            "tasks": [""],
            "share": [f"{slots} {os.uname().nodename}{self._cards(values, slots)}"],
            "artifacts_dir": [f"{self._base}/out"],
        }
        for name, texts in {**values, **own}.items():
            for text in texts:
                if name == "input":
                    flag, size, rest = text.split(" ", 2)
                    target, source = rest[: int(size)], rest[int(size) :]
                    there = f"{known[0]}/{source}" if unpacked and known else f"/nowhere/{source}"
                    yield name, f"{flag} {size} {target}{there}"
                else:
                    yield name, text

    def _cards(self, values: dict[str, list[str]], slots: int) -> str:
        """Return the cards that Ray gave us, when each slot can have its own."""
        name = values.get("cards_variable", [""])[0]
        cards = os.environ.get(name, "") if name else ""
        count = len(cards.split(",")) if cards else 0
        return f" {cards}" if count and count % slots == 0 else ""

    def _spawn(self, line: int) -> None:
        """Start the runner, which leaves our process tree by itself."""
        os.set_inheritable(line, True)  # noqa: FBT003 - its one argument
        names = {*PASSED, *CARDS}
        env = {k: v for k, v in os.environ.items() if k in names or k.startswith("LC_")}
        words = [sys.executable, "-I", "-S", "-E", f"{HERE}/boarded.py", self._folder, str(line)]
        pid = os.posix_spawn(sys.executable, words, env)
        os.waitpid(pid, 0)

    def _say(self, text: str) -> None:
        """Tell the runner; that it has gone already shows by itself."""
        try:
            self._line.sendall(f"{text}\n".encode("ascii"))
        except OSError:
            return

    def _broken(self) -> bool:
        """Return whether the runner has ended; it says nothing on the line."""
        try:
            return not self._line.recv(1)
        except OSError:
            return True

    def _tell_journal(self) -> None:
        """Tell what the runner has written since the last look."""
        try:
            with open(f"{self._folder}/journal", "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        data = data[: data.rfind(b"\n") + 1]
        self._offset += len(data)
        told: list[bytes] = []
        for line in data.split(b"\n"):
            words = line.split(b" ")
            if words[-1] != b".":
                continue
            if words[0] == b"E":
                self._flush(told)
                told.append(b" ".join(self._ended(words)))
                continue
            if words[0] == b"S":
                self.live[int(words[1])] = int(words[3])
            self._done = self._done or words[0] == b"D"
            told.append(line)
        self._flush(told)

    def _flush(self, lines: list[bytes]) -> None:
        """Emit lines of the journal."""
        if lines:
            self._emit(b"".join(b"%s\n" % line for line in lines))
            lines.clear()

    def _ended(self, words: list[bytes]) -> list[bytes]:
        """Tell all that belongs to a task; return its end."""
        task = int(words[1])
        self.live.pop(task, None)
        self._tell_output(task)
        if self._keeps and words[5] == b"-":
            why = self._tell_artifacts(task)
            if why:
                note = f"fenglin: {why}\n".encode()
                self._piece(task, self._logged.get(task, 0), note)
                words = [*words[:4], b"1", b"staging_failed", *words[6:]]
        self._logged.pop(task, None)
        try:
            os.unlink(f"{self._folder}/{task}.log")
        except FileNotFoundError:
            pass
        return words

    def _tell_output(self, task: int) -> None:
        """Tell what a task has said since the last look."""
        path = f"{self._folder}/{task}.log"
        offset = self._logged.get(task, 0)
        try:
            if os.stat(path).st_size <= offset:
                return
            with open(path, "rb") as file:
                file.seek(offset)
                while data := file.read(PIECE_BYTES):
                    self._piece(task, offset, data)
                    offset += len(data)
        except FileNotFoundError:
            return
        self._logged[task] = offset

    def _piece(self, task: int, offset: int, data: bytes) -> None:
        text = binascii.b2a_base64(data, newline=False)
        self._emit(b"O %d %d %s .\n" % (task, offset, text))

    def _tell_artifacts(self, task: int) -> str:
        """Tell a task's artifacts; return why they cannot be, if so."""
        top = f"{self._base}/out/{task}"
        files = []
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode):
                    files.append((path, info.st_size, info.st_mode & 0o777))
        total = sum(size for _, size, _ in files)
        if total > self._cap_bytes:
            workspace.remove_tree(top)
            return f"artifacts: {total} bytes, at most {self._cap_bytes} can be brought from here"
        for path, _, mode in sorted(files):
            named = binascii.b2a_base64(os.fsencode(path[len(top) + 1 :]), newline=False)
            offset = 0
            with open(path, "rb") as file:
                while (data := file.read(PIECE_BYTES)) or not offset:
                    piece = binascii.b2a_base64(data, newline=False)
                    self._emit(b"F %d %d %s %d %s .\n" % (task, mode, named, offset, piece))
                    offset += max(1, len(data))
        workspace.remove_tree(top)
        return ""

    def _bury(self) -> None:
        """End what a killed runner has left, as the site's fault."""
        held = claim.read(self._folder)
        while held is not None and proc.kill_leftovers(self._key, held.pid, held.start_ticks):
            time.sleep(0.01)
        self._tell_journal()
        if self._done:
            return
        now_ms = time.time_ns() // 1_000_000
        reason = "start_failed" if held is None else "runner_lost"
        rows = [
            f"E {task} {begun} {max(0, now_ms - begun)} {sights.LOST_EXIT_CODE} {reason} 0 0 ."
            for task, begun in self.live.items()
        ]
        for task in list(self.live):
            self._tell_output(task)
        self._flush([row.encode() for row in [*rows, f"D {reason} {now_ms} ."]])
        self._done = True


def main() -> int:
    """Be the entrypoint of a job that needs one place: run everything here."""
    values = read_order(HERE)
    chosen = order.Order(values)
    place = Place(values, chosen.slots, Teller().tell)

    def stop(_number: int, _frame: FrameType | None) -> None:
        place.stop(chosen.grace_ms)

    # The module without its Python half, whose import costs some milliseconds.
    __import__("_signal").signal(SIGTERM, stop)
    place.give(list(order.indices(chosen.tasks)))
    place.close()
    place.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
