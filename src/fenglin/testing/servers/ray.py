"""A real, private Ray cluster on this machine, with several nodes, on free ports.

    with RayCluster(short_folder) as cluster:
        settings = {"address": cluster.address, "python": cluster.python}

Ray is large, so it is installed once into an environment of its own in the user's cache folder,
or found in the one that FENGLIN_TEST_RAY names; `find_ray` says why that cannot be.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fenglin.testing.servers.whole import WholeServer

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIREMENT = "ray[default]>=2.50,<3"
INSTALL_WITHIN_S = 600.0
READY_WITHIN_S = 150.0
STOP_WITHIN_S = 10.0
POLL_S = 0.1
STORE_BYTES = 80_000_000
# Neither tokens of the user nor reports to the makers; patience on a busy machine.
ENV = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
}


def _environment() -> Path:
    """Return the folder of Ray's own virtual environment."""
    named = os.environ.get("FENGLIN_TEST_RAY")
    if named:
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fenglin" / f"ray-py{sys.version_info[0]}.{sys.version_info[1]}"


def find_ray(*, install: bool = True) -> str:
    """Return why no cluster can be started here; empty when one can.

    Args:
        install: Whether to install Ray into the cache when it is not there.
    """
    folder = _environment()
    ray = folder / "bin" / "ray"
    if ray.exists() and (folder / "ready").exists():
        return ""
    if os.environ.get("FENGLIN_TEST_RAY"):
        return "" if ray.exists() else f"no Ray here: {ray} is missing"
    if not install:
        return f"no Ray here: {ray} is missing"
    try:
        return _install(folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Ray could not be installed: {error}"


def _install(folder: Path) -> str:
    """Make the environment, unless another process does; return why that failed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "ready").exists():
            return ""
        for words in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", REQUIREMENT],
        ):
            done = subprocess.run(words, capture_output=True, timeout=INSTALL_WITHIN_S, check=False)
            if done.returncode:
                last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                return f"Ray could not be installed: {last}"
        (folder / "ready").touch()
    return ""


class RayCluster(WholeServer):
    """One cluster: a head and some more nodes, all on this machine, children of this process.

    Attributes:
        folder: Its files; a short path, since a socket's name has at most 107 bytes.
        address: Of its dashboard; the same after a restart.
        python: The Python that has Ray.
    """

    def __init__(self, folder: Path, *, nodes: int = 2, cpus: int = 2) -> None:
        """Take its shape; nothing is started yet.

        Args:
            folder: Made when missing.
            nodes: How many, the head among them.
            cpus: Of each node; they are a promise, not checked against the machine.
        """
        self.folder = folder.absolute()
        self.python = str(_environment() / "bin" / "python")
        self._cpus = cpus
        self._count = nodes
        self._lives = 0
        self._port = _free_ports(20 * nodes)
        self.address = f"http://127.0.0.1:{self._port + 1}"
        self._daemons: list[subprocess.Popen[bytes] | None] = [None] * nodes

    def start(self) -> None:
        """Start all nodes; after `kill` it is a new cluster at the old address.

        Raises:
            TimeoutError: the nodes did not come up in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lives += 1
        self.start_node(0)
        self._wait(self._answers, "dashboard")
        for number in range(1, self._count):
            self.start_node(number)
        self._wait(lambda: len(self.nodes()) == self._count, "nodes")

    def stop(self) -> None:
        """End all nodes, the head last."""
        for number in reversed(range(self._count)):
            self.stop_node(number)

    def kill(self) -> None:
        """Kill everything at once, as a power cut would."""
        for number, daemon in enumerate(self._daemons):
            if daemon is not None:
                _kill_session(daemon.pid)
                daemon.wait()
                self._daemons[number] = None

    def start_node(self, number: int) -> None:
        """Start a node; 0 is the head."""
        first = self._port + 20 * number
        temp = self.folder / f"{self._lives}"
        words = [
            str(Path(self.python).with_name("ray")), "start", "--block", "--disable-usage-stats",
            f"--num-cpus={self._cpus}", f"--object-store-memory={STORE_BYTES}",
            f"--dashboard-agent-listen-port={first + 2}",
            f"--dashboard-agent-grpc-port={first + 3}",
            f"--node-manager-port={first + 4}", f"--object-manager-port={first + 5}",
            f"--runtime-env-agent-port={first + 6}", f"--metrics-export-port={first + 7}",
        ]  # fmt: skip
        if number:
            words.append(f"--address=127.0.0.1:{self._port}")
        else:
            words += [
                "--head", "--node-ip-address=127.0.0.1", f"--port={self._port}",
                "--dashboard-host=127.0.0.1", f"--dashboard-port={self._port + 1}",
                f"--ray-client-server-port={first + 8}", f"--temp-dir={temp}",
            ]  # fmt: skip
        with (self.folder / f"node{number}.out").open("ab") as log:
            self._daemons[number] = subprocess.Popen(
                words,
                env=self._env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop_node(self, number: int) -> None:
        """End a node in good order, and all that it runs."""
        daemon, self._daemons[number] = self._daemons[number], None
        if daemon is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(daemon.pid, signal.SIGTERM)
        try:
            daemon.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _kill_session(daemon.pid)

    def get(self, path: str) -> Any:  # noqa: ANN401 - whatever Ray answers
        """Ask the dashboard, as anybody would."""
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:  # noqa: S310 - ours
            return json.load(answer)

    def nodes(self) -> list[str]:
        """Return the ids of the nodes that are alive."""
        try:
            rows = self.get("/api/v0/nodes")["data"]["result"]["result"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [row["node_id"] for row in rows if row["state"] == "ALIVE"]

    def post(self, path: str, document: object = None) -> Any:  # noqa: ANN401 - as above
        """Tell the dashboard something, as anybody may."""
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.address + path, body, headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            return json.load(answer)

    def submit(self, key: str, entrypoint: str) -> None:
        """Submit a job that is nobody's of ours."""
        self.post("/api/jobs/", {"entrypoint": entrypoint, "submission_id": key})

    def _env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "FENGLIN_"))}
        path = f"{Path(self.python).parent}:{os.environ.get('PATH', os.defpath)}"
        return {**kept, **ENV, "PATH": path}

    def _answers(self) -> bool:
        try:
            return bool(self.get("/api/version")) and len(self.nodes()) == 1
        except (OSError, ValueError):
            return False

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while not condition():
            dead = any(one is not None and one.poll() is not None for one in self._daemons)
            if dead or time.monotonic() > end_s:
                raise TimeoutError(f"no {what} within {READY_WITHIN_S:g} s: {self._logs()}")
            time.sleep(POLL_S)

    def _logs(self) -> str:
        """Return the end of each log."""
        logs = sorted(self.folder.glob("*.out"))
        return "; ".join(f"{p.name}: {p.read_text(errors='replace')[-300:]}" for p in logs)


def _kill_session(leader: int) -> None:
    """Kill what is left of a session that one of our daemons led."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)


def _free_ports(count: int) -> int:
    """Return the first of some neighbouring ports that nobody listens on now."""
    for _ in range(100):
        first = 20_000 + secrets.randbelow(11_000)
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
