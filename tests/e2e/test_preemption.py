"""A job of higher priority takes the place of one that may be interrupted; both finish."""

import signal

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import HubProcess, LocalSite, hub_file

# Only an interruption ends a first run; a second one is short.
LONG_S, SHORT_S = 600, 0.5


@pytest.fixture
def own_hub(tmp_path):
    """Return a hub whose only site has room for two of the truth's tasks at once."""
    with HubProcess(tmp_path / "own", hub_file([LocalSite("hall", cpu=1)])) as process:
        yield process


@pytest.fixture
def contest(own_hub, truth, eventually, running):
    """Return a hub's client, a preemptible job that runs, and an urgent one just submitted."""
    client = own_hub.start().client()
    eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
    humble = client.submit(
        truth.job("humble", tasks=2, sleep_s=SHORT_S, first_s=LONG_S, preemptible=True)
    ).id
    running(humble, 2)
    urgent = client.submit(truth.job("urgent", tasks=2, sleep_s=0.5, priority=9)).id
    return client, humble, urgent


def check(client, truth, humble, urgent):
    """Assert that both succeeded, the humble one after the urgent one, and was billed for once."""
    first, last = client.job(urgent), client.job(humble)
    assert (first.tasks.succeeded, last.tasks.succeeded) == (2, 2)
    assert truth.doubles() == []
    for task in (0, 1):
        interrupted, again = (run for run in truth.runs(humble) if run.task == task)
        assert interrupted.ended_s == 0
        assert again.ended_s - again.began_s >= SHORT_S
        assert again.began_s >= min(run.ended_s for run in truth.runs(urgent))
    taken = [one.cost_micro for one in last.allocations if one.reason == "preempted"]
    assert taken, "it was interrupted"
    assert sum(taken) == 0, "what was taken away is not paid for"
    assert last.cost_micro == sum(one.cost_micro for one in last.allocations) > 0
    assert client.ledger_verify().ok


def test_the_urgent_one_goes_first(contest, truth):
    client, humble, urgent = contest
    assert client.wait(urgent, 30).state == "succeeded"
    assert client.job(humble).state in ("pending", "running")
    assert client.wait(humble, 30).state == "succeeded"
    check(client, truth, humble, urgent)
    told = [event.text for event in client.events(humble) if event.kind == "preempted"]
    assert [text.split(": ")[1] for text in told] == [f"preempted for {urgent}, 2 tasks wait again"]
    assert client.job(humble).reason == ""


def test_a_hub_killed_between_wish_and_stop_asks_again(own_hub, truth, eventually, running):
    """The wish is committed (c3) and the hub dies before the site hears of it."""
    client = own_hub.start().client()
    eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items))
    humble = client.submit(
        truth.job("humble", tasks=2, sleep_s=SHORT_S, first_s=LONG_S, preemptible=True)
    ).id
    running(humble, 2)
    own_hub.kill()
    own_hub.start(crash_at="c3")
    urgent = own_hub.client().submit(truth.job("urgent", tasks=2, sleep_s=0.5, priority=9)).id
    assert own_hub.wait(20) == -signal.SIGKILL
    assert all(run.ended_s == 0 for run in truth.runs(humble))
    client = own_hub.start().client()
    assert client.wait(urgent, 30).state == "succeeded"
    assert client.wait(humble, 30).state == "succeeded"
    check(client, truth, humble, urgent)
