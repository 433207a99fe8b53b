"""Jobs wait for a key that the hub lacks: no try is lost, no site blamed, and each is told why."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import pytest
from tests.unit.engine.fakevault import FakeVault

from fenglin.engine import keyless as room
from fenglin.engine.keyless import Keyless, Lack, watch
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.news import StartRefused
from fenglin.engine.receipts import held_back
from fenglin.engine.safety import notes
from fenglin.engine.sights import with_held, with_reasons
from fenglin.errors import DamageError, KeyMissingError, NotFoundError, UnavailableError
from fenglin.model.reason import Reason
from fenglin.model.states import JobState
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED
from fenglin.wire.views import JobView, TaskCounts

TOKEN = (("TOKEN", "db"),)
WHY = "the key abc, which seals the secret 'db', is not in the hub's key file"
LACK = Lack("abc", WHY)
GONE = KeyMissingError(WHY, key="abc")


async def until(wanted):
    while not wanted():  # noqa: ASYNC110 - what is waited for is no event
        await asyncio.sleep(0.001)


def planned(pool):
    return sorted(plan(pool.snapshot(1_000), BALANCED).order)


def look(pool, error=None):
    return asyncio.run(pool.keyless.look(FakeVault(error), pool.jobs.values()))


@pytest.fixture
def pool(world):
    """Jobs 1 and 2 have the same secrets, 3 another of the account, 4 none."""
    jobs = [
        world.job(1, secrets=TOKEN),
        world.job(2, secrets=TOKEN),
        world.job(3, secrets=(("TOKEN", "web"),)),
        world.job(4),
    ]
    return world.pool(jobs)


def test_all_jobs_with_the_same_secrets_wait_and_no_others(pool):
    assert planned(pool) == [1, 2, 3, 4]
    pool.keyless.put_off(pool.jobs[1].spec, LACK)

    assert planned(pool) == [3, 4]
    assert pool.keyless.waits() == {"abc": 2}
    assert pool.held_back(2) == (Reason.SECRET_KEY_MISSING, WHY)
    assert pool.held_back(3) is None
    assert Reason.SECRET_KEY_MISSING.transient
    assert any("the key abc" in note and "2" in note for note in notes(pool))


def test_who_asks_is_told_why(pool):
    pool.keyless.put_off(pool.jobs[1].spec, LACK)
    made = plan(pool.snapshot(1_000), BALANCED)
    views = [
        JobView(
            f"j{n}",
            "x",
            "default",
            "default",
            0,
            "pending",
            "",
            "",
            1,
            TaskCounts(1, 0, 0, 0, 0),
            1,
            0,
            0,
            0,
            0,
            0,
        )
        for n in (1, 4)
    ]

    waiting, sound = with_reasons(views, made, pool.held_back)

    assert (waiting.reason, waiting.detail) == ("secret_key_missing", WHY)
    assert sound.reason != "secret_key_missing"
    assert with_held(waiting, (Reason.USER_BRAKED, "x")) is waiting
    receipt = held_back(pool.row_of(1), 7, BALANCED, *pool.held_back(1))
    assert (receipt.reason, receipt.waiting, receipt.started) == (Reason.SECRET_KEY_MISSING, 1, 0)
    assert WHY in receipt.change


def test_a_key_that_is_back_lets_all_go(pool):
    pool.keyless.put_off(pool.jobs[1].spec, LACK)
    assert not look(pool, GONE)
    assert planned(pool) == [3, 4]

    assert look(pool)
    assert planned(pool) == [1, 2, 3, 4]
    assert pool.keyless.waits() == {}
    assert pool.held_back(1) is None


@pytest.mark.parametrize(
    ("error", "goes"),
    [
        (DamageError("it was changed in the database"), True),
        (NotFoundError("there is no secret 'db'"), True),
        (OSError("?"), True),
        (UnavailableError("the disk is full"), False),
        (KeyMissingError("another key", key="def"), False),
    ],
)
def test_what_no_key_can_mend_is_left_to_the_next_start(pool, error, goes):
    pool.keyless.put_off(pool.jobs[1].spec, LACK)

    assert look(pool, error) is goes
    assert planned(pool) == ([1, 2, 3, 4] if goes else [3, 4])
    key = "def" if isinstance(error, KeyMissingError) else "abc"
    assert pool.keyless.waits() == ({} if goes else {key: 2})


def test_nothing_is_waited_for_when_nobody_wants_it(world):
    ended = world.job(1, secrets=TOKEN)
    pool = world.pool([])
    pool.keyless.put_off(ended.spec, LACK)

    vault = FakeVault(GONE)
    assert asyncio.run(pool.keyless.look(vault, [])) is True
    assert asyncio.run(Keyless().look(vault, [ended])) is False
    assert vault.asked == []


def test_the_watch_looks_again_and_asks_for_a_plan(pool, monkeypatch):
    monkeypatch.setattr(room, "LOOK_S", 0.0)
    pool.keyless.put_off(pool.jobs[1].spec, LACK)
    vault = FakeVault(GONE)

    async def scene():
        planned_again = asyncio.Event()
        task = asyncio.create_task(watch(pool, vault, planned_again.set))
        try:
            async with asyncio.timeout(30):
                await until(lambda: len(vault.asked) >= 3)
                assert not planned_again.is_set()
                vault.error = None
                await planned_again.wait()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(scene())
    assert set(vault.asked) == {("default", TOKEN)}


def test_a_start_without_its_key_costs_no_try_and_blames_no_site(world, store, effects, clock):
    """It ends as if it had never been; what has another secret goes on at the same site."""
    pool = world.pool(
        [world.job(1, tasks=3, secrets=TOKEN)], [world.allocation(1, 1, "0-2", slots=3)]
    )
    meters = Meters()

    async def scene():
        loop = Loop(pool, store, BALANCED, clock, meters)
        loop.connect(effects, lambda *_: None)
        task = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(30):
                loop.tell(StartRefused(1, Reason.SECRET_KEY_MISSING, WHY, "abc"))
                await until(lambda: loop.last and pool.keyless.waits() == {"abc": 1})
                assert ("start", 2, 1) not in effects.calls
                assert await pool.keyless.look(FakeVault(), pool.jobs.values())
                loop.replan()
                await until(lambda: ("start", 2, 1) in effects.calls)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(scene())
    refused = store.changes[0]
    assert refused.tries == []
    assert [job.state for job in refused.jobs] == [JobState.PENDING]
    assert [one.reason for one in refused.allocations] == [Reason.SECRET_KEY_MISSING]
    assert (dict(pool.jobs[1].tries), pool.jobs[1].retry_at_ms) == ({}, 0)
    assert pool.sites["site"].resting == ""
    text = meters.expose(1, 1).decode()
    assert "fenglin_starts_put_off_total 1.0" in text


def test_a_refusal_of_an_attempt_that_is_gone_says_nothing(pool):
    pool.put_off(SimpleNamespace(allocation=9, key="abc", why=WHY))
    assert planned(pool) == [1, 2, 3, 4]
