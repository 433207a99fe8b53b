"""`fenglin simulate workload` and `fenglin job export`, as their users meet them."""

import json

import pytest

from fenglin.cli import main
from fenglin.simulator.readers.registry import read
from fenglin.simulator.synthetic.registry import generate

LOG = """\
1 0 0 60 4 -1 -1 4 90 -1 1 7 1 1 1 1 -1 -1
2 10 0 60 4
3 5 0 9 1 -1 -1 1 9 -1 1 7 1 1 1 1 -1 -1
"""


@pytest.fixture
def workload(capfd):
    """Run the command; return its exit code, output and errors."""

    def run(*words):
        code = main(["simulate", "workload", *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_a_trace(workload, put):
    code, out, err = workload(put("log.swf", LOG), "--set", "procs_per_node=2", "-o", "json")
    told = json.loads(out)
    assert code == 0
    assert (told["source"], told["jobs"], told["skipped"]) == ("log.swf", 2, 1)
    assert told["nodes"]["max"] == 2
    assert told["problems"] == [
        {"what": "fewer than 18 fields", "done": "skipped", "count": 1, "lines": [2]}
    ]
    assert err == "warning: log.swf: fewer than 18 fields, 1 × (lines 2): skipped\n"
    code, out, _ = workload(put("log.swf", LOG), "--jobs", 1)
    assert code == 0
    assert "jobs              1\n" in out


def test_strict(workload, put):
    code, out, err = workload(put("log.swf", LOG), "--strict")
    assert (code, out) == (2, "")
    assert "1 faults found: log.swf: fewer than 18 fields, 1 × (lines 2)" in err


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_is_written_reads_back(workload, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("polars", reason="Parquet needs the extra `simulate`")
    out = tmp_path / f"jobs.{form}"
    words = ("synthetic:mixed", "--jobs", 300, "--seed", 3, "--out", out, "-o", "json")
    code, told, _ = workload(*words)
    assert code == 0
    jobs = list(generate("mixed", jobs=300, seed=3).jobs())
    assert list(read(out).jobs()) == jobs
    # The same figures from the file; only the source's name differs.
    first, second = json.loads(told), json.loads(workload(out, "-o", "json")[1])
    assert {**first, "source": ""} == {**second, "source": ""}


def test_a_generator_takes_options(workload):
    code, out, _ = workload(
        "synthetic:vr", "--jobs", 500, "--load", 0.5, "--set", "priority=9", "--set",
        "capacity=10", "-o", "json",
    )  # fmt: skip
    told = json.loads(out)
    assert code == 0
    assert told["busy_cards"] == pytest.approx(5, rel=0.01)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["synthetic:none"], "known are hpc, render"),
        (["synthetic:hpc", "--kind", "swf"], "a generator has no such option"),
        (["nowhere.swf"], "no such file"),
        (["synthetic:hpc", "--set", "classes"], "not of the form NAME=VALUE"),
        (["synthetic:hpc", "--set", "jobs=3"], "has an option of its own"),
        (["synthetic:hpc", "--set", "clases=any"], "hpc has no option 'clases'"),
        (["synthetic:hpc", "--set", "users=many"], "needed is a whole number"),
        (["synthetic:hpc", "--set", "memory_gib=nan"], "needed is a number"),
        (["synthetic:mixed", "--set", "apart=maybe"], "needed is true or false"),
        (["synthetic:hpc", "--out", "jobs.csv"], "ends in none of .jsonl, .parquet"),
    ],
)
def test_mistakes_are_told(workload, words, said):
    code, out, err = workload(*words)
    assert code in {2, 3}
    assert out == ""
    assert said in err


def test_a_load_is_for_generators(workload, put):
    code, _, err = workload(put("log.swf", LOG), "--load", 0.5)
    assert code == 2
    assert "a trace has no such option" in err


def test_what_columns_cannot_tell_is_refused_and_nothing_is_written(workload, put, tmp_path):
    pytest.importorskip("polars", reason="Parquet needs the extra `simulate`")
    line = (
        '{"schema":"fenglin-workload/1","id":"1","submitted_ms":0,"runtime_ms":1,'
        '"shape":{"resources":{"cpu_milli":1},"licences":[["x",1]]}}\n'
    )
    out = tmp_path / "jobs.parquet"
    code, _, err = workload(put("w.jsonl", line), "--out", out)
    assert code == 2
    assert "write .jsonl instead" in err
    assert not out.exists()


