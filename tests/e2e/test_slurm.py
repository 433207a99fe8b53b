"""One pool of this machine and two real Slurm clusters: one array, one bill, one restart."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from fenglin.errors import InputError
from fenglin.testing import LocalSite, hub_file
from fenglin.testing.servers.slurm import SlurmCluster, find_slurm

# One hub and two clusters serve the whole module.
pytestmark = pytest.mark.xdist_group("e2e-slurm")

BLOCK = """
[site.{name}]
driver = "slurm"
provider = "university-{name}"
[site.{name}.settings]
shared_dir = "{shared}"
conf = "{conf}"
python = "{python}"
partition = {{ cpu = "main" }}
per_job.account = {{ {name}-chem = ["default"], {name}-bio = ["team"] }}
poll = "500ms"
lost_after = "2s"
[site.{name}.flavor.cpu]
class = "super"
nodes = 1
cpu = 4
memory = "4GiB"
disk = "1TiB"
price = {{ core_hour = "0.72", task_minimum_time = "1s" }}
"""
# One core costs 0.36 an hour here and 0.72 there, 100 and 200 micro-units a second.
PER_CORE_S = {"here": 100, "east": 200, "west": 200}


@pytest.fixture(scope="module")
def clusters():
    why = find_slurm()
    if why:
        pytest.skip(why)
    # A short path: the name of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fl-slurm-"))
    try:
        with (
            SlurmCluster(folder / "east", "east", nodes=1) as east,
            SlurmCluster(folder / "west", "west", nodes=1) as west,
        ):
            yield {"east": east, "west": west}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def config(clusters, tmp_path_factory):
    text = hub_file([LocalSite("here", cpu=2)])
    python = Path(sys.executable).resolve()  # no shim, which would be slow
    for name, cluster in clusters.items():
        shared = tmp_path_factory.mktemp("shared")
        text += BLOCK.format(name=name, shared=shared, conf=cluster.conf, python=python)
    return text


def test_one_array_over_this_machine_and_two_clusters(client, truth):
    job = client.submit(
        truth.job("spread", tasks=24, sleep_s=0.4, resources={"cpu": 1, "memory": "32MiB"})
    ).id

    view = client.wait(job, 60)

    assert view.state == "succeeded"
    assert {one.site for one in view.allocations} == {"here", "east", "west"}
    assert not truth.doubles()
    runs = truth.runs()
    assert sorted(run.task for run in runs) == list(range(24))
    # One bill: every task costs its second or more at the price of where it ran.
    least = sum(one.succeeded * PER_CORE_S[one.site] for one in view.allocations)
    assert least <= view.cost_micro < 4 * least
    assert view.held_micro == 0
    assert client.ledger_verify().ok


def test_artifacts_inputs_and_output_come_home(client):
    job = client.submit(
        {
            "name": "frames",
            "tasks": 3,
            "sites": ["east"],
            "script": "echo frame $FENGLIN_TASK_INDEX of $SLURM_ARRAY_TASK_ID\n"
            "echo $FENGLIN_TASK_INDEX > out.txt\n",
            "artifacts": ["out.txt"],
            "resources": {"cpu": 1, "memory": "32MiB"},
        }
    ).id

    assert client.wait(job, 60).state == "succeeded"

    assert b"".join(client.log(job, 2)) == b"frame 2 of 2\n"
    names = {one.path for one in client.artifacts(job)}
    assert names == {"0/out.txt", "1/out.txt", "2/out.txt"}


def test_a_job_goes_where_its_slurm_account_may_be_spent(client, clusters, eventually):
    """Only one of two like clusters grants it; what is granted to other tenants is not."""
    text = {"name": "chem", "command": ["sleep", "100"], "resources": {"cpu": 1, "memory": "32MiB"}}
    job = client.submit({**text, "require": {"scheduler.account": "west-chem"}}).id
    queue = clusters["west"].command
    eventually(lambda: "west-chem" in queue("squeue", "--noheader", "--format=%a").split())
    client.cancel(job)
    assert client.wait(job, 60).state == "cancelled"

    with pytest.raises(InputError, match="no site of the pool can ever hold") as caught:
        client.submit({**text, "require": {"scheduler.account": "west-bio"}})
    assert "west/cpu: needs scheduler.account@default=west-bio" in caught.value.hint


def test_a_cancel_ends_the_array(client, clusters, eventually):
    job = client.submit(
        {
            "name": "long",
            "tasks": 20,
            "sites": ["west"],
            "command": ["sleep", "100"],
            "resources": {"cpu": 1, "memory": "32MiB"},
        }
    ).id
    queue = clusters["west"].command
    eventually(lambda: " R " in queue("squeue", "--noheader"))

    client.cancel(job)

    assert client.wait(job, 60).state == "cancelled"
    assert queue("squeue", "--noheader").strip() == ""


def test_a_killed_hub_finds_its_arrays_again(hub, truth, eventually):
    client = hub.client()
    job = client.submit(
        truth.job("adopt", tasks=6, sleep_s=2, sites=["east"], resources={"cpu": 1})
    ).id
    eventually(lambda: len(truth.runs(job)) >= 2)

    hub.kill()
    hub.start()
    view = hub.client().wait(job, 60)

    assert view.state == "succeeded"
    assert sorted(run.task for run in truth.runs(job)) == list(range(6))
    assert not truth.doubles()
