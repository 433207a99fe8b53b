"""A real hub in a process of its own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from fenglin.client import Client, Retry
from fenglin.client.transport import Transport
from fenglin.testing import processes
from fenglin.testing.builders import hub_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from fenglin.testing.forks import ForkedProcess, ForkServer

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 20.0
POLL_S = 0.01
LOG_TAIL_LINES = 40
# What a hub of a test must not inherit from whoever runs the tests.
OURS = ("FENGLIN_HUB", "FENGLIN_TOKEN", "FENGLIN_TOKEN_FILE", "FENGLIN_CONFIG", "FENGLIN_CRASH_AT")
_RUN = "import sys; from fenglin.cli import main; sys.exit(main())"


class HubProcess:
    """`fenglin hub start` on a folder of its own: configuration, `data`, and `hub.log`.

        with HubProcess(tmp_path, hub_file([LocalSite("a")])).start() as hub:
            hub.client().submit({"name": "hello", "command": ["true"]})

    Leaving the block ends the hub and everything that it has started; when the block raises,
    the end of the hub's log goes to standard error.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *,
        env: Mapping[str, str] | None = None,
        forks: ForkServer | None = None,
    ) -> None:
        """Write the configuration; start nothing yet.

        Args:
            folder: Of its own; made if it is not there.
            config: Its `fenglin.toml`; a pool of one site when empty.
            env: Variables besides those of this process.
            forks: What starts it, in a tenth of the time; None runs the command. May be
                changed between starts.
        """
        self.forks = forks
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.env = dict(env or {})
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "fenglin.toml"
        self.config.write_text(config or hub_file())
        self._log = self.folder / "hub.log"
        self._address = self.data / "hub.address"
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._clients: list[Client] = []

    def __enter__(self) -> Self:
        """Return the hub, started or not."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything; show the log when something went wrong."""
        self.cleanup()
        if error is not None:
            sys.stderr.write(f"--- end of {self._log} ---\n{self.log()}\n")

    @property
    def pid(self) -> int:
        """Pid of the running hub; 0 when none runs."""
        return self._process.pid if self._process is not None and self.alive else 0

    @property
    def alive(self) -> bool:
        """Whether the hub's process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """Where it listens; empty while it does not."""
        try:
            text = self._address.read_text()
        except FileNotFoundError:
            return ""
        return text.strip() if text.endswith("\n") else ""

    @property
    def token(self) -> str:
        """The admin token that its first start has made."""
        return (self.data / "admin.token").read_text().strip()

    def start(self, *, crash_at: str = "", ready: bool = True) -> Self:
        """Start the hub.

        Args:
            crash_at: Value of FENGLIN_CRASH_AT.
            ready: Whether to wait until it takes connections.

        Raises:
            RuntimeError: it runs already, or died before it was ready.
            TimeoutError: it was not ready in time.
        """
        if self.alive:
            raise RuntimeError("this hub runs already")
        self._hang_up()
        self._address.unlink(missing_ok=True)
        env = {name: value for name, value in os.environ.items() if name not in OURS}
        env |= {**self.env, **({"FENGLIN_CRASH_AT": crash_at} if crash_at else {})}
        words = ["hub", "start", "--config", str(self.config)]
        if self.forks is not None:
            self._process = self.forks.start(words, env=env, cwd=self.folder, log=self._log)
        else:
            self._process = self._run(words, env)
        if ready and not self.wait_ready():
            raise RuntimeError(f"the hub died before it was ready:\n{self.log()}")
        return self

    def wait_ready(self, timeout_s: float = READY_WITHIN_S) -> bool:
        """Return True once it takes connections, False when it died before.

        Raises:
            TimeoutError: neither happened in time.
        """
        end_s = time.monotonic() + timeout_s
        while not self.url:
            if not self.alive:
                return False
            if time.monotonic() > end_s:
                raise TimeoutError(f"the hub is not ready after {timeout_s:g} s:\n{self.log()}")
            time.sleep(POLL_S)
        return True

    def client(self, *, tries: int = 8, token: str | None = None) -> Client:
        """Return a client with the admin token, or another; closed with the hub at the latest.

        Args:
            tries: Most tries of one request; 1 shows every lost connection.
            token: Empty for none.
        """
        given = self.token if token is None else token
        client = Client(Transport(self.url, given, retry=Retry(tries=tries)))
        self._clients.append(client)
        return client

    def kill(self) -> int:
        """Kill it with SIGKILL; return its exit status, -9 unless it had ended before."""
        return self._end(signal.SIGKILL)

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> int:
        """Ask it to end with SIGTERM; return its exit status.

        Raises:
            TimeoutError: it still runs.
        """
        return self._end(signal.SIGTERM, timeout_s)

    def wait(self, timeout_s: float) -> int | None:
        """Return its exit status when it ends in time (-N for signal N), else None."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def cleanup(self) -> None:
        """End the hub and everything that it has started."""
        if self.alive:
            self.kill()
        processes.kill(self.folder)
        self._hang_up()

    def tasks(self) -> list[int]:
        """Return the pids of its runners and tasks."""
        return processes.below(self.folder)

    def log(self) -> str:
        """Return the end of its log."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _run(self, words: list[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _RUN, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd=self.folder,
                start_new_session=True,
            )

    def _hang_up(self) -> None:
        """Close the clients of the hub that was."""
        while self._clients:
            self._clients.pop().close()

    def _end(self, number: signal.Signals, timeout_s: float = STOP_WITHIN_S) -> int:
        if self._process is None:
            raise RuntimeError("this hub was never started")
        self._process.send_signal(number)
        status = self.wait(timeout_s)
        if status is None:
            raise TimeoutError(f"the hub still runs after {timeout_s:g} s:\n{self.log()}")
        return status
