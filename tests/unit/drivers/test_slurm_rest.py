"""What the Slurm driver says to slurmrestd and understands of it, without a server."""

import asyncio
import json

import httpx
import pytest

from fenglin.drivers.slurm.parse import Ended
from fenglin.drivers.slurm.rest import RestSlurm
from fenglin.drivers.slurm.settings import Rest, read_settings
from fenglin.errors import DriverError, InputError
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

FLAVORS = (Flavor("cpu", ComputeClass.SUPER, Resources(8_000, 2**33)),)
BASE = {"flavors": FLAVORS, "nodes": (Node("cpu-0", "cpu"),), "shared_dir": "/scratch"}
OPTIONS = (
    "--job-name=h1-a1-1", "--array=0-3%2", "--mem=96M", "--time=5", "--gres=gpu:a100:1",
    "--nodes=1", "--ntasks=1", "--cpus-per-task=2", "--no-requeue", "--output=/s/o",
    "--open-mode=append", "--export=ALL", "--licenses=ansys:1",
)  # fmt: skip
OLD = {"jobs": [
    {"job_id": 5, "array_job_id": 4, "array_task_id": 0, "array_task_string": "",
     "job_state": "RUNNING", "name": "h1-a1-1", "nodes": "n1"},
    {"job_id": 4, "array_job_id": 4, "array_task_id": None, "array_task_string": "1-3%2",
     "job_state": "PENDING", "name": "h1-a1-1", "nodes": ""},
    {"job_id": 6, "array_job_id": 0, "array_task_id": None, "array_task_string": "",
     "job_state": "COMPLETED", "name": "h1-a2-1", "nodes": "n1"},
    {"job_id": 7, "array_job_id": 0, "array_task_id": None, "array_task_string": "",
     "job_state": "RUNNING", "name": "foreign", "nodes": "n1"},
]}  # fmt: skip
NONE = {"set": False, "infinite": False, "number": 0}
NEW = {"jobs": [
    {"job_id": 5, "array_job_id": {"set": True, "number": 4}, "array_task_id": {"set": True,
     "number": 0}, "array_task_string": "", "job_state": ["RUNNING"], "name": "h1-a1-1",
     "nodes": "n1"},
    {"job_id": 4, "array_job_id": {"set": True, "number": 4}, "array_task_id": NONE,
     "array_task_string": "1-3%2", "job_state": ["PENDING", "REQUEUED"], "name": "h1-a1-1",
     "nodes": ""},
    {"job_id": 6, "array_job_id": NONE, "array_task_id": NONE, "array_task_string": "",
     "job_state": ["COMPLETED"], "name": "h1-a2-1", "nodes": "n1"},
]}  # fmt: skip
NO_JOB = {"errors": [{"error_number": 2017, "description": "Invalid job id specified"}]}


def asked(version, work, *answers, token=""):
    """Do something with a server of one version; return the outcome and what it was asked."""
    paths = {f"/slurm/{version}/jobs/": {}, "/slurm/v9.9.9/jobs/": {}, "/openapi": {}}
    if version != "v0.0.36":
        paths[f"/slurm/{version}/licenses/"] = {}
    left, seen = list(answers), []

    def answer(request):
        if request.url.path == "/openapi/v3":
            return httpx.Response(200, json={"paths": paths})
        seen.append(request)
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one if isinstance(one, httpx.Response) else httpx.Response(200, json=one)

    slurm = RestSlurm(Rest("http://far", "me", token), "/etc/s.conf", "site hpc")
    slurm._client = httpx.AsyncClient(base_url="http://far", transport=httpx.MockTransport(answer))
    return asyncio.run(work(slurm)), seen


def submit(slurm):
    return slurm.submit(OPTIONS, "#!/bin/sh\n", -1, "")


def test_a_job_for_the_older_versions():
    number, (request,) = asked("v0.0.38", submit, {"job_id": 17, "errors": []})
    body = json.loads(request.content)
    job = body["job"]
    assert (number, request.url.path) == (17, "/slurm/v0.0.38/job/submit")
    assert (job["memory_per_node"], job["time_limit"], job["gres"]) == (96, 5, "gres:gpu:a100:1")
    assert (job["name"], job["array"], job["requeue"]) == ("h1-a1-1", "0-3%2", False)
    assert (job["nodes"], job["licenses"]) == (1, "ansys:1")
    assert job["environment"]["SLURM_CONF"] == "/etc/s.conf"


def test_a_job_for_the_newer_versions():
    _, (request,) = asked("v0.0.41", submit, {"job_id": 17})
    job = json.loads(request.content)["job"]
    assert job["memory_per_node"] == {"number": 96, "set": True}
    assert (job["nodes"], job["tres_per_node"]) == ("1", "gres/gpu:a100:1")
    assert "SLURM_CONF=/etc/s.conf" in job["environment"]


@pytest.mark.parametrize(("version", "data"), [("v0.0.38", OLD), ("v0.0.42", NEW)])
def test_the_queue_of_both(version, data):
    found, _ = asked(version, lambda slurm: slurm.queue("h1-a"), data)
    assert found == {"h1-a1-1": {4: {0, 1, 2, 3}}}
    (known, rest), _ = asked(version, lambda slurm: slurm.states(4), data)
    assert (known[0], known[3].live, rest) == (Ended("RUNNING", ran=True), True, None)


