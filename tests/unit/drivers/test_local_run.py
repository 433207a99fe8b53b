"""What a task sees, how it ends, and how that is told."""

import os
import signal
import stat
import sys

import pytest

from fenglin.errors import DriverError, InputError
from fenglin.model.allocation import Share, Usage
from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence, StagedInput
from fenglin.quantities.resources import Resources
from fenglin.runner.host import proc


def test_success_with_output_and_usage(site):
    ends, seen = site.run(site.order("echo", "hello"))
    assert [(e.index, e.exit_code, e.reason) for e in ends] == [(0, 0, None)]
    assert (seen.started, seen.reason) == (1, None)
    assert seen.first_start_ms == ends[0].started_ms > 0
    assert site.log().data == b"hello\n"
    assert site.log().complete
    usage = site.call(site.driver.usage("h1-a1-1"))
    assert usage == Usage(
        1, ends[0].wall_ms, ends[0].wall_ms, ends[0].cpu_ms, ends[0].peak_memory_bytes
    )
    assert usage.peak_memory_bytes > 0


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        (("sh", "-c", "exit 3"), 3, Reason.EXIT_CODE),
        (("sh", "-c", "exit 127"), 127, Reason.EXIT_CODE),
        (("sh", "-c", "kill -SEGV $$"), 139, Reason.SIGNAL),
        (("sh", "-c", "kill -KILL $$"), 137, Reason.SIGNAL),
        (("no-such-command",), 127, Reason.COMMAND_NOT_FOUND),
        (("/no/such/command",), 127, Reason.COMMAND_NOT_FOUND),
        (("/etc/passwd",), 126, Reason.EXIT_CODE),
        (("echo", "a\0b"), 126, Reason.EXIT_CODE),
    ],
)
def test_how_it_ended(site, command, code, reason):
    ends, _ = site.run(site.order(*command))
    assert [(e.exit_code, e.reason) for e in ends] == [(code, reason)]


def test_a_command_that_cannot_start_says_so_in_its_log(site):
    site.run(site.order("no-such-command"))
    assert "'no-such-command' not found" in site.text()


def test_environment_is_scrubbed_and_told(site, monkeypatch):
    monkeypatch.setenv("FENGLIN_TOKEN", "secret-1")
    monkeypatch.setenv("DATABASE_PASSWORD", "secret-2")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    site.hub(pass_env=("LD_LIBRARY_PATH",))
    order = site.order(
        "env", tasks="7", task_count=9, tries=((7, 3),), env=(("MINE", "a=b\nc"), ("TZ", "UTC"))
    )
    site.run(order)
    text = site.text(7)
    lines = text.splitlines()
    assert "secret" not in text
    for line in (
        "FENGLIN_JOB_ID=j1", "FENGLIN_TASK_INDEX=7", "FENGLIN_TASK_COUNT=9", "FENGLIN_ATTEMPT=3",
        "FENGLIN_SITE=here", "FENGLIN_FLAVOR=small", "FENGLIN_NODE=n0", "FENGLIN_CPUS=0.5",
        "LD_LIBRARY_PATH=/opt/lib", "TZ=UTC", f"PATH={os.environ['PATH']}", "MINE=a=b", "c",
    ):  # fmt: skip
        assert line in lines
    assert any(line.startswith("FENGLIN_ARTIFACTS_DIR=/") for line in lines)


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ('echo "sh $FENGLIN_TASK_INDEX"\ncat /dev/stdin | wc -c', "sh 0\n0\n"),
        (f"#!{sys.executable}\nprint('python')\n", "python\n"),
        ("#! /bin/sh -e\nfalse\necho not reached\n", ""),
    ],
)
def test_script(site, script, output):
    site.run(site.order(script=script))
    assert site.text() == output


def test_signals_ignored_by_python_are_restored(site):
    site.run(site.order("grep", "SigIgn", "/proc/self/status"))
    ignored = int(site.text().split()[1], 16)
    assert [n for n in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (n - 1) & 1] == []


@pytest.mark.parametrize("launcher", ["", "setsid"])
def test_what_a_task_leaves_running_ends_with_it(site, launcher):
    file = site.directory / "pid"
    script = f"""
        {launcher} sh -c 'echo $$ > {file}.new; mv {file}.new {file}; exec sleep 300' &
        until [ -e {file} ]; do sleep 0.01; done
    """
    ends, _ = site.run(site.order(script=script))
    assert ends[0].exit_code == 0
    pid = int(file.read_text())
    site.wait(lambda: proc.stat_of(pid) is None, "the end of the background process")


def test_timeout(site):
    ends, seen = site.run(site.order("sleep", "300", timeout_ms=100))
    assert [(e.exit_code, e.reason) for e in ends] == [(143, Reason.TIMEOUT)]
    assert ends[0].wall_ms >= 100
    assert seen.reason is None


