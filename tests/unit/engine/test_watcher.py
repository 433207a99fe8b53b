"""Watchers: never twice from one cursor, and each site waits only for itself."""

import asyncio

import pytest

from fenglin.engine.news import Observed, SiteSeen
from fenglin.engine.watcher import Watcher
from fenglin.errors import DriverError
from fenglin.model.states import AttemptState
from fenglin.ports.driver import Observation, Presence, SiteReport
from fenglin.testing.builders import a_site


class Driver:
    """Answers from a list of observations, a fault, or never."""

    def __init__(self):
        self.asked = []
        self.answer = []
        self.error = None
        self.hang = asyncio.Event()
        self.hang.set()

    async def inventory(self):
        if self.error:
            raise self.error
        return SiteReport((), ())

    async def observe(self, cursors):
        self.asked.append(dict(cursors))
        await self.hang.wait()
        if self.error:
            raise self.error
        return self.answer


def seen(number=1, cursor="5", presence=Presence.RUNNING):
    return Observation(f"hub-a{number}-1", presence, cursor=cursor)


@pytest.fixture
def watch(world, clock):
    """Run a scene with one watcher over an allocation at cursor 3."""

    def run(scene, state=AttemptState.RUNNING):
        async def inner():
            record = world.allocation(1, 1, "0", cursor="3", state=state)
            pool = world.pool([world.job()], [record])
            driver, told = Driver(), []
            watcher = Watcher("site", driver, pool, clock, told.append)
            task = asyncio.create_task(watcher.run())
            try:
                await scene(watcher, driver, told, pool)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(inner())

    return run


async def turns(watcher, count=3):
    for _ in range(count):
        watcher.wake()
        for _ in range(10):
            await asyncio.sleep(0)


def observed(told):
    return [news for news in told if isinstance(news, Observed)]


def test_it_asks_again_only_when_its_news_is_committed(watch):
    async def scene(watcher, driver, told, pool):
        driver.answer = [seen()]
        await turns(watcher)
        assert driver.asked == [{"hub-a1-1": "3"}]
        (news,) = observed(told)
        pool.allocations[1].cursor = "5"
        news.taken.set()
        await turns(watcher)
        assert driver.asked[-1] == {"hub-a1-1": "5"}
        assert len(observed(told)) == 1  # the same again is no news

    watch(scene)


def test_much_news_is_told_in_parts_and_all_of_it_is_waited_for(world, clock, monkeypatch):
    monkeypatch.setattr("fenglin.engine.watcher.MOST_OBSERVED", 2)

    async def scene():
        records = [world.allocation(n, 1, str(n), cursor="3") for n in range(1, 6)]
        pool = world.pool([world.job(tasks=9)], records)
        driver, told = Driver(), []
        driver.answer = [seen(n) for n in range(1, 6)]
        watcher = Watcher("site", driver, pool, clock, told.append)
        task = asyncio.create_task(watcher.run())
        await turns(watcher)
        parts = [[number for number, _ in news.observations] for news in observed(told)]
        for news in observed(told)[:-1]:
            news.taken.set()
        await turns(watcher)
        before = len(driver.asked)
        observed(told)[-1].taken.set()
        await turns(watcher)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return parts, before, len(driver.asked)

    parts, before, after = asyncio.run(scene())
    assert parts == [[1, 2], [3, 4], [5]]
    assert before == 1
    assert after > 1


def test_two_absences_with_a_presence_between_are_not_one(watch):
    async def scene(watcher, driver, told, _pool):
        presences = [Presence.ABSENT, Presence.RUNNING, Presence.RUNNING, Presence.ABSENT]
        for presence in presences:
            driver.answer = [seen(cursor="3", presence=presence)]
            await turns(watcher, 1)
            if news := observed(told):
                news[-1].taken.set()
                await turns(watcher, 0)
        told_of = [news.observations[0][1].presence for news in observed(told)]
        # That it is there again is news once, however little else is new.
        assert told_of == [Presence.ABSENT, Presence.RUNNING, Presence.ABSENT]

    watch(scene)


@pytest.mark.parametrize(
    ("state", "observation", "news"),
    [
        ("running", seen(cursor="3"), False),
        ("intent", seen(cursor="3"), True),
        ("stopping", seen(cursor="3"), False),
        ("stopping", seen(cursor="3", presence=Presence.ENDED), True),
        ("running", seen(cursor="", presence=Presence.UNKNOWN), False),
        ("running", seen(cursor="", presence=Presence.ABSENT), True),
        ("running", seen(number=2), False),
    ],
)
def test_what_is_news(watch, state, observation, news):
    async def scene(watcher, driver, told, _pool):
        driver.answer = [observation]
        await turns(watcher)
        assert bool(observed(told)) == news

    watch(scene, AttemptState(state))


@pytest.mark.parametrize("error", [DriverError("no route"), OSError("io"), KeyError("a bug")])
def test_a_fault_downs_the_site_and_not_the_watcher(watch, error):
    async def scene(watcher, driver, told, _pool):
        driver.error = error
        await turns(watcher)
        assert all(isinstance(news, SiteSeen) and news.report is None for news in told)
        assert str(error) in told[-1].problem
        driver.error = None
        driver.answer = [seen()]
        await turns(watcher)
        assert observed(told)

    watch(scene)


def test_a_hanging_site_delays_nobody_else(world, clock):
    async def scene():
        sites = (a_site("one"), a_site("two"))
        records = [world.allocation(n, 1, str(n)) for n in (1, 2)]
        records[0].site, records[1].site = "one", "two"
        pool = world.pool([world.job(tasks=3)], records, sites=sites)
        slow, quick, told = Driver(), Driver(), []
        slow.hang.clear()
        quick.answer = [seen(2)]
        watchers = [
            Watcher("one", slow, pool, clock, told.append),
            Watcher("two", quick, pool, clock, told.append),
        ]
        tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
        for watcher in watchers:
            await turns(watcher)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return observed(told)

    assert [news.site for news in asyncio.run(scene())] == ["two"]


def test_many_attempts_are_looked_at_less_often(watch, monkeypatch):
    monkeypatch.setattr("fenglin.engine.watcher.FEW_ATTEMPTS", 0)
    monkeypatch.setattr("fenglin.engine.watcher.WAIT_PER_ATTEMPT_S", 3600.0)

    async def scene(watcher, driver, _told, _pool):
        await turns(watcher)
        assert len(driver.asked) == 1

    watch(scene)
