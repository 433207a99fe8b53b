"""A hub of our own to measure: its own process, folder and port, on the real file system."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.children import BIN, environment
from bench.effort import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

START_S = 60.0
STOP_S = 20.0
WAIT_STEP_S = 50
SITE = """
[site.{name}]
driver = "local"
provider = "this-machine"

[site.{name}.flavor.host]
cpu = {cpu}
memory = "{memory}GiB"
disk = "1TiB"
speed = {speed}
price = {{ core_hour = "{price}" }}
"""
HEAD = """
[hub]
log = "warning"

[account.default]
credit = "100000000 CNY"
"""
TWO_SLOTS = HEAD + SITE.format(name="local", cpu=2, memory=64, speed=1, price="0.10")
THREE_SITES = HEAD + "".join(
    SITE.format(name=name, cpu=1, memory=64, speed=speed, price=price)
    for name, speed, price in (("gen", 1, "0.10"), ("ai", 2, "0.30"), ("super", 1.5, "0.20"))
)


class Door:
    """One kept connection to a hub."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._conn = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=90)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def raw(self, method: str, path: str, body: object = None) -> bytes:
        """Return the answer's bytes.

        Raises:
            BenchError: the hub refused.
        """
        text = None if body is None else json.dumps(body)
        self._conn.request(method, path, text, self._headers)
        answer = self._conn.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise BenchError(f"{method} {path}: {answer.status} {data[:200]!r}")
        return data

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer's JSON."""
        return json.loads(self.raw(method, path, body))

    def wait(self, job: str) -> dict[str, Any]:
        """Return the job once it has ended.

        Raises:
            BenchError: it did not succeed.
        """
        while True:
            view: dict[str, Any] = self.ask("GET", f"/v1/jobs/{job}/wait?timeout_s={WAIT_STEP_S}")
            if view["ended_ms"]:
                break
        if view["state"] != "succeeded":
            raise BenchError(f"{job} ended as {view['state']}: {view['reason']} {view['detail']}")
        return view

    def drain(self) -> None:
        """Let no site start anything."""
        for site in self.ask("GET", "/v1/sites")["items"]:
            self.ask("POST", f"/v1/sites/{site['name']}/drain")

    def resume(self) -> None:
        """Let all sites start work again."""
        for site in self.ask("GET", "/v1/sites")["items"]:
            self.ask("POST", f"/v1/sites/{site['name']}/resume")

    def close(self) -> None:
        """Hang up."""
        self._conn.close()


class RunningHub:
    """A hub process over a data folder that outlives it, so that it can be started again."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self._config = folder / "fenglin.toml"
        self._config.write_text(config, encoding="utf-8")
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.door: Door
        self.url = ""
        self.token = ""

    def start(self) -> float:
        """Start the process; return the seconds until it said it was ready.

        Raises:
            BenchError: it did not; says what it wrote last.
        """
        address = self._data / "hub.address"
        address.unlink(missing_ok=True)
        log = self.folder / "hub.log"
        begun = time.perf_counter()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [BIN / "fenglin", "hub", "start", "--config", self._config,
                 "--data", self._data, "--listen", "127.0.0.1:0"],
                env=environment(), stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        while not self._ready(address):
            if self._process.poll() is not None or time.perf_counter() - begun > START_S:
                tail = log.read_text(encoding="utf-8", errors="replace")[-300:]
                raise BenchError(f"the hub did not start: {tail}")
            time.sleep(0.005)
        return time.perf_counter() - begun

    def _ready(self, address: Path) -> bool:
        """Return whether `/readyz` answers well; then the door is open."""
        try:
            url = address.read_text(encoding="utf-8")
            if not url.endswith("\n"):
                return False
            self.url = url.strip()
            self.token = (self._data / "admin.token").read_text(encoding="utf-8").strip()
            door = Door(self.url, self.token)
            door.raw("GET", "/readyz")
        except (OSError, BenchError):
            return False
        self.door = door
        return True

    @property
    def pid(self) -> int:
        """Return the number of the process.

        Raises:
            BenchError: it does not run.
        """
        if self._process is None:
            raise BenchError("the hub does not run")
        return self._process.pid

    def pss_mb(self) -> float:
        """Return the process's proportional share of memory, in 10⁶ bytes."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii")
        for line in text.splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise BenchError("the kernel does not tell the PSS")

    def environment(self) -> dict[str, str]:
        """Return what a command needs to find this hub."""
        return environment(FENGLIN_HUB=self.url, FENGLIN_TOKEN=self.token)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process; what it has started goes on, as it must."""
        if self._process is None:
            return
        self.door.close()
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def destroy(self) -> None:
        """End everything, leave nothing."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running(config: str = TWO_SLOTS) -> Iterator[RunningHub]:
    """Yield a fresh hub that is ready, and leave nothing of it behind."""
    hub = RunningHub(Path(tempfile.mkdtemp(prefix="fenglin-bench-")), config)
    try:
        hub.start()
        yield hub
        with contextlib.suppress(BenchError, OSError):
            hub.door.drain()
        hub.stop()
    finally:
        hub.destroy()
