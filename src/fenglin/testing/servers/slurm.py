"""A real, private Slurm cluster on this machine: own keys, own ports, several at once.

    with SlurmCluster(short_folder, "east") as cluster:
        cluster.command("sinfo")
        settings = {"conf": str(cluster.conf), "shared_dir": ...}

Works for root and for a plain user: the daemons run as whoever runs the test. Needs Debian's
packages `slurm-wlm` and `munge` (or others of that name); `find_slurm` says what is missing.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.testing.servers import packages
from fenglin.testing.servers.slurm_accounts import Accounts
from fenglin.testing.servers.whole import WholeServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.testing.servers.slurm_newer import Release

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
PACKAGES = ("slurm-wlm", "munge")
FOLDERS = (Path("/usr/sbin"), Path("/usr/local/sbin"), Path("/usr/bin"), Path("/usr/local/bin"))
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 5.0
POLL_S = 0.05

_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
MpiDefault=none
GresTypes=gpu
Licenses=matlab:3
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize={array_size}
MaxJobCount=20000
MinJobAge={keep_s}
KillWait=2
SlurmctldTimeout=30
SlurmdTimeout=60
NodeName={name}-n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port={first}-{last} \
CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
RealMemory={memory_mib} Gres=gpu:{gpu}:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def find_slurm() -> str:
    """Return why no cluster can be started here; empty when one can. Installs it."""
    if not _missing():
        return ""
    why = packages.install(*PACKAGES)
    missing = _missing()
    return f"no Slurm here: {', '.join(missing)} missing: {why}" if missing else ""


def _missing() -> list[str]:
    return [name for name in PROGRAMS if program(name) is None]


def program(name: str) -> str | None:
    """Return where a program is; daemons often stand in folders that a user's PATH lacks."""
    folders = os.pathsep.join([os.environ.get("PATH", ""), *map(str, FOLDERS)])
    return shutil.which(name, path=folders)


