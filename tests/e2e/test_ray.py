"""One pool of this machine and a real Ray cluster: one array, one bill, and all that can break."""

import shutil
import tempfile
from pathlib import Path

import pytest

from fenglin.testing import LocalSite, hub_file
from fenglin.testing.servers.ray import RayCluster, find_ray

# One hub and one cluster serve the whole module, and no other cluster stands beside it.
pytestmark = pytest.mark.xdist_group("ray")

BLOCK = """
[site.rays]
driver = "ray"
provider = "laboratory"
[site.rays.settings]
address = "{address}"
poll = "500ms"
lost_after = "1s"
[site.rays.flavor.cpu]
class = "ai"
nodes = 2
cpu = 2
memory = "2GiB"
disk = "1TiB"
price = {{ core_hour = "0.72", task_minimum_time = "1s" }}
"""
# One core costs 0.36 an hour here and 0.72 there, 100 and 200 micro-units a second.
PER_CORE_S = {"here": 100, "rays": 200}
NEED = {"cpu": 1, "memory": "32MiB"}


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


@pytest.fixture(scope="module")
def config(cluster):
    return hub_file([LocalSite("here", cpu=2)]) + BLOCK.format(address=cluster.address)


def test_one_array_over_this_machine_and_a_cluster(client, truth):
    job = client.submit(truth.job("spread", tasks=24, sleep_s=0.5, resources=NEED)).id

    view = client.wait(job, 90)

    assert view.state == "succeeded"
    assert {one.site for one in view.allocations} == {"here", "rays"}
    assert not truth.doubles()
    assert sorted(run.task for run in truth.runs()) == list(range(24))
    # One bill: every task costs its second or more at the price of where it ran.
    least = sum(one.succeeded * PER_CORE_S[one.site] for one in view.allocations)
    assert least <= view.cost_micro < 4 * least
    assert view.held_micro == 0
    assert client.ledger_verify().ok


def test_inputs_artifacts_and_output_travel(client):
    job = client.submit(
        {
            "name": "frames",
            "tasks": 6,
            "sites": ["rays"],
            "script": "echo frame $FENGLIN_TASK_INDEX\necho $FENGLIN_TASK_INDEX > out.txt\n",
            "artifacts": ["out.txt"],
            "resources": NEED,
        }
    ).id

    assert client.wait(job, 90).state == "succeeded"

    assert b"".join(client.log(job, 2)) == b"frame 2\n"
    names = {one.path for one in client.artifacts(job)}
    assert names == {f"{task}/out.txt" for task in range(6)}


def test_a_cancel_ends_the_job_in_ray(client, cluster, eventually):
    job = client.submit(
        {"name": "long", "sites": ["rays"], "command": ["sleep", "100"], "resources": NEED}
    ).id
    eventually(lambda: client.job(job).state == "running", 60)

    client.cancel(job)

    assert client.wait(job, 60).state == "cancelled"
    eventually(lambda: not [one for one in cluster.get("/api/jobs/") if one["status"] == "RUNNING"])


def test_a_killed_hub_finds_its_jobs_again(hub, truth, eventually):
    client = hub.client()
    job = client.submit(truth.job("adopt", tasks=6, sleep_s=3, sites=["rays"], resources=NEED)).id
    eventually(lambda: len(truth.runs(job)) >= 2, 60)

    hub.kill()
    hub.start()
    view = hub.client().wait(job, 90)

    assert view.state == "succeeded"
    assert sorted(run.task for run in truth.runs(job)) == list(range(6))
    assert not truth.doubles()


def test_a_lost_cluster_is_survived(client, cluster, truth, eventually):
    """Another cluster at the same address: what ran is tried again there, and the job finishes."""
    job = client.submit(truth.job("lost", tasks=4, sleep_s=5, sites=["rays"], resources=NEED)).id
    eventually(lambda: len(truth.runs(job)) >= 2, 60)
    before = cluster.get("/api/version")["session_name"]

    cluster.kill()
    cluster.start()

    assert cluster.get("/api/version")["session_name"] != before
    view = client.wait(job, 120)
    assert view.state == "succeeded"
    assert {run.task for run in truth.runs(job)} == set(range(4))
    assert not truth.doubles()  # of the lost cluster's tasks none ran beside its second try
    assert "node_rebooted" in {one.reason for one in view.allocations}
    assert client.ledger_verify().ok
