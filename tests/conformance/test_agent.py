"""A site that dials in passes the conformance suite: the local driver, run by an agent."""

import asyncio

import pytest
from tests.conformance.agentsite import DialledSite, agent_driver, local_driver
from tests.conformance.test_local import LocalHarness

from fenglin.ports.driver import DriverContext
from fenglin.testing.conformance import DriverConformance


class AgentHarness(LocalHarness):
    """This machine behind an agent; the line between the two is the test's."""

    starts_blind = True

    def __init__(self, folder):
        super().__init__(agent_driver, folder, {"answer_within": "3s"})
        self.sites = {}

    def at(self, hub=""):
        return self.folder / "agents" / (hub or self.hub)

    @property
    def attempts(self):
        return self.at() / "sites" / self.site / "attempts"

    def build(self, wake, hub=""):
        driver = super().build(wake, hub)
        able = self.able(hub)
        driver.capabilities = driver.capabilities & able
        site = self.sites.get(hub)
        if site is None:
            site = self.sites[hub] = DialledSite(hub or self.hub, self.site, self.at(hub))
            site.begin()
        site.line.plug(driver.mailbox, (self.flavors, self.nodes, self.licences))
        return driver

    def able(self, hub):
        """Return what the local driver can do on this machine."""
        folder = self.folder / "able"
        folder.mkdir(exist_ok=True)
        context = DriverContext(hub or self.hub, self.site, folder, lambda: None, self.now_ms)
        declared = {"flavors": self.flavors, "nodes": self.nodes, "licences": self.licences}
        return local_driver(context, declared).capabilities

    async def close(self):
        for site in self.sites.values():
            await site.end()
        await super().close()

    async def cut(self):
        self.sites[""].line.whole.clear()
        self.sites[""].line.break_off()

    async def hang(self):
        self.sites[""].line.hangs = True

    async def lose_request(self, driver, order):
        # The agent dies with the order in hand; the next one comes when the hub has given up.
        line = self.sites[""].line
        fetch, held = line.orders, asyncio.Event()

        async def die(ask, wait_s):
            if any(other.kind == "start" for other in (await fetch(ask, wait_s)).orders):
                held.set()
            await asyncio.Event().wait()

        line.break_off()
        line.orders = die
        try:
            starting = asyncio.ensure_future(driver.start(order))
            await asyncio.wait({starting}, timeout=self.patience_s)
        finally:
            await self.sites[""].end()
            line.orders = fetch
            self.sites[""].begin()
        assert held.is_set()
        await starting

    async def mend(self):
        await super().mend()
        line = self.sites[""].line
        line.hangs = False
        line.whole.set()
        line.break_off()


class TestAgent(DriverConformance):
    @pytest.fixture
    def harness(self, tmp_path):
        return AgentHarness(tmp_path / "site")