def test_timeout_kills_what_does_not_listen(site):
    script = "trap '' TERM; echo deaf; while :; do sleep 300; done"
    ends, _ = site.run(site.order(script=script, timeout_ms=100, grace_ms=100))
    assert [(e.exit_code, e.reason) for e in ends] == [(137, Reason.TIMEOUT)]


def test_memory_watch(site):
    script = f"#!{sys.executable}\nimport time\nkept = b'x' * 80_000_000\ntime.sleep(300)\n"
    ends, _ = site.run(site.order(script=script, resources=Resources(100, 40_000_000)))
    assert [(e.exit_code, e.reason) for e in ends] == [(137, Reason.MEMORY_EXCEEDED)]
    # It may be met while it still grows.
    assert ends[0].peak_memory_bytes > 40_000_000
    assert "40000000 asked for" in site.text()


def test_gang_ranks_know_each_other(site):
    order = site.order(
        "sh", "-c", "echo $FENGLIN_NODE_RANK/$FENGLIN_NODE_COUNT $FENGLIN_NODE of $FENGLIN_NODES",
        nodes=2, shares=(Share("n0", 1), Share("n1", 1)),
    )  # fmt: skip
    ends, _ = site.run(order)
    assert [(e.index, e.exit_code) for e in ends] == [(0, 0)]
    assert sorted(site.text().splitlines()) == ["0/2 n0 of n0,n1", "1/2 n1 of n0,n1"]


def test_first_failing_rank_ends_the_gang(site):
    script = "[ $FENGLIN_NODE_RANK = 1 ] && exit 5\nexec sleep 300"
    ends, _ = site.run(site.order(script=script, nodes=2, shares=(Share("n0", 1), Share("n1", 1))))
    assert [(e.exit_code, e.reason) for e in ends] == [(5, Reason.EXIT_CODE)]


def test_slots_bound_what_runs_at_once(site):
    script = f"mkdir {site.directory}/busy || exit 9; sleep 0.02; rmdir {site.directory}/busy"
    ends, _ = site.run(site.order(script=script, tasks="0-5", shares=(Share("n0", 1),)))
    assert [(e.index, e.exit_code) for e in ends] == [(i, 0) for i in range(6)]


def test_folders_are_fresh_although_used_again(site):
    script = "ls -A; [ $FENGLIN_TASK_INDEX != 1 ] || { touch mess; mkdir d; chmod 0 d; }"
    ends, _ = site.run(site.order(script=script, tasks="0-3", shares=(Share("n0", 1),)))
    assert [e.exit_code for e in ends] == [0] * 4
    assert [site.text(i) for i in range(4)] == ["artifacts\n"] * 4


def test_a_failed_task_keeps_its_folder(site):
    site.run(site.order(script="echo evidence > trace; exit 1", tasks="4"))
    assert (site.attempt() / "t4" / "trace").read_text() == "evidence\n"
    site.call(site.driver.forget("h1-a1-1"))
    assert not site.attempt().exists()


def test_output_cap_keeps_both_ends_and_any_bytes(site):
    script = "printf 'first\\377\\n'; head -c 30000 /dev/zero; printf 'last\\n'"
    site.run(site.order(script=script, log_cap_bytes=4_000))
    data = site.log().data
    head, notice, tail = data.partition(b"\nfenglin: ")
    dropped = int(tail.split()[0])
    kept_tail = tail.partition(b"here\n")[2]
    assert head.startswith(b"first\xff\n\0")
    assert notice
    assert data.endswith(b"\0last\n")
    assert len(head) + len(kept_tail) <= 4_000
    assert len(head) + dropped + len(kept_tail) == 7 + 30_000 + 5


def test_output_is_read_on_while_it_grows(site):
    site.start(
        site.order(
            script=f"echo one; until [ -e {site.directory}/go ]; do sleep 0.01; done; echo two"
        )
    )
    site.wait(lambda: site.log().data == b"one\n", "the first line")
    assert not site.log().complete
    (site.directory / "go").touch()
    site.finish()
    assert (site.log(offset=4).data, site.log(offset=4).next_offset) == (b"two\n", 8)
    assert site.log(task=5).data == b""