@pytest.mark.parametrize("strange", [{}, {"jobs": [{"name": "h1-a1-1"}]}, {"jobs": 7}])
def test_a_listing_that_is_not_understood_proves_nothing(strange):
    with pytest.raises(DriverError):
        asked("v0.0.38", lambda slurm: slurm.queue("h1-a"), strange)


def test_what_is_gone_is_ended_and_known_no_more():
    asked("v0.0.38", lambda slurm: slurm.cancel(4), httpx.Response(500, json=NO_JOB))
    told, _ = asked("v0.0.38", lambda slurm: slurm.states(4), httpx.Response(500, json=NO_JOB))
    assert told == ({}, None)


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        (httpx.ConnectError("refused"), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.Response(502, text="<html>"), True),
        (httpx.Response(401), False),
        ({"errors": [{"description": "Invalid account"}]}, False),
        ({"errors": []}, True),
    ],
)
def test_what_became_of_a_submission(answer, unknown):
    with pytest.raises(DriverError) as caught:
        asked("v0.0.38", submit, answer)
    assert caught.value.effect_unknown is unknown


def test_an_endless_answer_is_given_up(monkeypatch):
    """Attack 103."""
    monkeypatch.setattr("fenglin.remote.answers.MOST_BYTES", 2**20)
    sent = []

    async def endless():
        while len(sent) < 1_000:
            sent.append(2**16)
            yield b" " * 2**16

    with pytest.raises(DriverError, match="longer than") as caught:
        asked("v0.0.38", submit, httpx.Response(200, content=endless()))
    assert caught.value.effect_unknown
    assert sum(sent) == 2**20 + 2**16


def test_nested_beyond_reading_is_no_json():
    with pytest.raises(DriverError, match="without JSON"):
        asked("v0.0.38", submit, httpx.Response(200, content=b"[" * 200_000))


def test_a_token_is_read_for_each_call(tmp_path):
    path = tmp_path / "token"
    path.write_text("SLURM_JWT=first\n")

    async def twice(slurm):
        await slurm.cancel(1)
        path.write_text("second")
        await slurm.cancel(1)

    _, seen = asked("v0.0.38", twice, {}, {}, token=str(path))
    assert [one.headers["x-slurm-user-token"] for one in seen] == ["first", "second"]


def test_a_server_of_unknown_versions_is_refused():
    with pytest.raises(DriverError, match=r"v0\.0\.42"):
        asked("v7.7.7", lambda slurm: slurm.queue("h1"))


def test_nodes_of_both():
    part = [{"partitions": [{"name": "main", "state": "UP"}]},
            {"partitions": [{"name": "main", "partition": {"state": ["UP"]}}]}]  # fmt: skip
    old = {"nodes": [
        {"name": "n1", "partitions": ["main"], "state": "mixed", "state_flags": [],
         "gres": "gpu:a100:2", "active_features": "ib,avx", "reason": ""},
        {"name": "n2", "partitions": ["main"], "state": "idle", "state_flags": ["DRAIN"],
         "gres": "", "active_features": "", "reason": "bad dimm"},
    ]}  # fmt: skip
    new = {"nodes": [
        {**old["nodes"][0], "state": ["MIXED"], "active_features": ["ib", "avx"]},
        {**old["nodes"][1], "state": ["IDLE", "DRAIN"], "active_features": []},
    ]}  # fmt: skip
    for version, nodes, parts in (("v0.0.38", old, part[0]), ("v0.0.40", new, part[1])):
        (one, two), _ = asked(version, lambda slurm: slurm.nodes(), nodes, parts)
        assert (one.up, one.cards, one.features) == (True, (("a100", 2),), ("ib", "avx"))
        assert (two.up, two.problem.endswith("bad dimm")) == (False, True)


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"url": "ftp://x"},
        {"url": "http://u@h"},
        {"url": "unix://relative"},
        {"url": "http://h", "token_file": "/t"},
        {"url": "http://h", "token_file": "/t", "user": "$(id)"},
    ],
)
def test_wrong_settings_are_refused(rest):
    with pytest.raises(InputError):
        read_settings({**BASE, "rest": rest}, "site.hpc")


def test_options_that_cannot_be_said_are_refused():
    good = {**BASE, "rest": {"url": "unix:///run/s.socket"}}
    assert read_settings({**good, "options": ["--exclude=n1"]}, "site.hpc").rest is not None
    with pytest.raises(InputError, match="--exclusive"):
        read_settings({**good, "options": ["--exclusive"]}, "site.hpc")
    with pytest.raises(InputError):
        read_settings({**good, "ssh": {"address": "h"}}, "site.hpc")


@pytest.mark.parametrize("total", [10, {"set": True, "number": 10}])
def test_licences_less_what_reservations_hold(total):
    data = {"licenses": [{"LicenseName": "matlab", "Total": total, "Reserved": 3}]}
    told, _ = asked("v0.0.41", lambda slurm: slurm.licences(), data)
    assert told == {"matlab": 7}


def test_a_version_that_tells_of_no_licences_is_not_asked():
    assert asked("v0.0.36", lambda slurm: slurm.licences()) == ({}, [])
