"""`fenglin submit`: checked first, uploaded once, ids as they are stored."""

import hashlib
import io
import json
import sys

import pytest

JOB = "name: {name}\ncommand: [echo, hi]\n"


@pytest.fixture
def write(tmp_path):
    """Write a file beside the job files."""

    def put(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return put


def stored(job_id, state="pending"):
    return {"id": job_id, "state": state, "repeated": False}


def test_id_is_printed_and_the_document_sent(fenglin, hub, write):
    hub.on("POST", "/v1/jobs", stored("j7"))
    done = fenglin("submit", write("a.yaml", "name: a\ntasks: 3\ncommand: [echo, hi]\n"))
    assert (done.code, done.out, done.err) == (0, "j7\n", "")
    assert json.loads(hub.asked[0].body) == {"name": "a", "tasks": 3, "command": ["echo", "hi"]}


def test_one_job_as_data_is_an_object(fenglin, hub, write):
    hub.on("POST", "/v1/jobs", stored("j7"))
    done = fenglin("submit", write("a.yaml", JOB.format(name="a")), "-o", "json")
    assert json.loads(done.out) == {"id": "j7", "state": "pending", "repeated": False}


def test_later_documents_refer_to_earlier_ones_by_name(fenglin, hub, write):
    hub.on("POST", "/v1/jobs", stored("j7"), stored("j8"), stored("j9"))
    both = JOB.format(name="a") + "---\n" + JOB.format(name="b") + "after: [a]\n"
    done = fenglin("submit", write("a.yaml", both), write("c.yaml", JOB.format(name="c")))
    assert done.out == "j7\nj8\nj9\n"
    assert "j7" in json.dumps(json.loads(hub.asked[1].body)["after"])
    found = fenglin("submit", write("a.yaml", both), "-o", "json").out
    assert [one["id"] for one in json.loads(found)["items"]] == ["j9", "j9"]


def test_standard_input(fenglin, hub, monkeypatch):
    hub.on("POST", "/v1/jobs", stored("j7"))
    text = io.TextIOWrapper(io.BytesIO(b'{"name": "a", "command": ["x"]}'))
    monkeypatch.setattr(sys, "stdin", text)
    assert fenglin("submit", "-").out == "j7\n"


def test_every_problem_of_every_file_is_shown_and_nothing_submitted(fenglin, hub, write):
    good = write("good.yaml", JOB.format(name="a"))
    bad = write("bad.yaml", "name: b\ncommand: [x]\nresources: {memry: 3GiB}\ntasks: -1\n")
    done = fenglin("submit", good, bad)
    assert done.code == 2
    assert (
        f"{bad}:3:13: resources.memry: unknown field 'memry' (did you mean 'memory'?)" in done.err
    )
    assert f"{bad}:4:8: tasks: " in done.err
    assert done.out == ""
    assert hub.asked == []


def test_many_problems_fit_one_screen(fenglin, write):
    fields = "".join(f"bogus{number}: 1\n" for number in range(90))
    done = fenglin("submit", write("bad.yaml", JOB.format(name="b") + fields))
    lines = done.err.splitlines()
    assert len(lines) <= 24
    assert "… and 70 more" in lines


def test_missing_file_is_found_before_anything_is_sent(fenglin, hub, write):
    files = JOB.format(name="a") + "---\n" + JOB.format(name="b") + "files: [gone.bin]\n"
    path = write("a.yaml", files)
    done = fenglin("submit", path)
    assert done.code == 2
    assert f"{path}:6:9: files[0]: " in done.err
    assert "gone.bin" in done.err
    assert hub.asked == []


def test_files_are_uploaded_once_by_content_beside_the_job_file(fenglin, hub, write, monkeypatch):
    monkeypatch.chdir("/")
    one, two = write("one.bin", "karst"), write("two.sh", "echo hi")
    two.chmod(0o755)
    known, fresh = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (one, two))
    hub.on("POST", "/v1/blobs:missing", {"sha256": [fresh]})
    hub.on("PUT", f"/v1/blobs/{fresh}", {"sha256": fresh, "size_bytes": 7})
    hub.on("POST", "/v1/jobs", stored("j7"))
    path = write("a.yaml", JOB.format(name="a") + "files: [one.bin, two.sh]\n")
    assert fenglin("submit", path).code == 0
    assert [(one.method, one.body) for one in hub.asked if one.method == "PUT"] == [
        ("PUT", b"echo hi")
    ]
    assert json.loads(hub.asked[-1].body)["files"] == [
        {"target": "one.bin", "sha256": known, "size": 5},
        {"target": "two.sh", "sha256": fresh, "size": 7, "executable": True},
    ]


@pytest.mark.parametrize("image", ["debian:12", "none"])
def test_an_image_on_the_command_line_wins(fenglin, hub, write, image):
    hub.on("POST", "/v1/jobs", stored("j7"))
    path = write("a.yaml", JOB.format(name="a") + "image: alpine\n")
    assert fenglin("submit", path, "--image", image).code == 0
    sent = json.loads(hub.asked[-1].body)
    assert sent.get("image") == (None if image == "none" else image)