def test_inputs_are_placed(site, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho ran\n")
    folder = tmp_path / "scene"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").write_text("x")
    inputs = (
        StagedInput("bin/tool", str(tool), executable=True),
        StagedInput("scene", str(folder)),
        StagedInput("data.txt", str(tool)),
    )
    ends, _ = site.run(
        site.order("sh", "-c", "bin/tool; cat scene/deep/x; echo >> data.txt", inputs=inputs)
    )
    assert ends[0].exit_code == 0
    assert site.text() == "ran\nx"
    assert tool.read_text() == "#!/bin/sh\necho ran\n"
    assert (folder / "deep" / "x").exists()


@pytest.mark.parametrize("target", ["../out", "/tmp/out", "a/../../out", "", ".", "scene/out"])
def test_inputs_never_leave_the_folder(site, tmp_path, target):
    folder = tmp_path / "scene"
    folder.mkdir()
    source = tmp_path / "source"
    source.write_text("x")
    inputs = (StagedInput("scene", str(folder)), StagedInput(target, str(source)))
    ends, _ = site.run(site.order("true", inputs=inputs))
    assert [(e.reason, e.exit_code) for e in ends] == [(Reason.STAGING_FAILED, 1)]
    assert list(folder.iterdir()) == []
    assert "fenglin: " in site.text()


def test_missing_input_is_named(site, tmp_path):
    ends, _ = site.run(site.order("true", inputs=(StagedInput("x", str(tmp_path / "nowhere")),)))
    assert ends[0].reason is Reason.STAGING_FAILED
    assert "nowhere" in site.text()


def test_artifacts_are_published_without_links(site, tmp_path):
    (tmp_path / "secret.png").write_text("secret")
    script = f"""
        mkdir -p out/deep && echo 1 > out/deep/a.png && echo 2 > b.png && echo 3 > c.txt
        ln -s {tmp_path}/secret.png d.png && ln -s {tmp_path} out/link
        echo 4 > $FENGLIN_ARTIFACTS_DIR/own && ln -s /etc/passwd $FENGLIN_ARTIFACTS_DIR/passwd
        mkfifo $FENGLIN_ARTIFACTS_DIR/pipe; chmod 6755 $FENGLIN_ARTIFACTS_DIR/own
    """
    old = site.artifacts / "3"
    old.mkdir(parents=True)
    (old / "stale").touch()
    ends, _ = site.run(
        site.order(script=script, tasks="3", artifacts=("*.png", "out/**", "*.none"))
    )
    assert (ends[0].exit_code, ends[0].reason) == (0, None)
    kept = {str(p.relative_to(old)) for p in old.rglob("*") if not p.is_dir()}
    assert kept == {"b.png", "out/deep/a.png", "own"}
    assert stat.S_IMODE((old / "own").stat().st_mode) == 0o755
    assert [p.name for p in site.artifacts.iterdir()] == ["3"]
    assert "nothing matches '*.none'" in site.text(3)


def test_failure_publishes_nothing(site):
    site.run(site.order(script="echo 1 > a.png; exit 1", artifacts=("*.png",)))
    assert not site.artifacts.exists()


def test_artifacts_from_a_given_workdir_are_copied(site, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    site.run(site.order(script="echo 1 > a.png; pwd", workdir=str(work), artifacts=("*.png",)))
    assert (site.artifacts / "0" / "a.png").read_text() == "1\n"
    assert (work / "a.png").exists()
    assert site.text() == f"{work}\n"


def test_missing_workdir_is_told(site):
    ends, _ = site.run(site.order("true", workdir="/no/such/place"))
    assert ends[0].reason is Reason.STAGING_FAILED
    assert "/no/such/place" in site.text()


def test_unwritable_artifacts_fail_the_task(site, tmp_path):
    (tmp_path / "file").touch()
    order = site.order(
        script="echo 1 > a.png", artifacts=("a.png",), artifacts_dir=str(tmp_path / "file" / "x")
    )
    ends, _ = site.run(order)
    assert ends[0].reason is Reason.STAGING_FAILED
    assert "cannot keep artifacts" in site.text()


def test_settings_are_checked(site):
    with pytest.raises(InputError, match=r"unknown setting 'colour'.*flavors, .*licences"):
        site.hub(colour="red")
    with pytest.raises(InputError, match="not a size"):
        site.hub(log_cap="4 apples")
    with pytest.raises(InputError, match="FENGLIN_TOKEN belongs to the hub"):
        site.hub(pass_env=("FENGLIN_TOKEN",))
    with pytest.raises(InputError, match="needs flavors"):
        site.hub(flavors=())


def test_site_cap_bounds_the_job_cap(site):
    site.hub(log_cap="1000")
    site.run(site.order("head", "-c", "50000", "/dev/zero"))
    assert len(site.log().data) < 1_100


def test_nice_makes_tasks_yield(site):
    site.hub(nice=3)
    site.run(site.order("nice"))
    assert int(site.text()) == os.nice(0) + 3
    with pytest.raises(InputError, match="nice is out of range"):
        site.hub(nice=20)


@pytest.mark.parametrize("key", ["../x", "", "a/b", ".hidden"])
def test_foreign_keys_are_refused(site, key):
    with pytest.raises(DriverError, match="not an attempt key"):
        site.start(site.order("true", key=key))
    assert site.look(key=key).presence is Presence.UNKNOWN


def test_inventory_names_this_boot(site):
    report = site.call(site.driver.inventory())
    assert [node.name for node in report.nodes] == ["n0", "n1"]
    assert len(report.generation) == 36
