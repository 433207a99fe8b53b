"""The loop: loses no news, no wake and no effect, and rests when there is nothing to do."""

import asyncio
from contextlib import suppress

import pytest
from msgspec import structs

from fenglin.engine import loop as room
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.news import (
    CancelAsked,
    JobsAdded,
    Observed,
    SiteSeen,
    StartAnswered,
    StartRefused,
    StartUnclear,
)
from fenglin.errors import StaleEpochError, UnavailableError
from fenglin.model.allocation import TaskEnd
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.planner.policy import BALANCED, CONSERVATIVE
from fenglin.ports.driver import Observation, Presence, SiteReport
from fenglin.quantities.taskset import TaskSet
from fenglin.testing.builders import a_site


@pytest.fixture
def play(store, effects, clock, monkeypatch):
    """Run a scene with a running loop over a pool."""
    monkeypatch.setattr(room, "STORE_RETRY_S", 0.0)
    monkeypatch.setattr(room, "REST_PER_WORK", 0.0)

    def run(pool, scene, policy=BALANCED):
        async def inner():
            loop = Loop(pool, store, policy, clock, Meters())
            loop.ended = []
            loop.connect(effects, lambda _changed, ended: loop.ended.extend(ended))
            task = asyncio.create_task(loop.run())
            try:
                async with asyncio.timeout(20):
                    return await scene(loop, task)
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError, StaleEpochError):
                    await task

        return asyncio.run(inner())

    return run


async def until(wanted):
    async with asyncio.timeout(10):
        while not wanted():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.001)


async def settle():
    """Let the loop do all that it wants to do without time passing."""
    for _ in range(50):
        await asyncio.sleep(0)


def ended(number=1, index=0):
    one = TaskEnd(index, 1_000, 50)
    seen = Observation(f"hub-a{number}-1", Presence.ENDED, (one,), 1, 1_000, "9")
    return Observed("site", [(number, seen)], asyncio.Event())


def test_a_job_is_planned_committed_and_only_then_started(world, play, store, effects):
    pool = world.pool([world.job()])

    async def scene(_loop, _task):
        await until(lambda: effects.calls)

    play(pool, scene)
    (change,) = store.changes
    assert [unit.allocation.job for unit in change.starts] == [1]
    assert effects.calls == [("start", 1, 1)]
    assert pool.jobs[1].state is JobState.RUNNING


def test_what_a_plan_promises_the_next_one_sees(world, play):
    """Job 2 waits for the 64 cores that a1 holds."""
    pool = world.pool([world.job(1), world.job(2)], [world.allocation(1, 1, "0", slots=64)])

    async def scene(loop, _task):
        await until(lambda: loop.last)
        first = loop.last
        loop.replan()
        await until(lambda: loop.last is not first)
        return first.plan.reservations, loop.last.snapshot.held_job.tolist()

    promised, held = play(pool, scene, CONSERVATIVE)
    assert [one.job for one in promised] == held == [2]


def test_a_store_that_is_away_loses_no_news(world, play, store, effects):
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])
    store.errors = [UnavailableError("the disk is full")] * 3

    async def scene(loop, _task):
        news = ended()
        loop.tell(news)
        problems = set()
        while not news.taken.is_set():
            problems.add(loop.problem)
            assert 1 in pool.jobs  # nothing is believed before it is committed
            await asyncio.sleep(0)
        await until(lambda: not loop.problem)
        return problems, loop.ended

    problems, gone = play(pool, scene)
    assert any("disk is full" in problem for problem in problems)
    assert [job.state for job in gone] == [JobState.SUCCEEDED]
    assert ("forget", "site", "hub-a1-1", 1) in effects.calls


def test_balances_that_cannot_be_read_keep_no_committed_start_back(world, play, store, effects):
    pool = world.pool([world.job()])
    store.balance_errors = [UnavailableError("busy")] * 2

    async def scene(loop, _task):
        await until(lambda: effects.calls)
        loop.replan()
        await until(lambda: not store.balance_errors)
        await until(lambda: not loop.problem)

    play(pool, scene)
    assert effects.calls == [("start", 1, 1)]


