"""After a start: nothing new before what sites hold is known, and what nobody knows has ended."""

import asyncio

import pytest

from fenglin.engine import recovery as room
from fenglin.engine.recovery import Recovery
from fenglin.errors import DriverError
from fenglin.model.states import SiteState
from fenglin.ports.driver import Observation, Presence


class Driver:
    """Holds keys with what they are; fails with the errors it is given, one per listing."""

    def __init__(self, held=(), errors=()):
        self.held = dict(held)
        self.errors = list(errors)
        self.stopped = []

    async def keys(self):
        if self.errors:
            raise self.errors.pop(0)
        return frozenset(self.held)

    async def observe(self, cursors):
        return [Observation(key, self.held.get(key, Presence.ABSENT)) for key in cursors]

    async def stop(self, key, _grace_ms):
        self.stopped.append(key)


@pytest.fixture
def scene(world, effects, monkeypatch):
    """Return a pool whose newest stored allocation is 4, and its recovery over one driver."""
    monkeypatch.setattr(room, "AGAIN_S", 0.001)

    def make(driver):
        pool = world.pool([world.job(tasks=4)], [world.allocation(1, 1, "0")])
        pool.next_allocation, pool.last_stored = 5, 4
        told = []
        made = Recovery(pool, {"site": driver}, effects, lambda: told.append("replan"))
        return pool, made, told

    return make


async def settled(pool, made):
    """Let it go on until the site may get work."""
    task = asyncio.create_task(made.run())
    try:
        async with asyncio.timeout(30):
            while pool.sites["site"].unready:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    finally:
        task.cancel()


def test_nothing_starts_before_a_site_is_listed(scene):
    pool, made, told = scene(Driver())
    assert pool.sites["site"].effective().state is SiteState.DOWN

    asyncio.run(made.look())
    assert pool.sites["site"].effective().state is SiteState.ACTIVE
    assert told


def test_only_what_is_ours_is_touched(scene, effects):
    ended, runs = Presence.ENDED, Presence.RUNNING
    driver = Driver(
        {
            "hub-a1-1": runs,
            "hub-a2-1": ended,
            "hub-a9-1": runs,
            "other-a2-1": runs,
            "junk": runs,
            "hub-a٣-1": runs,
        }
    )
    pool, made, _ = scene(driver)
    asyncio.run(made.look())

    # Live: left alone. Ours and ended: forgotten. Ours and never heard of: stopped.
    assert effects.calls == [("forget", "site", "hub-a2-1", 2)]
    assert driver.stopped == ["hub-a9-1"]
    assert pool.next_allocation == 10


def test_nothing_starts_before_what_nobody_knows_has_ended(scene, effects):
    driver = Driver({"hub-a9-1": Presence.RUNNING})
    pool, made, _ = scene(driver)

    async def play():
        await made.look()
        assert "being stopped at site" in pool.sites["site"].effective().state_reason
        driver.held["hub-a9-1"] = Presence.ENDED
        await settled(pool, made)

    asyncio.run(play())
    assert effects.calls == [("forget", "site", "hub-a9-1", 9)]


def test_what_was_given_up_and_runs_after_all_is_stopped(scene):
    driver = Driver({"hub-a3-1": Presence.RUNNING})
    _, made, _ = scene(driver)
    asyncio.run(made.look())

    assert driver.stopped == ["hub-a3-1"]


def test_an_operator_goes_on_without_a_site_by_draining_it(scene):
    pool, made, _ = scene(Driver({"hub-a9-1": Presence.RUNNING}))
    pool.sites["site"].drained = "broken"
    asyncio.run(made.look())

    assert not pool.sites["site"].unready


@pytest.mark.parametrize("error", [DriverError("no"), TimeoutError(), KeyError("bug")])
def test_a_site_that_cannot_be_listed_keeps_no_hub_down_and_is_asked_again(scene, error):
    pool, made, _ = scene(Driver(errors=[error, error]))

    async def play():
        await made.look()
        assert "cannot be listed" in pool.sites["site"].unready
        await settled(pool, made)

    asyncio.run(play())
    assert not pool.sites["site"].unready
