"""A site in the hand of a test: its drivers, one after another, called from plain functions."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from fenglin.errors import DriverError
from fenglin.model.ids import attempt_key
from fenglin.ports.driver import Capability, Presence, StartOrder
from fenglin.quantities.resources import Resources
from fenglin.testing.conformance.harness import Harness, Payload

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from fenglin.model.allocation import TaskEnd, Usage
    from fenglin.ports.driver import Driver, LogChunk, Observation

T = TypeVar("T")
GRACE_MS = 2_000
READ_BYTES = 2**20
ASKED_AGAIN = 2
# Of what was last seen, in the words of a failure.
MOST_CHARS = 4_000
RESOURCES = Resources(100, 2**26)


class SiteHand:
    """Calls a driver step by step; `restart` stands for a hub that was killed and came back.

    Attributes:
        harness: What is known of the site.
        driver: The present driver.
        wakes: How often a driver has called `wake`.
    """

    def __init__(self, harness: Harness) -> None:
        """Open the site and build its first driver."""
        self.harness = harness
        self.wakes = 0
        self._runner = asyncio.Runner()
        self._numbers = count(1)
        self._testifying: set[str] = set()
        self._left: list[Driver] = []
        self._seen: dict[str, object] = {}
        try:
            self.call(harness.open())
            self.driver = self._build()
        except BaseException:  # a skip too: what cannot be opened leaves no loop behind
            self._runner.close()
            raise

    # Drivers.

    def call(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Run a call to its end."""
        return self._runner.run(awaitable)

    def need(self, *capabilities: Capability) -> None:
        """Skip the case unless the driver declares all of these."""
        lacks = [c.value for c in capabilities if c not in self.driver.capabilities]
        if lacks:
            pytest.skip(f"the {self.driver.kind} driver declares no {', '.join(lacks)}")

    def need_processes(self) -> None:
        """Skip the case where tasks are no real processes."""
        if not self.harness.executes:
            pytest.skip("tasks of this site are no processes")

    def restart(self, *, politely: bool = False) -> None:
        """Go on with a new driver, as a hub does after kill -9, or after a clean end."""
        if politely:
            self.call(self.driver.close())
        else:
            self._left.append(self.driver)
        self.driver = self._build()

    def other_hub(self) -> Driver:
        """Return a driver of another hub on the same site; closed with this one."""
        other = self._build(f"{self.harness.hub}x")
        self._left.append(other)
        return other

    # Orders.

    def key(self) -> str:
        """Return a key that was not used yet."""
        return attempt_key(self.harness.hub, next(self._numbers), 1)

    def order(self, payload: Payload = Payload(), **fields: object) -> StartOrder:  # noqa: B008 - a value
        """Return an order of one task with a key of its own, unless told otherwise.

        Args:
            payload: What each task does; left aside when `script` or `command` is given.
            fields: Of the order; `slots` is the number of slots per node.
        """
        slots = fields.pop("slots", 4)
        nodes = fields.get("nodes", 1)
        assert isinstance(slots, int)
        assert isinstance(nodes, int)
        key = str(fields["key"]) if "key" in fields else self.key()
        work: Mapping[str, object] = {}
        if not {"command", "script"} & fields.keys():
            work = self.harness.payload(payload)
            self._testifying.add(key)
        plain = {
            "key": key,
            "epoch": 1,
            "hub": self.harness.hub,
            "job": "j1",
            "job_name": "conformance",
            "site": self.harness.site,
            "flavor": self.harness.flavors[0].name,
            "tasks": "0",
            "task_count": 1,
            "tries": (),
            "shares": self.harness.shares(slots, nodes),
            "nodes": 1,
            "resources": RESOURCES,
            "command": (),
            "script": "",
            "workdir": "",
            "inputs": (),
            "artifacts": (),
            "artifacts_dir": str(self.harness.folder / "artifacts" / key),
            "timeout_ms": 0,
            "grace_ms": GRACE_MS,
        }
        own = fields.pop("env", ())
        assert isinstance(own, tuple)
        values: dict[str, Any] = {**plain, **work, "env": (("TRUTH", key), *own), **fields}
        return StartOrder(**values)

    def array(self, size: int, payload: Payload = Payload(), **fields: object) -> StartOrder:  # noqa: B008 - a value
        """Return an order of many tasks.

        Skips the case where the driver takes one task per order.
        """
        self.need(Capability.ARRAYS)
        return self.order(payload, **{"tasks": f"0-{size - 1}", "task_count": size, **fields})

    # Calls.

    def start(self, order: StartOrder) -> str:
        """Start an order; return its key. What is unclear is asked again, as the hub does."""
        for _ in range(ASKED_AGAIN):
            try:
                self.call(self.driver.start(order))
            except DriverError as error:
                if not error.effect_unknown:
                    raise
                self.call(self.harness.rest(self.harness.tick_s))
            else:
                return order.key
        self.call(self.driver.start(order))
        return order.key

    def lose_answer(self, order: StartOrder) -> str:
        """Start an order whose answer is lost; return its key."""
        self.call(self.harness.lose_answer(self.driver, order))
        return order.key

    def look(self, key: str, cursor: str = "") -> Observation:
        """Observe one key."""
        (seen,) = self.call(self.driver.observe({key: cursor}))
        assert seen.key == key
        self._seen["observation"] = seen
        return seen

    def stop(self, key: str, grace_ms: int = GRACE_MS) -> None:
        """Ask an attempt to end."""
        self.call(self.driver.stop(key, grace_ms))

    def usage(self, key: str) -> Usage:
        """Return the site's total."""
        return self.call(self.driver.usage(key))

    def listing(self) -> frozenset[str]:
        """Return the complete listing."""
        return self.call(self.driver.keys())

    def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers."""
        self.call(self.driver.forget(key))

    def chunk(self, key: str, task: int = 0, offset: int = 0, limit: int = READ_BYTES) -> LogChunk:
        """Read some of a log."""
        chunk = self.call(self.driver.read_log(key, task, offset, limit))
        self._seen["chunk of a log"] = chunk
        return chunk

    # Steps made of several calls.

    def wait(self, condition: Callable[[], T], what: str) -> T:
        """Return the first true thing that the condition returns, or fail with what was seen."""
        end_s = self.harness.elapsed_s() + self.harness.patience_s
        while not (found := condition()):
            assert self.harness.elapsed_s() < end_s, f"never came: {what}; {self._last_seen()}"
            self.call(self.harness.rest(self.harness.poll_s))
        return found

    def running(self, key: str) -> Observation:
        """Wait until a task of it has started; return what was seen."""

        def started() -> Observation | None:
            seen = self.look(key)
            assert seen.presence is not Presence.ENDED, f"it ended too early: {seen}"
            return seen if seen.presence is Presence.RUNNING and seen.started else None

        found = self.wait(started, f"the start of {key}")
        assert found is not None
        if self.harness.executes and key in self._testifying:
            self.wait(lambda: self.harness.runs(key), "a sign of life")
        return found

    def finish(self, key: str, cursor: str = "") -> tuple[list[TaskEnd], Observation]:
        """Observe to the end; return all ends since the cursor and the last observation."""
        ends: list[TaskEnd] = []
        place = cursor

        def ended() -> Observation | None:
            nonlocal place
            seen = self.look(key, place)
            ends.extend(seen.ends)
            if seen.presence is Presence.RUNNING:
                place = seen.cursor or place
            return seen if seen.presence is Presence.ENDED else None

        last = self.wait(ended, f"the end of {key}")
        assert last is not None
        return ends, last

    def run(self, order: StartOrder) -> tuple[list[TaskEnd], Observation]:
        """Start an order and follow it to its end."""
        return self.finish(self.start(order))

    def log(self, key: str, task: int = 0) -> bytes:
        """Return the whole output of an ended task."""
        parts: list[bytes] = []
        offset = 0

        def read() -> bool:
            nonlocal offset
            chunk = self.chunk(key, task, offset)
            assert chunk.next_offset == offset + len(chunk.data)
            parts.append(chunk.data)
            offset = chunk.next_offset
            return chunk.complete

        self.wait(read, f"the whole log of task {task} of {key}")
        return b"".join(parts)

    def text(self, key: str, task: int = 0) -> str:
        """Return the whole output of an ended task as text."""
        return self.log(key, task).decode()

    def close(self) -> None:
        """End everything that the test has left, then the site."""
        try:
            self._sweep()
            self.call(self.driver.close())
            for driver in self._left:
                self.call(driver.close())
        finally:
            try:
                self.call(self.harness.close())
            finally:
                self._runner.close()

    def _sweep(self) -> None:
        """Stop whatever is left, and let the site forget it."""
        for key in sorted(self.listing()):
            self.stop(key, grace_ms=0)
        for key in sorted(self.listing()):
            self.finish(key)
            self.forget(key)

    def _last_seen(self) -> str:
        """Return what a driver told last, for a failure that nobody may see again."""
        told = [f"the last {name}: {one}"[:MOST_CHARS] for name, one in self._seen.items()]
        return "\n".join(told) or "no driver was asked"

    def _build(self, hub: str = "") -> Driver:
        """Build a driver on the running loop, as the hub does."""

        async def build() -> Driver:
            return self.harness.build(self._wake, hub)

        return self.call(build())

    def _wake(self) -> None:
        self.wakes += 1
