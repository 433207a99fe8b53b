"""What raises is set aside, whatever the loop was doing, and all else goes on (J9)."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from fenglin.engine import loop as room
from fenglin.engine import sights
from fenglin.engine.dependencies import bring_parents
from fenglin.engine.fold import Fold
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.news import Observed
from fenglin.engine.pool import Pool
from fenglin.engine.quarantine import Warden
from fenglin.engine.safety import SafetyDesk, notes
from fenglin.engine.shares import share_rows
from fenglin.errors import DamageError, DeniedError, NotFoundError, UnavailableError
from fenglin.model.allocation import TaskEnd
from fenglin.model.job import AfterCondition, Dependency
from fenglin.model.reason import Reason
from fenglin.model.states import JobState
from fenglin.planner.policy import BALANCED
from fenglin.ports.driver import Observation, Presence
from fenglin.ports.hub import Principal
from fenglin.ports.quarantine import Aside, Released
from fenglin.quantities.taskset import TaskSet

ADMIN = Principal("ada", frozenset({"admin"}))


class Kept:
    """Holds jobs in memory; fails as often as it is told to."""

    def __init__(self):
        self.held = []
        self.errors = []
        self.found = None

    async def set_aside(self, epoch, one):
        if self.errors:
            raise self.errors.pop(0)
        self.held.append((epoch, one.job, one.stage))

    async def release(self, _epoch, job, _now_ms, _actor):
        if job not in {held[1] for held in self.held}:
            raise NotFoundError("it is not set aside")
        return self.found


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def play(store, effects, clock, kept, monkeypatch):
    """Run a scene with a running loop that has a warden."""
    monkeypatch.setattr(room, "STORE_RETRY_S", 0.0)
    monkeypatch.setattr(room, "REST_PER_WORK", 0.0)

    def run(pool, scene):
        async def inner():
            meters = Meters()
            warden = Warden(pool, kept, clock, meters)
            loop = Loop(pool, store, BALANCED, clock, meters, None, warden)
            loop.connect(effects, lambda _changed, _ended: None)
            task = asyncio.create_task(loop.run())
            try:
                async with asyncio.timeout(30):
                    return await scene(loop, task, SafetyDesk(loop, kept, effects, clock, meters))
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError, DamageError, RuntimeError):
                    await task

        return asyncio.run(inner())

    return run


async def until(wanted, task):
    while not wanted():
        if task.done():
            task.result()
        await asyncio.sleep(0.001)


def ends(*numbers):
    """Return one piece of news: the first task of each allocation has ended well."""
    seen = [
        (n, Observation(f"hub-a{n}-1", Presence.ENDED, (TaskEnd(n - 1, 1_000, 50),), 1, 1_000, "9"))
        for n in numbers
    ]
    return Observed("site", seen, asyncio.Event())


def three(world):
    """Return a pool in which three jobs run."""
    jobs = [world.job(n, tasks=3) for n in (1, 2, 3)]
    return world.pool(jobs, [world.allocation(n, n, str(n - 1)) for n in (1, 2, 3)])


def test_an_end_that_cannot_be_recorded_stops_no_other(world, play, store, kept, monkeypatch):
    pool = three(world)
    real = Fold._task_ended

    def spoilt(self, job, record, end):
        if job.number == 2:
            raise ZeroDivisionError
        real(self, job, record, end)

    monkeypatch.setattr(Fold, "_task_ended", spoilt)

    async def scene(loop, task, _desk):
        news = ends(1, 2, 3)
        loop.tell(news)
        await until(news.taken.is_set, task)
        await until(lambda: len(pool.jobs[3].succeeded), task)

    play(pool, scene)
    assert kept.held == [(3, 2, "record")]
    assert 2 not in pool.jobs
    ended = {record.number for change in store.changes for record in change.allocations}
    assert ended == {1, 3}
    # What it runs goes on, so its place is not given away.
    rows = share_rows((), pool._aside_held)
    assert [share.job for share in rows if share.allocation == 2] == [2]
    assert 2 in pool.aside_numbers


def test_what_the_store_refuses_for_good_is_parted_until_it_is_found(world, play, store, kept):
    pool = three(world)
    commit = store.commit

    async def refuse(change):
        if any(job.number == 3 for job in change.jobs):
            raise DamageError("the database refused a row")
        return await commit(change)

    store.commit = refuse

    async def scene(loop, task, _desk):
        loop.tell(ends(1, 2, 3))
        await until(lambda: kept.held and not loop._inbox, task)

    play(pool, scene)
    assert kept.held == [(3, 3, "record")]
    assert [len(pool.jobs[n].succeeded) for n in (1, 2)] == [1, 1]


@pytest.mark.slow
def test_a_start_that_the_store_refuses_for_good_stops_no_other(world, play, store, effects, kept):
    pool = world.pool([world.job(n) for n in (1, 2, 3)])
    commit = store.commit

    async def refuse(change):
        if any(unit.job.number == 2 for unit in change.starts):
            raise DamageError("the database refused a row")
        return await commit(change)

    store.commit = refuse

    async def scene(_loop, task, _desk):
        await until(lambda: len(effects.calls) == 2 and kept.held, task)

    play(pool, scene)
    assert kept.held == [(3, 2, "start")]
    assert sorted(call[2] for call in effects.calls) == [1, 3]


def test_what_no_job_can_be_blamed_for_ends_the_hub(world, play, kept, monkeypatch):
    pool = world.pool([world.job(1)])

    def broken(*_args, **_kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("fenglin.engine.planning.plan", broken)
    monkeypatch.setattr("fenglin.engine.quarantine.plan", broken)

    async def scene(_loop, task, _desk):
        with pytest.raises(RuntimeError, match="ours"):
            await task

    play(pool, scene)
    assert kept.held == []


def test_what_is_found_while_a_change_is_believed_is_set_aside_at_once(
    world, play, kept, monkeypatch
):
    """Seed 11012: an idle loop slept on it, and an operator's release came before."""
    job = world.job(1)
    job.pending = TaskSet()
    pool = world.pool([job], [world.allocation(1, 1, "0")])
    lost = TaskEnd(0, 1_000, 50, reason=Reason.RUNNER_LOST)
    seen = Observation("hub-a1-1", Presence.ENDED, (lost,), 1, 1_000, "9")

    def spoilt(_self, _job):
        raise ZeroDivisionError

    monkeypatch.setattr(Pool, "job_row", spoilt)
    monkeypatch.setattr(room, "MOST_SLEEP_S", 10_000.0)

    async def scene(loop, task, _desk):
        loop.tell(Observed("site", [(1, seen)], asyncio.Event()))
        await until(lambda: kept.held, task)

    play(pool, scene)
    assert kept.held == [(3, 1, "take in")]