def test_a_wrong_image_on_the_command_line_is_told(fenglin, hub, write):
    done = fenglin("submit", write("a.yaml", JOB.format(name="a")), "--image=-v /:/x")
    assert done.code == 2
    assert "'-v /:/x' is not the name of a container image" in done.err
    assert hub.asked == []


def test_a_folder_that_is_not_there_is_told(fenglin, hub, write):
    done = fenglin("submit", write("a.yaml", JOB.format(name="a")), "--workdir", "nowhere")
    assert (done.code, hub.asked) == (2, [])
    assert "there is no folder 'nowhere'" in done.err


@pytest.mark.parametrize("form", ["table", "json"])
def test_when_a_later_job_is_refused_the_earlier_are_named(fenglin, hub, write, play, form):
    refusal = play(409, {"code": "conflict", "what": "no such queue"})
    hub.on("POST", "/v1/jobs", stored("j7"), refusal)
    both = JOB.format(name="a") + "---\n" + JOB.format(name="b")
    done = fenglin("submit", write("a.yaml", both), "-o", form)
    assert done.code == 5
    assert "already submitted before the error: j7" in done.err
    assert "no such queue" in done.err
    assert "j7" in done.out


def test_problems_that_only_the_hub_sees_carry_the_file_name(fenglin, hub, write, play):
    problem = {"path": "queue", "what": "no queue of this name"}
    refusal = play(400, {"code": "bad_document", "what": "1 problem", "problems": [problem]})
    hub.on("POST", "/v1/jobs", refusal)
    path = write("a.yaml", JOB.format(name="a"))
    done = fenglin("submit", path)
    assert done.code == 2
    assert f"{path}: queue: no queue of this name" in done.err


@pytest.mark.parametrize(
    ("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 8), ("running", 9)]
)
def test_wait_tells_the_end(fenglin, hub, write, job, state, code):
    hub.on("POST", "/v1/jobs", stored("j7"))
    hub.on("GET", "/v1/jobs/j7/wait", job(state=state, reason="why"))
    path = write("a.yaml", JOB.format(name="a"))
    done = fenglin("submit", path, "--wait", "--timeout", "0", "-o", "json")
    assert done.code == code
    assert json.loads(done.out)["state"] == state
    assert f"j7 {state} (why)" in done.err


def test_job_is_named_although_the_waiting_failed(fenglin, hub, write, play):
    hub.on("POST", "/v1/jobs", stored("j7"))
    hub.on("GET", "/v1/jobs/j7/wait", play(500, {"code": "internal", "what": "broken"}))
    done = fenglin("submit", write("a.yaml", JOB.format(name="a")), "--wait", "-o", "json")
    assert done.code == 1
    assert json.loads(done.out)["id"] == "j7"


def test_timeout_without_wait_is_refused(fenglin, hub, write):
    done = fenglin("submit", write("a.yaml", JOB.format(name="a")), "--timeout", "9s")
    assert done.code == 2
    assert hub.asked == []


def test_dry_run_shows_the_priced_plan_and_submits_nothing(fenglin, hub, write):
    write("one.bin", "karst")
    receipt = {
        "job": 0, "index": 4, "policy": "default", "started": 2, "waiting": 1,
        "reason": "cpu_busy", "start_ms": 1_000, "finish_ms": 61_000, "change": "a free core",
        "options": [
            {"site": "here", "flavor": "ai", "score": 0.5, "price_micro": 20_000,
             "terms": [{"name": "money", "value": 1.0, "weight": 0.5, "raw": "0.02 CNY"}]},
            {"site": "here", "flavor": "old", "reason": "no_accelerator", "evidence": "needs 1"},
        ],
    }  # fmt: skip
    hub.on("POST", "/v1/plan", {"receipt": receipt, "price_micro": 120_000})
    both = JOB.format(name="a") + "---\n" + JOB.format(name="b") + "after: [a]\nfiles: [one.bin]\n"
    path = write("a.yaml", both)
    done = fenglin("submit", path, "--dry-run")
    assert done.code == 0
    for part in (
        "price         0.12 CNY", "starts now    2 tasks", "a free core", "0.500", "money",
        "no_accelerator: needs 1", "0.02 CNY",
    ):  # fmt: skip
        assert part in done.out
    assert {one.path for one in hub.asked} == {"/v1/plan"}
    assert json.loads(hub.asked[1].body)["after"] == []
    plans = json.loads(fenglin("submit", path, "--dry-run", "-o", "json").out)
    assert [one["price_micro"] for one in plans["items"]] == [120_000, 120_000]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("broken.yaml", "name: [", "broken.yaml:"),
        ("empty.yaml", "", "the file holds no job"),
        ("huge.yaml", "#" * (2**20 + 5), "huge.yaml"),
    ],
)
def test_unreadable_jobs_are_told_on_one_screen(fenglin, write, name, text, complaint):
    done = fenglin("submit", write(name, text))
    assert done.code == 2
    assert complaint in done.err
    assert len(done.err.splitlines()) < 10


def test_missing_job_file(fenglin, tmp_path):
    done = fenglin("submit", tmp_path / "gone.yaml")
    assert done.code == 2
    assert "No such file" in done.err
