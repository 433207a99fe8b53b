"""Single tasks of an array end while the others go on, also when the hub dies meanwhile."""

import contextlib
import signal

import pytest

from fenglin.errors import InputError, UnavailableError


@pytest.fixture
def own(own_hub):
    return own_hub


def ended(client, job, tasks):
    """Return a condition: just these tasks are cancelled."""
    return lambda: client.job(job).tasks.cancelled == tasks


def test_tasks_that_run_and_tasks_that_wait(client, fenglin, truth, running, eventually):
    # More tasks than the pool has room for: the last ones wait at the site, or at the hub.
    job = client.submit(truth.job("frames", tasks=40, sleep_s=120)).id
    running(job, 2)
    done = fenglin("job", "cancel", job, "--tasks", "0,38-39")
    assert done.code == 0, done.err
    eventually(ended(client, job, 3))
    assert {run.task for run in truth.runs(job)}.isdisjoint({38, 39})
    view = client.job(job)
    assert (view.state, view.tasks.failed, view.tasks.succeeded) == ("running", 0, 0)

    number = job.removeprefix("j")
    assert fenglin("scancel", f"{number}_1", f"{number}_[2-4]").code == 0
    eventually(ended(client, job, 7))
    with pytest.raises(InputError, match="no task 40"):
        client.cancel(job, "39-40")
    story = [event.text for event in client.events(job) if event.kind == "cancel_asked"]
    assert story[0].startswith("cancel was asked for tasks 0,38-39: ")

    assert client.cancel(job).state in ("cancelling", "cancelled")
    assert client.wait(job, 60).tasks.cancelled == 40
    assert client.ledger_verify().ok


@pytest.mark.parametrize("point", ["c7", "c9"])
def test_the_wish_outlives_the_hub(own, truth, running, point):
    own.start(crash_at=point)
    script = "test $FENGLIN_TASK_INDEX = 1 || sleep 600"
    job = own.client().submit(truth.job("pair", tasks=2, script=script)).id
    running(job, 2)
    # At c9 the answer may be under way when the hub dies.
    with contextlib.suppress(UnavailableError):
        own.client(tries=1).cancel(job, "0")
    assert own.wait(30) == -signal.SIGKILL
    own.start()

    view = own.client().wait(job, 60)
    assert (view.tasks.succeeded, view.tasks.cancelled) == (1, 1)
    assert sorted(run.task for run in truth.runs(job)) == [0, 1]
    assert own.client().ledger_verify().ok
