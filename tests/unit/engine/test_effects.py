"""Calls to the outside: every answer is told as what it is, and a stop is never forgotten."""

import asyncio

import pytest
from structlog.contextvars import get_contextvars
from tests.unit.engine.fakevault import VALUE, FakeVault

from fenglin.engine import effects as room
from fenglin.engine.effects import Effects
from fenglin.engine.news import StartAnswered, StartRefused, StartUnclear
from fenglin.engine.recovery import resume
from fenglin.errors import (
    DamageError,
    DriverError,
    KeyMissingError,
    NotFoundError,
    UnavailableError,
)
from fenglin.model.job import FileInput
from fenglin.model.reason import Reason
from fenglin.model.secret import Secret
from fenglin.model.states import AttemptState
from fenglin.staging import FolderStaging


class Driver:
    """Fails with the errors it is given, one per call, and then does not."""

    def __init__(self, *errors, held=()):
        self.errors = list(errors)
        self.held = frozenset(held)
        self.calls = []
        self.orders = []
        self.most = self.now = 0

    async def _call(self, what, key):
        self.calls.append((what, key))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if self.errors:
            raise self.errors.pop(0)

    async def start(self, order):
        self.orders.append(order)
        await self._call("start", order.key)

    async def stop(self, key, _grace_ms):
        await self._call("stop", key)

    async def forget(self, key):
        await self._call("forget", key)

    async def keys(self):
        if self.errors:
            raise self.errors.pop(0)
        return self.held


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Run a scene with effects over a pool and one driver; returns what was told."""
    monkeypatch.setattr(room, "STOP_AGAIN_S", 0.0)

    def run(pool, driver, scene):
        async def inner():
            told = []
            effects = Effects(pool, {"site": driver}, FolderStaging(tmp_path), told.append)
            await scene(effects)
            async with asyncio.timeout(10):
                while effects._running:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            await effects.close()
            return told

        return asyncio.run(inner())

    return run


def one(world, **spec):
    pool = world.pool([world.job(**spec)], [world.allocation(1, 1, "0")])
    return pool, pool.allocations[1], pool.jobs[1]


@pytest.mark.parametrize(
    ("error", "news"),
    [
        (None, StartAnswered(1)),
        (DriverError("no"), StartRefused(1, Reason.START_FAILED, "no")),
        (DriverError("lost", effect_unknown=True), StartUnclear(1, "lost")),
        (UnavailableError("full"), StartRefused(1, Reason.START_FAILED, "full")),
        (
            DriverError("no more", reason="provider_quota"),
            StartRefused(1, Reason.PROVIDER_QUOTA, "no more"),
        ),
        (DriverError("no", reason="moon"), StartRefused(1, Reason.START_FAILED, "no")),
        (TimeoutError(), StartUnclear(1, "no answer in time")),
        (ZeroDivisionError("bug"), StartUnclear(1, "ZeroDivisionError: bug")),
    ],
)
def test_every_answer_is_told_as_what_it_is(world, play, error, news):
    pool, record, job = one(world)

    async def scene(effects):
        effects.start(record, job)
        effects.start(record, job)  # under way already

    driver = Driver(*([error] if error else []))
    assert play(pool, driver, scene) == [news]
    assert driver.calls == [("start", "hub-a1-1")]


def test_a_file_that_is_gone_is_no_fault_of_the_site(world, play):
    pool, record, job = one(world, files=(FileInput("x", sha256="0" * 64),))

    async def scene(effects):
        effects.start(record, job)

    driver = Driver()
    (news,) = play(pool, driver, scene)
    assert news.reason is Reason.STAGING_FAILED
    assert "gone" in news.why
    assert driver.calls == []


def test_an_order_says_which_try_it_is(world, play):
    pool, record, job = one(world)
    job.tries = {0: 2, 5: 1}

    async def scene(effects):
        effects.start(record, job)

    driver = Driver()
    play(pool, driver, scene)
    (order,) = driver.orders
    assert order.tries == ((0, 3),)
    assert (order.key, order.epoch, order.tasks) == ("hub-a1-1", 3, "0")


def test_a_stop_goes_on_until_the_site_has_heard_it(world, play):
    pool, record, _ = one(world)
    driver = Driver(DriverError("a"), TimeoutError(), OSError("b"), KeyError("bug"))

    async def scene(effects):
        effects.stop(record)

    play(pool, driver, scene)
    assert driver.calls == [("stop", "hub-a1-1")] * 5


def test_a_stop_ends_with_its_attempt(world, play):
    pool, record, _ = one(world)
    driver = Driver(*[DriverError("a")] * 1000)

    async def scene(effects):
        effects.stop(record)
        while len(driver.calls) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        pool.allocations.clear()

    play(pool, driver, scene)
    assert len(driver.calls) < 10


def test_a_site_is_called_by_few_at_once(world, play):
    count = 3 * room.MOST_CALLS_PER_SITE
    records = [world.allocation(n, 1, str(n)) for n in range(1, count + 1)]
    pool = world.pool([world.job(tasks=count + 1)], records)

    async def scene(effects):
        for record in records:
            effects.start(record, pool.jobs[1])

    driver = Driver()
    told = play(pool, driver, scene)
    assert len(told) == count
    assert driver.most == room.MOST_CALLS_PER_SITE


def test_a_site_that_is_no_longer_configured_is_left_in_peace(world, play):
    pool, record, job = one(world)
    record.site = "gone"

    async def scene(effects):
        effects.start(record, job)
        effects.stop(record)
        effects.forget("gone", "hub-a1-1", 1)

    assert play(pool, Driver(), scene) == []


class Ear:
    def __init__(self):
        self.told = []

    def tell(self, news):
        self.told.append(news)


def test_what_the_last_hub_left_half_done_is_taken_up(world, play):
    states = [AttemptState.INTENT, AttemptState.RUNNING, AttemptState.STOPPING]
    records = [world.allocation(n, 1, str(n), state=s) for n, s in enumerate(states, 1)]
    pool = world.pool([world.job(tasks=4)], records)
    ear, driver = Ear(), Driver()

    async def scene(effects):
        resume(pool, ear, effects)

    play(pool, driver, scene)
    assert [news.allocation for news in ear.told if isinstance(news, StartUnclear)] == [1]
    assert driver.calls == [("stop", "hub-a3-1")]


def test_each_line_of_the_log_says_what_it_concerns(world, play):
    pool, record, job = one(world)
    said = {}

    class Telling(Driver):
        async def _call(self, what, _key):
            said[what] = await asyncio.to_thread(get_contextvars)

    async def scene(effects):
        effects.start(record, job)
        effects.stop(record)
        effects.forget("site", "hub-a7-1", 7)

    play(pool, Telling(), scene)
    ours = {"site": "site", "job": "j1", "attempt": "hub-a1-1"}
    assert said == {"start": ours, "stop": ours, "forget": {"site": "site"}}
    assert get_contextvars() == {}


def start_with(vault, record, job):
    async def scene(effects):
        effects._vault = vault
        effects.start(record, job)

    return scene


def test_secrets_are_opened_for_the_start_alone(world, play):
    pool, record, job = one(world, secrets=(("TOKEN", "db"),))
    driver, vault = Driver(), FakeVault()

    told = play(pool, driver, start_with(vault, record, job))

    assert told == [StartAnswered(1)]
    assert vault.asked == [("default", (("TOKEN", "db"),))]
    assert driver.orders[0].secrets == (("TOKEN", Secret(VALUE)),)
    assert VALUE not in repr((driver.orders, told))


@pytest.mark.parametrize(
    "vault",
    [
        None,
        FakeVault(NotFoundError("there is no secret 'db'")),
        FakeVault(DamageError("no key", where="/hub/secrets.key")),
    ],
)
def test_a_secret_that_cannot_be_opened_is_no_fault_of_the_site(world, play, vault):
    pool, record, job = one(world, secrets=(("TOKEN", "db"),))
    driver = Driver()

    (news,) = play(pool, driver, start_with(vault, record, job))

    assert (news.reason, driver.calls) == (Reason.SECRET_UNAVAILABLE, [])
    assert news.why in ("this hub keeps no secrets", "there is no secret 'db'", "no key")


def test_a_key_that_the_hub_lacks_is_told_apart(world, play):
    pool, record, job = one(world, secrets=(("TOKEN", "db"),))
    driver = Driver()
    gone = KeyMissingError("no key", where="/hub/secrets.key", key="abc")

    told = play(pool, driver, start_with(FakeVault(gone), record, job))

    assert told == [StartRefused(1, Reason.SECRET_KEY_MISSING, "no key", "abc")]
    assert driver.calls == []


@pytest.mark.parametrize(
    "error",
    [
        DriverError(f"cannot run 'x {VALUE}'", hint=f"is {VALUE!r} right?"),
        DriverError(VALUE, effect_unknown=True),
        ZeroDivisionError(VALUE),
    ],
)
def test_a_driver_that_quotes_a_secret_is_not_quoted(world, play, error, capsys):
    pool, record, job = one(world, secrets=(("TOKEN", "db"),))

    (news,) = play(pool, Driver(error), start_with(FakeVault(), record, job))

    assert VALUE not in repr(news)
    assert "***" in news.why
    assert VALUE not in "".join(capsys.readouterr())
