"""The SSH driver passes the conformance suite against real servers on loopback addresses."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from fenglin.model.site import Node
from fenglin.runner.host import claim
from fenglin.testing import processes
from fenglin.testing.conformance import DriverConformance, Harness
from fenglin.testing.servers.sshd import SshHosts, find_sshd

pytest.importorskip("asyncssh")
driver = pytest.importorskip("fenglin.drivers.ssh").driver
NODES = (Node("n0", "std"), Node("n1", "std"))


@pytest.fixture(scope="module")
def hosts():
    missing = find_sshd()
    if missing:
        pytest.skip(missing)
    # The suite's payloads use this very interpreter, which a clean account may not reach.
    with SshHosts(2, clean=False) as made:
        yield made


class SshHarness(Harness):
    """Two hosts, with what their owner can do to servers, runners and folders."""

    poll_s = 0.02
    tick_s = 0.3

    def __init__(self, hosts, folder):
        super().__init__(driver, folder, hosts.settings(), nodes=NODES)
        self.hosts = hosts
        self.foreign = None

    def place(self, node):
        return self.hosts.root / "sites" / self.hub / self.site / node

    def attempts(self, key):
        return [self.place(n.name) / "attempts" / key for n in NODES]

    async def close(self):
        await self.mend()
        processes.kill(self.hosts.root / "sites" / self.hub)
        if self.foreign is not None:
            self.foreign.kill()
            await self.foreign.wait()

    async def cut(self):
        for address in self.hosts.addresses:
            self.hosts.stop(address)

    async def mend(self):
        for address in self.hosts.addresses:
            self.hosts.thaw(address)
            if not self.hosts.running(address):
                self.hosts.start(address)

    async def hang(self):
        for address in self.hosts.addresses:
            self.hosts.freeze(address)

    async def lose_agent(self, key):
        for folder in self.attempts(key):
            if (folder / claim.CLAIM).exists():
                os.kill(claim.read(str(folder)).pid, signal.SIGKILL)

    async def lose_memory(self):
        for node in NODES:
            shutil.rmtree(self.place(node.name), ignore_errors=True)

    async def take_down(self, node):
        self.hosts.stop(self.hosts.addresses[[n.name for n in NODES].index(node)])

    async def bring_up(self, node):
        self.hosts.start(self.hosts.addresses[[n.name for n in NODES].index(node)])

    async def objects(self, key):
        places = [os.fsencode(folder) for folder in self.attempts(key)]
        lines = [Path(f"/proc/{pid}/cmdline") for pid in processes.below(self.hosts.root)]
        words = [line.read_bytes().split(b"\0") for line in lines]
        return sum(place in found for found in words for place in places)

    async def add_foreign(self):
        self.foreign = await asyncio.create_subprocess_exec("sleep", "300", cwd=self.folder)
        return str(self.foreign.pid)

    async def foreign_lives(self, name):
        return name == str(self.foreign.pid) and self.foreign.returncode is None


class TestSsh(DriverConformance):
    @pytest.fixture
    def harness(self, hosts, tmp_path):
        return SshHarness(hosts, tmp_path / "site")
