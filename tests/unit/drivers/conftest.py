"""A local site in a temporary folder, driven by hand."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fenglin.drivers.local import driver, observer
from fenglin.drivers.local.site import LocalDriver
from fenglin.model.allocation import Share, TaskEnd
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import DriverContext, LogChunk, Observation, Presence, StartOrder
from fenglin.quantities.resources import Resources
from fenglin.runner.host import claim, proc

LONGEST_S = 20.0


class LocalSite:
    """Drives one driver synchronously; a new `hub()` stands for a restarted hub."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.artifacts = directory / "kept-artifacts"
        self.wakes = 0
        self._loop = asyncio.Runner()
        self.driver = self.hub()

    def hub(self, **settings: object) -> LocalDriver:
        """Build another driver over the same folder, as a restarted hub does."""
        values = {
            "flavors": (Flavor("small", ComputeClass.GENERAL, Resources(2_000, 2**30)),),
            "nodes": (Node("n0", "small"), Node("n1", "small")),
        }
        context = DriverContext(
            "h1", "here", self.directory, self._wake, lambda: time.time_ns() // 1_000_000
        )
        self.driver = driver(context, {**values, **settings})
        return self.driver

    def order(self, *command: str, key: str = "h1-a1-1", **fields: object) -> StartOrder:
        """Return an order for one task unless told otherwise."""
        values = {
            "key": key, "epoch": 1, "hub": "h1", "job": "j1", "job_name": "test", "site": "here",
            "flavor": "small", "tasks": "0", "task_count": 1, "tries": (), "nodes": 1,
            "shares": (Share("n0", 4),), "resources": Resources(500), "command": command,
            "script": "", "env": (), "workdir": "", "inputs": (), "artifacts": (),
            "artifacts_dir": str(self.artifacts), "timeout_ms": 0, "grace_ms": 2_000,
        }  # fmt: skip
        return StartOrder(**{**values, **fields})

    def call(self, awaitable):
        return self._loop.run(awaitable)

    def start(self, order: StartOrder) -> None:
        self.call(self.driver.start(order))

    def stop(self, key: str = "h1-a1-1", grace_ms: int = 2_000) -> None:
        self.call(self.driver.stop(key, grace_ms))

    def look(self, cursor: str = "", key: str = "h1-a1-1") -> Observation:
        (seen,) = self.call(self.driver.observe({key: cursor}))
        return seen

    def finish(self, key: str = "h1-a1-1", cursor: str = "") -> tuple[list[TaskEnd], Observation]:
        """Observe to the end; return all ends since the cursor and the last observation."""
        ends: list[TaskEnd] = []
        deadline = time.monotonic() + LONGEST_S
        while True:
            seen = self.look(cursor, key)
            ends += seen.ends
            if seen.presence is Presence.ENDED:
                return ends, seen
            assert time.monotonic() < deadline, f"{key} did not end: {seen}"
            cursor = seen.cursor or cursor
            self.call(asyncio.sleep(0.01))

    def run(self, order: StartOrder) -> tuple[list[TaskEnd], Observation]:
        self.start(order)
        return self.finish(order.key)

    def wait(self, condition, what: str):
        """Wait until the condition returns something true and return that."""
        deadline = time.monotonic() + LONGEST_S
        while not (found := condition()):
            assert time.monotonic() < deadline, f"never: {what}"
            time.sleep(0.005)
        return found

    def log(self, task: int = 0, key: str = "h1-a1-1", offset: int = 0) -> LogChunk:
        return self.call(self.driver.read_log(key, task, offset, 2**20))

    def text(self, task: int = 0, key: str = "h1-a1-1") -> str:
        return self.log(task, key).data.decode()

    def attempt(self, key: str = "h1-a1-1") -> Path:
        return self.directory / "attempts" / key

    def runner_pid(self, key: str = "h1-a1-1") -> int:
        found = self.wait(lambda: claim.read(str(self.attempt(key))), "a claim")
        return found.pid

    def kill_runner(self, key: str = "h1-a1-1") -> None:
        pid = self.runner_pid(key)
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: proc.stat_of(pid) is None, "the runner's death")

    def close(self) -> None:
        # A runner that has not claimed yet finds the stop; one that has ends what it runs.
        try:
            for key in self.call(self.driver.keys()):
                self.stop(key, grace_ms=0)
                self.finish(key)
            self.call(self.driver.close())
        finally:
            self._loop.close()

    def _wake(self) -> None:
        self.wakes += 1


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSite]:
    monkeypatch.setattr(observer, "SWEEP_INTERVAL_S", 0.02)
    made = LocalSite(tmp_path / "site")
    yield made
    made.close()
