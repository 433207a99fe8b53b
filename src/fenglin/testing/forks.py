"""Programs started by fork, for tests that start one hundreds of times.

Importing a hub takes a second of processor time, the rest of its start a tenth of that. Here a
server process imports once and is forked for each start. The child has a session, descriptors,
folder, environment and arguments of its own, and then runs what the command would run.

    with ForkServer() as forks, HubProcess(tmp_path, forks=forks).start() as hub:
        ...

What is read while importing is read once for all children; of ours that are the crash points,
which are armed anew. Who needs a fresh interpreter (`LD_PRELOAD`, another hash seed) starts the
command itself.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Self

from fenglin.ports import crashpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import FrameType, TracebackType

# What a hub brings in, at once or by the first thing it is asked; those of extras may be missing.
IMPORTED = ("fenglin.cli.app", "fenglin.cli.hub", "fenglin.bootstrap", "fenglin.drivers.local")
IF_THERE = (
    "fenglin.storage.postgres.store",
    "fenglin.storage.postgres.lease",
    "litestar.plugins.pydantic",
    "numpy.ma",
)
MOST_MESSAGE_BYTES = 150_000
ANSWER_WITHIN_S = 60.0
_SERVE = "import sys; from fenglin.testing.forks import serve; sys.exit(serve(int(sys.argv[1])))"


class _Said(NamedTuple):
    """What the server says of a child: that it began, or how it ended."""

    pid: int
    status: int | None


class ForkServer:
    """A process that has imported everything, and is forked for each start."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._line: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._statuses: dict[int, int] = {}

    def __enter__(self) -> Self:
        """Return it; the server begins with the first start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server; what it has started goes on."""
        if self._line is not None and self._server is not None:
            self._line.close()
            self._server.wait(ANSWER_WITHIN_S)

    def start(
        self, words: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> ForkedProcess:
        """Start `fenglin` in a session of its own.

        Args:
            words: What would follow it on a command line.
            env: Its whole environment.
            cwd: Where it stands.
            log: Gets standard output and error, at its end.

        Raises:
            TimeoutError: the server did not answer.
        """
        asked = {"words": list(words), "env": dict(env), "cwd": str(cwd), "log": str(log)}
        self._open().send(json.dumps(asked).encode())
        end_s = time.monotonic() + ANSWER_WITHIN_S
        while (said := self._hear(end_s)) is not None:
            if said.status is None:
                self._statuses.pop(said.pid, None)
                return ForkedProcess(self, said.pid)
        raise TimeoutError("the fork server does not answer")

    def status(self, pid: int, timeout_s: float) -> int | None:
        """Return how a child ended (-N for signal N) once that is known, else None."""
        end_s = time.monotonic() + timeout_s
        while pid not in self._statuses:
            if self._hear(end_s) is None:
                return None
        return self._statuses[pid]

    def _hear(self, end_s: float) -> _Said | None:
        """Take one message, and note who ended; return None when none comes in time."""
        line = self._open()
        if not select.select([line], [], [], max(0.0, end_s - time.monotonic()))[0]:
            return None
        message = line.recv(MOST_MESSAGE_BYTES)
        if not message:
            raise RuntimeError("the fork server is gone")
        said = _Said(*json.loads(message))
        if said.status is not None:
            self._statuses[said.pid] = said.status
        return said

    def _open(self) -> socket.socket:
        if self._line is None:
            self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._server = subprocess.Popen(
                    [sys.executable, "-c", _SERVE, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    # A child must not inherit threads that it does not have.
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                    start_new_session=True,
                )
        return self._line


class ForkedProcess:
    """A child of the fork server, with the part of `subprocess.Popen` that a hub's keeper uses.

    Attributes:
        pid: Of it.
    """

    def __init__(self, server: ForkServer, pid: int) -> None:
        """Take who reaps it."""
        self.pid = pid
        self._server = server
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, -N for signal N; None while it runs."""
        return self._look(0)

    def wait(self, timeout: float) -> int:
        """Return its exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(["fenglin"], timeout)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _look(self, timeout_s: float) -> int | None:
        if self._status is None:
            self._status = self._server.status(self.pid, timeout_s)
        return self._status


# --- in the server --------------------------------------------------------------------------


def serve(number: int) -> int:
    """Fork for each request on an inherited socket until it is closed; return an exit code.

    Args:
        number: The socket's descriptor.
    """
    main: Callable[[list[str]], int] = import_module("fenglin.cli").main
    for name in IMPORTED:
        import_module(name)
    for name in IF_THERE:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("fenglin."):
                raise
    # A child must not copy a page only because its collector has looked at it.
    gc.collect()
    gc.freeze()
    words = None
    # Whoever asked may be gone while we answer.
    with socket.socket(fileno=number) as line, contextlib.suppress(BrokenPipeError):
        words = _children(line)
    return main(words) if words is not None else 0


def _children(line: socket.socket) -> list[str] | None:
    """Fork until the line is closed: return None then, and in each child its arguments."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)
        signal.signal(signal.SIGCHLD, _woken)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([line, ours], [], [])
            if ours in ready:
                ours.recv(4096)
                _reap(line)
            if line not in ready:
                continue
            said = line.recv(MOST_MESSAGE_BYTES)
            if not said:
                return None
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                return _settle(json.loads(said))
            line.send(json.dumps([pid, None]).encode())


def _woken(number: int, frame: FrameType | None) -> None:
    """Do nothing: that a signal came is told by the wakeup descriptor."""


def _reap(line: socket.socket) -> None:
    """Tell of each child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        line.send(json.dumps([pid, os.waitstatus_to_exitcode(status)]).encode())


def _settle(asked: dict[str, object]) -> list[str]:
    """Make this process what a command's would be; return its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(str(asked["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.close(log)
    os.close(nothing)
    os.chdir(str(asked["cwd"]))
    env, words = asked["env"], asked["words"]
    if not isinstance(env, dict) or not isinstance(words, list):
        raise TypeError("a request has an environment and words")
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["fenglin", *words]
    crashpoint.arm(env.get("FENGLIN_CRASH_AT", ""))
    return words
