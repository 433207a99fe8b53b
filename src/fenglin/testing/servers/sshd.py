"""Real OpenSSH servers on loopback addresses, each the picture of a host.

As root the hosts' user is a clean account of its own, unless told otherwise, else whoever runs
the tests. Everything
lies in a folder that this user can reach, which pytest's folders are not when root runs them.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fenglin.testing import processes
from fenglin.testing.servers import packages
from fenglin.testing.truth import TruthDir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

ACCOUNT = "fenglin-ssh"
START_WITHIN_S = 10.0
POLL_S = 0.01
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/bin")
LOCK = Path(tempfile.gettempdir()) / "fenglin-sshd.lock"


def find_sshd() -> str:
    """Return why no server can be started here; empty when one can. Installs it."""
    if not _missing():
        return ""
    why = packages.install("openssh-server")
    missing = _missing()
    return f"no SSH server here: {', '.join(missing)} missing: {why}" if missing else ""


def _program(name: str) -> str:
    """Return where a program is; empty when it is nowhere."""
    folders = os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS))
    return shutil.which(name, path=folders) or ""


def _missing() -> list[str]:
    return [name for name in ("sshd", "ssh-keygen") if not _program(name)]


class SshHosts:
    """Some hosts, each a server process on an address of its own; gone with the block.

        with SshHosts(2) as hosts:
            settings = hosts.settings()

    Attributes:
        folder: Everything of theirs; the hosts' user may enter it.
        shared: A folder in it where anyone may write, and the home of the sessions: start-up
            files of a real one would be read with each.
        addresses: One per host.
        port: Of all of them.
        user: Who tasks run as.
        key_file: Private key that is let in.
        known_hosts: File with the hosts' keys.
    """

    def __init__(self, count: int = 1, *, clean: bool = True) -> None:
        """Take how many; nothing is started yet.

        Args:
            count: Of hosts.
            clean: False has tasks run as whoever runs the tests, root too, for payloads that
                need what only they can reach.
        """
        self.addresses = [f"127.0.0.{n}" for n in range(1, count + 1)]
        self._clean = clean and os.geteuid() == 0
        self.user = ACCOUNT if self._clean else getpass.getuser()
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        # Words before a server's own, for hosts that have a network of their own.
        self._within: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        """Start all; `find_sshd` says before whether they can be."""
        self.folder = Path(tempfile.mkdtemp(prefix="fenglin-sshd-"))
        self.folder.chmod(0o755)
        self.key_file = self.folder / "id"
        self.known_hosts = self.folder / "known_hosts"
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o777)
        if self._clean:
            _make_account()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        _make_key(self.key_file)
        allowed = self.folder / "authorized_keys"
        # The least that our pages ask for; forwarding is for those that are jump hosts.
        key = self.key_file.with_suffix(".pub").read_text()
        allowed.write_text(f"restrict,port-forwarding {key}")
        allowed.chmod(0o644)
        self.port = self._free_port()
        for address in self.addresses:
            self.new_host_key(address)
            self.start(address)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the servers and everything that was started through them."""
        for address in self.addresses:
            self.stop(address)
        processes.kill(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def settings(self, **more: object) -> dict[str, object]:
        """Return settings of an ssh site of all hosts, one node each."""
        return {
            "hosts": [{"address": address, "port": self.port} for address in self.addresses],
            "user": self.user,
            "key_file": str(self.key_file),
            "known_hosts": str(self.known_hosts),
            "root": str(self.root),
            **more,
        }

    def block(self, name: str, *, cpu: float = 2, core_hour: str = "0.36") -> str:
        """Return an ssh site of all hosts for a `fenglin.toml`, with one flavor `std`.

        Args:
            name: Of the site; its provider is `provider-NAME`.
            cpu: Cores of one host: a promise, not checked against this machine.
            core_hour: Price in CNY.
        """
        settings = {key: text for key, text in self.settings().items() if key != "hosts"}
        ways = "\n".join(
            f"[[site.{name}.settings.hosts]]\naddress = {json.dumps(address)}\nport = {self.port}"
            for address in self.addresses
        )
        return f"""
[site.{name}]
driver = "ssh"
provider = "provider-{name}"
[site.{name}.settings]
{chr(10).join(_toml(settings))}
{ways}
[site.{name}.flavor.std]
nodes = {len(self.addresses)}
cpu = {cpu}
memory = "1GiB"
disk = "1GiB"
price = {{ core_hour = "{core_hour}", task_minimum_time = "1s" }}
"""

    def truth(self, name: str) -> TruthDir:
        """Return a new folder in which payloads testify, whoever they run as."""
        made = TruthDir(self.shared / f"truth-{name}")
        made.folder.chmod(0o777)
        return made

    @property
    def root(self) -> Path:
        """Return the folder on the hosts that belongs to the driver."""
        return self.shared / "root"

    def start(self, address: str) -> None:
        """Start a host's server and wait until it answers.

        Raises:
            TimeoutError: it does not.
        """
        config = self.folder / f"{address}.conf"
        config.write_text(self._config(address))
        with (self.folder / f"{address}.log").open("ab") as log:
            self._servers[address] = subprocess.Popen(
                [*self._within, _program("sshd"), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end_s = time.monotonic() + START_WITHIN_S
        while True:
            try:
                socket.create_connection((address, self.port), 1).close()
            except OSError:
                if time.monotonic() > end_s:
                    text = (self.folder / f"{address}.log").read_text(errors="replace")
                    raise TimeoutError(f"sshd does not answer: {text[-500:]}") from None
                time.sleep(POLL_S)
            else:
                return

    def stop(self, address: str) -> None:
        """End a host's server and all its connections; what runs there goes on."""
        server = self._servers.pop(address, None)
        if server is None:
            return
        sessions = _sessions(server.pid)
        server.terminate()
        server.wait()
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def running(self, address: str) -> bool:
        """Return whether a host's server runs, frozen or not."""
        return address in self._servers

    def freeze(self, address: str) -> None:
        """Let a host's server and its connections hang."""
        self._signal(address, signal.SIGSTOP)

    def thaw(self, address: str) -> None:
        """Let them go on."""
        self._signal(address, signal.SIGCONT)

    def _signal(self, address: str, number: signal.Signals) -> None:
        server = self._servers.get(address)
        for pid in (server.pid, *_sessions(server.pid)) if server is not None else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def new_host_key(self, address: str, *, known: bool = True) -> str:
        """Give a host a new key; return its fingerprint.

        Args:
            address: Which host; a running server takes it up when it is started anew.
            known: Whether `known_hosts` learns of it.
        """
        path = self.folder / f"{address}.key"
        for old in (path, path.with_name(f"{path.name}.pub")):
            old.unlink(missing_ok=True)
        _make_key(path)
        if known:
            words = path.with_name(f"{path.name}.pub").read_text().split()
            place = f"[{address}]:{self.port}"
            lines = self.known_hosts.read_text().splitlines() if self.known_hosts.exists() else []
            lines = [line for line in lines if not line.startswith(f"{place} ")]
            self.known_hosts.write_text("\n".join([*lines, f"{place} {words[0]} {words[1]}", ""]))
        told = subprocess.run(
            [_program("ssh-keygen"), "-lf", str(path)], capture_output=True, text=True, check=True
        )
        return told.stdout.split()[1]

    def _free_port(self) -> int:
        return _free_port(self.addresses)

    def _config(self, address: str) -> str:
        return f"""
ListenAddress {address}:{self.port}
HostKey {self.folder}/{address}.key
AuthorizedKeysFile {self.folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
MaxStartups 200:30:400
MaxSessions 200
LogLevel ERROR
SetEnv HOME={self.shared}
Subsystem sftp internal-sftp
"""


def _toml(values: Mapping[str, object]) -> list[str]:
    """Return lines of TOML; JSON writes texts and numbers as TOML does."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def _make_key(path: Path) -> None:
    subprocess.run(
        [
            _program("ssh-keygen"),
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            "fenglin-test",
            "-f",
            str(path),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _make_account() -> None:
    """Make the hosts' user: no password that fits, a home of its own, a plain shell."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(KeyError):
            pwd.getpwnam(ACCOUNT)
            return
        subprocess.run(
            [
                *(_program("useradd"), "--system", "--create-home"),
                *("--shell", "/bin/sh", "--password", "*", ACCOUNT),
            ],
            check=True,
            capture_output=True,
        )


def _free_port(addresses: Sequence[str]) -> int:
    """Return a port that is free on all addresses now."""
    while True:
        with contextlib.ExitStack() as open_sockets:
            port = 0
            try:
                for address in addresses:
                    sock = open_sockets.enter_context(socket.socket())
                    sock.bind((address, port))
                    port = sock.getsockname()[1]
            except OSError:
                continue
            return port


def _sessions(server: int) -> list[int]:
    """Return the processes that keep a running server's connections."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(entry.name)
            ours = (entry / "cmdline").read_bytes().startswith(b"sshd") and pid != server
            if ours and _descends(pid, server):
                found.append(pid)
    return found


def _descends(pid: int, server: int) -> bool:
    """Return whether a process was started by the server, or by one that was."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return parent == server or (parent > 1 and _descends(parent, server))
