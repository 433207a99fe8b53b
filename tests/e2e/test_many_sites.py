"""One job array over sites of four kinds, each a real server: every task once, one bill."""

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.ray import RayCluster, find_ray
from fenglin.testing.servers.slurm import SlurmCluster, find_slurm
from fenglin.testing.servers.sshd import SshHosts, find_sshd

pytest.importorskip("asyncssh")
# The group of the tests with a Ray cluster: no other one stands beside it.
pytestmark = pytest.mark.xdist_group("ray")

SLURM = """
[site.batch]
driver = "slurm"
provider = "university"
[site.batch.settings]
shared_dir = "{shared}"
conf = "{conf}"
python = "{python}"
partition = {{ cpu = "main" }}
poll = "500ms"
[site.batch.flavor.cpu]
class = "super"
nodes = 1
cpu = 2
memory = "2GiB"
disk = "1TiB"
price = {{ core_hour = "0.72", task_minimum_time = "1s" }}
"""
RAY = """
[site.rays]
driver = "ray"
provider = "laboratory"
[site.rays.settings]
address = "{address}"
poll = "500ms"
[site.rays.flavor.cpu]
class = "ai"
nodes = 1
cpu = 2
memory = "2GiB"
disk = "1TiB"
price = {{ core_hour = "1.08", task_minimum_time = "1s" }}
"""
# Micro-units that a core costs in a second.
PER_CORE_S = {"here": 100, "lab": 100, "batch": 200, "rays": 300}
TASKS = 40


@pytest.fixture(scope="module")
def short():
    """Return a folder with a short path: the name of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="fl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def three(short, tmp_path_factory):
    """Return the configuration of a hub over this machine, a Slurm cluster and an SSH host."""
    for why in (find_slurm(), find_sshd()):
        if why:
            pytest.skip(why)
    # All tasks testify in one folder, so that they run as one user.
    with SlurmCluster(short / "s", "batch", nodes=1, cpus=2) as slurm, SshHosts(clean=False) as ssh:
        text = hub_file([LocalSite("here", cpu=2)]) + ssh.block("lab")
        yield text + SLURM.format(
            shared=tmp_path_factory.mktemp("shared"),
            conf=slurm.conf,
            python=Path(sys.executable).resolve(),  # no shim, which would be slow
        )


@pytest.fixture(params=["ray", "without"])
def hub(request, three, short, tmp_path, eventually):
    """Return a hub over four kinds of sites; where there is no Ray, over three."""
    why = find_ray()
    if request.param == "ray" and why:
        pytest.skip(f"three kinds of sites only: {why}")
    if request.param == "without" and not why:
        pytest.skip("Ray is here, so the variant with it runs")
    with contextlib.ExitStack() as servers:
        if not why:
            ray = servers.enter_context(RayCluster(short / "r", nodes=1))
            three += RAY.format(address=ray.address)
        process = servers.enter_context(HubProcess(tmp_path / "hub", three))
        client = process.start().client()
        eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
        yield process


def test_one_array_over_all_kinds_of_sites_with_one_bill(client, truth):
    sites = {site.name for site in client.sites(Filter()).items}
    # Ray takes seconds to begin, so the tasks are long enough to be worth it.
    script = 'echo "$FENGLIN_SITE" > "$TRUTH_DIR/at-$FENGLIN_TASK_INDEX"'
    need = {"cpu": 1, "memory": "32MiB"}
    job = client.submit(
        truth.job("spread", tasks=TASKS, sleep_s=0.5, script=script, resources=need)
    ).id

    view = client.wait(job, 90)

    assert (view.state, view.tasks.succeeded) == ("succeeded", TASKS)
    runs = truth.runs(job)
    assert [(run.task, run.number) for run in runs] == [(task, 1) for task in range(TASKS)]
    assert not truth.doubles()
    ran_at = [(truth.folder / f"at-{task}").read_text().strip() for task in range(TASKS)]
    assert set(ran_at) == sites
    done, cost_micro = dict.fromkeys(sites, 0), dict.fromkeys(sites, 0)
    for one in view.allocations:
        done[one.site] += one.succeeded
        cost_micro[one.site] += one.cost_micro
    assert done == {site: ran_at.count(site) for site in sites}

    bill = client.ledger_statement("default")
    lines = [line for line in bill.lines if line.job == job]
    by_site = {site: sum(x.amount_micro for x in lines if x.site == site) for site in sites}
    assert sum(by_site.values()) == bill.charged_micro == view.cost_micro
    assert by_site == cost_micro
    # Each task costs its second or more at the price of where it ran.
    assert all(cost_micro[site] >= done[site] * PER_CORE_S[site] for site in sites)
    assert view.held_micro == bill.held_micro == 0
    assert client.ledger_verify().ok
