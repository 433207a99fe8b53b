"""The Ray driver passes the conformance suite, against a real cluster of two nodes."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from fenglin.drivers.ray import driver
from fenglin.model.allocation import Share
from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources
from fenglin.testing.conformance import DriverConformance, Harness, Payload, SiteHand
from fenglin.testing.servers.ray import RayCluster, find_ray

# One cluster serves the whole module, and none stands beside it.
pytestmark = pytest.mark.xdist_group("ray")

FLAVORS = (Flavor("std", ComputeClass.GENERAL, Resources(2_000, 2 * 2**30)),)
NODES = (Node("n0", "std"), Node("n1", "std"))


@pytest.fixture(scope="module")
def cluster():
    why = find_ray()
    if why:
        pytest.skip(why)
    # A short path: the name of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fl-"))
    try:
        with RayCluster(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def runners(key):
    """Return the pids of the runners of an attempt on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        ours = any(b"/fenglin-" + os.fsencode(key) + b"-" in word for word in words)
        if ours and any(word.endswith(b"/boarded.py") for word in words):
            found.append(int(entry.name))
    return found


class Line:
    """A line to a port of this machine that can be cut, or go dead."""

    def __init__(self, port):
        self._port = port
        self._open = []
        self._alive = threading.Event()
        self._listener = None
        self._own = 0
        self.mend()
        self.address = f"http://127.0.0.1:{self._own}"

    def mend(self):
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self._own))
            self._own = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()
        self._alive.set()

    def hang(self):
        self._alive.clear()

    def cut(self):
        listener, self._listener = self._listener, None
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self):
        if self._listener is not None:
            self.cut()
        self._alive.set()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source, target):
        with source:  # each end is the source of one thread
            with contextlib.suppress(OSError):
                while data := source.recv(2**16):
                    self._alive.wait()
                    target.sendall(data)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


class RayHarness(Harness):
    """A cluster of two nodes, with what its operator can do."""

    poll_s = 0.05
    tick_s = 0.3
    patience_s = 60.0

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.line = Line(int(cluster.address.rpartition(":")[2]))
        settings = {"address": self.line.address, "poll": "0s", "lost_after": "1s"}
        super().__init__(driver, folder, settings, flavors=FLAVORS, nodes=NODES)

    def jobs(self):
        return {job["submission_id"]: job for job in self.cluster.get("/api/jobs/")}

    async def close(self):
        await asyncio.to_thread(self._tidy)

    def _tidy(self):
        for name, job in self.jobs().items():
            if name and name.startswith(self.hub) and job["status"] in {"PENDING", "RUNNING"}:
                self.cluster.post(f"/api/jobs/{name}/stop")
        self.line.close()

    async def cut(self):
        self.line.cut()

    async def hang(self):
        self.line.hang()

    async def mend(self):
        self.line.mend()

    async def objects(self, key):
        return len([job for job in await asyncio.to_thread(self.jobs) if job == key])

    async def lose_agent(self, key):
        for pid in runners(key):
            os.kill(pid, signal.SIGKILL)

    async def take_down(self, node):
        await asyncio.to_thread(self.cluster.stop_node, int(node[1:]))

    async def bring_up(self, node):
        self.cluster.start_node(int(node[1:]))

    async def add_foreign(self):
        name = f"{self.hub}-a1-99"
        await asyncio.to_thread(self.cluster.submit, name, "sleep 300")
        return name

    async def foreign_lives(self, name):
        return (await asyncio.to_thread(self.jobs))[name]["status"] in {"PENDING", "RUNNING"}


@pytest.fixture
def harness(cluster, tmp_path):
    return RayHarness(cluster, tmp_path / "site")


class TestRay(DriverConformance):
    @pytest.fixture
    def harness(self, cluster, tmp_path):
        return RayHarness(cluster, tmp_path / "site")


class TestSeveralPlaces:
    """What needs several places is dealt out to actors on several nodes."""

    @pytest.fixture
    def site(self, harness):
        hand = SiteHand(harness)
        yield hand
        hand.close()

    def order(self, site, size, **fields):
        """Return an order that fills both nodes: two slots of one core on each."""
        shares = (Share("n0", 2), Share("n1", 2))
        need = Resources(1_000, 2**26)
        return site.array(size, shares=shares, resources=need, **fields)

    def test_they_stand_on_different_nodes_and_share_the_work(self, site, cluster):
        go = site.harness.folder / "go"
        order = self.order(site, 40, script=f"until [ -e {go} ]; do sleep 0.05; done; echo here")
        site.start(order)
        site.wait(lambda: site.look(order.key).started == 4, "four starts")
        actors = cluster.get("/api/v0/actors?detail=true&limit=1000")["data"]["result"]["result"]
        holders = [one for one in actors if one["class_name"] == "Holder"]
        alive = {one["node_id"] for one in holders if one["state"] == "ALIVE"}
        assert alive == set(cluster.nodes())
        go.touch()
        ends, last = site.finish(order.key)
        assert sorted(end.index for end in ends) == list(range(40))
        assert {(end.exit_code, end.reason) for end in ends} == {(0, None)}
        assert (last.started, last.reason) == (40, None)
        assert site.text(order.key, 39) == "here\n"
        assert site.usage(order.key).tasks == 40

    def test_a_stop_reaches_every_place(self, site):
        key = site.start(self.order(site, 9, payload=Payload(sleep_s=300)))
        site.wait(lambda: site.look(key).started == 4, "four starts")
        site.stop(key)
        ends, last = site.finish(key)
        assert [end.reason for end in ends] == [Reason.CANCELLED] * 4
        assert last.reason is Reason.CANCELLED
        assert len(site.harness.runs(key)) == 4

    def test_a_lost_node_takes_only_its_own_tasks(self, site, cluster):
        go = site.harness.folder / "go"
        script = f"until [ -e {go} ]; do sleep 0.05; done"
        key = site.start(self.order(site, 6, script=script))
        site.wait(lambda: site.look(key).started == 4, "four starts")
        cluster.stop_node(1)
        try:
            site.wait(lambda: len(site.look(key).ends) == 2, "the ends of two tasks")
            go.touch()
            ends, last = site.finish(key)
        finally:
            cluster.start_node(1)
        lost = [end.index for end in ends if end.reason is Reason.RUNNER_LOST]
        assert len(lost) == 2
        assert sorted(end.index for end in ends) == list(range(6))
        assert {end.exit_code for end in ends if end.index not in lost} == {0}
        assert last.reason is None
        site.wait(lambda: len(cluster.nodes()) == 2, "the node")