def test_a_cancel_is_answered_when_durable_and_refused_when_not(world, play, store, effects):
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])

    async def scene(loop, _task):
        await settle()
        store.errors = [UnavailableError("away")]
        answers = []
        for _ in range(2):
            done = asyncio.get_running_loop().create_future()
            loop.tell(CancelAsked(1, "ann", done))
            answers.append((await asyncio.gather(done, return_exceptions=True))[0])
        return answers

    first, second = play(pool, scene)
    assert isinstance(first, UnavailableError)
    assert second is None
    assert effects.calls[-1] == ("stop", 1)


def test_a_cancel_of_some_tasks_reaches_the_site_as_soon_as_it_runs_them(world, play, effects):
    site = structs.replace(a_site(cpu=64), capabilities=("stop_tasks",))
    record = world.allocation(1, 1, "0-2", state=AttemptState.UNKNOWN)
    pool = world.pool([world.job(tasks=3)], [record], sites=[site])

    async def scene(loop, _task):
        await settle()
        done = asyncio.get_running_loop().create_future()
        loop.tell(CancelAsked(1, "ann", done, tasks=TaskSet.of([1])))
        await done
        before = list(effects.calls)
        loop.tell(StartAnswered(1))
        await until(lambda: effects.calls)
        return before

    assert play(pool, scene) == []
    assert effects.calls == [("stop_tasks", 1, "1")]


def test_a_stale_epoch_ends_the_loop(world, play, store):
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])
    store.errors = [StaleEpochError("another leads")]

    async def scene(loop, task):
        loop.tell(ended())
        with pytest.raises(StaleEpochError):
            await task
        return loop.alive

    assert play(pool, scene) is False


def test_a_refused_start_rests_the_site_and_wakes_by_itself(
    world, play, store, effects, clock, monkeypatch
):
    monkeypatch.setattr(room, "MOST_SLEEP_S", 0.01)
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])

    async def scene(loop, _task):
        store.errors = [UnavailableError("away")] * 5
        loop.tell(StartRefused(1, Reason.START_FAILED, "no route"))
        await until(lambda: pool.sites["site"].resting)
        text = pool.sites["site"].resting
        await settle()
        assert effects.calls == [("forget", "site", "hub-a1-1", 1)]
        clock.advance(500)  # the first rest, however often the store had failed
        await until(lambda: len(effects.calls) > 1)
        return text

    assert "1 refused starts: no route" in play(pool, scene)
    assert effects.calls[-1] == ("start", 2, 1)


def test_a_refusal_that_comes_after_the_end_is_no_hot_circle(world, play, clock, monkeypatch):
    monkeypatch.setattr(room, "MOST_SLEEP_S", 0.01)
    pool = world.pool([world.job()])

    async def scene(loop, _task):
        loop.tell(StartRefused(9, Reason.START_FAILED, "a node of it is down"))
        await settle()
        clock.advance(60_000)
        await asyncio.sleep(0.05)
        before = pool.cycle
        await asyncio.sleep(0.05)
        return pool.cycle - before

    assert play(pool, scene) == 0


def test_a_start_that_the_store_refuses_is_no_hot_circle(world, play, store, clock, monkeypatch):
    monkeypatch.setattr(room, "MOST_SLEEP_S", 0.01)
    pool = world.pool([world.job()])
    store.refuse = {1: Reason.CHANGED_MEANWHILE}

    async def scene(_loop, _task):
        await settle()
        before = len(store.changes)
        clock.advance(room.REFUSED_REST_MS)
        await until(lambda: len(store.changes) > before)
        return before

    assert play(pool, scene) == 1


def test_an_unclear_start_is_looked_up_and_made_again_under_its_key(world, play, effects):
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])

    async def scene(loop, _task):
        loop.tell(StartUnclear(1, "no answer"))
        await until(lambda: pool.allocations[1].state is AttemptState.UNKNOWN)
        assert effects.calls == []
        absent = Observation("hub-a1-1", Presence.ABSENT)
        loop.tell(Observed("site", [(1, absent)], asyncio.Event()))
        await until(lambda: effects.calls)
        loop.tell(StartAnswered(1))
        await until(lambda: pool.allocations[1].state is AttemptState.RUNNING)

    play(pool, scene)
    assert effects.calls == [("start", 1, 1)]


