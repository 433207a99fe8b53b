"""One pool of this machine and a real Kubernetes cluster: one array, one bill, one restart."""

import shutil
import tempfile
from pathlib import Path

import pytest

from fenglin.testing import LocalSite, hub_file
from fenglin.testing.servers.kubernetes import KubernetesCluster, find_kubernetes

pytest.importorskip("lightkube", reason="the kubernetes extra is not installed")
# The first run on a machine builds the control plane, which takes some minutes.
pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(1_800)]

BLOCK = """
[site.pods]
driver = "kubernetes"
provider = "cloud"
[site.pods.settings]
kubeconfig = "{kubeconfig}"
namespace = "fenglin"
image = "debian:12-slim"
image_patience = "1s"
shared_claim = "scratch"
shared_dir = "{shared}"
[site.pods.flavor.cpu]
class = "general"
nodes = 1
cpu = 4
memory = "4GiB"
disk = "1TiB"
price = {{ core_hour = "0.72", task_minimum_time = "1s" }}
"""
# One core costs 0.36 an hour here and 0.72 there, 100 and 200 micro-units a second.
PER_CORE_S = {"here": 100, "pods": 200}


@pytest.fixture(scope="module")
def cluster():
    why = find_kubernetes()
    if why:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="fl-k8s-"))
    (folder / "shared").mkdir()
    try:
        with KubernetesCluster(
            folder / "cluster", nodes=1, claims=(("scratch", folder / "shared"),)
        ) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def config(cluster):
    block = BLOCK.format(
        kubeconfig=cluster.prepare("fenglin"), shared=cluster.folder.parent / "shared"
    )
    return hub_file([LocalSite("here", cpu=2)]) + block


def pods(cluster):
    return cluster.server.call("GET", "/api/v1/namespaces/fenglin/pods")["items"]


def test_one_array_over_this_machine_and_a_cluster(client, truth):
    job = client.submit(
        truth.job("spread", tasks=16, sleep_s=1, resources={"cpu": 1, "memory": "32MiB"})
    ).id

    view = client.wait(job, 90)

    assert view.state == "succeeded"
    assert {one.site for one in view.allocations} == {"here", "pods"}
    assert not truth.doubles()
    assert sorted(run.task for run in truth.runs()) == list(range(16))
    # One bill: every task costs its second or more at the price of where it ran.
    least = sum(one.succeeded * PER_CORE_S[one.site] for one in view.allocations)
    assert least <= view.cost_micro < 8 * least
    assert view.held_micro == 0
    assert client.ledger_verify().ok


def test_artifacts_and_output_come_home(client):
    job = client.submit(
        {
            "name": "frames",
            "tasks": 2,
            "sites": ["pods"],
            "script": "echo frame $FENGLIN_TASK_INDEX; echo $FENGLIN_TASK_INDEX > out.txt\n",
            "artifacts": ["out.txt"],
            "resources": {"cpu": 1, "memory": "32MiB"},
        }
    ).id

    assert client.wait(job, 60).state == "succeeded"

    assert b"".join(client.log(job, 1)) == b"frame 1\n"
    assert {one.path for one in client.artifacts(job)} == {"0/out.txt", "1/out.txt"}


def test_a_cancel_ends_the_pods(client, cluster, eventually):
    job = client.submit(
        {
            "name": "long",
            "tasks": 6,
            "sites": ["pods"],
            "command": ["sleep", "100"],
            "resources": {"cpu": 1, "memory": "32MiB"},
        }
    ).id
    eventually(lambda: any(pod["status"]["phase"] == "Running" for pod in pods(cluster)))

    client.cancel(job)

    assert client.wait(job, 60).state == "cancelled"
    assert not [pod for pod in pods(cluster) if pod["status"]["phase"] == "Running"]


def test_an_image_that_cannot_be_pulled_is_told(client):
    job = client.submit(
        {
            "name": "no-image",
            "sites": ["pods"],
            "image": "missing.example/none:1",
            "command": ["true"],
            "retries": 0,
            "resources": {"cpu": 1, "memory": "32MiB"},
        }
    ).id

    view = client.wait(job, 60)

    assert view.state == "failed"
    assert view.reason == "image_failed"


def test_a_killed_hub_finds_its_pods_again(hub, truth, eventually):
    client = hub.client()
    job = client.submit(
        truth.job("adopt", tasks=6, sleep_s=2, sites=["pods"], resources={"cpu": 1})
    ).id
    eventually(lambda: len(truth.runs(job)) >= 2)

    hub.kill()
    hub.start()
    view = hub.client().wait(job, 60)

    assert view.state == "succeeded"
    assert sorted(run.task for run in truth.runs(job)) == list(range(6))
    assert not truth.doubles()
