"""Sites, queues, receipts and the order in which jobs start."""

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-pool")

SMALL = {"resources": {"cpu": 0.5, "memory": "16MiB"}}


@pytest.fixture(scope="module")
def config():
    sites = [LocalSite("left", cpu=2), LocalSite("right", cpu=2, speed=2, core_hour="7.2")]
    return hub_file(sites, queues={"three": 3, "one": 1})


@pytest.fixture
def drained(client):
    """Drain the whole pool, and resume what is still drained at the end."""
    for site in ("left", "right"):
        client.drain(site, "a test")
    yield
    for site in ("left", "right"):
        client.resume(site)


def test_drained_site_gets_no_new_work_and_finishes_its_own(fenglin, client, truth, running):
    first = client.submit(truth.job("before", sleep_s=0.5, sites=["left"])).id
    running(first)

    assert fenglin("site", "drain", "left", "--reason", "new kernel").code == 0

    second = client.submit(truth.job("after", sites=["left"])).id
    assert client.wait(first, 30).state == "succeeded"
    view = client.wait(second, 0.3)
    assert (view.state, view.reason) == ("pending", "site_drained")
    listed = fenglin("site", "list", "-o", "json").json["items"]
    assert [(one["name"], one["state"]) for one in listed] == [
        ("left", "drained"),
        ("right", "active"),
    ]
    assert fenglin("site", "resume", "left").code == 0
    assert client.wait(second, 30).state == "succeeded"


@pytest.mark.usefixtures("drained")
def test_explain_names_every_option_with_its_reason(fenglin, client, truth):
    job = client.submit(truth.job("waits")).id

    explained = client.explain(job)
    assert explained.receipt is not None
    assert {(one.site, str(one.reason)) for one in explained.receipt.options} == {
        ("left", "site_drained"),
        ("right", "site_drained"),
    }
    told = fenglin("job", "explain", job)
    assert told.code == 0
    assert "left" in told.out
    assert "a test" in told.out
    client.cancel(job)


def test_explain_keeps_the_decision_of_a_job_that_has_ended(client):
    job = client.submit({"name": "done", "command": ["true"], **SMALL}).id
    client.wait(job, 30)

    explained = client.explain(job)

    chosen = [one for one in explained.decisions[0].options if one.tasks]
    assert [one.tasks for one in chosen] == [1]
    assert chosen[0].terms
    assert [event.kind for event in explained.story][:1] == ["committed"]


def test_dry_run_prices_every_option_and_stores_nothing(fenglin, client, job_file):
    before = client.jobs(Filter()).items
    path = job_file({"name": "plan", "tasks": 4, "estimate": "10m", "command": ["true"], **SMALL})

    plan = fenglin("submit", path, "--dry-run", "-o", "json").json

    options = {one["site"]: one for one in plan["receipt"]["options"]}
    # 4 tasks of half a core: 10 minutes at 0.36 an hour, or 5 minutes at 7.20 an hour.
    assert options["left"]["price_micro"] == 4 * 30_000
    assert options["right"]["price_micro"] == 4 * 300_000
    assert options["right"]["finish_ms"] < options["left"]["finish_ms"]
    assert plan["price_micro"] > 0
    assert client.jobs(Filter()).items == before
    table = fenglin("submit", path, "--dry-run").out
    assert "left" in table
    assert "right" in table


@pytest.mark.usefixtures("drained")
def test_higher_priority_starts_first(client, truth):
    # Each task fills the only resumed site.
    whole = {"resources": {"cpu": 2, "memory": "16MiB"}, "sites": ["left"], "sleep_s": 0.05}
    ids = {
        priority: client.submit(truth.job(f"p{priority}", priority=priority, **whole)).id
        for priority in (0, 5, -5, 9)
    }

    client.resume("left")

    assert all(client.wait(job, 30).state == "succeeded" for job in ids.values())
    began = sorted(ids, key=lambda priority: truth.runs(ids[priority])[0].began_s)
    assert began == [9, 5, 0, -5]


@pytest.mark.usefixtures("drained")
def test_queues_share_by_weight(client, truth, running):
    jobs = {
        queue: client.submit(truth.job(queue, queue=queue, tasks=40, sleep_s=60)).id
        for queue in ("one", "three")
    }

    for site in ("left", "right"):
        client.resume(site)
    running("*", 8)

    held = {q.name: q.cpu_used_milli for q in client.queues(Filter()).items}
    assert (held["one"], held["three"]) == (1_000, 3_000)
    for job in jobs.values():
        client.cancel(job)
        assert client.wait(job, 30).state == "cancelled"


def test_metrics_readiness_and_description(hub, client):
    def get(path):
        address = urlsplit(hub.url)
        with closing(HTTPConnection(address.hostname, address.port, timeout=10)) as connection:
            connection.request("GET", path, headers={"Authorization": f"Bearer {hub.token}"})
            return connection.getresponse().read().decode()

    job = client.submit({"name": "counted", "command": ["true"], **SMALL}).id
    client.wait(job, 30)

    assert re.search(r"^fenglin_jobs_submitted_total [1-9]", get("/metrics"), re.MULTILINE)
    described = json.loads(get("/openapi.json"))
    assert {"/v1/jobs", "/v1/jobs/{job}", "/v1/ledger/verify"} <= set(described["paths"])
    assert json.loads(get("/readyz")) == {"status": "ready"}
    assert json.loads(get("/healthz")) == {"status": "ok"}
