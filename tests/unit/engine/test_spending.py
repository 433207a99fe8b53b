"""Past use: exact whenever it is asked for, alive after a restart, off when nobody asks."""

import pytest
from msgspec import structs

from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.spending import Spending
from fenglin.fairness.decay import accrued, decayed
from fenglin.planner.policy import BALANCED
from fenglin.ports.driver import Observation, Presence
from fenglin.quantities.resources import Resources

HOUR_MS = 3_600_000
POOL = (4_000, 100, 0, 0)
HALF = Resources(2_000)


def test_a_queue_spends_while_it_holds_and_forgets_after():
    spending = Spending(HOUR_MS, POOL, {"b": 7_000.0}, 0)
    spending.hold("a", HALF, 1)
    spending.advance(HOUR_MS)
    spending.hold("a", HALF, -1)
    spending.advance(2 * HOUR_MS)
    held = accrued(0.5, HOUR_MS, HOUR_MS)
    assert spending.spent_ms() == {"a": round(decayed(held, HOUR_MS, HOUR_MS)), "b": 1_750}


def test_how_often_it_is_asked_changes_nothing():
    once, often = (Spending(HOUR_MS, POOL, {}, 0) for _ in range(2))
    for spending in (once, often):
        spending.hold("a", HALF, 1)
    for now_ms in range(0, HOUR_MS, 60_000):
        often.advance(now_ms)
    often.advance(HOUR_MS)
    once.advance(HOUR_MS)
    assert often.spent_ms()["a"] == pytest.approx(once.spent_ms()["a"], abs=1)


def test_names_do_not_pile_up_and_time_never_runs_back():
    spending = Spending(1_000, POOL, {"a": 900.0}, 10_000)
    spending.advance(5_000)
    assert spending.spent_ms() == {"a": 900}
    spending.advance(60_000)
    assert spending.spent_ms() == {}


def running(world, **more):
    """Return a pool in which one queue's job holds 1 of 64 cores."""
    job = world.job(1, tasks=4, queue="a")
    pool = world.pool([job], [world.allocation(7, 1, "0-3")])
    for name, value in more.items():
        setattr(pool, name, value)
    return pool


def test_the_pool_tells_the_planner(world):
    pool = running(world)
    assert pool.snapshot(HOUR_MS).queue_spent_ms.tolist() == [0]
    pool.remember_use(HOUR_MS, 0)
    spent = round(accrued(1 / 64, HOUR_MS, HOUR_MS))
    assert pool.snapshot(HOUR_MS).queue_spent_ms.tolist() == [spent]


def test_an_end_stops_it(world):
    pool = running(world)
    pool.remember_use(HOUR_MS, 0)
    gone = Observation("hub-a7-1", Presence.ENDED, (), 0, 0, "9")
    world.fold(pool, lambda fold: fold.observed(gone, 7), now_ms=HOUR_MS)
    spent = accrued(1 / 64, HOUR_MS, HOUR_MS)
    assert pool.spent_ms(HOUR_MS) == {"a": round(spent)}
    assert pool.spent_ms(2 * HOUR_MS) == {"a": round(spent / 2)}


def test_a_restart_goes_on_from_what_was_stored(world):
    """What the live allocations held while the hub was down counts too."""
    whole = running(world)
    whole.remember_use(HOUR_MS, 0)
    stored = whole.spent_ms(HOUR_MS)
    again = running(world, _stored_spent_ms=stored, _stored_spent_at_ms=HOUR_MS)
    again.remember_use(HOUR_MS, 3 * HOUR_MS)
    (ours,), (theirs,) = again.spent_ms(3 * HOUR_MS).values(), whole.spent_ms(3 * HOUR_MS).values()
    assert ours == pytest.approx(theirs, abs=1)


@pytest.mark.parametrize(("decay_ms", "known"), [(0, False), (HOUR_MS, True)])
def test_the_policy_says_whether_anything_is_remembered(world, store, clock, decay_ms, known):
    pool = running(world)
    Loop(pool, store, structs.replace(BALANCED, decay_ms=decay_ms), clock, Meters())
    assert (pool.spent_ms(clock.now_ms()) is not None) == known
