"""What survives the hub's end, asked for or not."""

import signal
import subprocess
import sys
import time

import pytest

from fenglin.client.requests import Filter
from fenglin.errors import UnavailableError
from fenglin.testing import HubProcess, LocalSite, hub_file

FENGLIN = [sys.executable, "-c", "from fenglin.cli import main; raise SystemExit(main())"]
SMALL = {"resources": {"cpu": 0.1, "memory": "16MiB"}}


@pytest.fixture
def own(own_hub):
    return own_hub.start()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_running_tasks_are_adopted(own, truth, running, how):
    job = own.client().submit(truth.job("long", tasks=3, sleep_s=3)).id
    running(job, 3)

    began_s = time.monotonic()
    status = own.stop() if how == "stop" else own.kill()
    assert status == (0 if how == "stop" else -signal.SIGKILL)
    if how == "stop":
        assert time.monotonic() - began_s < 10, "SIGTERM must not wait for tasks"
    own.start()

    view = own.client().wait(job, 30)
    assert (view.state, view.tasks.succeeded) == ("succeeded", 3)
    runs = truth.runs(job)
    assert [run.number for run in runs] == [1, 1, 1]
    assert all(run.ended_s - run.began_s >= 3 for run in runs)


def test_tasks_that_end_while_the_hub_is_dead_are_judged_and_billed(own, truth, running):
    job = own.client().submit(truth.job("short", tasks=2, sleep_s=0.5)).id
    failing = own.client().submit(truth.job("bad", sleep_s=0.5, script="exit 4")).id
    running(job, 2), running(failing)
    own.kill()
    while own.tasks():
        time.sleep(0.05)
    own.start()

    client = own.client()
    assert client.wait(job, 30).state == "succeeded"
    assert client.wait(failing, 30).detail == "task 0: exit code 4"
    assert all(client.job(one).cost_micro > 0 for one in (job, failing))
    assert len(truth.runs()) == 3


def test_a_stop_ends_open_waits_and_followed_logs(own, truth, running):
    job = own.client().submit(truth.job("long", sleep_s=60)).id
    running(job)
    env = {"FENGLIN_HUB": own.url, "FENGLIN_TOKEN": own.token, "PATH": "/usr/bin:/bin"}
    open_calls = [
        subprocess.Popen([*FENGLIN, "job", *words], env=env, stderr=subprocess.PIPE, text=True)
        for words in (["wait", job], ["logs", "-f", job])
    ]
    time.sleep(1)

    assert own.stop(10) == 0

    for call in open_calls:
        _, told = call.communicate(timeout=60)
        assert call.returncode == 6, told


def test_a_submit_whose_answer_was_lost_counts_once(own_hub, truth):
    own_hub.start(crash_at="c1")
    document = truth.job("once")
    with pytest.raises(UnavailableError):
        own_hub.client(tries=1).submit(document, key="the same")
    assert own_hub.wait(10) == -signal.SIGKILL
    own_hub.start()

    client = own_hub.client()
    again = client.submit(document, key="the same")

    assert (again.id, again.repeated) == ("j1", True)
    assert client.wait("j1", 30).state == "succeeded"
    assert [job.id for job in client.jobs(Filter()).items] == ["j1"]
    assert len(truth.runs()) == 1


def test_a_submit_that_was_not_committed_leaves_nothing(own_hub, truth):
    own_hub.start(crash_at="c0")
    with pytest.raises(UnavailableError):
        own_hub.client(tries=1).submit(truth.job("never"), key="k")
    assert own_hub.wait(10) == -signal.SIGKILL
    own_hub.start()

    client = own_hub.client()
    assert client.jobs(Filter()).items == []
    assert not client.submit(truth.job("never"), key="k").repeated


def test_a_child_stored_in_the_last_moment_is_doomed_after_the_restart(own_hub):
    own_hub.start(crash_at="c1:2")
    client = own_hub.client(tries=1)
    parent = client.submit({"name": "parent", "command": ["false"], **SMALL}).id
    assert client.wait(parent, 30).state == "failed"
    with pytest.raises(UnavailableError):
        client.submit({"name": "child", "command": ["true"], "after": [parent], **SMALL})
    own_hub.wait(10)
    own_hub.start()

    assert own_hub.client().wait("j2", 10).state == "cancelled"


def test_second_hub_on_the_same_folder_is_refused(own):
    done = subprocess.run(
        [*FENGLIN, "hub", "start", "--config", own.config],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 5
    assert "another hub is running" in done.stderr
    assert "Traceback" not in done.stderr
    assert own.alive


def test_a_drain_survives(own, eventually):
    own.client().drain("general", "new kernel")
    own.kill()
    own.start()

    site = eventually(lambda: (s := own.client().site("general")).seen_ms and s)

    assert (site.state, site.state_reason) == ("drained", "new kernel")


def test_a_hundred_thousand_queued_tasks_survive_a_restart(tmp_path):
    # The pool is drained first, so that the state stands still.
    with HubProcess(tmp_path / "big", hub_file([LocalSite("site")])).start() as hub:
        client = hub.client()
        client.drain("site", "full")
        for start in range(0, 1_000, 250):
            client.submit_batch(
                [
                    {"name": f"q{n}", "tasks": 100, "priority": n % 7, "command": ["true"]}
                    for n in range(start, start + 250)
                ]
            )
        before = client.jobs(Filter()).items
        queues = client.queues(Filter()).items
        hub.kill()
        hub.start()

        client = hub.client()
        after = client.jobs(Filter()).items

        assert sum(job.tasks.pending for job in after) == 100_000
        assert after == before
        assert client.queues(Filter()).items == queues
        assert client.ledger_verify().ok