class SlurmCluster(WholeServer):
    """One cluster: munged, slurmctld and a slurmd per node, all children of this process.

    Attributes:
        folder: Its files; a short path, since a socket's name has at most 107 bytes.
        conf: Its slurm.conf, for `SLURM_CONF`.
        nodes: Names of its nodes.
        accounting: Whether slurmdbd keeps accounts.
    """

    accounting = False

    def __init__(
        self,
        folder: Path,
        name: str = "east",
        *,
        nodes: int = 2,
        cpus: int = 8,
        gpu: str = "a100",
        array_size: int = 1001,
        keep_s: int = 60,
        release: Release | None = None,
    ) -> None:
        """Take its shape; nothing is started yet.

        Args:
            folder: Made when missing.
            name: Of the cluster; its nodes are `NAME-n1…`.
            nodes: How many.
            cpus: Of each node; they are a promise, not checked against the machine.
            gpu: Type of the two cards of each node, which are files only.
            array_size: MaxArraySize.
            keep_s: How long an ended job is remembered (MinJobAge).
            release: Another release than the system's own.
        """
        self.folder = folder.absolute()
        self.name = name
        self.nodes = tuple(f"{name}-n{i}" for i in range(1, nodes + 1))
        self.conf = self.folder / "slurm.conf"
        self._shape = {"cpus": cpus, "gpu": gpu, "array_size": array_size, "keep_s": keep_s}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._release = release
        self._accounts: Accounts | None = None

    def start(self) -> None:
        """Write the configuration, start the daemons, wait for idle nodes.

        Raises:
            TimeoutError: the nodes did not come up in time.
        """
        self._write()
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key",
            f"--socket={self.folder}/munge.sock", f"--pid-file={self.folder}/munge.pid",
            f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed",
        )  # fmt: skip
        self._wait((self.folder / "munge.sock").exists, "munged")
        if self._accounts is not None:
            self._accounts.start(self.name)
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        self._wait(self._idle, "idle nodes")

    def stop(self) -> None:
        """End its jobs, then its daemons."""
        if "slurmctld" in self._daemons and self._daemons["slurmctld"].poll() is None:
            self.command("scancel", "--quiet", "--user", _user(), timeout_s=STOP_WITHIN_S)
            self._drained()
        daemons = list(self._daemons)
        for name in reversed(daemons[1:]):
            self._end(name)
        if self._accounts is not None:
            self._accounts.stop()
        for name in daemons[:1]:
            self._end(name)

    def start_controller(self) -> None:
        """Start slurmctld; it goes on where a former one was killed."""
        self._daemon("slurmctld", "-D", "-f", str(self.conf))

    def kill_controller(self) -> None:
        """Kill slurmctld, as a power cut would."""
        self._daemons["slurmctld"].kill()
        self._daemons.pop("slurmctld").wait()

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        words = ["-D", "-N", node, "-f", str(self.conf)]
        if self._release is not None:
            words += ["-d", str(self._release.bin / "slurmstepd")]
        self._daemon("slurmd", *words, key=node)

    def command(self, name: str, *arguments: str, timeout_s: float = 30.0) -> str:
        """Run one of Slurm's commands on this cluster; return what it printed, also on failure."""
        path = self.program(name) or name
        done = subprocess.run(
            [path, *arguments], env=self.env, capture_output=True, timeout=timeout_s, check=False
        )
        return (done.stdout + done.stderr).decode(errors="replace")

    def program(self, name: str) -> str | None:
        """Return where a program of the cluster's release is."""
        if self._release is not None and (self._release.bin / name).exists():
            return str(self._release.bin / name)
        return program(name)

    @property
    def env(self) -> dict[str, str]:
        """Environment for Slurm's commands."""
        own = {**os.environ, "SLURM_CONF": str(self.conf)}
        if self._release is not None:
            own["PATH"] = f"{self._release.bin}:{own.get('PATH', os.defpath)}"
        return own

    def _write(self) -> None:
        """Write keys and configuration; ports are looked for each time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir(exist_ok=True)
        key = self.folder / "munge.key"
        if not key.exists():
            key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        port = _free_ports(len(self.nodes) + 3)
        for number in range(2):
            card = self.folder / f"card{number}"
            if not card.is_symlink():
                card.symlink_to("/dev/null")
        (self.folder / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName={self.name}-n[1-{len(self.nodes)}] Name=gpu "
            f"Type={self._shape['gpu']} File={self.folder}/card[0-1]\n"
        )
        more = "AccountingStorageType=accounting_storage/none\n"
        if self.accounting:
            munge = self.folder / "munge.sock"
            self._accounts = Accounts(self.folder, munge, port + len(self.nodes) + 1)
            more = self._accounts.conf()
        if self._release is not None:
            more += f"PluginDir={self._release.plugins}\n"
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")
        self.conf.write_text(
            more
            + _CONF.format(
                name=self.name, host=socket.gethostname().partition(".")[0], port=port,
                user=_user(), folder=self.folder, nodes=len(self.nodes), first=port + 1,
                last=port + len(self.nodes), memory_mib=16_000, **self._shape,
            )
        )  # fmt: skip

    def _daemon(self, name: str, *arguments: str, key: str = "") -> None:
        path = self.program(name)
        assert path is not None, name  # noqa: S101 - find_slurm said that it is there
        with (self.folder / f"{key or name}.out").open("ab") as log:
            self._daemons[key or name] = subprocess.Popen(
                [path, *arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _idle(self) -> bool:
        lines = self.command("sinfo", "--noheader", "--Node", "--format=%T").split()
        return len(lines) == len(self.nodes) and set(lines) == {"idle"}

    def _drained(self) -> None:
        """Wait a little until no job is left, so that no task outlives its node's daemon."""
        end_s = time.monotonic() + STOP_WITHIN_S
        while time.monotonic() < end_s and self.command("squeue", "--noheader").strip():
            time.sleep(POLL_S)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"no {what} within {READY_WITHIN_S:g} s: {self._logs()}")
            time.sleep(POLL_S)

    def _logs(self) -> str:
        """Return the last line of each log."""
        last = [
            f"{path.name}: {path.read_text(errors='replace').strip().rpartition(chr(10))[2]}"
            for path in sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")])
        ]
        return "; ".join(last)


class AccountedCluster(SlurmCluster):
    """A cluster with slurmdbd; `slurm_accounts.find_accounts` says whether one can be started."""

    accounting = True


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _free_ports(count: int) -> int:
    """Return the first of some neighbouring ports that nobody listens on now."""
    for _ in range(100):
        first = 20_000 + secrets.randbelow(12_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise OSError("no free ports found")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
