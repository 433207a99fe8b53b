"""When the site or the inputs fail: work waits, elsewhere goes on, and nothing spins."""

import hashlib

import pytest

from fenglin.client.requests import Filter
from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-faults")

SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}


@pytest.fixture(scope="module")
def config():
    return hub_file([LocalSite("only")])


def test_inputs_that_are_gone_end_the_job_and_leave_the_site_alone(hub, client, eventually):
    digest = hashlib.sha256(b"soon gone").hexdigest()
    client.put_blob(digest, b"soon gone")
    client.drain("only", "while the file is removed")
    files = [{"target": "in.txt", "sha256": digest, "size": 9}]
    job = client.submit({"name": "no input", "files": files, "command": ["true"], **SMALL}).id
    (hub.data / "blobs" / digest[:2] / digest).unlink()
    client.resume("only")
    eventually(lambda: len(client.job(job).allocations) > 1)

    # Meanwhile the site serves others.
    other = client.submit({"name": "other", "command": ["true"], **SMALL}).id
    assert client.wait(other, 5).state == "succeeded"

    view = client.wait(job, 60)
    assert (view.state, view.reason, view.cost_micro) == ("failed", "staging_failed", 0)
    assert digest in view.detail
    assert len(view.allocations) == 6


def test_a_site_that_loses_every_attempt_rests_longer_and_longer(
    hub, client, truth, eventually, tmp_path
):
    # Runners cannot start: their folder's file system refuses every new attempt.
    attempts = hub.data / "sites/only/attempts"
    kept = tmp_path / "kept"
    attempts.rename(kept)
    attempts.write_text("not a folder")
    job = client.submit(truth.job("patient")).id
    eventually(lambda: len(client.job(job).allocations) >= 2)

    site = eventually(lambda: (s := client.site("only")).state == "down" and s)
    assert "refused starts" in site.state_reason
    assert not truth.runs(job)

    attempts.unlink()
    kept.rename(attempts)
    assert client.wait(job, 30).state == "succeeded"
    assert len(client.job(job).allocations) < 10
    assert [run.number for run in truth.runs(job)] == [1]
    assert client.site("only").state == "active"
    assert not [node for node in client.nodes(Filter()).items if node.cpu_used_milli]
