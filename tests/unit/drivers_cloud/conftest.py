"""A driver over a provider in memory whose instances nobody answers for, unless a test says so."""

import asyncio
import threading
import time

import pytest

from fenglin.drivers.cloud import keeper as keeper_room
from fenglin.drivers.cloud.provider import Instance, Life, Machine
from fenglin.drivers.cloud.settings import read_ec2
from fenglin.drivers.cloud.site import CloudDriver
from fenglin.model.allocation import Share
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import DriverContext, StartOrder
from fenglin.quantities.resources import Resources

GIB = 2**30
SIZE = Resources(4_000, 8 * GIB, 10 * GIB)
FLAVORS = (
    Flavor("big", ComputeClass.GENERAL, SIZE),
    Flavor("std", ComputeClass.GENERAL, SIZE),
)
NODES = (Node("big-0", "big"), Node("std-0", "std"), Node("std-1", "std"))


class Cloud:
    """A provider in memory. `errors` are raised by the next purchases, `lost` after buying."""

    def __init__(self, *, repeatable):
        self.repeatable = repeatable
        self.there = {}
        self.bought = []
        self.released = []
        self.errors = []
        self.lost = []
        self.down = None
        self.lock = threading.Lock()

    def machines(self, names):
        return {name: Machine(name, 4_000, 8 * GIB) for name in names if name != "none"}

    def buy(self, wanted):
        with self.lock:
            if self.errors:
                raise self.errors.pop(0)
            self.bought.append(wanted)
            same = [i for i, (w, _) in self.there.items() if w.token == wanted.token]
            name = same[0] if self.repeatable and same else f"i-{len(self.there) + 1}"
            self.there.setdefault(name, (wanted, Instance(name, wanted.number, Life.PENDING)))
            if self.lost:
                raise self.lost.pop(0)
            return name

    def instances(self):
        if self.down is not None:
            raise self.down
        with self.lock:
            return [one for _, one in self.there.values()]

    def release(self, instance):
        self.released.append(instance)
        self.set(instance, life=Life.GONE)

    def set(self, instance, **fields):
        with self.lock:
            wanted, one = self.there[instance]
            self.there[instance] = (wanted, Instance(**{**_fields(one), **fields}))

    def add(self, instance, number):
        with self.lock:
            self.there[instance] = (None, Instance(instance, number, Life.RUNNING))


def _fields(one):
    return {name: getattr(one, name) for name in one.__struct_fields__}


class Play:
    """A site in the hand of a test; `restart` stands for a hub that was killed and came back."""

    def __init__(self, folder, cloud, **settings):
        self.cloud = cloud
        self.now_ms = 1_000_000
        folder.mkdir()
        self.context = DriverContext("hub", "aws", folder, lambda: None, lambda: self.now_ms)
        self.raw = {
            "region": "r",
            "image": "ami-1",
            "poll": "50ms",
            "buy": {
                "big": {"type": "b", "hourly": 5},
                "std": {"type": "s", "hourly": 2},
            },
            "flavors": FLAVORS,
            "nodes": NODES,
            "licences": (),
            **settings,
        }
        self.runner = asyncio.Runner()
        self.drivers = []
        try:
            self.restart()
        except BaseException:  # what is refused leaves no loop behind
            self.runner.close()
            raise

    def restart(self):
        settings, _ = read_ec2(self.context, self.raw)

        async def build():
            return CloudDriver("ec2", self.context, settings, self.cloud)

        self.driver = self.runner.run(build())
        self.drivers.append(self.driver)

    def call(self, work):
        return self.runner.run(work)

    def start(self, number=1, nodes=("std-0",)):
        order = StartOrder(
            key=f"hub-a{number}-1", epoch=1, hub="hub", job="j1", job_name="x", site="aws",
            flavor="std", tasks="0", task_count=1, tries=(),
            shares=tuple(Share(node, 1) for node in nodes), nodes=1, resources=Resources(100, 1),
            command=("true",), script="", env=(), workdir="", inputs=(), artifacts=(),
            artifacts_dir="/nowhere", timeout_ms=0,
        )  # fmt: skip
        self.call(self.driver.start(order))
        return order.key

    def look(self, key):
        (seen,) = self.call(self.driver.observe({key: ""}))
        return seen

    def book(self):
        return {one.number: one for one in self.driver._book}

    def wait(self, condition, what="it"):
        end_s = time.monotonic() + 10
        while not (found := condition()):
            assert time.monotonic() < end_s, f"never came: {what}"
            self.call(asyncio.sleep(0.02))
        return found

    def close(self):
        try:
            for driver in self.drivers:
                self.call(driver.close())
        finally:
            self.runner.close()


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Return a function that makes a site over a cloud; instances count as up when RUNNING."""
    pytest.importorskip("asyncssh")
    made = []

    async def problem(self, number):
        address = self._book[number].address
        return "" if address == "10.0.0.1" else "nobody answers"

    monkeypatch.setattr(keeper_room.Keeper, "problem", problem)

    def make(*, repeatable=True, **settings):
        made.append(Play(tmp_path / f"site{len(made)}", Cloud(repeatable=repeatable), **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
