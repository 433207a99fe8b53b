"""Cancelling some tasks: what waits goes at once, what runs when it has ended, the rest goes on."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from fenglin.engine import effects as room
from fenglin.engine.effects import Effects
from fenglin.engine.parts import check_heard, check_tasks, to_end
from fenglin.engine.recovery import resume
from fenglin.errors import ConflictError, DriverError, InputError, UnavailableError
from fenglin.model.allocation import TaskEnd
from fenglin.model.job import Retries
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.driver import Observation, Presence
from fenglin.quantities.taskset import TaskSet
from fenglin.staging import FolderStaging
from fenglin.testing.builders import a_site
from fenglin.wire.views import JobView, TaskCounts

RUNNING = AttemptState.RUNNING


def able(*capabilities):
    return msgspec.structs.replace(a_site(cpu=64), capabilities=capabilities)


def a_pool(world, *allocations, capabilities=("stop_tasks",), **spec):
    job = world.job(**{"tasks": 6, **spec})
    return world.pool([job], allocations, sites=[able(*capabilities)])


def cancel(tasks):
    return lambda fold: fold.cancel(1, "ann", None, TaskSet.parse(tasks))


def end(index, wall_ms=100, reason=None):
    return TaskEnd(index, 1_000, wall_ms, 1 if reason else 0, reason)


def observed(*ends, presence=Presence.RUNNING, number=1):
    seen = Observation("hub-a1-1", presence, ends, len(ends), 1_000, "1")
    return lambda fold: fold.observed(seen, number)


def view(state="running", tasks=6):
    counts = TaskCounts(0, 1, 0, 0, 0)
    return JobView("j1", "x", "default", "default", 0, state, "", "", tasks,
                   counts, 1, 0, 0, 0, 0, 0)  # fmt: skip


def test_waiting_tasks_go_at_once_and_running_ones_when_they_have_ended(world):
    pool = a_pool(world, world.allocation(1, 1, "0-3", slots=2, state=RUNNING))
    change = world.fold(pool, cancel("1-2,4"))
    job, record = pool.jobs[1], pool.allocations[1]
    assert [(e.kind, e.text, e.actor) for e in change.events] == [
        ("cancel_asked", "cancel was asked for tasks 1-2,4: 1 waited, 2 run", "ann")
    ]
    assert (job.cancelled, job.pending) == (TaskSet.of([4]), TaskSet.of([5]))
    assert (job.state, record.state) == (JobState.RUNNING, RUNNING)
    assert to_end(pool, record) == TaskSet.of([1, 2])
    assert world.fold(pool, cancel("1-2,4")).events == []

    world.fold(pool, observed(end(0), end(1, 50, Reason.CANCELLED), end(2, 0, Reason.CANCELLED)))
    assert (job := pool.jobs[1]).cancelled == TaskSet.of([1, 2, 4])
    assert (job.succeeded, job.unwanted) == (TaskSet.of([0]), TaskSet())
    # The task that never began is not paid for, the one that ran is.
    assert (pool.allocations[1].usage.tasks, pool.allocations[1].usage.billed_ms) == (2, 150)
    world.fold(pool, observed(end(3), presence=Presence.ENDED))
    world.fold(pool, cancel("5"))
    assert pool.jobs == {}


def test_an_unwanted_task_is_never_tried_again_but_may_succeed(world):
    pool = a_pool(world, world.allocation(1, 1, "0-5", state=RUNNING), retries=Retries(3))
    world.fold(pool, cancel("0-1"))
    world.fold(pool, observed(end(0, reason=Reason.EXIT_CODE), end(1), end(2, 9, Reason.EXIT_CODE)))
    job = pool.jobs[1]
    assert (job.cancelled, job.succeeded) == (TaskSet.of([0]), TaskSet.of([1]))
    assert (job.pending, job.tries) == (TaskSet.of([2]), {2: 1})


@pytest.mark.parametrize("reason", [Reason.RUNNER_LOST, Reason.STAGING_FAILED])
def test_a_lost_attempt_brings_no_unwanted_task_back(world, reason):
    pool = a_pool(world, world.allocation(1, 1, "0-5", state=RUNNING), retries=Retries(3))
    world.fold(pool, cancel("0-1"))
    world.fold(pool, lambda fold: fold.attempt_lost(1, reason, "gone"))
    job = pool.jobs[1]
    assert (job.cancelled, job.pending) == (TaskSet.of([0, 1]), TaskSet.span(2, 6))
    assert job.unwanted == TaskSet()


def test_a_preempted_attempt_brings_no_unwanted_task_back(world):
    record = world.allocation(1, 1, "0-2", state=AttemptState.STOPPING)
    pool = a_pool(world, replace(record, reason=Reason.PREEMPTED), capabilities=())
    world.fold(pool, cancel("0-1"))
    ends = [end(0, 50, Reason.CANCELLED), end(2, 50, Reason.CANCELLED)]
    world.fold(pool, observed(*ends, presence=Presence.ENDED))
    job = pool.jobs[1]
    assert (job.cancelled, job.pending) == (TaskSet.of([0, 1]), TaskSet.span(2, 6))


def test_where_single_tasks_cannot_be_ended_only_whole_allocations_are(world):
    one = world.allocation(1, 1, "0-1", state=RUNNING)
    two = world.allocation(2, 1, "2-3", state=RUNNING)
    pool = a_pool(world, one, two, capabilities=())
    change = world.fold(pool, cancel("0-2,4"))
    job = pool.jobs[1]
    assert [pool.allocations[n].state for n in (1, 2)] == [AttemptState.STOPPING, RUNNING]
    assert (job.cancelled, job.unwanted) == (TaskSet.of([4]), TaskSet.of([0, 1]))
    assert [e.kind for e in change.events] == ["cancel_asked", "cancel_refused"]
    with pytest.raises(ConflictError, match=r"capability_missing: site cannot .* so 2 go on"):
        check_heard(pool, 1, view(), TaskSet.parse("0-2,4"))
    check_heard(pool, 1, view(), TaskSet.parse("0-1,4-5"))
    # With the last one named too, the whole allocation ends.
    world.fold(pool, cancel("2"))
    assert pool.allocations[2].state is RUNNING
    world.fold(pool, cancel("2-3"))
    assert pool.allocations[2].state is AttemptState.STOPPING
    check_heard(pool, 1, view(), TaskSet.parse("0-4"))


def test_tasks_are_checked_and_a_job_that_is_not_known_yet_is_told():
    for tasks in (TaskSet(), TaskSet.of([6]), TaskSet.span(3, 9)):
        with pytest.raises(InputError, match="0 to 5"):
            check_tasks(view(), tasks)
    check_tasks(view(), TaskSet.span(0, 6))
    check_tasks(view(), None)


def test_a_job_that_is_being_stored_says_so(world):
    pool = world.pool()
    with pytest.raises(UnavailableError, match="cancel it again"):
        check_heard(pool, 1, view("pending"), TaskSet.of([0]))
    check_heard(pool, 1, view("cancelled"), None)


class Driver:
    """Notes what it is told; fails with the errors it is given, one per call."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.told = []

    async def stop_tasks(self, key, tasks, _grace_ms):
        await asyncio.sleep(0)
        self.told.append((key, str(tasks)))
        if self.errors:
            raise self.errors.pop(0)

    async def forget(self, key):
        self.told.append((key, "forget"))


