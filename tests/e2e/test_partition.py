"""A site whose cable is pulled: others go on, it is told, nothing is lost or done twice."""

from pathlib import Path

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.apart import HostApart, find_apart

pytest.importorskip("asyncssh")
pytestmark = pytest.mark.xdist_group("e2e-partition")
TASK_S = 4


@pytest.fixture(scope="module")
def host():
    if why := find_apart():
        pytest.skip(why)
    with HostApart() as made:
        yield made


@pytest.fixture
def client(host, tmp_path, eventually):
    config = hub_file([LocalSite("home", cpu=1)]) + host.block("lab", cpu=4)
    with HubProcess(tmp_path / "hub", config) as process:
        made = process.start().client()
        eventually(lambda: all(site.seen_ms for site in made.sites(Filter()).items))
        yield made
        host.mend()


@pytest.fixture
def truth(host, tmp_path):
    return host.truth(tmp_path.name)


def begun(job):
    return {one.state for one in job.allocations} == {"running"}


def ended(truth, job, tasks):
    return len([run for run in truth.runs(job) if run.ended_s]) == tasks


def test_what_runs_there_goes_on_and_what_is_unwanted_ends_when_the_cable_is_back(
    host, client, truth, running, eventually
):
    job = client.submit(truth.job("there", tasks=3, sleep_s=TASK_S, sites=["lab"])).id
    unwanted = client.submit(truth.job("unwanted", tasks=2, sleep_s=300, sites=["lab"])).id
    running(job, 3)
    running(unwanted, 2)
    processes = [Path(f"/proc/{run.pid}") for run in truth.runs(unwanted)]
    # The hub has heard so too: a start whose answer is lost with the cable is another matter.
    for started in (job, unwanted):
        eventually(lambda job=started: begun(client.job(job)))
    host.cut()

    assert client.cancel(unwanted).state == "cancelling"
    here = client.submit(truth.job("here", sites=["home"])).id
    assert client.wait(here, 20).state == "succeeded"
    site = eventually(lambda: (s := client.site("lab")).state == "down" and s, within_s=90)
    assert site.state_reason
    anywhere = client.submit(truth.job("anywhere")).id
    assert client.wait(anywhere, 20).state == "succeeded"
    eventually(lambda: ended(truth, job, 3))
    view = client.job(job)
    assert (view.state, view.tasks.failed) == ("running", 0)
    assert client.job(unwanted).state == "cancelling"
    assert all(one.exists() for one in processes)

    host.mend()
    view = client.wait(job, 90)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 3)
    assert [run.number for run in truth.runs(job)] == [1] * 3
    # Half a core each at 0.36 an hour, for as long as they ran and not until they were seen again.
    assert 3 * TASK_S * 50 <= view.cost_micro < 3 * TASK_S * 100
    assert client.wait(unwanted, 90).state == "cancelled"
    eventually(lambda: not any(one.exists() for one in processes))
    assert len(truth.runs(unwanted)) == 2
    eventually(lambda: client.site("lab").state == "active")
    assert client.ledger_verify().ok
