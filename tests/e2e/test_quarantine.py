"""Poison rows in the store of a real hub: each is set aside, all other jobs run (J9)."""

import contextlib
import json
import sqlite3
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from fenglin.cli.doctor_hub import examine
from fenglin.client.safety import release_job, show_safety
from fenglin.errors import ConflictError, NotFoundError
from fenglin.testing.builders import LocalSite, hub_file
from fenglin.testing.hub import HubProcess

SOUND = {"name": "sound", "command": ["true"]}
# A row of a waiting job, spoilt in one way, and where that shows.
KINDS = {
    "a document that is none": ("UPDATE job SET spec = X'7B' WHERE number = ?", "load"),
    "tasks that are none": ("UPDATE job SET pending_set = '1-x' WHERE number = ?", "load"),
    "an unknown state": ("UPDATE job SET state = 'dancing' WHERE number = ?", "load"),
    "a parent that is none": (
        (
            "UPDATE job SET spec = CAST(json_insert(CAST(spec AS TEXT), '$.after',"
            ' json(\'[{"job": "moon"}]\')) AS BLOB) WHERE number = ?'
        ),
        "take in",
    ),
    "a number beyond all columns": (
        (
            "UPDATE job SET spec = CAST(json_set(CAST(spec AS TEXT), '$.estimate_ms',"
            " json('99999999999999999999')) AS BLOB) WHERE number = ?"
        ),
        "take in",
    ),
    "a number beyond its column": (
        (
            "UPDATE job SET spec = CAST(json_set(CAST(spec AS TEXT), '$.priority',"
            " json('99999999999')) AS BLOB) WHERE number = ?"
        ),
        "plan",
    ),
    "a live allocation of it that cannot be read": (
        (
            "INSERT INTO allocation SELECT 900 + ?1, ?1, 'a', 'std', X'7B', X'7B', 1, '0', X'7B',"
            " 1000, 0, 0, 0, 1, 'running', '', 1, '', '', 0, 0, 0, 0, 0, 0, 0, 0, ''"
        ),
        "load",
    ),
}


@pytest.fixture
def hub(tmp_path):
    with HubProcess(tmp_path, hub_file([LocalSite("a")])) as made:
        yield made


def sql(hub, query, *values):
    with contextlib.closing(sqlite3.connect(hub.data / "fenglin.db")) as conn, conn:
        return conn.execute(query, values).fetchall()


def read(hub, path):
    token = (hub.data / "admin.token").read_text().strip()
    address = urlsplit((hub.data / "hub.address").read_text().strip())
    with contextlib.closing(HTTPConnection(address.netloc, timeout=30)) as conn:
        conn.request("GET", f"/{path}", headers={"Authorization": f"Bearer {token}"})
        return conn.getresponse().read().decode()


def test_a_hub_serves_all_jobs_but_the_spoilt_ones(hub):
    client = hub.start().client()
    client.drain("a", "while rows are spoilt")
    spoilt = {client.submit(SOUND).id: kind for kind in KINDS}
    waiting = client.submit(SOUND).id
    rows = {job: sql(hub, "SELECT spec, pending_set FROM job WHERE number = ?", job[1:])[0]
            for job in spoilt}  # fmt: skip
    hub.stop()
    for job, kind in spoilt.items():
        sql(hub, KINDS[kind][0], int(job[1:]))
    client = hub.start().client()
    client.resume("a")

    assert client.wait(waiting, 60).state == "succeeded"
    ended = client.wait(client.submit(SOUND).id, 60)
    assert ended.state == "succeeded"
    found = {one.id: one for one in client.call(show_safety()).quarantined}
    assert {job: one.stage for job, one in found.items()} == {
        job: KINDS[kind][1] for job, kind in spoilt.items()
    }
    for job in spoilt:
        view = client.job(job)
        assert (view.state, view.reason) == ("held", "quarantined")
        assert found[job].why in view.detail
        with pytest.raises(ConflictError, match="set aside"):
            client.cancel(job)
    lines = [json.loads(line) for line in hub.log().splitlines() if line.startswith("{")]
    set_aside = [line for line in lines if line["event"] == "job_quarantined"]
    assert {line["job"] for line in set_aside} <= set(spoilt)
    assert {line["epoch"] for line in set_aside} == {2}
    assert f"fenglin_jobs_aside {float(len(KINDS))}" in read(hub, "metrics")
    assert f"{len(KINDS)} jobs are set aside" in read(hub, "readyz")
    told = {one.check: one for one in examine(client)}
    assert {f"job {job}" for job in spoilt} == {c for c, one in told.items() if one.level == "bad"}
    assert {"hub", "clock", "site a", "tokens", "ledger", "discrepancies"} <= set(told)

    # What still cannot be read stays; what was mended runs as if nothing had been.
    first = next(iter(spoilt))
    with pytest.raises(ConflictError, match="still cannot be read"):
        client.call(release_job(first))
    assert client.job(first).reason == "quarantined"
    spec, pending = rows[first]
    sql(hub, "UPDATE job SET spec = ?, pending_set = ? WHERE number = ?", spec, pending, first[1:])
    client.call(release_job(first))
    assert client.wait(first, 60).state == "succeeded"
    with pytest.raises(NotFoundError, match="not set aside"):
        client.call(release_job(first))
