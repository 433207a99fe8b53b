"""`fenglin job`: listings, one job, logs, explanations, waiting."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
import yaml

FENGLIN = "import sys; from fenglin.cli import main; sys.exit(main(sys.argv[1:]))"

RECEIPT = {
    "job": 7, "index": 12, "policy": "default", "started": 3, "waiting": 1,
    "reason": "cpu_busy", "position": 2, "start_ms": 4_000, "finish_ms": 9_000,
    "change": "one more free core on general",
    "options": [
        {
            "site": "here", "flavor": "general", "slots": 3, "tasks": 3, "score": 0.25,
            "terms": [{"name": "finish", "value": 0.5, "weight": 0.5, "raw": "812000 ms"}],
            "finish_ms": 9_000, "price_micro": 1_500_000,
        },
        {"site": "here", "flavor": "super", "reason": "memory_exceeds_node",
         "evidence": "needs 64GiB, largest node has 16GiB"},
    ],
}  # fmt: skip


def page(*jobs, following="", total=-1):
    return {"items": list(jobs), "next": following, "total": total}


def test_list_is_aligned_plain_text_with_ids_first(fenglin, hub, job):
    jobs = page(job(), job("j12", "pending", name="云海", reason="cpu_busy", cost_micro=0))
    hub.on("GET", "/v1/jobs", jobs)
    done = fenglin("job", "list")
    head, first, second = done.out.splitlines()
    assert done.code == 0
    assert head.split() == [
        "ID", "NAME", "STATE", "TASKS", "RUNNING", "QUEUE", "AGE", "FINISH", "COST", "REASON",
    ]  # fmt: skip
    assert first.split()[:6] == ["j7", "sky", "running", "1/4", "3", "default"]
    assert "1.2346 CNY" in first
    assert second.endswith("cpu_busy")
    # Two Chinese characters fill four cells, so that the next column begins two characters sooner.
    assert second.index("pending") == first.index("running") - 2
    assert "\x1b" not in done.out


def test_list_without_heads(fenglin, hub, job):
    hub.on("GET", "/v1/jobs", page(job()))
    assert fenglin("job", "list", "--no-header").out.startswith("j7")


def test_list_as_data(fenglin, hub, job):
    hub.on("GET", "/v1/jobs", page(job(), following="c", total=9))
    found = json.loads(fenglin("job", "list", "-o", "json").out)
    assert found["items"][0]["id"] == "j7"
    assert (found["next"], found["total"]) == ("c", 9)
    assert yaml.safe_load(fenglin("job", "list", "-o", "yaml").out) == found


def test_list_lets_the_hub_filter_sort_and_page(fenglin, hub):
    hub.on("GET", "/v1/jobs", page())
    done = fenglin(
        "job", "list", "--state", "running", "--state", "held", "--queue", "q", "--account", "a",
        "--name", "n", "--label", "k=v", "--sort", "-name", "--limit", "3",
    )  # fmt: skip
    assert done.code == 0
    assert hub.asked[0].query == [
        ("state", "running"), ("state", "held"), ("queue", "q"), ("account", "a"), ("name", "n"),
        ("label", "k=v"), ("sort", "-name"), ("limit", "3"),
    ]  # fmt: skip


def test_list_says_that_there_is_more_beside_the_output(fenglin, hub, job):
    hub.on("GET", "/v1/jobs", page(job(), following="c", total=41))
    done = fenglin("job", "list", "--limit", "1")
    assert "40 more" in done.err
    assert "more" not in done.out


def test_list_all_takes_every_page(fenglin, hub, job):
    hub.on("GET", "/v1/jobs", page(job("j2"), following="c"), page(job("j1")))
    done = fenglin("job", "list", "--all", "-o", "json")
    assert [one["id"] for one in json.loads(done.out)["items"]] == ["j2", "j1"]


def test_names_of_others_cannot_command_the_terminal(fenglin, hub, job):
    hub.on("GET", "/v1/jobs", page(job(name="\x1b[2J\u202eevil\nj8")))
    out = fenglin("job", "list").out
    assert "\\x1b[2J\\u202eevil\\nj8" in out
    assert len(out.splitlines()) == 2


def test_show(fenglin, hub, job):
    allocation = {
        "id": "a5", "site": "here", "flavor": "general", "tasks": "0-3", "slots": 2,
        "nodes": ["n1"], "state": "running", "attempt": 1, "started_ms": 2_000, "ended_ms": 63_000,
        "succeeded": 1, "failed": 0, "expected_finish_ms": 0, "held_micro": 0, "cost_micro": 0,
    }  # fmt: skip
    hub.on("GET", "/v1/jobs/j7", job(allocations=[allocation], reason="r", detail="because"))
    out = fenglin("job", "show", "j7").out
    assert "tasks      3 running, 1 succeeded" in out
    assert "why        r: because" in out
    assert [line.split()[:4] for line in out.splitlines() if line.startswith("a5")] == [
        ["a5", "here", "general", "0-3"]
    ]
    assert "1m1s" in out
    shown = json.loads(fenglin("job", "show", "j7", "-o", "json").out)
    assert shown["state"] == "running"
    assert shown["tasks"] == {
        "pending": 0, "running": 3, "succeeded": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip
    assert shown["allocations"][0]["id"] == "a5"


def test_explain(fenglin, hub):
    story = [{"seq": 1, "time_ms": 1_000, "kind": "submitted", "text": "by admin\x07"}]
    explanation = {"job": "j7", "state": "running", "receipt": RECEIPT, "story": story,
                   "decisions": [{**RECEIPT, "index": 3}]}  # fmt: skip
    hub.on("GET", "/v1/jobs/j7/explain", explanation)
    out = fenglin("job", "explain", "j7").out
    for part in (
        "cpu_busy", "one more free core on general", "812000 ms", "0.250", "1.50 CNY",
        "memory_exceeds_node: needs 64GiB, largest node has 16GiB", "by admin\\x07",
        "plan 3: 3 tasks started (3 on here/general)",
    ):  # fmt: skip
        assert part in out
    assert json.loads(fenglin("job", "explain", "j7", "-o", "json").out)["receipt"]["position"] == 2


def test_explain_an_ended_job_by_its_last_decision(fenglin, hub):
    explanation = {"job": "j7", "state": "succeeded", "receipt": None, "decisions": [RECEIPT]}
    hub.on("GET", "/v1/jobs/j7/explain", explanation)
    out = fenglin("job", "explain", "j7").out
    assert "of its last start" in out
    assert "812000 ms" in out
    assert "Earlier" not in out


def test_explain_a_job_that_no_plan_has_seen(fenglin, hub):
    hub.on("GET", "/v1/jobs/j7/explain", {"job": "j7", "state": "held", "receipt": None})
    assert "no plan has considered it" in fenglin("job", "explain", "j7").out


def test_cancel_many(fenglin, hub, job):
    hub.on("POST", "/v1/jobs/j7/cancel", job(state="cancelling"))
    hub.on("POST", "/v1/jobs/j8/cancel", job("j8", "cancelled"))
    assert fenglin("job", "cancel", "j7", "j8").out == "j7  cancelling\nj8  cancelled\n"
    assert json.loads(fenglin("job", "cancel", "j7", "-o", "json").out)["state"] == "cancelling"


def test_cancel_some_tasks_of_one_job(fenglin, hub, job):
    hub.on("POST", "/v1/jobs/j7/cancel", job(state="running"))
    assert fenglin("job", "cancel", "j7", "--tasks", "3-5,9").out == "j7  running\n"
    assert hub.asked[0].query == [("tasks", "3-5,9")]
    assert fenglin("job", "cancel", "j7", "j8", "--tasks", "1").code == 2
    assert len(hub.asked) == 1


def test_cancel_stops_at_an_unknown_job_after_telling_what_was_done(fenglin, hub, job):
    hub.on("POST", "/v1/jobs/j7/cancel", job(state="cancelling"))
    done = fenglin("job", "cancel", "j7", "j404")
    assert done.code == 3
    assert done.out == "j7  cancelling\n"


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["succeeded"], 0),
        (["failed"], 1),
        (["cancelled"], 8),
        (["running"], 9),
        (["running", "cancelled", "failed"], 1),
        (["succeeded", "running", "cancelled"], 8),
    ],
)
def test_wait_tells_the_end_by_its_exit_code(fenglin, hub, job, states, code):
    ids = [f"j{number}" for number in range(1, len(states) + 1)]
    for job_id, state in zip(ids, states, strict=True):
        hub.on("GET", f"/v1/jobs/{job_id}/wait", job(job_id, state))
    done = fenglin("job", "wait", *ids, "--timeout", "0")
    assert done.code == code
    assert [line.split()[:2] for line in done.out.splitlines()] == [
        list(pair) for pair in zip(ids, states, strict=True)
    ]


def test_interrupted_wait_says_that_the_job_goes_on(hub, play):
    hub.on("GET", "/v1/jobs/j7/wait", play(drop=True))
    hub.hold("GET", "/v1/jobs/j7/wait")
    command = [sys.executable, "-c", FENGLIN, "job", "wait", "j7", "--hub", hub.url]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert hub.reached.wait(10)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=10)
    hub.release.set()
    assert running.returncode == 130
    assert "j7 goes on" in err
    assert "fenglin job cancel j7" in err
    assert "Traceback" not in err


def test_logs_are_exact_bytes(hub, play):
    raw = bytes(range(256))
    begin = play(200, raw[:100], {"Fenglin-Next-Offset": "100", "Fenglin-Complete": "false"})
    end = play(200, raw[100:], {"Fenglin-Next-Offset": "256", "Fenglin-Complete": "true"})
    hub.on("GET", "/v1/jobs/j7/logs", begin, end)
    command = [sys.executable, "-c", FENGLIN, "job", "logs", "j7", "--task", "2"]
    done = subprocess.run([*command, "--hub", hub.url], capture_output=True, check=True)
    assert done.stdout == raw
    assert dict(hub.asked[1].query)["offset"] == "100"
    assert dict(hub.asked[1].query)["task"] == "2"


def test_logs_on_a_terminal_are_harmless(hub, play):
    cloud = "云".encode()
    pieces = [b"\x1b]0;evil\x07" + cloud[:1], cloud[1:] + b"\xff\n\tend\n"]
    done = play(200, b"", {"Fenglin-Next-Offset": "19", "Fenglin-Complete": "true"})
    hub.on("GET", "/v1/jobs/j7/logs", play(pieces=pieces), done)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", FENGLIN, "job", "logs", "j7", "-f", "--hub", hub.url]
    env = {**os.environ, "PYTHONUTF8": "1"}
    running = subprocess.Popen(command, stdout=theirs, env=env)
    os.close(theirs)
    seen = b""
    while not seen.endswith(b"end\r\n"):
        seen += os.read(ours, 1000)
    assert running.wait() == 0
    os.close(ours)
    assert seen.decode() == "\\x1b]0;evil\\x07云\\xff\r\n\tend\r\n"


def artifact(path, size_bytes):
    return {"path": path, "size_bytes": size_bytes, "modified_ms": 1_000}


def test_artifacts_are_listed_and_brought(fenglin, hub, play, tmp_path):
    found = [artifact("0/左眼.png", 5), artifact("log.txt", 2)]
    hub.on("GET", "/v1/jobs/j7/artifacts", {"items": found})
    hub.on("GET", "/v1/jobs/j7/artifacts/0/%E5%B7%A6%E7%9C%BC.png", play(pieces=[b"ab", b"cde"]))
    hub.on("GET", "/v1/jobs/j7/artifacts/log.txt", play(200, b"hi"))
    done = fenglin("job", "artifacts", "j7", "--download", tmp_path / "new")
    assert done.code == 0
    assert done.out.splitlines()[1].split()[::2] == ["5B", "0/左眼.png"]
    assert (tmp_path / "new/0/左眼.png").read_bytes() == b"abcde"
    assert (tmp_path / "new/log.txt").read_bytes() == b"hi"
    assert len(list((tmp_path / "new").rglob("*"))) == 3


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "a/../../evil", "", "a//b", "./x", "link/evil"]
)
def test_artifacts_never_leave_the_folder(fenglin, hub, play, tmp_path, path):
    folder = tmp_path / "into"
    (tmp_path / "outside").mkdir()
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "outside")
    hub.on("GET", "/v1/jobs/j7/artifacts", {"items": [artifact("good", 2), artifact(path, 2)]})
    hub.on("GET", "/v1/jobs/j7/artifacts/good", play(200, b"hi"))
    done = fenglin("job", "artifacts", "j7", "--download", folder)
    assert done.code == 2
    assert "leads out of the folder" in done.err
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["into", "link", "outside"]


def test_artifact_that_breaks_off_leaves_nothing(fenglin, hub, play, tmp_path):
    hub.on("GET", "/v1/jobs/j7/artifacts", {"items": [artifact("a.png", 5)]})
    hub.on("GET", "/v1/jobs/j7/artifacts/a.png", play(pieces=[b"ab"], breaks=True))
    assert fenglin("job", "artifacts", "j7", "--download", tmp_path / "new").code == 6
    assert list((tmp_path / "new").iterdir()) == []


def test_artifact_of_another_size_is_no_artifact(fenglin, hub, play, tmp_path):
    hub.on("GET", "/v1/jobs/j7/artifacts", {"items": [artifact("a.png", 5)]})
    hub.on("GET", "/v1/jobs/j7/artifacts/a.png", play(200, b"ab"))
    assert fenglin("job", "artifacts", "j7", "--download", tmp_path / "new").code == 7
    assert list((tmp_path / "new").iterdir()) == []
