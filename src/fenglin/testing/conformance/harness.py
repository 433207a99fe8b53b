"""What the suite must be told of a kind of site, and what it may ask the site's owner to do."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import pytest

from fenglin.errors import DriverError
from fenglin.model.allocation import Share
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import DriverContext
from fenglin.quantities.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.model.allocation import Usage
    from fenglin.ports.driver import Driver, DriverFactory, StartOrder

GIB = 2**30
FLAVORS = (Flavor("std", ComputeClass.GENERAL, Resources(4_000, 4 * GIB, 64 * GIB)),)
NODES = (Node("n0", "std"), Node("n1", "std"))
LOST_AFTER_S = 0.05


class Payload(NamedTuple):
    """What a task of the suite does.

    Attributes:
        sleep_s: How long it takes.
        exit_code: How it ends.
        says: Its output, one line.
    """

    sleep_s: float = 0
    exit_code: int = 0
    says: str = ""


class Harness:
    """A kind of site as the suite sees it. Instances serve one test each.

    Attributes:
        patience_s: Longest wait for anything; a site that lists once a minute needs more.
        poll_s: Between two looks.
        tick_s: Shortest time that the site tells apart: payloads that must be seen running
            take some of these, time limits are one.
        coarse_s: How far its runtimes may be off; 1 for a site that counts whole seconds.
        executes: Whether tasks are real processes. A site in memory says False and renders
            `payload` in its own way; cases that need a process are skipped.
        starts_blind: Whether a driver can be built while the site is cut off, as it must be
            wherever the site is not the hub's own disk.
        hub: Hub id, new for each harness, so that tests can share one site.
        site: Name of the site.
        folder: Folder of this test on this machine. Tasks must see it under the same path,
            unless `runs` is overridden.
        flavors, nodes, licences: As the hub's configuration declares them.
    """

    patience_s = 30.0
    poll_s = 0.02
    tick_s = 0.3
    coarse_s = 0.05
    executes = True
    starts_blind = True

    def __init__(
        self,
        factory: DriverFactory,
        folder: Path,
        settings: Mapping[str, object] | None = None,
        *,
        flavors: tuple[Flavor, ...] = FLAVORS,
        nodes: tuple[Node, ...] = NODES,
        licences: tuple[tuple[str, int], ...] = (),
    ) -> None:
        """Take how a driver is built: what the entry point names, and a site's settings."""
        self.factory = factory
        self.folder = folder.absolute()
        self.settings = dict(settings or {})
        self.flavors = flavors
        self.nodes = nodes
        self.licences = licences
        self.hub = f"c{secrets.token_hex(4)}"
        self.site = "conformance"
        self.truth.mkdir(parents=True, exist_ok=True)

    # How the site is reached and asked to run something.

    def build(self, wake: Callable[[], None], hub: str = "") -> Driver:
        """Return a new driver of the same site, as a hub that starts makes one.

        Args:
            wake: What the driver calls when there is news.
            hub: Another hub's id; that hub has a folder of its own.
        """
        directory = self.folder / "sites" / (hub or self.hub)
        directory.mkdir(parents=True, exist_ok=True)
        context = DriverContext(hub or self.hub, self.site, directory, wake, self.now_ms)
        return self.factory(
            context,
            {
                **self.settings,
                "flavors": self.flavors,
                "nodes": self.nodes,
                "licences": self.licences,
            },
        )

    def shares(self, slots: int, nodes: int) -> tuple[Share, ...]:
        """Return where an order of the suite goes: `slots` tasks on each of some nodes."""
        if len(self.nodes) < nodes:
            pytest.skip(f"the site has {len(self.nodes)} nodes, the case needs {nodes}")
        return tuple(Share(node.name, slots) for node in self.nodes[:nodes])

    def payload(self, payload: Payload) -> dict[str, object]:
        """Return the fields of a `StartOrder` that make a task do this, and testify to it."""
        lines = [f'echo "$FENGLIN_TASK_INDEX" >> {shlex.quote(str(self.truth))}/"$TRUTH"']
        if payload.says:
            lines.append(f"printf '%s\\n' {shlex.quote(payload.says)}")
        if payload.sleep_s:
            lines.append(f"sleep {payload.sleep_s:g}")
        return {"script": "\n".join([*lines, f"exit {payload.exit_code}", ""])}

    # Time. A site in memory moves its own.

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        """Return seconds on a clock that never runs backwards."""
        return time.monotonic()

    async def rest(self, wait_s: float) -> None:
        """Let time pass."""
        await asyncio.sleep(wait_s)

    # What is known besides what the driver says.

    @property
    def truth(self) -> Path:
        """Folder in which payloads testify that they ran."""
        return self.folder / "truth"

    def runs(self, key: str) -> list[int]:
        """Return the index of each run of each task of an attempt, sorted."""
        try:
            lines = (self.truth / key).read_text().split()
        except FileNotFoundError:
            return []
        return sorted(int(line) for line in lines)

    # Hooks. Those that are not overridden skip the cases that need them.

    async def open(self) -> None:
        """Make the site ready; called once before the first driver is built."""

    async def close(self) -> None:
        """Take down what `open` made; called last."""

    async def lose_answer(self, driver: Driver, order: StartOrder) -> None:
        """Have `start` take effect and its answer not arrive; by default it is not awaited.

        Override it where the line can be cut after the site has got the request.
        """
        with contextlib.suppress(TimeoutError, DriverError):
            await asyncio.wait_for(driver.start(order), LOST_AFTER_S)

    async def lose_request(self, driver: Driver, order: StartOrder) -> None:
        """Have `start` fail as unclear and have no effect."""
        self._cannot(f"have the {driver.kind} driver lose its request for {order.key}")

    async def refuse_start(self) -> None:
        """Make the site refuse the next start for certain: no such partition, quota, disk full."""
        self._cannot("make the site refuse a start")

    async def hang(self) -> None:
        """Make every call wait for an answer that does not come, until `mend`."""
        self._cannot("make the site hang")

    async def blind(self, key: str) -> None:
        """Make the site unable to tell of one attempt, until `mend`."""
        self._cannot(f"hide {key} alone")

    async def objects(self, key: str) -> int:
        """Return how many outside objects carry the key, asked of the site itself."""
        self._cannot(f"count the site's objects of {key}")

    async def cut(self) -> None:
        """Make the site unreachable, or its records unreadable, until `mend`."""
        self._cannot("make the site unreachable")

    async def mend(self) -> None:
        """Undo `cut`, `hang` and `blind`."""

    async def lose_agent(self, key: str) -> None:
        """Kill what runs the attempt's tasks at the site, as a crash of its node would."""
        self._cannot(f"kill what runs {key}")

    async def lose_memory(self) -> None:
        """Make the site forget every attempt, as a reinstalled one does."""
        self._cannot("make the site lose its memory")

    async def take_down(self, node: str) -> None:
        """Make a node unusable: drain it or switch it off."""
        self._cannot(f"take node {node} down")

    async def bring_up(self, node: str) -> None:
        """Undo `take_down`."""

    async def add_foreign(self) -> str:
        """Run something at the site that is not ours, untagged; return a name for it."""
        self._cannot("run anything but through the driver")

    async def foreign_lives(self, name: str) -> bool:
        """Return whether that still runs."""
        self._cannot(f"look after {name}")

    async def accounting(self, key: str) -> Usage:
        """Return what the site's own accounting says of an ended attempt."""
        self._cannot(f"read the site's accounting of {key}")

    def _cannot(self, what: str) -> NoReturn:
        pytest.skip(f"{type(self).__name__} cannot {what}")
