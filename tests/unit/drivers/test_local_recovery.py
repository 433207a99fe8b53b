"""Once per key, whatever dies when: claims, stops, cursors, tombstones, epochs."""

import os
import signal
import subprocess
import sys

import pytest

from fenglin.errors import DriverError
from fenglin.model.allocation import Share
from fenglin.model.reason import Reason
from fenglin.ports.driver import Presence
from fenglin.runner.host import attempts, claim, proc, sights


def test_a_key_runs_once_however_often_it_is_started(site):
    order = site.order(script=f"echo ran >> {site.directory}/truth")
    for _ in range(3):
        site.start(order)
    site.finish()
    site.hub()
    site.start(order)
    assert site.finish()[1].started == 1
    site.call(site.driver.forget(order.key))
    site.start(order)
    assert site.look().presence is Presence.ENDED
    assert (site.directory / "truth").read_text() == "ran\n"


def test_of_two_runners_one_takes_the_claim(site, monkeypatch):
    monkeypatch.setattr(attempts.Attempts, "_spawn", lambda *_: 0)
    site.start(site.order(script=f"echo ran >> {site.directory}/truth", tasks="0-1"))
    command = [sys.executable, "-I", "-S", "-E", attempts.LAUNCH, str(site.attempt())]
    runners = [subprocess.Popen(command) for _ in range(4)]
    assert [runner.wait() for runner in runners] == [0] * 4
    ends, _ = site.finish()
    assert sorted(end.index for end in ends) == [0, 1]
    assert (site.directory / "truth").read_text() == "ran\nran\n"


