"""The judge must be able to find somebody guilty."""

import json
import os
import signal
import subprocess
import time

import pytest

from fenglin.intake.hubfile import read_hub_file
from fenglin.intake.native import decode_json
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED
from fenglin.testing import (
    FakeClock,
    HubProcess,
    LocalSite,
    TruthDir,
    a_job,
    a_site,
    a_snapshot,
    hub_file,
    processes,
)
from fenglin.testing.truth import PAYLOAD


@pytest.fixture
def truth(tmp_path):
    return TruthDir(tmp_path / "truth")


def begin(truth, sleep_s=0, task=0):
    """Begin one run of a task in a session of its own."""
    env = {
        "PATH": os.environ["PATH"],
        "TRUTH_DIR": str(truth.folder),
        "TRUTH_SLEEP_S": str(sleep_s),
        "FENGLIN_JOB_ID": "j1",
        "FENGLIN_TASK_INDEX": str(task),
    }
    return subprocess.Popen(["/bin/sh", "-c", PAYLOAD], env=env, start_new_session=True)


def has_begun(truth, many=1):
    end_s = time.monotonic() + 10
    while sum(run.began_s > 0 for run in truth.runs()) < many:
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_run_testifies(truth):
    process = begin(truth)

    assert process.wait(10) == 0

    [run] = truth.runs()
    assert (run.job, run.task, run.number, run.pid) == ("j1", 0, 1, process.pid)
    assert 0 < run.began_s <= run.ended_s
    assert truth.doubles() == []


def test_two_runs_at_once_are_found(truth):
    first = begin(truth, sleep_s=60)
    has_begun(truth)
    second = begin(truth)

    assert second.wait(10) == 0
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)

    assert truth.doubles() == [f"j1.0.double.{second.pid}"]
    assert [run.number for run in truth.runs()] == [1, 2]


def test_runs_after_one_another_and_of_other_tasks_are_none(truth):
    for task in (0, 0, 1):
        assert begin(truth, task=task).wait(10) == 0

    assert truth.doubles() == []
    assert [(run.task, run.number) for run in truth.runs("j1")] == [(0, 1), (0, 2), (1, 1)]
    assert truth.runs("j2") == []


def test_a_killed_run_has_no_end_and_gives_its_lock_back(truth):
    first = begin(truth, sleep_s=60)
    has_begun(truth)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)

    assert begin(truth).wait(10) == 0

    assert truth.doubles() == []
    assert [run.ended_s > 0 for run in truth.runs()] == [False, True]


def test_the_document_is_a_job(truth):
    document = truth.job("n", sleep_s=0.5, tasks=3, priority=7, script="exit 4")

    spec = decode_json(json.dumps(document).encode(), 0)

    assert (spec.tasks, spec.priority) == (3, 7)
    assert spec.script.endswith("\nexit 4")


def test_processes_of_a_folder_are_found_and_no_others(tmp_path):
    for place in (tmp_path / "hub", tmp_path / "hub2"):
        place.mkdir()
    tasks = {
        name: subprocess.Popen(
            ["sleep", "60"], env={"FENGLIN_ARTIFACTS_DIR": f"{tmp_path}/{name}/data/artifacts"}
        )
        for name in ("hub", "hub2")
    }
    try:
        assert processes.below(tmp_path / "hub") == [tasks["hub"].pid]
        processes.kill(tmp_path / "hub")
        assert tasks["hub"].wait(10) == -signal.SIGKILL
        assert tasks["hub2"].poll() is None
    finally:
        for task in tasks.values():
            task.kill()
            task.wait(10)


@pytest.mark.slow
def test_a_hub_that_cannot_start_says_why(tmp_path):
    with HubProcess(tmp_path, "[hub]\n") as hub, pytest.raises(RuntimeError, match="no site"):
        hub.start()


def test_hub_file_is_a_configuration():
    text = hub_file([LocalSite("a", cpu=2, nodes=3)], accounts={"x": "5 CNY"}, queues={"q": 2})

    config = read_hub_file(text, "test")

    assert [len(site.nodes) for site in config.sites] == [3]
    assert config.credits_micro == {"x": 5_000_000}
    assert [(queue.name, queue.weight) for queue in config.queues] == [("q", 2_000)]


def test_snapshot_can_be_planned():
    snapshot = a_snapshot([a_site("a", cpu=2), a_site("b", cpu=1)], [a_job(tasks=3)])

    made = plan(snapshot, BALANCED)

    assert {start.site: sum(s.slots for s in start.shares) for start in made.starts} == {
        "a": 2,
        "b": 1,
    }


def test_clock_stands_still_until_it_is_moved():
    clock = FakeClock(date_ms=1_000)
    clock.advance(500)

    assert (clock.now_ms(), clock.monotonic_ms()) == (1_500, 500)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
