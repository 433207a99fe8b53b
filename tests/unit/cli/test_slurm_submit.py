"""`fenglin sbatch` and `scancel` against a scripted hub."""

import io
import json
import sys

import pytest

STORED = {"id": "j7", "state": "pending", "repeated": False}
SCRIPT = "#!/bin/bash\n#SBATCH --mem=16M\n\necho hi\n"


@pytest.fixture
def submitted(fenglin, hub):
    """Submit and return how that ended, with the document that the hub got."""
    hub.on("POST", "/v1/jobs", STORED)

    def run(*words):
        done = fenglin("sbatch", *words)
        bodies = [one.body for one in hub.calls("POST", "/v1/jobs")]
        return done, json.loads(bodies[-1]) if bodies else None

    return run


@pytest.fixture
def script(tmp_path):
    """Return a function that writes a script."""

    def write(text=SCRIPT):
        path = tmp_path / "a.sh"
        path.write_text(text)
        return path

    return write


def test_script_is_submitted_and_remembers_what_squeue_shows(submitted, script, monkeypatch):
    monkeypatch.setenv("LOGNAME", "li")
    path = script()
    done, sent = submitted("-J", "x y", "--array=1-9:4%2", "-pfast", path)
    assert (done.code, done.out) == (0, "Submitted batch job 7\n")
    assert (sent["name"], sent["queue"], sent["tasks"]) == ("x y", "fast", 3)
    assert sent["labels"] == {
        "slurm.user": "li", "slurm.array": "1-9:4%2", "slurm.command": str(path),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a'b", 'a"b', "a\\b", "a # b", "--x"])
def test_values_of_options_arrive_as_they_are(submitted, script, name):
    done, sent = submitted(f"--job-name={name}", script())
    assert done.code == 0, done.err
    assert sent["name"] == name


def test_parsable_prints_the_number_alone(submitted, script):
    assert submitted("--parsable", script())[0].out == "7\n"


QUEUE = {
    "name": "fast", "weight_milli": 1_000, "cohort": "", "pending_jobs": 0, "pending_tasks": 0,
    "running_tasks": 0, "cpu_used_milli": 0, "memory_used_bytes": 0, "accelerator_used_milli": 0,
    "dominant_share": 0.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-p", "fast"], ""),
        (["-p", "fsat"], "sbatch: warning: no queue 'fsat' is set up at the hub; known: fast\n"),
        (["-Q", "-p", "fsat"], ""),
    ],
)
def test_a_partition_that_the_hub_does_not_know_is_said(submitted, hub, script, words, said):
    hub.on("GET", "/v1/queues", {"items": [QUEUE], "next": "", "total": 1})
    done, document = submitted(*words, script())
    assert (done.code, done.err) == (0, said)
    assert document["queue"] == words[-1]


def test_wrapped_command(submitted):
    done, sent = submitted("--wrap", "echo 'a b'", "-t5", "--mem=1G")
    assert done.out == "Submitted batch job 7\n"
    assert "#!/bin/sh\n\necho 'a b'\n" in sent["script"]
    assert "slurm.command" not in sent["labels"]


def test_standard_input(submitted, monkeypatch):
    text = io.TextIOWrapper(io.BytesIO(SCRIPT.encode()))
    monkeypatch.setattr(sys, "stdin", text)
    done, sent = submitted("--mem=32M")
    assert done.code == 0
    assert sent["resources"]["memory"] == "32MiB"


def test_arguments_go_to_the_script_below_its_directives(submitted, script):
    done, sent = submitted(script(), "-n", "it's")
    assert done.code == 0
    assert "#SBATCH --mem=16M\n\nset -- -n 'it'\"'\"'s'; echo hi\n" in sent["script"]
    assert sent["resources"]["memory"] == "16MiB"


def test_what_is_lost_is_said_unless_quiet(submitted, script):
    path = script("#!/bin/sh\n#SBATCH --mail-user=me@example.org\ntrue\n")
    assert "a.sh:2: --mail-user: lost: " in submitted(path)[0].err
    assert not submitted("-Q", path)[0].err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nofile.sh"], "Unable to open file nofile.sh"),
        (["--wrap", "x", "a.sh"], "--wrap"),
        (["--wrap", "x", "--time=soon"], "--time"),
        (["--wrap", "x", "--nosuchoptoin=1", "--job-nmae=x"], "did you mean --job-name?"),
    ],
)
def test_mistakes_submit_nothing(submitted, words, text):
    done, sent = submitted(*words)
    assert (done.code, done.out, sent) == (1, "", None)
    assert text in done.err


