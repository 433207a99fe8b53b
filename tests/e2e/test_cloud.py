"""A hub with clouds and no node: a job buys one, runs on it, and it goes back; nothing twice."""

import signal
import time

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.moto import MotoCloud, find_moto
from fenglin.testing.servers.sshd import find_sshd

pytest.importorskip("asyncssh")
pytestmark = pytest.mark.xdist_group("e2e-cloud")


@pytest.fixture(scope="module")
def cloud():
    missing = find_moto() or find_sshd()
    if missing:
        pytest.skip(missing)
    with MotoCloud() as made:
        yield made


@pytest.fixture
def empty(cloud, eventually):
    """Leave nothing of one test to the next."""
    yield
    cloud.machines.boot_s = 0.0
    cloud.fail("RunInstances", "", times=0)
    for one in cloud.instances():
        cloud.client.terminate_instances(InstanceIds=[one["InstanceId"]])
    eventually(lambda: not cloud.machines.running)


@pytest.fixture
def hub_with(cloud, empty, tmp_path, eventually):  # noqa: ARG001 - cleans up after the hubs
    """Return a function that starts a hub with this machine and the cloud."""
    hubs = []

    def start(**settings):
        config = hub_file([LocalSite("home", cpu=1)]) + cloud.block("aws", **settings)
        process = HubProcess(tmp_path / "hub", config, env=cloud.env)
        hubs.append(process)
        client = process.start().client()
        eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
        return process

    yield start
    for process in hubs:
        process.cleanup()


def purchases(cloud):
    """Return (node, purchase number) of every instance that there ever was."""
    found = []
    for one in cloud.instances(gone=True):
        tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
        found.append((one["InstanceId"], tags.get("fenglin-node"), tags.get("fenglin-purchase")))
    return found


def new(cloud, before):
    """Return those that are not in an older answer."""
    return [one for one in purchases(cloud) if one not in before]


def test_a_job_buys_a_node_runs_and_the_node_goes_back(hub_with, cloud, truth, eventually):
    before = purchases(cloud)
    hub = hub_with()
    client = hub.client()
    assert new(cloud, before) == []

    script = 'echo "$FENGLIN_SITE $FENGLIN_NODE"'
    job = client.submit(truth.job("first", tasks=4, script=script, sites=["aws"])).id
    view = client.wait(job, 60)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 4)
    assert [run.number for run in truth.runs(job)] == [1] * 4
    bought = new(cloud, before)
    assert [(node, number) for _, node, number in bought] == [("std-0", "1")]

    eventually(lambda: cloud.instances() == [])
    # What it said is on the hub now, and what it was is in the book.
    assert b"".join(client.log(job, 3)) == b"aws std-0\n"
    (record,) = (hub.data / "sites" / "aws" / "purchases").iterdir()
    eventually(lambda: b'"gone"' in record.read_bytes())
    assert client.ledger_verify().ok
    # The next job buys anew.
    assert (
        client.wait(client.submit(truth.job("second", sites=["aws"])).id, 60).state == "succeeded"
    )
    assert [number for *_, number in new(cloud, before)] == ["1", "2"]


def test_a_hub_killed_between_buying_and_running_buys_nothing_twice(
    hub_with, cloud, truth, eventually
):
    before = purchases(cloud)
    cloud.machines.boot_s = 2.0
    hub = hub_with()
    job = hub.client().submit(truth.job("once", tasks=4, sites=["aws"])).id
    eventually(lambda: len(cloud.instances()) == 1)
    assert hub.kill() == -signal.SIGKILL
    assert truth.runs(job) == []
    hub.start()
    assert hub.client().wait(job, 60).state == "succeeded"
    assert [run.number for run in truth.runs(job)] == [1] * 4
    eventually(lambda: cloud.instances() == [])
    assert len(new(cloud, before)) == 1
    assert hub.client().ledger_verify().ok


def test_a_hub_killed_before_it_hears_what_it_bought_finds_it(hub_with, cloud, truth, eventually):
    before = purchases(cloud)
    hub = hub_with()
    hub.stop()
    client = hub.start(crash_at="c4").client(tries=1)
    job = client.submit(truth.job("once", tasks=2, sites=["aws"])).id
    assert hub.wait(20) == -signal.SIGKILL
    (record,) = (hub.data / "sites" / "aws" / "purchases").iterdir()
    assert b'"instance"' not in record.read_bytes()
    hub.start()
    assert hub.client().wait(job, 60).state == "succeeded"
    assert [run.number for run in truth.runs(job)] == [1] * 2
    eventually(lambda: cloud.instances() == [])
    assert len(new(cloud, before)) == 1


def test_an_array_spreads_over_what_is_there_and_what_is_bought(hub_with, truth):
    hub = hub_with(nodes=1)
    client = hub.client()
    document = truth.job("spread", tasks=40, sleep_s=0.4)
    job = client.submit({**document, "resources": {"cpu": 0.5, "memory": "16MiB"}}).id
    view = client.wait(job, 90)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 40)
    assert [run.number for run in truth.runs(job)] == [1] * 40
    assert {one.site for one in view.allocations} == {"home", "aws"}
    statement = client.ledger_statement("default")
    amounts = [line.amount_micro for line in statement.lines if line.job == job]
    assert sum(amounts) == view.cost_micro > 0


def test_a_reclaimed_spot_node_loses_its_tasks_to_another(hub_with, cloud, truth, running):
    before = purchases(cloud)
    hub = hub_with(buy={"std": {"type": "c5.xlarge", "hourly": "1", "spot": True}})
    client = hub.client()
    job = client.submit(truth.job("long", sleep_s=3, sites=["aws"])).id
    running(job)
    (instance,) = cloud.instances()
    assert instance["InstanceLifecycle"] == "spot"
    cloud.reclaim(instance["InstanceId"])
    view = client.wait(job, 60)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 1)
    assert {one.reason for one in view.allocations} >= {"node_reclaimed"}
    assert [number for *_, number in new(cloud, before)] == ["1", "2"]


def test_a_provider_without_capacity_is_told_and_not_pressed(hub_with, cloud, truth, eventually):
    hub = hub_with()
    client = hub.client()
    cloud.fail("RunInstances", "VcpuLimitExceeded", times=1_000)
    asked = cloud.calls("RunInstances")
    job = client.submit(truth.job("wants", sites=["aws"])).id
    eventually(lambda: "VcpuLimitExceeded" in client.site("aws").state_reason)
    eventually(lambda: {one.reason for one in client.job(job).allocations} == {"provider_quota"})
    until_s = time.monotonic() + 1.5
    eventually(lambda: time.monotonic() > until_s)
    assert cloud.calls("RunInstances") == asked + 1
    assert client.wait(client.cancel(job).id, 10).state == "cancelled"
    assert cloud.instances() == []
