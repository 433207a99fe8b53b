"""What runs on a node, run here: without Ray, by a Python without any packages, as there."""

import os
import signal
import time

import pytest
from tests.unit.drivers_ray.nodes import Node

from fenglin.model.reason import Reason


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def heard(process, text):
    """Read what a place tells until a text is in it."""
    data = b""
    while text not in data:
        data += os.read(process.stdout.fileno(), 2**16)
    return data


def test_a_place_runs_everything_and_leaves_nothing(node):
    script = "echo task $FENGLIN_TASK_INDEX $SECRET; echo $FENGLIN_TASK_INDEX > a.txt"
    told = node.finish(node.start(tasks="0-4,7", script=script, artifacts=("*.txt",)))
    assert sorted(end.index for end in told.ends) == [0, 1, 2, 3, 4, 7]
    assert {end.reason for end in told.ends} == {None}
    assert (told.done, told.reason) == (True, None)
    assert node.said(7) == "task 7\n"
    assert (node.artifacts / "7" / "a.txt").read_text() == "7\n"
    assert list(node.scratch.iterdir()) == []


def test_slots_share_the_cards_that_ray_gave(node):
    script = "echo $CUDA_VISIBLE_DEVICES; sleep 0.3"
    node.finish(node.start(tasks="0-1", script=script))
    assert {node.said(0), node.said(1)} == {"4\n", "7\n"}


def test_artifacts_beyond_the_cap_fail_their_task(node):
    script = "head -c 1001 /dev/zero > a"
    (end,) = node.finish(node.start(script=script, artifacts=("a",))).ends
    assert (end.exit_code, end.reason) == (1, Reason.STAGING_FAILED)
    assert "1001 bytes, at most 1000" in node.said(0)
    assert not (node.artifacts / "0").exists()


def test_rays_stop_reaches_a_task_politely(node):
    script = (
        "exec 2>/dev/null; trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    process = node.start(script=script)
    begun = heard(process, b" O 0 0 ")
    process.send_signal(signal.SIGTERM)
    node.attempt.take(begun)
    told = node.finish(process)
    assert [end.reason for end in told.ends] == [Reason.CANCELLED]
    assert told.reason is Reason.CANCELLED
    assert node.said(0) == "ready\nsaved\n"


def test_nothing_outlives_a_place_that_is_killed(node, tmp_path):
    beat = tmp_path / "beat"
    script = f"trap '' TERM; while :; do date >> {beat}; sleep 0.02; done"
    process = node.start(script=script)
    while not beat.exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    end_s = time.monotonic() + 20
    size = -1
    while size != beat.stat().st_size:
        assert time.monotonic() < end_s, "it still runs"
        size = beat.stat().st_size
        time.sleep(0.5)


def test_a_runner_that_is_killed_is_told(node):
    process = node.start(script="echo $PPID; sleep 100")
    begun = heard(process, b" O 0 0 ")
    node.attempt.take(begun)
    os.kill(int(node.said(0)), signal.SIGKILL)
    told = node.finish(process)
    assert [(end.index, end.reason) for end in told.ends] == [(0, Reason.RUNNER_LOST)]
    assert told.reason is Reason.RUNNER_LOST
    assert list(node.scratch.iterdir()) == []
