"""A hub with a local site and two SSH hosts: one pool, one array, one bill; nothing is lost."""

import signal
from pathlib import Path

import pytest

from fenglin.client.requests import Filter
from fenglin.errors import FenglinError
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.sshd import SshHosts, find_sshd

pytest.importorskip("asyncssh")
pytestmark = pytest.mark.xdist_group("e2e-ssh")

FACILITY = """
[facility.hall]
owner = "Example Computing"
sites = ["lab"]
grade = "declared"
date = "2026-11-20"
document = "delivery notes"

[facility.hall.compute.cores]
class = "general"
device = "AMD EPYC 7763"
count = 2
"""


@pytest.fixture(scope="module")
def hosts():
    missing = find_sshd()
    if missing:
        pytest.skip(missing)
    with SshHosts(2) as made:
        yield made


@pytest.fixture
def own(hosts, tmp_path, eventually):
    config = hub_file([LocalSite("home", cpu=1)]) + hosts.block("lab", cpu=1)
    with HubProcess(tmp_path / "hub", config) as process:
        client = process.start().client()
        eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
        yield process


@pytest.fixture
def hub(own):
    """Return what the command line talks to here."""
    return own


@pytest.fixture
def truth(hosts, tmp_path):
    return hosts.truth(tmp_path.name)


def test_one_array_over_local_and_ssh_with_one_bill(own, truth):
    client = own.client()
    script = 'umask 0; echo "$FENGLIN_SITE $FENGLIN_NODE" > out.txt; id -un'
    document = truth.job("spread", tasks=60, sleep_s=0.05, script=script, artifacts=["out.txt"])
    job = client.submit({**document, "resources": {"cpu": 0.5, "memory": "16MiB"}}).id

    view = client.wait(job, 60)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 60)
    assert [run.number for run in truth.runs(job)] == [1] * 60
    kept = {one.path: one for one in client.artifacts(job)}
    assert sorted(kept) == sorted(f"{task}/out.txt" for task in range(60))
    folder = own.data / "artifacts" / job
    places = {(folder / path).read_text().strip() for path in kept}
    assert places == {"home std-0", "lab std-0", "lab std-1"}
    by_site = {one.site: one for one in view.allocations}
    assert set(by_site) == {"home", "lab"}

    statement = client.ledger_statement("default")
    lines = [line for line in statement.lines if line.job == job]
    assert {line.site for line in lines} == {"home", "lab"}
    assert sum(line.amount_micro for line in lines) == view.cost_micro > 0
    assert client.ledger_verify().ok


def test_tasks_on_hosts_outlive_the_hub(own, truth, running, hosts):
    client = own.client()
    job = client.submit(truth.job("long", tasks=4, sleep_s=3, sites=["lab"])).id
    running(job, 4)
    assert own.kill() == -signal.SIGKILL
    hosts.stop(hosts.addresses[0])
    hosts.start(hosts.addresses[0])
    own.start()

    view = own.client().wait(job, 30)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 4)
    runs = truth.runs(job)
    assert [run.number for run in runs] == [1] * 4
    assert all(run.ended_s - run.began_s >= 3 for run in runs)
    assert own.client().ledger_verify().ok


def test_a_probe_of_two_hosts_measures_the_line_between_them(fenglin, tmp_path):
    facility = tmp_path / "lab.toml"
    facility.write_text(FACILITY)
    assert fenglin("inventory", "declare", facility, "--document", "note 1").code == 0
    sizes = ["--size", 32, "--duration", "20ms", "--memory-mib", 1, "--disk-mib", 1]
    done = fenglin("inventory", "probe", "lab", "--nodes", 2, *sizes, "-o", "json")
    assert done.code == 0, done.err
    measured = done.json["measurement"]
    found = {one["what"]: one for one in measured["figures"]}
    assert found["network_throughput"]["milli"] > 0
    assert found["network_round_trip"]["how"].startswith("TCP from std-0 to std-1, ")
    assert "network" not in {what for what, _ in measured["missing"]}


def test_changed_host_keys_are_refused(own, truth, hosts, eventually):
    client = own.client()
    old = [hosts.known_hosts.read_text(), own.stop()][0]
    try:
        for address in hosts.addresses:
            hosts.stop(address)
            hosts.new_host_key(address, known=False)
            hosts.start(address)
        client = own.start().client()
        job = client.submit(truth.job("refused", sites=["lab"])).id
        eventually(lambda: "key" in client.site("lab").state_reason)
        down = client.site("lab")
        assert down.state == "down"
        assert "host key" in down.state_reason
        assert "has changed" in down.state_reason
        assert client.wait(job, 0.3).reason == "site_down"
        assert truth.runs(job) == []
    finally:
        hosts.known_hosts.write_text(old)
        for address in hosts.addresses:
            hosts.stop(address)
            hosts.new_host_key(address)
            hosts.start(address)


def test_a_hub_killed_while_a_host_starts_an_attempt_starts_nothing_twice(own, truth):
    own.stop()
    client = own.start(crash_at="c4").client(tries=1)
    job = client.submit(truth.job("once", tasks=6, sleep_s=0.2, sites=["lab"])).id
    assert own.wait(20) == -signal.SIGKILL
    own.start()
    view = own.client().wait(job, 30)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 6)
    assert [run.number for run in truth.runs(job)] == [1] * 6
    assert own.client().ledger_verify().ok


def test_a_hub_killed_while_hosts_are_told_to_stop_stops_all_the_same(own, truth, running):
    own.stop()
    client = own.start(crash_at="c8").client(tries=1)
    job = client.submit(truth.job("long", tasks=4, sleep_s=60, sites=["lab"])).id
    running(job, 4)
    with pytest.raises(FenglinError):
        client.wait(client.cancel(job).id, 20)
    assert own.wait(20) == -signal.SIGKILL
    own.start()
    assert own.client().wait(job, 30).state == "cancelled"
    assert not any(Path(f"/proc/{run.pid}").exists() for run in truth.runs(job))