def test_absence_is_believed_only_in_time(world, play, clock):
    record = world.allocation(1, 1, "0", state=AttemptState.RUNNING, cursor="3")
    pool = world.pool([world.job()], [record])

    async def scene(loop, _task):
        async def absent():
            news = Observed(
                "site", [(1, Observation("hub-a1-1", Presence.ABSENT))], asyncio.Event()
            )
            loop.tell(news)
            await news.taken.wait()

        await absent()
        clock.advance(299_999)
        await absent()
        assert 1 in pool.allocations
        clock.advance(1)
        await absent()
        assert 1 not in pool.allocations

    play(pool, scene)


def test_a_listing_that_waited_says_nothing_of_the_time_since(world, play, clock):
    """Seed 12487: one listing, folded again and again while the disk was full, aged by itself."""
    record = world.allocation(1, 1, "0", state=AttemptState.RUNNING, cursor="3")
    pool = world.pool([world.job()], [record])

    async def scene(loop, _task):
        async def absent(at_ms):
            seen = [(1, Observation("hub-a1-1", Presence.ABSENT))]
            news = Observed("site", seen, asyncio.Event(), at_ms)
            loop.tell(news)
            await news.taken.wait()

        clock.advance(400_000)
        await absent(1_000)
        await absent(1_000)
        await absent(300_999)
        assert 1 in pool.allocations
        await absent(301_000)
        assert 1 not in pool.allocations

    play(pool, scene)


def test_an_idle_loop_does_nothing(world, play, monkeypatch):
    monkeypatch.setattr(room, "MOST_SLEEP_S", 0.001)
    pool = world.pool()

    async def scene(loop, _task):
        await settle()
        first = pool.cycle
        await asyncio.sleep(0.05)  # some dozens of looks at the clock, and no cycle
        assert pool.cycle == first
        loop.tell(StartAnswered(99))  # news of no weight makes no plan either
        await settle()
        assert pool.cycle == first
        loop.replan()
        await until(lambda: pool.cycle == first + 1)

    play(pool, scene)


def test_time_alone_starts_a_job_also_when_the_date_jumps(world, play, effects, clock, monkeypatch):
    monkeypatch.setattr(room, "MOST_SLEEP_S", 0.005)
    pool = world.pool([world.job(not_before_ms=clock.date_ms + 3_600_000)])

    async def scene(_loop, _task):
        await settle()
        assert effects.calls == []
        clock.date_ms += 3_600_001  # the date alone
        await until(lambda: effects.calls)

    play(pool, scene)


def test_a_site_that_comes_back_is_planned_for(world, play, effects):
    pool = world.pool([world.job()])
    status = pool.sites["site"]
    report = status.report

    async def scene(loop, _task):
        loop.tell(SiteSeen("site", None, "no answer"))
        await until(lambda: status.down)
        await settle()
        loop.tell(SiteSeen("site", SiteReport(report.flavors, report.nodes)))
        await until(lambda: effects.calls)

    status.down = "not yet seen"
    play(pool, scene)


def test_a_submit_is_planned_at_once(world, play, effects):
    pool = world.pool()

    async def scene(loop, _task):
        await settle()
        job = world.job(7)
        pool.add_jobs([job])
        loop.tell(JobsAdded([job]))
        await until(lambda: effects.calls)

    play(pool, scene)
    assert effects.calls == [("start", 1, 7)]


def test_much_news_is_committed_in_parts_in_its_order(world, play, store, monkeypatch):
    """Whoever submits waits for the commit that is under way."""
    monkeypatch.setattr("fenglin.engine.news.MOST_RECORDED", 2)
    records = [world.allocation(n, n, "0", state=AttemptState.RUNNING) for n in range(1, 8)]
    pool = world.pool([world.job(n) for n in range(1, 8)], records)

    async def scene(loop, _task):
        for number in (1, 2, 3):
            loop.tell(ended(number))
        ends = ended(4).observations[0][1]
        more = [
            (n, Observation(f"hub-a{n}-1", ends.presence, ends.ends, 1, 1_000, "9"))
            for n in (4, 5, 6)
        ]
        loop.tell(Observed("site", more, asyncio.Event()))
        loop.tell(ended(7))
        await until(lambda: not pool.allocations)
        return [[record.number for record in change.allocations] for change in store.changes]

    assert [part for part in play(pool, scene) if part] == [[1, 2], [3], [4, 5, 6], [7]]
