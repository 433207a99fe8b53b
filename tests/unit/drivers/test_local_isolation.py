"""Tasks in control groups, real ones where this machine has them; what systemd is told."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from fenglin.errors import InputError
from fenglin.model.reason import Reason
from fenglin.quantities.resources import Resources
from fenglin.runner.host import isolation, proc
from fenglin.runner.host.order import Order, decode, encode
from fenglin.runner.orders import order_lines

# The groups of two tests at once would have the same names.
pytestmark = pytest.mark.xdist_group("control-groups")


def order_of(site, kind, **fields):
    lines = [*order_lines(site.order("true", **fields), 2**20, 0), ("isolation", kind)]
    return Order(decode(encode(lines)))


@pytest.fixture
def grouped(site):
    """The site, with control groups."""
    try:
        made = isolation.Groups(order_of(site, "cgroup", key="h1-probe-1"))
    except OSError as error:
        pytest.skip(f"no control groups may be made here: {error}")
    site.hub(isolation="cgroup")
    yield site
    assert not [path for base in made._bases for path in Path(base).glob("fenglin-h1-a*")]


def test_what_leaves_its_process_group_ends_with_its_task(grouped):
    """A daemon without our mark, in a session of its own, whose parent has gone."""
    script = """
        env -i setsid sh -c 'sleep 71 & echo $! > "$1"; wait' sh "$FENGLIN_ARTIFACTS_DIR/pid" &
        while [ ! -s "$FENGLIN_ARTIFACTS_DIR/pid" ]; do sleep 0.02; done
        cat "$FENGLIN_ARTIFACTS_DIR/pid"
    """
    ends, _ = grouped.run(grouped.order(script=script, env=(("PATH", os.environ["PATH"]),)))
    assert [end.reason for end in ends] == [None]
    assert proc.stat_of(int(grouped.text())) is None


def test_the_kernel_ends_what_takes_too_much_memory_at_once(grouped):
    script = "x=0123456789abcdef; while :; do x=$x$x; done"
    ends, _ = grouped.run(grouped.order(script=script, resources=Resources(500, 2**25)))
    assert [end.reason for end in ends] == [Reason.MEMORY_EXCEEDED]
    assert "memory: " in grouped.text()


@pytest.mark.slow
def test_cpu_time_is_exact_also_of_what_nobody_waited_for(grouped):
    """A second of work by a process that is no child of the task's any more."""
    script = """
        ( (ulimit -t 1; exec env -i setsid sh -c 'while :; do :; done') & echo $! > pid )
        while grep -qs ') R' /proc/$(cat pid)/stat; do sleep 0.05; done
    """
    ends, _ = grouped.run(grouped.order(script=script, env=(("PATH", os.environ["PATH"]),)))
    assert ends[0].cpu_ms > 800


def test_a_stop_kills_what_heeds_no_signal(grouped):
    grouped.start(grouped.order(script="trap '' TERM; setsid sleep 72 & wait; sleep 73"))
    grouped.wait(lambda: grouped.look().started, "the start")
    grouped.stop(grace_ms=100)
    ends, _ = grouped.finish()
    assert [end.reason for end in ends] == [Reason.CANCELLED]


def test_what_a_dead_runner_left_in_its_groups_is_ended(grouped):
    """Neither mark nor session tells whose it is; its group does."""
    script = """
        env -i setsid sh -c 'echo $$ > "$1"; exec sleep 74' sh "$FENGLIN_ARTIFACTS_DIR/pid" &
        sleep 75
    """
    grouped.start(grouped.order(script=script, env=(("PATH", os.environ["PATH"]),)))
    (path,) = grouped.wait(lambda: list(grouped.attempt().glob("w0/artifacts/pid")), "it")
    pid = int(grouped.wait(path.read_text, "its number"))
    grouped.kill_runner()
    _, last = grouped.finish()
    assert last.reason is Reason.RUNNER_LOST
    assert proc.stat_of(pid) is None


def test_many_tasks_at_once_each_have_their_own(grouped):
    order = grouped.order("cat", "/proc/self/cgroup", tasks="0-7", task_count=8)
    ends, _ = grouped.run(order)
    assert [end.exit_code for end in ends] == [0] * 8
    for task in range(8):
        assert f"/fenglin-h1-a1-1.{task}\n" in grouped.text(task)


def test_where_there_are_none_tasks_run_all_the_same(site, monkeypatch, capfd):
    order = order_of(site, "cgroup")
    monkeypatch.setattr(isolation.Groups.__init__, "__defaults__", ("/nowhere",))
    assert isolation.groups(order) is None
    assert "no control groups here" in capfd.readouterr().err
    assert isolation.groups(order_of(site, "auto")) is None
    assert capfd.readouterr().err == ""


def test_version_2_is_told_by_its_own_files(site, tmp_path, monkeypatch):
    """The files of a unified hierarchy, in a folder that stands for it."""
    own = next(
        line.split(":", 2)[2]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    base = tmp_path / own.strip("/")
    base.mkdir(parents=True, exist_ok=True)
    for name in ("cgroup.procs", "cgroup.subtree_control"):
        (base / name).touch()
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    made = isolation.Groups(
        order_of(site, "cgroup", resources=Resources(2_000, 2**30)), str(tmp_path)
    )
    assert (base / "cgroup.subtree_control").read_text() == "+memory +cpu"
    monkeypatch.setattr(os, "rmdir", lambda _path: None)
    folder = base / "fenglin-h1-a1-1.7"
    folder.mkdir()
    for name in ("memory.max", "cpu.weight", "cgroup.kill", "cgroup.procs"):
        (folder / name).touch()
    made._make("7")
    assert (folder / "memory.max").read_text() == str(2**30)
    assert (folder / "cpu.weight").read_text() == "200"
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    (folder / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")

    def task():
        log = SimpleNamespace(note=lambda _text: None)
        return SimpleNamespace(index=7, cpu_s=0.1, exit_code=137, reason="", log=log)

    made.kill(task())
    assert (folder / "cgroup.kill").read_text() == "1"
    ended = task()
    made.close(ended)
    assert (ended.cpu_s, ended.reason) == (1.5, "memory_exceeded")


def test_what_systemd_is_told(site, tmp_path, monkeypatch):
    """Recorded, not run: there is no systemd where this was written."""
    (tmp_path / "systemd-run").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setattr(os, "geteuid", lambda: 7)
    monkeypatch.setattr(os.path, "isdir", lambda path: path == "/run/systemd")
    order = order_of(site, "systemd", resources=Resources(1_500, 2**30))
    assert isolation.scope(order) == [
        f"{tmp_path}/systemd-run", "--user", "--scope", "--quiet", "--collect",
        f"--property=MemoryMax={2**30}", "--property=MemorySwapMax=0", "--property=CPUWeight=150",
        "--",
    ]  # fmt: skip
    assert isolation.scope(order_of(site, "none")) == []
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert isolation.scope(order) == []


def test_old_empty_groups_are_swept_up(tmp_path):
    (tmp_path / "fenglin-h1-a1-1.0").mkdir()
    (tmp_path / "fenglin-h1-a2-1.0" / "x").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    isolation.sweep([str(tmp_path)], 2**33)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fenglin-h1-a2-1.0", "other"]


def test_another_word_is_refused(site):
    with pytest.raises(InputError, match=r"isolation cannot be 'jail'.*none, cgroup"):
        site.hub(isolation="jail")
