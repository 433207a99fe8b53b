"""A real PostgreSQL server of a test's own, in a folder of its own, as a plain user.

As root it runs as a clean account, for PostgreSQL refuses root; it is installed when it is
missing. It listens on a socket in its folder and on a free port of 127.0.0.1.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fenglin.testing.servers import packages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

ACCOUNT = "fenglin-postgres"
USER = "hub"
LEAST_VERSION = 15
START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
POLL_S = 0.02
# Below those that Linux gives out by itself, from 32768 on.
PORTS = range(20_000, 32_000)
LOCK = Path(tempfile.gettempdir()) / "fenglin-postgres.lock"
FOLDERS = Path("/usr/lib/postgresql")
# Tests of ours kill hubs, not this server's machine: what it wrote need not reach a disk.
_QUICK = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB")


def find_postgres(*, install: bool = True) -> str:
    """Return why no server can be started here; empty when one can.

    Args:
        install: Whether to install it when it is missing and we are root.
    """
    if programs() is not None:
        return ""
    why = packages.install("postgresql") if install else "apt-get install postgresql"
    return "" if programs() else f"no PostgreSQL {LEAST_VERSION} or newer here: {why}"


def programs() -> Path | None:
    """Return the folder of the newest server's programs; None without one that is new enough."""
    found = [
        (int(folder.name), folder / "bin")
        for folder in (FOLDERS.iterdir() if FOLDERS.is_dir() else ())
        if folder.name.isdecimal() and (folder / "bin" / "initdb").exists()
    ]
    version, folder = max(found, default=(0, FOLDERS))
    return folder if version >= LEAST_VERSION else None


class PostgresServer:
    """A server with no database of ours yet; gone with the block.

        with PostgresServer() as server:
            url = server.database()

    Attributes:
        folder: Everything of its.
        port: On 127.0.0.1.
    """

    def __init__(self, *options: str, of: PostgresServer | None = None, port: int = 0) -> None:
        """Take how it is to be; nothing is started yet.

        Args:
            options: Settings such as `log_statement=all`.
            of: A running server whose standby this is to be.
            port: Where to listen; 0 for any free one.
        """
        self._options = (*_QUICK, *options)
        self._of = of
        self.port = port
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._user = ACCOUNT if os.geteuid() == 0 else None

    def __enter__(self) -> Self:
        """Make and start it; `find_postgres` says before whether that can be."""
        found = programs()
        if found is None:
            raise RuntimeError("no PostgreSQL here: ask find_postgres() first")
        self._programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="fenglin-pg-"))
        try:
            self.folder.chmod(0o711)
            self._data = self.folder / "data"
            self._data.mkdir(mode=0o700)
            if self._user:
                _make_account()
                shutil.chown(self.folder, self._user)
                shutil.chown(self._data, self._user)
            self._fill()
            self.port = self.port or _free_port()
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it and remove its folder."""
        self._end()

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template0") -> str:
        """Make a new database, empty or as its template; return its address."""
        self._count += 1
        name = f"hub{self._count}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement behind everybody's back; return its rows."""
        import psycopg  # noqa: PLC0415 - an extra

        with psycopg.connect(self.url(database), autocommit=True) as conn:
            cursor = conn.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server; each of its processes has it afterwards.

        Raises:
            TimeoutError: it did not take it.
        """
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")
        end_s = time.monotonic() + START_WITHIN_S
        # A new session has what the main process has read, which then has told all others.
        while self.sql(f"SHOW {name}") != [(value,)]:
            if time.monotonic() > end_s:
                raise TimeoutError(f"PostgreSQL does not take {name} = {value}")
            time.sleep(POLL_S)
        # Whether commits wait for a standby is decided by the checkpointer, in its own time.
        self.sql("CHECKPOINT")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        words = [f"-c{option}" for option in self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self._data, "-k", self.folder,
                    "-p", str(self.port), "-clisten_addresses=127.0.0.1", *words,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
                cwd="/",
            )  # fmt: skip
        end_s = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if time.monotonic() > end_s or self._process.poll() is not None:
                text = (self.folder / "log").read_text(errors="replace")
                raise TimeoutError(f"PostgreSQL does not answer: {text[-1000:]}")
            time.sleep(POLL_S)

    def stop(self, *, kill: bool = False) -> None:
        """Stop it: at once and in good order, or as a crash of its machine would."""
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            _kill_session(process.pid)
        else:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            _kill_session(process.pid)
            process.wait()

    def _fill(self) -> None:
        """Make the data folder: an empty server's, or a copy that goes on as a standby."""
        if self._of is None:
            self._run(
                "initdb", "-D", str(self._data), "-U", USER, "--auth=trust", "--no-sync",
                "-E", "UTF8", "--locale=C",
            )  # fmt: skip
            return
        self._run(
            "pg_basebackup", "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self._of.port),
            "-U", USER, "-R", "-X", "stream", "-c", "fast", "--no-sync",
        )  # fmt: skip

    def _end(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        done = subprocess.run(
            [
                self._programs / "pg_isready",
                "-q",
                "-U",
                USER,
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
            ],
            check=False,
        )
        return not done.returncode

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words],
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            cwd="/",
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-1000:]}")


@contextlib.contextmanager
def postgres_server(*options: str) -> Iterator[PostgresServer]:
    """Yield a running server; see `PostgresServer`."""
    with PostgresServer(*options) as server:
        yield server


def _make_account() -> None:
    """Make the account that the server runs as, if it is not there."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(ACCOUNT)
        except KeyError:
            subprocess.run(
                ["/usr/sbin/useradd", "--system", "--user-group", "--no-create-home",
                 "--shell", "/usr/sbin/nologin", ACCOUNT],
                check=True,
                capture_output=True,
            )  # fmt: skip


def _kill_session(pid: int) -> None:
    """Kill the server and the processes that it has made; each is a group of its own."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != pid:
            with contextlib.suppress(OSError, IndexError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == pid:
                    os.kill(int(folder.name), signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    """Return a port on which nobody listens, and which the kernel gives to nobody that asks.

    A server that is to come back to its port must not find a stranger's connection there.
    """
    while True:
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
