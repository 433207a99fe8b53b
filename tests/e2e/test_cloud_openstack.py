"""A hub with a real Nova: buy, tag, ask again, be refused by its quota, run a job, give back."""

import os

import pytest

from fenglin.client.requests import Filter
from fenglin.drivers.cloud.nova import OpenStack
from fenglin.drivers.cloud.provider import Wanted
from fenglin.drivers.cloud.settings import OpenStackSettings
from fenglin.errors import DriverError
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.openstack import OpenStackCloud, find_openstack
from fenglin.testing.servers.sshd import find_sshd

pytest.importorskip("asyncssh")
pytestmark = [
    pytest.mark.xdist_group("e2e-openstack"),
    # The SDK warns of what it will drop, in its own code too.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.fixture(scope="module")
def cloud():
    missing = find_openstack() or find_sshd()
    if missing:
        pytest.skip(missing)
    with OpenStackCloud() as made:
        yield made


@pytest.fixture
def nova(cloud, monkeypatch):
    """Return our provider over that cloud, and what makes a purchase."""
    for name, value in cloud.env.items():
        monkeypatch.setitem(os.environ, name, value)
    raw = cloud.settings()
    settings = OpenStackSettings(raw["image"], raw["cloud"], "", raw["network"], (), "", "", ())

    def wanted(number, machine="m1.small"):
        return Wanted(f"t{number}", f"n{number}", number, machine, False, "", "#cloud-config\n{}")

    return OpenStack(settings, "hub", "os"), wanted


def toml(settings):
    return "\n".join(f"{key} = {value!r}" for key, value in settings.items()).replace("'", '"')


def test_a_job_runs_on_a_server_that_is_bought_for_it(cloud, tmp_path, truth, eventually):
    settings = cloud.settings(idle="1s")
    buy = settings.pop("buy")["std"]
    config = f"""{hub_file([LocalSite("home", cpu=1)])}
[site.os]
driver = "openstack"
provider = "institute"
[site.os.settings]
{toml(settings)}
[site.os.settings.buy.std]
{toml(buy)}
[site.os.flavor.std]
nodes = 2
cpu = 1
memory = "1GiB"
disk = "1GiB"
price = {{ core_hour = "0.36" }}
"""
    with HubProcess(tmp_path / "hub", config, env=cloud.env) as hub:
        client = hub.start().client()
        eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
        assert cloud.servers() == []
        job = client.submit(truth.job("once", tasks=2, sites=["os"])).id
        eventually(lambda: len(cloud.servers()) >= 1)
        (server,) = cloud.servers()[:1]
        assert server["metadata"]["fenglin-site"] == "os"
        assert client.wait(job, 60).state == "succeeded"
        assert [run.number for run in truth.runs(job)] == [1] * 2
        eventually(lambda: cloud.servers() == [])
        assert client.ledger_verify().ok


def test_servers_are_bought_tagged_found_and_given_back(nova, eventually):
    provider, wanted = nova
    machine = provider.machines(["m1.small", "moon"])
    assert list(machine) == ["m1.small"]
    assert machine["m1.small"].cpu_milli == 1_000
    name = provider.buy(wanted(7))
    (found,) = provider.instances()
    assert (found.id, found.number) == (name, 7)
    eventually(lambda: provider.instances()[0].address.startswith("127.0.8."))
    assert provider.instances()[0].launched_ms > 0
    provider.release(name)
    provider.release(name)
    eventually(lambda: provider.instances() == [])
    provider.release("00000000-0000-0000-0000-000000000000")


def test_a_quota_is_told_as_one(nova):
    provider, wanted = nova

    # The last test: what it leaves ends with Nova. What others released may still count, or not.
    def buy_more_than_the_quota():
        for number in range(1, 13):
            provider.buy(wanted(number, "m1.tiny"))

    with pytest.raises(DriverError) as caught:
        buy_more_than_the_quota()
    assert (caught.value.reason, caught.value.effect_unknown) == ("provider_quota", False)
    assert "uota exceeded for instances" in caught.value.what
    with pytest.raises(DriverError, match="moon"):
        provider.buy(wanted(9, "moon"))
