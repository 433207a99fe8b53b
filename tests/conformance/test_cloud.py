"""The EC2 driver passes the conformance suite: moto sells, real servers answer by SSH."""

import asyncio
import os
import signal

import pytest

from fenglin.model.site import Node
from fenglin.runner.host import claim
from fenglin.testing import processes
from fenglin.testing.conformance import DriverConformance, Harness
from fenglin.testing.servers.moto import KEYS, MotoCloud, find_moto
from fenglin.testing.servers.sshd import find_sshd

NODES = (Node("n0", "std"), Node("n1", "std"))


@pytest.fixture(scope="module")
def cloud():
    missing = find_moto() or find_sshd()
    if missing:
        pytest.skip(missing)
    with MotoCloud() as made:
        yield made


class CloudHarness(Harness):
    """A region, with what its owner can do to instances, machines and the hub's records."""

    poll_s = 0.02
    tick_s = 0.3
    # Its records are on the hub's own disk.
    starts_blind = False

    def __init__(self, cloud, folder):
        factory = pytest.importorskip("fenglin.drivers.cloud").ec2
        super().__init__(factory, folder, cloud.settings(), nodes=NODES)
        self.cloud = cloud
        self.foreign = None

    def ours(self):
        tag = {"Key": "fenglin-hub", "Value": self.hub}
        return [one for one in self.cloud.instances() if tag in one.get("Tags", [])]

    def places(self, key):
        folders = self.cloud.machines.folder.glob(f"*/home/.fenglin/sites/{self.hub}/*/*/attempts")
        return [folder / key for folder in folders]

    @property
    def records(self):
        return self.folder / "sites" / self.hub / "attempts"

    async def close(self):
        await self.mend()
        for one in self.ours():
            processes.kill(self.cloud.machines.home(one["InstanceId"]))
            self.cloud.client.terminate_instances(InstanceIds=[one["InstanceId"]])

    async def cut(self):
        self.records.rename(self.records.with_name("gone"))
        for one in self.ours():
            self.cloud.machines.cut(one["InstanceId"])

    async def mend(self):
        if self.records.with_name("gone").exists():
            self.records.with_name("gone").rename(self.records)
        self.cloud.machines.mend()
        self.cloud.fail("RunInstances", "", times=0)

    async def refuse_start(self):
        self.cloud.fail("RunInstances", "InsufficientInstanceCapacity", times=9)

    async def lose_agent(self, key):
        for place in self.places(key):
            if (place / claim.CLAIM).exists():
                os.kill(claim.read(str(place)).pid, signal.SIGKILL)

    async def objects(self, key):
        places = [os.fsencode(place) for place in self.places(key)]
        count = 0
        for pid in processes.below(self.cloud.machines.folder):
            with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: ASYNC230, PTH123
                words = file.read().split(b"\0")
            count += sum(place in words for place in places)
        return count

    async def add_foreign(self):
        told = await asyncio.to_thread(
            self.cloud.client.run_instances, ImageId=self.cloud.image, MinCount=1, MaxCount=1
        )
        self.foreign = told["Instances"][0]["InstanceId"]
        return self.foreign

    async def foreign_lives(self, name):
        return name in {one["InstanceId"] for one in self.cloud.instances()}


class TestEc2(DriverConformance):
    @pytest.fixture
    def harness(self, cloud, tmp_path, monkeypatch):
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        return CloudHarness(cloud, tmp_path / "site")
