"""Merging the journals of a Slurm attempt's elements, without a cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from fenglin.drivers.slurm import element as element_file
from fenglin.drivers.slurm.attempt import Attempt
from fenglin.drivers.slurm.layout import Layout
from fenglin.drivers.slurm.parse import Ended
from fenglin.drivers.slurm.shared import deliver
from fenglin.model.reason import Reason
from fenglin.runner.host import claim
from fenglin.runner.host.journal import JOURNAL
from fenglin.runner.host.order import encode
from fenglin.runner.records import Cursor, read_page

SETTLED = -1.0
FAILED = Ended("NODE_FAIL", ran=True)


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "attempts" / "h1-a1-1"
    folder.mkdir(parents=True)
    return folder


def attempt(path, layout=None):
    return Attempt(path, 7, layout or Layout("0-2"), path.parent.parent / "kept")


def write(path, number, *lines, end="\n"):
    folder = path / f"e{number}"
    folder.mkdir(exist_ok=True)
    with (folder / JOURNAL).open("a") as file:
        file.write("\n".join(lines) + end)


def started(task, at_ms=1_000):
    return f"S {task} 99 {at_ms} ."


def ended(task, code=0, reason="-"):
    return f"E {task} 1000 5 {code} {reason} 3 4096 ."


def page(path, cursor=""):
    data = (path / JOURNAL).read_bytes()
    place = Cursor.parse(cursor)
    return read_page(data[place.offset :], place)


def test_each_end_is_told_once_in_one_order(path):
    watched = attempt(path)
    write(path, 2, started(2), ended(2), "D - 1 .")
    watched.merge({0, 1, 2})
    first = page(path)
    write(path, 0, started(0), ended(0, 3, "exit_code"), "D - 1 .")
    watched.merge({1})
    again = attempt(path)
    again.merge({1})

    assert [end.index for end in first.ends] == [2]
    assert [(end.index, end.exit_code) for end in page(path, str(first.cursor)).ends] == [(0, 3)]
    assert [end.index for end in page(path).ends] == [2, 0]
    assert not page(path).done


def test_the_last_element_closes_the_attempt(path):
    watched = attempt(path)
    for task in range(3):
        write(path, task, started(task), ended(task), "D - 1 .")
    watched.merge(set())
    assert watched.done
    assert (page(path).done, page(path).reason) == (True, None)
    assert attempt(path).done


def test_what_a_crash_has_torn_is_no_event(path):
    watched = attempt(path)
    write(path, 0, started(0), "E 0 1000 5 0 - 3", end="")
    watched.merge({0, 1, 2})
    assert page(path).ends == ()
    write(path, 0, " 4096 .")
    watched.merge({0, 1, 2})
    assert [end.index for end in page(path).ends] == [0]

    with (path / JOURNAL).open("a") as file:
        file.write("E 1 1000")
    again = attempt(path)
    write(path, 1, started(1), ended(1, 4, "exit_code"))
    again.merge({0, 1, 2})
    assert [(end.index, end.exit_code) for end in page(path).ends] == [(0, 0), (1, 4)]


def test_an_element_speaks_for_its_own_tasks_only(path):
    watched = attempt(path)
    write(path, 0, started(1), ended(1), ended(99), "X 0 .", started(0), ended(0), "D - 1 .")
    watched.merge({1, 2})
    assert [end.index for end in page(path).ends] == [0]


def test_what_slurm_lists_is_never_missing(path):
    watched = attempt(path)
    watched.merge({0, 1, 2})
    assert not watched.missing
    watched.merge(None)
    assert not watched.missing
    watched.merge({0, 1})
    assert list(watched.missing) == [2]
    watched.close({2: Ended("COMPLETING", ran=True)}, None, SETTLED)
    assert not watched.missing


def test_a_lost_element_ends_what_it_had_started(path):
    watched = attempt(path)
    write(path, 0, started(0), ended(0), "D - 1 .")
    write(path, 1, started(1))
    watched.merge(set())
    watched.close({1: FAILED, 2: FAILED}, None, 60.0)
    assert not watched.done
    watched.close({1: FAILED, 2: FAILED}, None, SETTLED)

    seen = page(path)
    assert watched.done
    assert [(end.index, end.reason) for end in seen.ends] == [(0, None), (1, Reason.RUNNER_LOST)]
    assert seen.ends[1].exit_code == 137
    assert seen.reason is Reason.RUNNER_LOST


@pytest.mark.parametrize("known", [True, False])
def test_what_never_had_a_node_needs_no_patience(path, known):
    watched = attempt(path)
    never = Ended("CANCELLED", ran=False)
    watched.merge(set())
    watched.close(dict.fromkeys(range(3), never) if known else {}, None if known else never, 60.0)
    assert watched.done
    assert page(path).reason is Reason.START_FAILED


def test_a_stop_is_ours_or_the_sites(path):
    watched = attempt(path)
    write(path, 0, started(0), ended(0, 143, "cancelled"), "D cancelled 1 .")
    watched.merge({1, 2})
    assert page(path).ends[0].reason is Reason.RUNNER_LOST

    (path / "stop").write_text("0")
    write(path, 1, started(1), ended(1, 143, "cancelled"), "D cancelled 1 .")
    watched.merge(set())
    watched.close({}, Ended("CANCELLED", ran=False), 60.0)
    assert page(path).ends[1].reason is Reason.CANCELLED
    assert page(path).reason is Reason.CANCELLED


def test_artifacts_are_home_before_the_end_is_told(path):
    (path / "out" / "0").mkdir(parents=True)
    (path / "out" / "0" / "a.txt").write_text("new")
    target = path.parent.parent / "kept" / "0"
    target.mkdir(parents=True)
    (target / "old.txt").write_text("old")
    watched = attempt(path)
    write(path, 0, started(0), ended(0))
    watched.merge({0, 1, 2})
    assert [entry.name for entry in target.iterdir()] == ["a.txt"]
    deliver(path / "out" / "0", target)
    assert (target / "a.txt").read_text() == "new"


def test_an_end_waits_for_its_artifacts(path):
    (path / "out" / "0").mkdir(parents=True)
    (path.parent.parent / "kept").write_text("in the way")
    watched = attempt(path)
    write(path, 0, started(0), ended(0))
    with pytest.raises(OSError, match="kept"):
        watched.merge({0, 1, 2})
    assert page(path).ends == ()
    (path.parent.parent / "kept").unlink()
    watched.merge({0, 1, 2})
    assert [end.index for end in page(path).ends] == [0]


@pytest.fixture
def node(path, tmp_path):
    """Return a function that runs an element as a node does, and returns what tasks wrote."""
    host = tmp_path / "code" / "host"
    host.parent.mkdir()
    host.symlink_to(Path(claim.__file__).parent)
    entry = tmp_path / "code" / "element.py"
    entry.write_bytes(Path(element_file.__file__).read_bytes())
    script = f"echo $FENGLIN_TASK_INDEX >> {tmp_path}/ran"
    plain = {
        "epoch": "1", "key": "h1-a1-1", "job": "j1", "site": "hpc", "flavor": "cpu",
        "tasks": "0-9", "task_count": "10", "nodes": "1", "nice": "0", "cpus": "1",
        "memory_bytes": "0", "disk_bytes": "0", "script": script,
        "workdir": "", "artifacts_dir": str(tmp_path / "out"), "timeout_ms": "0", "grace_ms": "0",
        "log_cap_bytes": "1000",
    }  # fmt: skip

    def run(job, number, chunk=0):
        (path / "order").write_bytes(encode([*plain.items(), ("chunk", str(chunk))]))
        env = {"SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(number), "PATH": "/bin"}
        code = f"import sys; sys.path.insert(0, {str(entry.parent)!r}); import element; "
        command = [sys.executable, "-ISE", "-c", f"{code}element.begin({str(path)!r})"]
        subprocess.run(command, env=env, check=True, timeout=30)
        ran = tmp_path / "ran"
        return [int(line) for line in ran.read_text().split()] if ran.exists() else []

    return run


def test_an_element_runs_once_and_of_one_array_only(node, path):
    assert node(7, 3) == [3]
    assert claim.read(str(path)).pid == 7
    assert node(7, 3) == [3]
    assert node(8, 4) == [3]
    assert node(7, 4) == [3, 4]


def test_an_element_runs_its_neighbours(node):
    assert node(7, 1, chunk=4) == [4, 5, 6, 7]
    assert node(7, 2, chunk=4) == [4, 5, 6, 7, 8, 9]


def test_what_was_stopped_before_runs_nothing(node, path):
    (path / "stop").write_text("0")
    assert node(7, 3) == []


def unwanted(path, *tasks):
    (path / "unwanted").write_text("".join(f"{task} 1000\n" for task in tasks))


def test_unwanted_elements_that_left_the_queue_are_no_loss(path):
    watched = attempt(path, Layout("0-5", 2))
    unwanted(path, 0, 1, 2)
    assert watched.waiting([0, 1, 2]) == {0}
    write(path, 2, started(4), ended(4), started(5), ended(5), "D - 1 .")
    watched.merge({1})
    watched.close({0: Ended("CANCELLED", ran=False)}, None, SETTLED)
    assert [(e.index, e.reason) for e in page(path).ends] == [
        (4, None), (5, None), (0, Reason.CANCELLED), (1, Reason.CANCELLED),
    ]  # fmt: skip
    # A hub that comes back finds the ends, and no element that could have told them.
    watched = attempt(path, Layout("0-5", 2))
    watched.merge({1})
    watched.close({0: Ended("CANCELLED", ran=False)}, None, SETTLED)
    assert [end.index for end in page(path).ends] == [4, 5, 0, 1]
    # Of this element one task is wanted still, so its loss is one.
    watched.merge(set())
    watched.close({1: FAILED}, None, SETTLED)
    assert page(path).reason is Reason.START_FAILED


@pytest.mark.parametrize("word", ["-", "cancelled"])
def test_an_unwanted_task_was_cancelled_by_us(path, word):
    watched = attempt(path, Layout("0-1"))
    unwanted(path, 1)
    write(path, 0, started(0), ended(0, 143, "cancelled"), "D - 1 .")
    write(path, 1, started(1), ended(1, 143, "cancelled"), f"D {word} 1 .")
    watched.merge({0, 1})
    seen = page(path)
    assert [end.reason for end in seen.ends] == [Reason.RUNNER_LOST, Reason.CANCELLED]
    assert seen.done
    assert (path / JOURNAL).read_text().splitlines()[-1].startswith("D - ")


def test_an_element_passes_over_what_was_unwanted_before_it_began(node, path):
    unwanted(path, 5)
    assert node(7, 1, chunk=4) == [4, 6, 7]
    rows = (path / "e1" / JOURNAL).read_text().splitlines()
    assert [row.split()[:2] for row in rows if "cancelled" in row] == [["E", "5"]]