def test_a_hub_killed_before_the_spawn_starts_it_again(site, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(attempts.Attempts, "_spawn", lambda *_: 0)
        site.start(site.order("true"))
    site.hub()
    assert site.look().presence is Presence.ABSENT
    assert [end.exit_code for end in site.run(site.order("true"))[0]] == [0]


def test_a_runner_that_cannot_start_closes_the_attempt(site, monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(attempts, "LAUNCH", str(broken))
    ends, seen = site.run(site.order("true"))
    assert (ends, seen.reason) == ([], Reason.START_FAILED)


def test_unknown_key_is_absent_only_while_the_folder_is_there(site):
    assert site.look(key="h1-a9-9").presence is Presence.ABSENT
    moved = site.directory / "moved"
    (site.directory / "attempts").rename(moved)
    assert site.look(key="h1-a9-9").presence is Presence.UNKNOWN
    with pytest.raises(DriverError, match="mounted and well"):
        site.call(site.driver.keys())
    moved.rename(site.directory / "attempts")


def test_a_restarted_hub_adopts_and_sees_every_end_once(site):
    order = site.order(
        "sh", "-c", "exit $((FENGLIN_TASK_INDEX % 3))", tasks="0-29,40", shares=(Share("n0", 3),)
    )
    site.start(order)
    middle = site.wait(lambda: (s := site.look()).ends and s, "first ends")
    site.hub()
    late, last = site.finish(cursor=middle.cursor)
    everything, again = site.finish()
    assert [*middle.ends, *late] == everything
    assert sorted(end.index for end in everything) == [*range(30), 40]
    assert {end.index: end.exit_code for end in everything} == {i: i % 3 for i in (*range(30), 40)}
    assert last.started == again.started == 31
    assert last.first_start_ms == again.first_start_ms


@pytest.mark.slow
def test_500_tasks_are_counted_once_under_any_cursors(site):
    order = site.order("true", tasks="0-499", shares=(Share("n0", 4),))
    site.start(order)
    pieces = [("", ())]
    while (seen := site.look(pieces[-1][0])).presence is not Presence.ENDED:
        if seen.ends:
            cursor, _ = pieces.pop()
            pieces += [(cursor, seen.ends), (seen.cursor, ())]
    pieces[-1] = (pieces[-1][0], seen.ends)
    assert sorted(end.index for _, ends in pieces for end in ends) == list(range(500))
    for at, (cursor, _) in enumerate(pieces):
        later = [end for _, ends in pieces[at:] for end in ends]
        assert site.finish(cursor=cursor)[0] == later
    assert len(pieces) > 1
    assert site.call(site.driver.usage(order.key)).tasks == 500
    assert site.wakes > 0


def test_a_long_backlog_is_read_in_pages_without_waiting(site, monkeypatch):
    site.run(site.order("true", tasks="0-49"))
    monkeypatch.setattr(sights, "PAGE_BYTES", 500)
    site.hub()
    site.wakes = 0
    first = site.look()
    assert first.presence is Presence.RUNNING
    assert 0 < len(first.ends) < 50
    assert site.wakes == 1
    ends, _ = site.finish()
    assert sorted(end.index for end in ends) == list(range(50))


def test_killed_runner_is_reported_and_nothing_of_it_lives_on(site):
    script = "setsid sh -c 'echo $$; exec sleep 302' & echo $$; exec sleep 303"
    site.start(site.order(script=script, tasks="0-5", shares=(Share("n0", 2),)))
    pids = [
        int(word)
        for task in (0, 1)
        for word in site.wait(lambda task=task: _two_words(site, task), "both pids")
    ]
    site.kill_runner()
    site.hub()
    ends, seen = site.finish()
    assert [(e.index, e.reason) for e in ends] == [(i, Reason.RUNNER_LOST) for i in (0, 1)]
    assert all(end.exit_code == 137 and end.wall_ms >= 0 for end in ends)
    assert (seen.reason, seen.started) == (Reason.RUNNER_LOST, 2)
    assert [pid for pid in pids if proc.stat_of(pid) is not None] == []
    site.hub()
    assert site.finish()[0] == ends


def test_a_reused_pid_is_not_taken_for_the_runner(site):
    site.start(site.order("sleep", "304"))
    site.wait(lambda: site.look().started, "its start")
    site.kill_runner()
    bystander = subprocess.Popen(["sleep", "305"], start_new_session=True)
    try:
        old = claim.read(str(site.attempt()))
        path = site.attempt() / claim.CLAIM
        path.write_text(f"{bystander.pid} {old.start_ticks} {old.boot}\n")
        assert site.finish()[1].reason is Reason.RUNNER_LOST
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_reboot_is_told_apart_and_a_cut_journal_is_padded(site):
    site.start(site.order("sleep", "306", tasks="0-1"))
    cursor = site.wait(lambda: (s := site.look()).started == 2 and s, "both starts").cursor
    old = claim.read(str(site.attempt()))
    site.kill_runner()
    proc.kill_leftovers("h1-a1-1", old.pid, old.start_ticks)
    (site.attempt() / claim.CLAIM).write_text(f"{old.pid} {old.start_ticks} another-boot\n")
    journal = site.attempt() / "journal"
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    ends, seen = site.finish(cursor=cursor)
    assert [(e.index, e.reason) for e in ends] == [(0, Reason.NODE_REBOOTED)]
    assert seen.reason is Reason.NODE_REBOOTED


@pytest.mark.parametrize("torn", [b"E 0 17000000", b"E 0 1 2 0 - 3 4 ", b"D - 12 "])
def test_a_torn_line_is_no_event(site, torn):
    site.start(site.order("sleep", "307"))
    cursor = site.wait(lambda: (s := site.look()).started and s, "its start").cursor
    os.kill(site.runner_pid(), signal.SIGSTOP)
    with (site.attempt() / "journal").open("ab") as file:
        file.write(torn)
    seen = site.look(cursor)
    assert (seen.ends, seen.cursor, seen.presence) == ((), cursor, Presence.RUNNING)
    site.kill_runner()
    ends, _ = site.finish(cursor=cursor)
    assert [(e.index, e.reason) for e in ends] == [(0, Reason.RUNNER_LOST)]
    assert site.finish()[0] == ends


def test_stop_before_start_forbids_it_for_ever(site):
    site.stop()
    assert site.look().reason is Reason.CANCELLED
    site.start(site.order(script=f"echo ran >> {site.directory}/truth"))
    ends, seen = site.finish()
    assert (ends, seen.reason) == ([], Reason.CANCELLED)
    assert site.log().complete
    assert not (site.directory / "truth").exists()


def test_stop_ends_what_runs_and_starts_nothing_more(site):
    site.start(site.order("sleep", "308", tasks="0-9", shares=(Share("n0", 2),)))
    site.wait(lambda: site.look().started == 2, "two starts")
    site.stop()
    site.stop()
    ends, seen = site.finish()
    assert [(e.index, e.reason, e.exit_code) for e in sorted(ends, key=lambda e: e.index)] == [
        (i, Reason.CANCELLED, 143) for i in (0, 1)
    ]
    assert (seen.reason, seen.started) == (Reason.CANCELLED, 2)
    site.stop()
    assert site.finish()[1].reason is Reason.CANCELLED


def test_stop_kills_after_the_grace(site):
    site.start(site.order(script="trap '' TERM; echo deaf; while :; do sleep 309; done"))
    site.wait(lambda: site.log().data, "its output")
    site.stop(grace_ms=50)
    assert [(e.reason, e.exit_code) for e in site.finish()[0]] == [(Reason.CANCELLED, 137)]


def test_stop_reaches_a_runner_that_starts_late(site, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(attempts.Attempts, "_spawn", lambda *_: 0)
        patch.setattr(claim, "take", lambda *_: False)
        site.start(site.order("true"))
        site.stop()
    site.hub()
    ends, seen = site.run(site.order("true"))
    assert (ends, seen.reason, seen.started) == ([], Reason.CANCELLED, 0)


def test_a_former_leader_is_refused(site):
    site.start(site.order("sleep", "310", epoch=4))
    site.start(site.order("sleep", "310", epoch=6))
    with pytest.raises(DriverError, match="epoch 5 is over") as caught:
        site.start(site.order("sleep", "310", epoch=5))
    assert not caught.value.effect_unknown


def test_full_disk_refuses_a_start_without_a_trace(site, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(attempts, "_write", full)
        with pytest.raises(DriverError, match="free some space") as caught:
            site.start(site.order("true"))
    assert not caught.value.effect_unknown
    assert site.look().presence is Presence.ABSENT
    assert [end.exit_code for end in site.run(site.order("true"))[0]] == [0]


def test_forget_keeps_output_and_record_only(site):
    site.run(site.order(script="echo kept; touch file; exit 1", env=(("SECRET", "s"),)))
    site.call(site.driver.forget("h1-a1-1"))
    site.call(site.driver.forget("h1-a1-1"))
    kept = site.directory / "kept" / "h1-a1-1"
    assert sorted(path.name for path in kept.iterdir()) == ["0.log", "claim", "journal"]
    assert site.call(site.driver.keys()) == frozenset()
    assert site.text() == "kept\n"
    assert site.call(site.driver.usage("h1-a1-1")).tasks == 1
    assert site.finish()[0][0].exit_code == 1


def test_a_running_attempt_is_not_forgotten(site):
    site.start(site.order("sleep", "311"))
    site.wait(lambda: site.look().started, "its start")
    with pytest.raises(DriverError, match="still runs"):
        site.call(site.driver.forget("h1-a1-1"))
    assert site.call(site.driver.keys()) == frozenset({"h1-a1-1"})


def test_usage_of_an_unknown_key_is_an_error(site):
    with pytest.raises(DriverError, match="no record"):
        site.call(site.driver.usage("h1-a9-9"))


def test_a_broken_cursor_is_unknown_not_absent(site):
    site.run(site.order("true"))
    assert site.look(cursor="nonsense").presence is Presence.UNKNOWN


def _two_words(site, task):
    words = site.text(task).split()
    return words if len(words) == 2 else None


def test_a_log_is_read_although_its_folder_moves_meanwhile(site, monkeypatch):
    order = site.order("echo", "hello")
    site.run(order)
    before = site.attempt()
    site.call(site.driver.forget(order.key))
    places = iter([before])
    real = site.driver._folder
    monkeypatch.setattr(site.driver, "_folder", lambda key: next(places, None) or real(key))
    assert site.log().data == b"hello\n"
