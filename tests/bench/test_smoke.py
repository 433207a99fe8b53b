"""The benchmark measures what it says, at tiny sizes and without peers. Times are not judged."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OURS = {
    "tasks": {"Fenglin, durable, a process per task"},
    "latency": {"submit → process says the time, p50", "submit → acknowledged, p95"},
    "submits": {"single submits, 32 clients", "batches of 1,000 jobs"},
    "reads": {"list of 20 jobs", "one job"},
    "commands": {"fenglin --help", "fenglin job list"},
    "capacity": {"planning pass, p95", "kill -9 → /readyz", "memory of an idle hub (PSS)"},
    "offers": {
        "cheapest A100:8",
        "cheapest of 12 alternatives",
        "chain of 20 tasks with egress",
        "read the lists",
        "build the index",
    },
    "simulate": {"Fenglin, EASY", "Fenglin, EASY with a node map"},
    "openb": {"Fenglin, fgd", "Fenglin, packed", "GPUs left, Fenglin, packed"},
    "sia": {"Fenglin, made-up", "Fenglin without memory, made-up, makespan"},
    "placements": {"2 arrays of 100 tasks, 20 nodes", "6 jobs, 2 nodes", "6 jobs, 10 nodes"},
    "slurm": {"Fenglin, 6 jobs, 2 nodes", "Fenglin, 6 jobs, 10 nodes"},
    "pool": {"a plan at every event", "a plan every 10 s of the trace"},
    "fairness": {"Fenglin, order and turns", "of these, the order"},
    "ssh": {"onto one SSH host"},
    "hanging": {
        "cycle, p99, all well",
        "cycle, CPU time, p50, 3 silent",
        "submit → start, p50, 3 stuck",
    },
}


def bench(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "bench" / "run.py", *words],
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.xdist_group("bench")
@pytest.mark.parametrize("row", OURS)
def test_row_has_our_figures(tmp_path, row):
    out = tmp_path / "results.json"
    done = bench("--tiny", "--only", row, "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(out.read_bytes())
    (measured,) = report["rows"]
    assert measured["failed"] == {}
    figures = {figure["name"]: figure["values"] for figure in measured["figures"]}
    assert figures.keys() >= OURS[row]
    assert all(value > 0 for values in figures.values() for value in values)
    assert len(report["yardstick_ms"]) == 2


@pytest.mark.xdist_group("bench")
def test_a_hub_under_load(tmp_path):
    """Nothing is left behind, and what clients and the hub see is told; goals are not judged."""
    out = tmp_path / "results.json"
    done = bench("--tiny", "--only", "pg", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    (measured,) = json.loads(out.read_bytes())["rows"]
    figures = {figure["name"]: figure["values"][0] for figure in measured["figures"]}
    told = ("submit, p99", "read, p99", "event loop late, p99", "processor of the hub")
    assert all(figures[name] > 0 for name in told)
    assert figures["zombies"] == 0


@pytest.mark.xdist_group("bench")
def test_load_without_wrk(tmp_path):
    """A machine without wrk is measured with our own generator, and the report says so."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("true", "date", "sh"):
        (tools / name).symlink_to(shutil.which(name))
    out = tmp_path / "results.json"
    done = bench("--tiny", "--only", "reads", "--out", str(out), path=str(tools))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = json.loads(out.read_bytes())["rows"]
    assert "loadgen.py" in " ".join(row["notes"])
    assert {figure["name"] for figure in row["figures"]} == OURS["reads"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "speed"], "no row 'speed'"),
        (["--only", "a", "--out", "results.txt"], "must end in .md or .json"),
        (["--quick", "--tiny"], "not allowed"),
    ],
)
def test_wrong_words_are_refused(words, said):
    done = bench(*words)
    assert done.returncode == 2
    assert said in done.stderr
