"""The mock driver passes the conformance suite, in virtual time and with every fault it has."""

import pytest

from fenglin.drivers.mock import Fault, Outcome, Rule, driver
from fenglin.errors import DriverError
from fenglin.model.allocation import Usage
from fenglin.testing import FakeClock
from fenglin.testing.conformance import DriverConformance, Harness


class MockHarness(Harness):
    """A site in memory: it outlives its hub, so a restarted hub is given the same object."""

    executes = False
    poll_s = 0.1
    tick_s = 1.0

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.clock = FakeClock()
        self.sites = {}
        self.played = {}

    def build(self, wake, hub=""):
        if hub not in self.sites:
            self.sites[hub] = super().build(wake, hub)
            self.sites[hub].behaviour = self.behave
        return self.sites[hub]

    def payload(self, payload):
        return {"command": ("play", str(payload.sleep_s), str(payload.exit_code), payload.says)}

    def behave(self, order, _index):
        _, sleep_s, exit_code, says = order.command
        wall_ms = int(float(sleep_s) * 1_000)
        self.played.setdefault(order.key, []).append(wall_ms)
        output = f"{says}\n".encode() if says else b""
        return Outcome(wall_ms, int(exit_code), output=output)

    def now_ms(self):
        return self.clock.now_ms()

    def elapsed_s(self):
        return self.clock.monotonic_ms() / 1_000

    async def rest(self, wait_s):
        self.clock.advance(int(wait_s * 1_000))

    def runs(self, key):
        return self.sites[""].began(key)

    def inject(self, *faults, times=1, key=""):
        self.sites[""].inject(*(Rule(fault, key, times) for fault in faults))

    async def lose_answer(self, driver, order):
        self.inject(Fault.ANSWER_LOST)
        with pytest.raises(DriverError) as caught:
            await driver.start(order)
        assert caught.value.effect_unknown

    async def lose_request(self, driver, order):
        self.inject(Fault.CALL_LOST)
        await driver.start(order)

    async def refuse_start(self):
        self.inject(Fault.START_REFUSED)

    async def cut(self):
        self.inject(Fault.UNREACHABLE, times=-1)

    async def hang(self):
        self.inject(Fault.HANG, times=-1)

    async def blind(self, key):
        self.inject(Fault.UNKNOWN, times=-1, key=key)

    async def mend(self):
        self.sites[""].heal()

    async def lose_agent(self, key):
        self.inject(Fault.RUNNER_LOST, key=key)

    async def lose_memory(self):
        self.inject(Fault.FORGOTTEN, times=-1)

    async def take_down(self, node):
        self.inject(Fault.NODE_DOWN, times=-1, key=node)

    async def bring_up(self, _node):
        await self.mend()

    async def objects(self, key):
        return self.sites[""].runs[key]

    async def accounting(self, key):
        return Usage(tasks=len(self.played[key]), wall_ms=sum(self.played[key]))


class TestMock(DriverConformance):
    @pytest.fixture
    def harness(self, tmp_path):
        return MockHarness(driver, tmp_path)
