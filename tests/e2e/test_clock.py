"""A hub whose date jumps: nothing ends early, and no time is billed that has not passed."""

import pytest

from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.testing.servers.faketime import FakeDate, find_faketime

pytestmark = pytest.mark.xdist_group("e2e-clock")
HOUR_S = 3_600
TASK_S = 3


@pytest.fixture
def date(tmp_path):
    if why := find_faketime():
        pytest.skip(why)
    return FakeDate(tmp_path / "date")


@pytest.fixture
def own(date, tmp_path):
    with HubProcess(tmp_path / "hub", hub_file([LocalSite("only")]), env=date.env) as process:
        yield process.start()


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S, 40 * 24 * HOUR_S])
def test_what_runs_and_waits_meanwhile(own, date, truth, running, by_s):
    client = own.client()
    runs = client.submit(truth.job("runs", sleep_s=TASK_S)).id
    limited = client.submit({**truth.job("limited", sleep_s=300), "timeout": f"{TASK_S}s"}).id
    after = client.submit(truth.job("after", after=[{"job": runs}])).id
    for job in (runs, limited):
        running(job)
    before_ms = client.overview().now_ms

    date.jump(by_s)
    later = client.submit(truth.job("later")).id
    assert abs(client.overview().now_ms - before_ms - by_s * 1_000) < 60_000

    views = {job: client.wait(job, 60) for job in (runs, later, after, limited)}
    assert [views[job].state for job in (runs, later, after)] == ["succeeded"] * 3
    assert (views[limited].state, views[limited].reason) == ("failed", "timeout")
    (run,) = truth.runs(runs)
    assert run.ended_s - run.began_s >= TASK_S
    # Half a core at 0.36 an hour: 50 a second, and the least is a second.
    assert TASK_S * 50 <= views[runs].cost_micro < TASK_S * 100
    assert TASK_S * 50 <= views[limited].cost_micro < TASK_S * 100
    assert client.ledger_verify().ok
    assert "date_jumped" in own.log()

    # Adopted after a restart, with the date as it is now and as it was before.
    last = client.submit(truth.job("last", sleep_s=TASK_S)).id
    running(last)
    own.kill()
    date.jump(0)
    client = own.start().client()
    view = client.wait(last, 60)
    assert view.state == "succeeded"
    assert TASK_S * 50 <= view.cost_micro < TASK_S * 200
    assert [run.number for run in truth.runs(last)] == [1]
    assert client.ledger_verify().ok
