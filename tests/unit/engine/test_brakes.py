"""A user whose jobs fail gets one at a time; a restarted hub starts no faster than it should."""

from dataclasses import replace

import pytest

from fenglin.engine.brakes import CATCH_UP_MS, Brakes
from fenglin.model.states import JobState
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED


@pytest.fixture
def brakes(clock):
    clock.passed_ms = 1_000_000
    return Brakes(clock, most_failures=3, rest_ms=60_000, starts_per_s=2)


def job(world, number, actor="bo", state=JobState.PENDING):
    return replace(world.job(number), actor=actor, state=state)


def fail(brakes, world, times, actor="bo"):
    brakes.ended([job(world, 90, actor, JobState.FAILED)] * times)


def shown(brakes, pool):
    return [row.number for row in brakes.shown(list(pool.rows()), pool)]


def test_a_user_whose_jobs_fail_gets_one_job_at_a_time(brakes, world, clock):
    mine = [job(world, n) for n in (1, 2, 3)]
    pool = world.pool([*mine, job(world, 4, "ann")])
    fail(brakes, world, 2)
    assert shown(brakes, pool) == [1, 2, 3, 4]
    fail(brakes, world, 1)
    assert shown(brakes, pool) == [1, 4]
    assert brakes.withheld == {2, 3}
    assert brakes.due_in_ms() == [60_000]

    running = world.pool([*mine, job(world, 4, "ann")], [world.allocation(1, 1, "0")])
    assert shown(brakes, running) == [4]

    clock.advance(60_000)
    assert shown(brakes, pool) == [1, 2, 3, 4]
    assert (brakes.withheld, brakes.due_in_ms()) == (frozenset(), [])


@pytest.mark.parametrize("way", ["a success", "an operator"])
def test_a_brake_is_let_go(brakes, world, way):
    pool = world.pool([job(world, 1), job(world, 2)])
    fail(brakes, world, 5)
    assert shown(brakes, pool) == [1]
    if way == "a success":
        brakes.ended([job(world, 91, state=JobState.SUCCEEDED)])
    else:
        assert brakes.let_go("bo")
        assert not brakes.let_go("bo")
    assert shown(brakes, pool) == [1, 2]


def test_failures_of_one_user_slow_no_other(brakes, world):
    fail(brakes, world, 9, "eve")
    pool = world.pool([job(world, 1), job(world, 2)])
    assert shown(brakes, pool) == [1, 2]
    assert list(brakes.braked()) == ["eve"]


def test_starts_after_a_restart_are_paced_for_a_while(brakes, world, clock):
    pool = world.pool([job(world, n) for n in range(1, 8)])
    made = plan(pool.snapshot(1_000), BALANCED)
    assert len(made.starts) == 7
    assert [s.job for s in brakes.paced(made).starts] == [s.job for s in made.starts[:2]]
    assert brakes.due_in_ms() == [1_000]
    assert brakes.paced(made).starts == ()
    clock.advance(1_000)
    assert len(brakes.paced(made).starts) == 2
    clock.advance(CATCH_UP_MS)
    assert brakes.paced(made) is made
    assert (brakes.due_in_ms(), brakes.pace()) == ([], 0)


def test_without_limits_nothing_is_slowed(world):
    off = Brakes()
    pool = world.pool([job(world, 1), job(world, 2)])
    fail(off, world, 1_000)
    made = plan(pool.snapshot(1_000), BALANCED)
    assert off.paced(made) is made
    assert shown(off, pool) == [1, 2]


def test_the_planner_sees_what_is_shown(brakes, world):
    pool = world.pool([job(world, 1), job(world, 2)])
    pool.brakes = brakes
    fail(brakes, world, 3)
    assert [start.job for start in plan(pool.snapshot(1_000), BALANCED).starts] == [1]