def test_only_shells_take_arguments(submitted, script):
    done, sent = submitted(script("#!/usr/bin/env python3\nprint(1)\n"), "x")
    assert (done.code, sent) == (1, None)
    assert "shell" in done.err


@pytest.mark.parametrize(
    ("state", "detail", "code"),
    [
        ("succeeded", "", 0), ("failed", "task 0: exit code 3", 3), ("failed", "timeout", 1),
        ("cancelled", "", 1),
    ],
)  # fmt: skip
def test_wait_exits_as_the_job_did(submitted, hub, job, state, detail, code):
    hub.on("GET", "/v1/jobs/j7/wait", job("j7", state, detail=detail))
    assert submitted("-W", "--wrap", "x")[0].code == code


@pytest.fixture
def two(hub, job):
    """Put a job and a half-running array into the hub."""
    allocation = {
        "id": "a1", "site": "ai", "flavor": "std", "tasks": "0-1", "slots": 2, "nodes": ["n1"],
        "state": "running", "attempt": 1, "started_ms": 2_000, "ended_ms": 0, "succeeded": 0,
        "failed": 0, "expected_finish_ms": 0, "held_micro": 0, "cost_micro": 0,
    }  # fmt: skip
    array = job("j8", tasks={"running": 2, "pending": 2}, allocations=[allocation])
    plain = job("j7", "pending", tasks={"pending": 1}, task_count=1, name="plain")
    hub.on("GET", "/v1/jobs", {"items": [plain, array], "next": "", "total": 2})
    for one in (plain, array):
        hub.on("GET", f"/v1/jobs/{one['id']}", one)
        hub.on("POST", f"/v1/jobs/{one['id']}/cancel", one)


def cancelled(hub):
    posts = [one for one in hub.asked if one.method == "POST"]
    return [one.path.split("/")[3] + "".join(f" {v}" for _, v in one.query) for one in posts]


@pytest.mark.parametrize(
    ("words", "code", "ended"),
    [
        (["7"], 0, ["j7"]), (["7,8"], 0, ["j7", "j8"]), (["-n", "plain"], 0, ["j7"]),
        (["-u", "default"], 0, ["j7", "j8"]), (["-u", "nobody"], 0, []),
        (["7", "-n", "other"], 0, []), (["8_[0-3]"], 0, ["j8"]), (["8_1"], 0, ["j8 1"]),
        (["8_[1-2]"], 0, ["j8 1-2"]), (["-t", "R"], 0, ["j8 0-1"]),
        (["-t", "PENDING"], 0, ["j7", "j8 2-3"]), (["999"], 0, []),
        (["999", "7"], 0, ["j7"]), (["-s", "KILL", "7"], 0, ["j7"]),
        (["-sSIGTERM", "7"], 0, ["j7"]), (["--signal=USR1", "7"], 1, []), (["abc"], 1, []),
        ([], 1, []),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("two")
def test_scancel(fenglin, hub, words, code, ended):
    done = fenglin("scancel", *words)
    assert (done.code, done.out, cancelled(hub)) == (code, "", ended)


@pytest.mark.usefixtures("two")
def test_scancel_tells_what_cannot_be_ended_alone(fenglin, hub, play):
    view = {"code": "conflict", "what": "1 goes on"}
    hub.on("POST", "/v1/jobs/j8/cancel", play(409, view))
    done = fenglin("scancel", "-v", "8_1")
    assert done.code == 1
    assert done.err.splitlines() == [
        "scancel: Terminating job 8_[1]",
        "scancel: error: Kill job error on job id 8: 1 goes on",
    ]


@pytest.mark.usefixtures("two")
def test_a_job_that_is_not_there_is_said_unless_quiet(fenglin):
    assert "Invalid job id specified" in fenglin("scancel", "999").err
    assert not fenglin("scancel", "-Q", "999").err
    assert fenglin("scancel", "-v", "7").err == "scancel: Terminating job 7\n"