async def settled(effects):
    async with asyncio.timeout(10):
        while effects._running:  # noqa: ASYNC110
            await asyncio.sleep(0)


def test_a_site_is_told_until_it_has_heard_and_then_no_more(world, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "STOP_AGAIN_S", 0.0)
    pool = a_pool(world, world.allocation(1, 1, "0-5", state=RUNNING))
    record = pool.allocations[1]
    driver = Driver(DriverError("lost", effect_unknown=True))

    async def scene():
        effects = Effects(pool, {"site": driver}, FolderStaging(tmp_path), print)
        effects.stop_tasks(record, TaskSet.of([1]))
        effects.stop_tasks(record, TaskSet.of([1, 2]))
        await settled(effects)
        effects.stop_tasks(record, TaskSet.of([2]))
        effects.stop_tasks(record, TaskSet.of([2, 5]))
        await settled(effects)
        effects.forget("site", "hub-a1-1", 1)
        await settled(effects)
        return effects._unwanted, effects._heard

    assert asyncio.run(scene()) == ({}, {})
    keys, told = zip(*driver.told, strict=True)
    assert set(keys) == {"hub-a1-1"}
    assert told == ("1-2", "1-2", "5", "forget")


class Calls:
    """Notes which calls are wanted."""

    def __init__(self):
        self.calls = []

    def stop_tasks(self, record, tasks):
        self.calls.append(("stop_tasks", record.number, str(tasks)))


@pytest.mark.parametrize("state", [RUNNING, AttemptState.UNKNOWN])
def test_a_restarted_hub_asks_again_but_only_of_what_has_started(world, state):
    pool = a_pool(world, world.allocation(1, 1, "0-5", state=state))
    pool.jobs[1] = replace(pool.jobs[1], unwanted=TaskSet.of([1, 2]))
    calls = Calls()
    loop = type("Loop", (), {"tell": lambda _self, _news: None})()
    resume(pool, loop, calls)
    assert calls.calls == ([("stop_tasks", 1, "1-2")] if state is RUNNING else [])