SPEC = {"name": "sky", "command": ["true"], "resources": {"cpu": 2, "memory": "1GiB"}}
SITE = {
    "name": "here", "provider": "p", "driver": "local", "placement": "nodes", "state": "active",
    "state_reason": "", "nodes": 1, "nodes_up": 1, "cpu_milli": 1, "cpu_used_milli": 0,
    "memory_bytes": 1, "memory_used_bytes": 0, "accelerator_milli": 0,
    "accelerator_used_milli": 0, "running_tasks": 0, "seen_ms": 0,
}  # fmt: skip
FLAVOR = {
    "name": "general", "compute_class": "general", "nodes": 1, "cpu_milli": 1, "memory_bytes": 1,
    "disk_bytes": 0, "accelerator_milli": 0, "accelerator": "", "speed_milli": 500,
    "core_hour_micro": 0, "memory_gib_hour_micro": 0, "card_hour_micro": 0,
}  # fmt: skip


def job_view(name, **more):
    allocation = {
        "id": "a1", "site": "here", "flavor": "general", "tasks": "0", "slots": 1, "nodes": ["n"],
        "state": "ended", "attempt": 1, "started_ms": 10_000, "ended_ms": 16_000, "succeeded": 1,
        "failed": 0, "expected_finish_ms": 0, "held_micro": 0, "cost_micro": 0, "wall_ms": 6_000,
    }  # fmt: skip
    return {
        "id": name, "name": "sky", "queue": "default", "account": "default", "priority": 0,
        "state": "succeeded", "reason": "", "detail": "", "task_count": 1, "tasks": {},
        "submitted_ms": 5_000, "started_ms": 10_000, "ended_ms": 16_000, "expected_finish_ms": 0,
        "held_micro": 0, "cost_micro": 0, "allocations": [allocation], "spec": SPEC, **more,
    }  # fmt: skip


@pytest.fixture
def export(hub, capfd, monkeypatch, tmp_path):
    """Run `fenglin job export` against the scripted hub."""
    monkeypatch.setenv("FENGLIN_HUB", hub.url)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FENGLIN_TOKEN", "FENGLIN_TOKEN_FILE", "FENGLIN_CONFIG", "FENGLIN_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code = main(["job", "export", *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_export_writes_all_pages_and_names_what_it_cannot(export, hub, tmp_path):
    first, second = job_view("j1"), job_view("j2", spec={"nonsense": 1})
    third = job_view("j3", submitted_ms=8_000)
    hub.on("GET", "/v1/sites", {"items": [SITE], "next": ""})
    hub.on("GET", "/v1/sites/here", {**SITE, "flavors": [FLAVOR]})
    hub.on(
        "GET", "/v1/jobs", {"items": [first, second], "next": "c"}, {"items": [third], "next": ""}
    )
    for one in (first, second, third):
        hub.on("GET", f"/v1/jobs/{one['id']}", one)
    out = tmp_path / "past.jsonl"
    code, said, err = export("--out", out, "--queue", "default")
    assert code == 0
    assert said == f"2 jobs written to {out}\n"
    assert err.startswith("warning: j2 is left out: ")
    asked = [one.query for one in hub.asked if one.path == "/v1/jobs"]
    states = [("state", "succeeded"), ("state", "failed"), ("state", "cancelled")]
    assert asked[0] == [
        *states, ("queue", "default"), ("sort", "submitted_ms"), ("limit", "1000"),
    ]  # fmt: skip
    assert asked[1][-1] == ("cursor", "c")
    jobs = list(read(out).jobs())
    # 6 s on half the speed are 3 s on speed 1.
    assert [(job.submitted_ms, job.runtimes_ms) for job in jobs] == [
        (0, (3_000,)),
        (3_000, (3_000,)),
    ]
    assert jobs[0].shape.resources.values() == (2_000, 2**30, 0, 0)


def test_a_failed_export_leaves_no_file(export, hub, tmp_path):
    hub.on("GET", "/v1/sites", {"items": [], "next": ""})
    hub.on("GET", "/v1/jobs", {"items": [job_view("j1")], "next": ""})
    out = tmp_path / "past.jsonl"
    code, _, _ = export("--out", out)  # the job itself is gone: 404
    assert code == 3
    assert list(tmp_path.iterdir()) == []