def test_it_waits_for_the_store_to_hold_it(world, play, kept):
    """What could not be held is still there, and is held when the store is back."""
    pool = world.pool([world.job(1), world.job(2)])
    pool.poison[1] = ValueError("spoilt")
    kept.errors = [UnavailableError("the disk is full")]

    async def scene(_loop, task, _desk):
        await until(lambda: kept.held, task)

    play(pool, scene)
    assert kept.held == [(3, 1, "take in")]


def test_a_release_knows_how_parents_ended_meanwhile(world, play, kept):
    """Seed 6 with vouchers: such a child was pending for ever."""
    parent, child = world.job(1), world.job(2, after=(Dependency("j1", AfterCondition.FAIL),))
    pool = world.pool([])
    pool.aside[2] = Aside(2, "load", "torn", 5)
    kept.held.append((3, 2, "load"))
    ended = replace(parent, state=JobState.SUCCEEDED, succeeded=parent.pending, ended_ms=9)
    kept.found = Released(child, [], [ended])

    async def scene(_loop, task, desk):
        await desk.release(2, ADMIN)
        await until(lambda: 2 not in pool.jobs, task)

    play(pool, scene)


def test_a_child_of_what_is_set_aside_is_taken_and_waits(world):
    pool = world.pool([])
    pool.aside[1] = Aside(1, "load", "torn", 5)
    child = world.job(2, after=(Dependency("j1"),))

    asyncio.run(bring_parents(pool, None, [child]))
    pool.add_jobs([child])

    assert [row.pending for row in pool.rows()] == [0]


def test_a_release_goes_on_where_it_was(world, play, kept):
    pool = three(world)
    before = pool.jobs[1]

    async def scene(loop, task, desk):
        one = Aside(1, "record", "x", 5)
        kept.held.append((3, 1, "record"))
        pool.set_aside(one)
        view = await desk.show(ADMIN)
        assert [row.id for row in view.quarantined] == ["j1"]
        assert sights.overview(pool, 1, "v", 0.0, leader=True).notes == list(notes(pool))
        assert notes(pool) == ("1 job is set aside: fenglin job quarantine",)
        kept.found = Released(before, [world.allocation(1, 1, "0")], [])
        await desk.release(1, ADMIN)
        assert (await desk.show(ADMIN)).quarantined == []
        loop.tell(ends(1))
        await until(lambda: len(pool.jobs[1].succeeded) == 1, task)
        with pytest.raises(DeniedError):
            await desk.release(1, Principal("bo", frozenset({"write"})))
        with pytest.raises(NotFoundError):
            await desk.release(7, ADMIN)

    play(pool, scene)
    assert pool.aside == {}
    assert pool.aside_numbers == set()
    assert pool.jobs[1].state in tuple(JobState)
