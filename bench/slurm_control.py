"""A real slurmctld of our own, on thousands of nodes that exist only in its configuration.

Its nodes are of `State=CLOUD`: powered down, they may be given to jobs without any `slurmd`. A
job that gets some is `CONFIGURING` for as long as we look, as nothing is ever resumed. Planning
does not mind: 3,000 jobs on 1,000 such nodes took Slurm 22.05 7.2 s of processor time, and 7.7 s
on 1,000 idle nodes that a real slurmd had registered, one after another.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.effort import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PACKAGES = "apt-get install --no-install-recommends slurm-wlm munge"
PROGRAMS = ("slurmctld", "munged", "sbatch", "scontrol", "squeue", "sdiag")
# Debian keeps the daemons where only root looks.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
CLIENTS = 4
ANSWER_S = 600.0
START_S = 30.0
LOOK_EVERY_S = 0.5
# A socket's name may have 108 bytes, this folder's name and the file's.
LONGEST_NAME = 90
# Long enough for a restart and the main cycle, which holds every lock until it is done.
BACKFILL_AFTER_S = 15
# Threads of slurmctld that plan: the main scheduler's and the backfill scheduler's.
PLANNERS = ("sched_agent", "bckfl")

CONFIGURATION = """\
ClusterName=bench
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MaxJobCount=100000
MessageTimeout=3600
SuspendTime=-1
SuspendProgram=/bin/true
ResumeProgram=/bin/true
ResumeTimeout=65000
GresTypes=gpu
PriorityType=priority/basic
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters={scheduler}
NodeName=c[00001-{cpu_nodes:05}] CPUs=64 Boards=1 SocketsPerBoard=1 CoresPerSocket=64 \
ThreadsPerCore=1 RealMemory=262144 State=CLOUD
NodeName=g[00001-{gpu_nodes:05}] CPUs=96 Boards=1 SocketsPerBoard=1 CoresPerSocket=96 \
ThreadsPerCore=1 RealMemory=524288 Gres=gpu:8 Weight=10 State=CLOUD
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=DOWN
"""


class Ask(NamedTuple):
    """What a job wants: so many nodes, and the rest on each of them."""

    nodes: int
    cores: int
    memory_gib: int
    cards: int
    minutes: int

    def words(self) -> list[str]:
        """Return the options of sbatch."""
        cards = [f"--gres=gpu:{self.cards}"] if self.cards else []
        return [
            f"--nodes={self.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={self.cores}",
            f"--mem={self.memory_gib}G", f"--time={self.minutes}", *cards,
        ]  # fmt: skip


class Planned(NamedTuple):
    """What Slurm did, and at what price.

    Attributes:
        thread_ms: Processor time of the threads that plan.
        stated_ms: Time of its cycles by its own clock, as `sdiag` says.
        started: Jobs that got nodes.
        dated: Waiting jobs that got an expected start.
    """

    thread_ms: float
    stated_ms: float
    started: int
    dated: int


class Control:
    """Slurm's programs at work in one folder; a queue, once made, is planned on any pool."""

    def __init__(self, folder: Path) -> None:
        """Take an empty folder.

        Raises:
            BenchError: Slurm is not installed, or the folder's name is too long for a socket.
        """
        missing = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]
        if missing:
            raise BenchError(f"{', '.join(missing)} not installed: `{PACKAGES}`")
        if len(str(folder)) > LONGEST_NAME:
            raise BenchError(f"{folder} is too long a name for a socket: set TMPDIR to a shorter")
        self._folder = folder
        self._pid = 0
        self._env = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}

    @contextlib.contextmanager
    def munge(self) -> Iterator[None]:
        """Run a munged with a key and a socket of its own."""
        key = self._folder / "munge.key"
        key.write_bytes(secrets.token_bytes(64))
        key.chmod(0o600)
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log",
                  "seed-file": "seed"}  # fmt: skip
        words = [f"--{name}={self._folder}/munge.{end}" for name, end in places.items()]
        with self._daemon("munged", "--foreground", "--force", *words):
            self._until((self._folder / "munge.socket").exists, "munged opens no socket")
            yield

    def submit(self, queue: str, nodes: int, asks: Sequence[Ask]) -> None:
        """Submit jobs to a partition that is down, and keep them as the queue of that name."""
        script = self._folder / "job.sh"
        script.write_text("#!/bin/sh\nsleep 60\n", encoding="utf-8")
        with self._slurmctld(nodes, "defer", "-c"):
            with ThreadPoolExecutor(CLIENTS) as clients:
                done = clients.map(
                    lambda ask: self._ask(
                        "sbatch", "--quiet", "--output=/dev/null", *ask.words(), str(script)
                    ),
                    asks,
                )
                list(done)
            waiting = len(self._ask("squeue", "-h", "-o", "%i").split())
        if waiting != len(asks):
            raise BenchError(f"slurmctld took {waiting} of {len(asks)} jobs")
        (self._folder / "state").rename(self._folder / queue)

    def start_all(self, queue: str, nodes: int) -> Planned:
        """Let the main scheduler start every job of a queue.

        Raises:
            BenchError: it did not.
        """
        with self._released(queue, nodes, "bf_interval=3600") as before_ns:
            self._until(lambda: not self._waiting(), "jobs still wait", ANSWER_S)
            return self._planned(before_ns)

    def start_and_date(self, queue: str, nodes: int, most: int) -> Planned:
        """Let the main scheduler start what it may, then backfill once, `most` jobs deep."""
        scheduler = (
            f"bf_interval={BACKFILL_AFTER_S},bf_max_job_test={most},bf_continue,bf_window=20160,"
            "bf_max_time=1800"
        )
        with self._released(queue, nodes, scheduler) as before_ns:
            self._until(lambda: self._cycles_ms()[1] > 0, "no backfill cycle ends", ANSWER_S)
            return self._planned(before_ns)

    @contextlib.contextmanager
    def _released(self, queue: str, nodes: int, scheduler: str) -> Iterator[int]:
        """Run a slurmctld on a queue, opened; give what its planners had used before, in ns."""
        state = self._folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self._folder / queue, state)
        # Every job in one cycle, however long that takes.
        whole = "defer,sched_interval=5,default_queue_depth=100000,max_sched_time=1800"
        with self._slurmctld(nodes, f"{whole},{scheduler}"):
            self._ask("sdiag", "--reset")
            before_ns = self._planners_ns()
            self._ask("scontrol", "update", "PartitionName=main", "State=UP")
            yield before_ns

    def _planned(self, before_ns: int) -> Planned:
        spent_ns = self._planners_ns() - before_ns
        stated_ms = sum(self._cycles_ms())
        rows = [line.split() for line in self._ask("squeue", "-h", "-o", "%T %S").splitlines()]
        waiting = [start for state, start in rows if state == "PENDING"]
        dated = sum(start != "N/A" for start in waiting)
        return Planned(spent_ns / 1e6, stated_ms, len(rows) - len(waiting), dated)

    def _waiting(self) -> int:
        return len(self._ask("squeue", "-h", "-t", "PENDING", "-o", "%i").split())

    def _cycles_ms(self) -> tuple[float, float]:
        """Return the time of all main and all backfill cycles, as `sdiag` says."""
        main, backfill = self._ask("sdiag").split("Main schedule")[1].split("Backfilling stats")
        return total_ms(main), total_ms(backfill)

    def _planners_ns(self) -> int:
        """Return the processor time of the planning threads, which live as long as slurmctld."""
        threads = Path(f"/proc/{self._pid}/task").iterdir()
        spent = {
            (thread / "comm").read_text().strip(): int(
                (thread / "schedstat").read_text().split()[0]
            )
            for thread in threads
        }
        if not spent.keys() >= set(PLANNERS):
            raise BenchError(f"slurmctld has no threads called {' and '.join(PLANNERS)}")
        return sum(spent[name] for name in PLANNERS)

    @contextlib.contextmanager
    def _slurmctld(self, nodes: int, scheduler: str, *words: str) -> Iterator[None]:
        """Run a slurmctld on so many nodes, of which a fourth has cards."""
        gpu_nodes = -(-nodes // 4)
        text = CONFIGURATION.format(
            port=_free_port(), user=getpass.getuser(), folder=self._folder, scheduler=scheduler,
            cpu_nodes=nodes - gpu_nodes, gpu_nodes=gpu_nodes,
        )  # fmt: skip
        (self._folder / "slurm.conf").write_text(text, encoding="utf-8")
        (self._folder / "gres.conf").touch()
        (self._folder / "state").mkdir(exist_ok=True)
        with self._daemon("slurmctld", "-D", *words) as process:
            self._until(self._answers, "slurmctld does not answer")
            self._pid = process.pid
            yield

    @contextlib.contextmanager
    def _daemon(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run one until the end of the block; it has then written its state down."""
        with (self._folder / f"{words[0]}.out").open("wb") as out:
            process = subprocess.Popen(
                words, env=self._env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        return " is UP" in self._run("scontrol", "ping").stdout

    def _ask(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode:
            raise BenchError(f"{words[0]}: {' '.join(done.stderr.split())}")
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self._env, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )

    def _until(self, done: Callable[[], object], why: str, limit_s: float = START_S) -> None:
        """Look until something is so.

        Raises:
            BenchError: it took longer than the limit; says why and ends with the log's last line.
        """
        end = time.monotonic() + limit_s
        while not done():
            if time.monotonic() > end:
                logs = [self._folder / name for name in ("slurmctld.log", "slurmctld.out")]
                lines = [line for log in logs if log.exists() for line in log.open()]
                raise BenchError(f"{why} after {limit_s:.0f} s; {' '.join(lines[-1:]).strip()}")
            time.sleep(LOOK_EVERY_S)


def total_ms(section: str) -> float:
    """Return the time of all cycles that a section of `sdiag` speaks of, in ms."""
    found = {name: int(value) for name, value in re.findall(r"\t(\w+ cycles?): +(\d+)", section)}
    return found.get("Total cycles", 0) * found.get("Mean cycle", 0) / 1_000


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
