"""Environments that `setup` makes: once per content, waited for, never half."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence, StagedInput
from fenglin.runner.host import prepare
from fenglin.runner.host.order import Order, decode, encode
from fenglin.runner.orders import order_lines

MAKE = 'echo made >> "$FENGLIN_SETUP_DIR/../../count"; echo 1.0 > "$FENGLIN_SETUP_DIR/version"'
SHOW = 'cat "$FENGLIN_SETUP_DIR/version"'


def made(site) -> int:
    """Return how often `MAKE` was run."""
    count = site.directory / "envs" / "count"
    return len(count.read_text().splitlines()) if count.exists() else 0


def order_of(site, **fields) -> Order:
    lines = order_lines(site.order("true", **fields), 2**20, 0)
    return Order(decode(encode(lines)))


def test_an_environment_is_made_once_for_all_tasks_and_attempts(site):
    for number in (1, 2):
        key = f"h1-a{number}-1"
        ends, _ = site.run(site.order(script=SHOW, setup=MAKE, tasks="0-2", task_count=3, key=key))
        assert [end.reason for end in ends] == [None] * 3
        assert [site.text(task, key) for task in range(3)] == ["1.0\n"] * 3
    assert made(site) == 1


def test_another_text_is_another_environment(site):
    for number, text in enumerate((MAKE, MAKE + " # again")):
        site.run(site.order(script=SHOW, setup=text, key=f"h1-a{number}-1"))
    assert made(site) == 2


def test_attempts_that_come_together_wait_for_one(site):
    keys = [f"h1-a{number}-1" for number in range(4)]
    for key in keys:
        site.start(site.order(script=SHOW, setup=f"sleep 0.3; {MAKE}", key=key))
    for key in keys:
        ends, _ = site.finish(key)
        assert [end.reason for end in ends] == [None]
    assert made(site) == 1


def test_a_setup_that_fails_ends_every_task_and_says_why(site):
    text = "echo no such package; exit 3"
    ends, _ = site.run(site.order("true", setup=text, tasks="0-9", task_count=10))
    assert {end.reason for end in ends} == {Reason.SETUP_FAILED}
    assert len(ends) == 10
    assert "no such package\nfenglin: setup ended with exit code 3" in site.text(7)
    assert not Reason.SETUP_FAILED.transient
    # Nothing of it is kept: mended from outside, it works.
    assert not list((site.directory / "envs").glob("*/"))


def test_what_a_crash_left_is_made_anew(site):
    """The folder is there, its mark is not."""
    digest = prepare.digest_of(order_of(site, script=SHOW, setup=MAKE))
    left = site.directory / "envs" / digest / "dir"
    left.mkdir(parents=True)
    (left / "version").write_text("half")
    site.run(site.order(script=SHOW, setup=MAKE))
    assert site.text() == "1.0\n"
    assert made(site) == 1


def test_a_runner_killed_while_it_prepares_leaves_nothing_that_holds_up_the_next(site):
    site.start(site.order(script=SHOW, setup=f"sleep 60; {MAKE}"))
    site.wait(lambda: list((site.directory / "envs").glob("*/dir")), "the begin of setup")
    site.kill_runner()
    ends, last = site.finish()
    assert last.reason is Reason.RUNNER_LOST
    assert ends == []
    ends, _ = site.run(site.order(script=SHOW, setup=MAKE, key="h1-a2-1"))
    assert [end.reason for end in ends] == [None]


@pytest.mark.slow
def test_a_stop_ends_the_setup_too(site):
    site.start(site.order(script=SHOW, setup="echo $$ > $FENGLIN_SETUP_DIR/pid; sleep 60"))
    (path,) = site.wait(lambda: list((site.directory / "envs").glob("*/dir/pid")), "its begin")
    pid = int(site.wait(path.read_text, "its number"))
    site.stop()
    ends, last = site.finish()
    assert (ends, last.reason) == ([], Reason.CANCELLED)
    site.wait(lambda: not Path(f"/proc/{pid}").exists(), "the end of setup")


def test_it_sees_the_inputs_and_variables_that_it_names_and_depends_on_no_other(site, tmp_path):
    (tmp_path / "needs.txt").write_text("a==1")
    (tmp_path / "train.py").write_text("1")
    inputs = tuple(StagedInput(name, str(tmp_path / name)) for name in ("needs.txt", "train.py"))
    setup = 'ls > "$FENGLIN_SETUP_DIR/seen"; cat needs.txt; echo $LEVEL'
    script = 'cat "$FENGLIN_SETUP_DIR/seen"'
    fields = {"script": script, "setup": setup, "inputs": inputs, "env": (("LEVEL", "2"),)}
    site.run(site.order(**fields))
    assert site.text() == "needs.txt\n"
    before = prepare.digest_of(order_of(site, **fields))
    (tmp_path / "train.py").write_text("2")
    other = {**fields, "env": (("LEVEL", "2"), ("OTHER", "3"))}
    assert prepare.digest_of(order_of(site, **other)) == before
    assert prepare.digest_of(order_of(site, **{**fields, "env": (("LEVEL", "3"),)})) != before
    (tmp_path / "needs.txt").write_text("a==2")
    assert prepare.digest_of(order_of(site, **fields)) != before


@pytest.mark.parametrize(
    ("setup", "named"),
    [
        ("pip install -r needs.txt", ["needs.txt"]),
        ("pip install -r ./needs.txt", ["needs.txt"]),
        ("sh 'tools/build.sh'", ["tools/build.sh"]),
        ("make -C tools", ["tools/build.sh", "tools/x"]),
        ("make -C tools/", ["tools/build.sh", "tools/x"]),
        ("pip install .", ["needs.txt", "tools/build.sh", "tools/x"]),
        ("pip install a.needs.txt", []),
    ],
)
def test_which_inputs_a_setup_names(site, setup, named):
    inputs = tuple(StagedInput(name, "/x") for name in ("needs.txt", "tools/build.sh", "tools/x"))
    order = order_of(site, setup=setup, inputs=inputs)
    assert [target for target, _, _ in prepare.named_inputs(order)] == named


def test_environments_are_dropped_when_old_or_too_many_but_never_in_use(tmp_path):
    now_s = time.time()
    names = [f"{number:064x}" for number in range(prepare.MOST_KEPT + 3)]
    for number, name in enumerate(names):
        (tmp_path / name / "dir").mkdir(parents=True)
        (tmp_path / name / "ready").touch()
        os.utime(tmp_path / name / "ready", (now_s - number, now_s - number))
    old_s = now_s - prepare.UNUSED_S - 1
    os.utime(tmp_path / names[5] / "ready", (old_s, old_s))
    used = names[prepare.MOST_KEPT + 2]
    with (tmp_path / f"{used}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        prepare.prune(str(tmp_path), now_s)
    left = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert used in left
    assert names[5] not in left
    assert names[0] in left
    assert left == {*names[: prepare.MOST_KEPT + 1], used} - {names[5]}


def test_a_runner_holds_the_environment_while_its_tasks_run(site):
    site.start(site.order("sleep", "60", setup=MAKE))
    site.wait(lambda: site.look().started, "the start")
    (lock,) = (site.directory / "envs").glob("*.lock")
    with lock.open("r+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    site.stop(grace_ms=0)
    assert site.finish()[1].presence is Presence.ENDED
    site.wait(lambda: _free(lock), "the runner's own end")


PREPARE = """
import sys
from fenglin.runner.host import order, prepare
with open(f"{sys.argv[1]}/order", "rb") as file:
    made = order.Order(order.decode(file.read()))
made.envs_dir = sys.argv[2]
sys.exit(prepare.Preparation(made, sys.argv[1]).work())
"""


def test_many_at_once_make_it_once(site):
    """The lock, hammered: eight makers of one environment, each a process of its own."""
    lines = [*order_lines(site.order("true", setup=f"sleep 0.1; {MAKE}"), 2**20, 0)]
    env = {**os.environ, prepare.proc.MARK_VARIABLE: "x:0:0"}
    makers = []
    for number in range(8):
        folder = site.directory / f"m{number}"
        folder.mkdir()
        (folder / "order").write_bytes(encode(lines))
        words = [sys.executable, "-c", PREPARE, folder, site.directory / "envs"]
        makers.append(subprocess.Popen(words, env=env))
    assert [maker.wait(60) for maker in makers] == [0] * 8
    assert made(site) == 1


def _free(lock: Path) -> bool:
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
