"""Instances of a pretended cloud, each answered by a real sshd on a loopback address.

A cloud that only pretends has no machines. Here each instance that it lists gets what cloud-init
would make of its user-data: a server with the host key that stands there, letting in the key
that stands there, with a home folder of its own. When the cloud no longer lists it, the server
and everything that was started on it is killed, as on a machine that is switched off.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from fenglin.testing import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

POLL_S = 0.05
HEADER = "#cloud-config\n"
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/bin")


class Listed(NamedTuple):
    """An instance that the cloud says runs.

    Attributes:
        address: Loopback address that it has.
        user_data: What it was given for cloud-init.
    """

    address: str
    user_data: str


class Machines:
    """The machines of one cloud, kept in step with its listing by a thread.

    Attributes:
        folder: Everything of theirs: a folder per instance, `home` in it.
        port: Of all their servers.
        user: Who everything runs as: whoever runs the tests.
        boot_s: How long a machine takes from being listed to answering.
    """

    def __init__(self, listing: Callable[[], Mapping[str, Listed]]) -> None:
        """Take what lists the running instances: id → address and user-data."""
        self._listing = listing
        self.user = getpass.getuser()
        self.boot_s = 0.0
        self.port = free_port()
        self._seen_s: dict[str, float] = {}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self._cut: set[str] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin; `find_sshd` says before whether servers can be started here."""
        self.folder = Path(tempfile.mkdtemp(prefix="fenglin-cloud-"))
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switch all machines off."""
        self._ending.set()
        self._thread.join()
        for name in list(self._servers):
            self._switch_off(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> list[str]:
        """Return the instances that have a machine now."""
        return sorted(self._servers)

    def home(self, name: str) -> Path:
        """Return the home folder on a machine."""
        return self.folder / name / "home"

    def cut(self, name: str) -> None:
        """Let nobody reach a machine; what runs there goes on."""
        with self._lock:
            self._cut.add(name)
            self._stop_server(name)

    def mend(self) -> None:
        """Let all machines be reached again."""
        with self._lock:
            for name in sorted(self._cut):
                self._servers[name] = self._serve(name)
            self._cut.clear()

    def _run(self) -> None:
        while not self._ending.wait(POLL_S):
            # The cloud may be stopped or frozen by a test; its machines go on.
            with contextlib.suppress(Exception):
                listed = dict(self._listing())
                with self._lock:
                    self._follow(listed)

    def _follow(self, listed: Mapping[str, Listed]) -> None:
        for name in [name for name in self._servers if name not in listed]:
            self._switch_off(name)
        now_s = time.monotonic()
        for name, one in listed.items():
            since_s = self._seen_s.setdefault(name, now_s)
            if name not in self._servers and now_s - since_s >= self.boot_s:
                # Without good user-data a machine runs and nobody can reach it.
                with contextlib.suppress(KeyError, ValueError):
                    self._boot(name, one)

    def _boot(self, name: str, one: Listed) -> None:
        """Do what cloud-init would do, and start the server."""
        if not one.user_data.startswith(HEADER):
            raise ValueError(f"the user-data of {name} is not for cloud-init")
        config = json.loads(one.user_data.removeprefix(HEADER))
        place = self.folder / name
        (place / "home").mkdir(parents=True, exist_ok=True)
        key = place / "host_key"
        key.write_text(config["ssh_keys"]["ed25519_private"])
        key.chmod(0o600)
        (user,) = [one for one in config["users"] if one["name"] == self.user]
        (place / "authorized_keys").write_text("\n".join([*user["ssh_authorized_keys"], ""]))
        (place / "sshd.conf").write_text(f"""
ListenAddress {one.address}:{self.port}
HostKey {key}
AuthorizedKeysFile {place}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 200:30:400
MaxSessions 200
LogLevel ERROR
SetEnv HOME={place}/home
Subsystem sftp internal-sftp
""")
        self._servers[name] = self._serve(name)

    def _serve(self, name: str) -> subprocess.Popen[bytes]:
        place = self.folder / name
        path = os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS))
        with (place / "sshd.log").open("ab") as log:
            return subprocess.Popen(
                [str(shutil.which("sshd", path=path)), "-D", "-e", "-f", str(place / "sshd.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _stop_server(self, name: str) -> None:
        server = self._servers[name]
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        with contextlib.suppress(OSError):
            sessions = [int(pid) for pid in children.read_text().split()]
            server.kill()
            for pid in sessions:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        server.kill()
        server.wait()

    def _switch_off(self, name: str) -> None:
        if name not in self._cut:
            self._stop_server(name)
        self._cut.discard(name)
        processes.kill(self.home(name))
        del self._servers[name]


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
