"""What runs on a node, run here: without Ray, by a Python without any packages, as there."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from fenglin.drivers.ray.packages import code_package, with_inputs
from fenglin.drivers.ray.spool import Attempt
from fenglin.model.allocation import Share
from fenglin.model.reason import Reason
from fenglin.ports.driver import StartOrder
from fenglin.quantities.resources import Resources
from fenglin.runner.orders import order_lines
from fenglin.runner.records import Cursor, read_page

PYTHON = os.path.realpath(sys.executable)


class Node:
    """A node of a cluster that has unpacked our package."""

    def __init__(self, tmp_path):
        self.folder = tmp_path / "package"
        self.scratch = tmp_path / "scratch"
        self.scratch.mkdir()
        (tmp_path / "spool").mkdir()
        self.attempt = Attempt(tmp_path / "spool" / "h-a1-1", str(tmp_path / "artifacts"))
        self.artifacts = tmp_path / "artifacts"

    def start(self, **fields):
        plain = {
            "key": "h-a1-1", "epoch": 1, "hub": "h", "job": "j1", "job_name": "", "site": "rays",
            "flavor": "cpu", "tasks": "0", "task_count": 9, "tries": (),
            "shares": (Share("cpu-0", 2),), "nodes": 1, "resources": Resources(1_000, 2**28),
            "command": (), "script": "", "env": (), "workdir": "", "inputs": (), "artifacts": (),
            "artifacts_dir": "/nowhere", "timeout_ms": 0, "grace_ms": 2_000,
        }  # fmt: skip
        order = StartOrder(**{**plain, **fields})
        lines = [
            *order_lines(order, 10**6, 0), ("scratch", str(self.scratch)),
            ("artifact_cap", "1000"), ("cards_variable", "CUDA_VISIBLE_DEVICES"),
            ("ray_cpus", "1"),
        ]  # fmt: skip
        package = code_package(with_inputs(lines, None))
        zipfile.ZipFile(io.BytesIO(package.data)).extractall(self.folder)
        return subprocess.Popen(
            [PYTHON, "-I", "-S", "-E", "place.py"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "4,7", "SECRET": "canary"},
        )

    def finish(self, process):
        out, _ = process.communicate(timeout=60)
        self.attempt.take(out)
        return read_page(self.attempt.page(0, 10**6), Cursor())

    def said(self, task):
        return (self.attempt.folder / f"{task}.log").read_text()


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
