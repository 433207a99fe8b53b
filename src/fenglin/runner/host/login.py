# ruff: noqa: PTH103, PTH112, PTH118, PTH123, PTH208, TID252
"""The hub's hand on a login node: an agent that runs commands and tells what elements have written.

There the nodes of a cluster and the login node share a folder, and an attempt has elements: `eN`
in its folder, each with a journal of its own. Beside what every agent does, these are understood:

    run     command, deadline_s, lock; its input in the body     → status, size (of its output)
    settle  lock: wait until no command holds it                 → -
    news    keys: {key: [closed elements, {element: bytes known}]} → found, more, busy, memory
    bind    key, array, by                                        → claim
    stop    key, grace_ms                                        → claim
    output  key, names, offset, limit: the first file that is there → there, size
    proof   key, elements: when each was last seen to write      → times
    memory  -                                                    → memory

An agent that comes later is alone in charge; commands of a former one end by themselves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import threading
import time

from . import agent
from . import claim as claims
from .attempts import RefusedError, refused
from .journal import JOURNAL, NONE, POKE
from .order import indices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from .agent import Answer

ANSWER_BYTES = 2**22
PIECE_BYTES = 2**18
OUTPUT_BYTES = 2**23 - 2**16
LOCK_WITHIN_S = 10.0
LOCK_POLL_S = 0.02
PASSED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TZ", "USER")


class Agent(agent.Agent):
    """Answers one hub about one cluster."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Take the configuration, besides an agent's own: `commands`, `variables`.

        Raises:
            OSError: the folders cannot be made.
        """
        super().__init__({**config, "pass_env": []})
        # Elements poke where their attempts lie.
        os.close(self._poke)
        self._poke = agent.fifo(os.path.join(self.place, "attempts", POKE))
        self._locks = os.path.join(self.place, "locks")
        os.makedirs(self._locks, 0o700, exist_ok=True)
        self._commands = config["commands"]
        self._variables = {name: os.environ[name] for name in PASSED if name in os.environ}
        self._variables.update(config["variables"])
        if self._commands:
            path = self._variables.get("PATH", os.defpath)
            self._variables["PATH"] = f"{self._commands}:{path}"

    def _answer(self, head: dict[str, Any], body: bytes) -> None:
        """Do one request; those that wait do so beside all others."""
        if head["op"] in ("run", "settle"):
            work = threading.Thread(target=self._wait_for, args=[head, body], daemon=True)
            work.start()
        else:
            super()._answer(head, body)

    def _wait_for(self, head: dict[str, Any], body: bytes) -> None:
        answer: dict[str, Any] = {}
        data = b""
        try:
            with contextlib.ExitStack() as stack:
                lock = self._locked(str(head["lock"]), stack) if head["lock"] else -1
                if head["op"] == "run":
                    answer, data = self._run(head, body, lock)
        except RefusedError as error:
            told = {"what": error.what, "hint": error.hint, "unknown": error.unknown}
            answer = {"error": told}
        except OSError as error:
            answer = {"error": {"what": refused(error).what, "unknown": False}}
        with contextlib.suppress(BrokenPipeError):
            agent.send({**answer, "id": head["id"]}, data)

    def _run(self, head: dict[str, Any], body: bytes, lock: int) -> Answer:
        """Run a command, never through a shell. It holds the lock as long as it lives."""
        name, *words = map(str, head["command"])
        program = os.path.join(self._commands, name) if self._commands else name
        try:
            process = subprocess.Popen(
                [program, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._variables,
                pass_fds=(lock,) if lock >= 0 else (),
                start_new_session=True,
            )
        except OSError as error:
            what = f"cannot run {program}: {error.strerror}"
            hint = "is it there on the login node? set `commands` to its folder"
            raise RefusedError(what, hint) from error
        try:
            out, said = process.communicate(body, timeout=float(head["deadline_s"]))
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.communicate()
            what = f"{name} gave no answer within {float(head['deadline_s']):g} s"
            hint = "is slurmctld up? try `scontrol ping` on the login node"
            raise RefusedError(what, hint, unknown=True) from error
        if len(out) > OUTPUT_BYTES:
            raise RefusedError(f"{name} says {len(out)} bytes, more than is read")
        return {"status": process.returncode, "size": len(out)}, out + said[:PIECE_BYTES]

    def _locked(self, name: str, stack: contextlib.ExitStack) -> int:
        """Take a lock; a file system that carries locks to other machines joins login nodes too."""
        path = os.path.join(self._locks, agent.checked(name, agent.NAME))
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        stack.callback(os.close, file)
        end_s = time.monotonic() + LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end_s:
                    what = f"an earlier command for {name} has not answered yet"
                    raise RefusedError(what, "is slurmctld up?", unknown=True) from None
                time.sleep(LOCK_POLL_S)
            else:
                return file

    def _busy(self, name: str) -> bool:
        try:
            file = os.open(os.path.join(self._locks, name), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    # --- attempts ---------------------------------------------------------------------------

    def _op_news(self, head: dict[str, Any], _: bytes) -> Answer:
        """Answer [key, claim, [[element, mtime_ms, size, tasks with artifacts]…]] for each."""
        found: list[list[Any]] = []
        pieces: list[bytes] = []
        busy: list[str] = []
        room, more = ANSWER_BYTES, False
        for key, (closed, known) in head["keys"].items():
            folder = self._attempts.active / agent.checked(key, agent.NAME)
            claim = _claim(folder)
            if not claim and self._busy(key):
                busy.append(key)
            rows: list[list[Any]] = []
            for element in _elements(folder) - set(indices(closed)):
                if room < PIECE_BYTES:
                    more = True
                    break
                row, data = self._piece(key, folder, element, known.get(str(element), -1))
                if row:
                    rows.append(row)
                    pieces.append(data)
                    room -= len(data)
            found.append([key, claim, rows])
        answer = {"found": found, "more": more, "busy": busy, "memory": self._memory}
        return answer, b"".join(pieces)

    def _piece(self, key: str, folder: Path, element: int, known: int) -> tuple[list[Any], bytes]:
        """Return what an element has added, whole lines only."""
        path = folder / f"e{element}" / JOURNAL
        try:
            info = path.stat()
            if info.st_size <= known:
                return [], b""
            with open(path, "rb") as file:
                file.seek(max(0, known))
                data = file.read(PIECE_BYTES)
        except FileNotFoundError:
            return ([element, 0, 0, []], b"") if known < 0 else ([], b"")
        data = data[: data.rfind(b"\n") + 1]
        if not data and known >= 0:
            return [], b""
        kept = os.path.join(self.place, "artifacts", key)
        tasks = [task for task in _ended_well(data) if os.path.isdir(f"{kept}/{task}")]
        return [element, info.st_mtime_ns // 1_000_000, len(data), tasks], data

    def _op_bind(self, head: dict[str, Any], _: bytes) -> Answer:
        folder = self._attempts.active / agent.checked(str(head["key"]), agent.NAME)
        claims.take(str(folder), claims.Claim(int(head["array"]), 0, str(head["by"])))
        return {"claim": _claim(folder)}, b""

    def _op_stop(self, head: dict[str, Any], _: bytes) -> Answer:
        super()._op_stop(head, b"")
        return {"claim": _claim(self._attempts.active / str(head["key"]))}, b""

    def _op_forget(self, head: dict[str, Any], _: bytes) -> Answer:
        """Keep output where it is looked for last, then drop the rest."""
        key = str(head["key"])
        folder = self._attempts.active / agent.checked(key, agent.NAME)
        for element in _elements(folder):
            for entry in list(os.scandir(folder / f"e{element}")):
                if entry.name.endswith(".log") and entry.is_file(follow_symlinks=False):
                    os.replace(entry.path, folder / entry.name)  # noqa: PTH105
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._locks, key))  # noqa: PTH108
        return super()._op_forget(head, b"")

    def _op_output(self, head: dict[str, Any], _: bytes) -> Answer:
        """Read the first of some files; `forget` moves output from place to place in this order."""
        key = agent.checked(str(head["key"]), agent.NAME)
        for base in (self._attempts.active, self._attempts.root / "kept"):
            for name in head["names"]:
                path = base / key / os.path.normpath("/" + str(name))[1:]
                try:
                    with open(path, "rb", opener=_not_a_link) as file:
                        size = os.fstat(file.fileno()).st_size
                        file.seek(int(head["offset"]))
                        limit = max(0, min(int(head["limit"]), agent.LOG_BYTES))
                        return {"there": True, "size": size}, file.read(limit)
                except FileNotFoundError:
                    continue
        return {"there": False, "size": 0}, b""

    def _op_proof(self, head: dict[str, Any], _: bytes) -> Answer:
        folder = self._attempts.active / agent.checked(str(head["key"]), agent.NAME)
        times = {}
        for element in head["elements"]:
            with contextlib.suppress(FileNotFoundError):
                entries = os.scandir(folder / f"e{int(element)}")
                seen = [entry.stat(follow_symlinks=False).st_mtime_ns for entry in entries]
                times[str(element)] = max(seen, default=0) // 1_000_000
        return {"times": times}, b""

    def _op_memory(self, _: dict[str, Any], __: bytes) -> Answer:
        """Answer the id of this folder's life, unless the folder is gone."""
        os.stat(self.place)  # noqa: PTH116
        return {"memory": self._memory}, b""


def _claim(folder: Path) -> str:
    """Return who has an attempt: `0` and a reason for nobody ever, an array; empty for no claim."""
    try:
        claim = claims.read(str(folder))
    except ValueError:
        claim = None
    return "" if claim is None else f"{claim.pid} {claim.void}".strip()


def _elements(folder: Path) -> set[int]:
    """Return the elements that have a folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return set()
    return {int(name[1:]) for name in names if name[:1] == "e" and name[1:].isdecimal()}


def _ended_well(data: bytes) -> list[int]:
    """Return the tasks that some lines say have succeeded."""
    lines = (line.split(b" ") for line in data.split(b"\n") if line.startswith(b"E "))
    return [int(w[1]) for w in lines if len(w) == 9 and w[5] == NONE.encode()]


def _not_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
