"""The local driver passes the conformance suite."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from fenglin.drivers.local import driver
from fenglin.runner.host import claim
from fenglin.testing import processes
from fenglin.testing.conformance import DriverConformance, Harness


class LocalHarness(Harness):
    """This machine, with what its owner can do to a runner and to the site's folder."""

    poll_s = 0.01
    tick_s = 0.2
    starts_blind = False

    @property
    def attempts(self):
        return self.folder / "sites" / self.hub / "attempts"

    foreign = None

    async def close(self):
        processes.kill(self.folder)
        if self.foreign is not None:
            self.foreign.kill()
            await self.foreign.wait()

    async def cut(self):
        self.attempts.rename(self.attempts.with_name("gone"))

    async def blind(self, key):
        place = self.attempts / key / claim.CLAIM
        while not place.exists():
            await self.rest(self.poll_s)
        place.rename(place.with_name("hidden"))
        place.symlink_to(place)

    async def mend(self):
        if not self.attempts.exists():
            self.attempts.with_name("gone").rename(self.attempts)
        for hidden in self.attempts.glob("*/hidden"):
            hidden.replace(hidden.with_name(claim.CLAIM))

    async def lose_agent(self, key):
        os.kill(claim.read(str(self.attempts / key)).pid, signal.SIGKILL)

    async def objects(self, key):
        place = os.fsencode(self.attempts / key)
        lines = [Path(f"/proc/{pid}/cmdline") for pid in processes.below(self.folder)]
        return sum(place in line.read_bytes().split(b"\0") for line in lines)

    async def add_foreign(self):
        self.foreign = await asyncio.create_subprocess_exec("sleep", "300", cwd=self.folder)
        return str(self.foreign.pid)

    async def foreign_lives(self, name):
        return name == str(self.foreign.pid) and self.foreign.returncode is None


class TestLocal(DriverConformance):
    @pytest.fixture
    def harness(self, tmp_path):
        return LocalHarness(driver, tmp_path / "site")
