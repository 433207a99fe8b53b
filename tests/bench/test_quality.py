"""The exact reference of the row `quality` is exact, and no plan beats it."""

from itertools import product

import numpy as np
import pytest
from bench.quality import FREE, FREELY, filled, optimum, owed, small_pool, worth_of_slots

from fenglin.planner import plan
from fenglin.planner.policy import BALANCED

pytest.importorskip("highspy", reason="needs fenglin[simulate]")

# Few enough tasks and nodes for brute force; in most of them one or two jobs reserve.
TINY = [
    seed
    for seed in range(60)
    if len((pool := small_pool(seed)).node_names) == 3 and len(pool.job_number) <= 7
]
# Where improvement once took the place of a job that had given its reservation up for it.
ONCE_BROKEN = [36, 57, 121]


def brute_force(pool, owes):
    """Return the most that any placement fills, keeping what is owed; every one is tried."""
    needs = np.array([pool.shapes[at].resources.values() for at in pool.job_shape.tolist()])
    worth = np.array(worth_of_slots(pool))[pool.job_shape]
    nodes = range(len(pool.node_names))
    best = 0.0
    for places in map(np.array, product([-1, *nodes], repeat=len(needs))):
        runs = places >= 0
        if worth[runs].sum() <= best or any(
            (needs[places == node].sum(axis=0) > pool.node_free[node]).any() for node in nodes
        ):
            continue
        if owes.first is None or runs[owes.first]:
            waiting = [one for one in owes.standing if not runs[one.row]]
            if all(kept(one, runs, places, needs, pool) for one in waiting):
                best = float(worth[runs].sum())
    return best


def kept(one, runs, places, needs, pool):
    late = [at for at in one.late if places[at] == one.node]
    room = pool.node_free[one.node] - needs[late].sum(axis=0) - needs[one.row]
    return runs[list(one.ahead)].all() and (room >= 0).all()


@pytest.mark.parametrize("seed", TINY)
def test_the_reference_is_exact(seed):
    pool = small_pool(seed)
    for owes in (FREELY, owed(pool)):
        assert optimum(pool, owes) == pytest.approx(brute_force(pool, owes))


def test_something_is_owed_and_it_costs():
    """Or the two tests beside this one would compare nothing."""
    pools = [small_pool(seed) for seed in TINY + ONCE_BROKEN]
    owing = [pool for pool in pools if owed(pool).standing]
    assert any(optimum(pool, owed(pool)) < optimum(pool) - 1e-9 for pool in owing)


@pytest.mark.parametrize("seed", [*range(24), *ONCE_BROKEN])
def test_no_plan_beats_its_optimum(seed):
    """A plan that did would have broken a reservation."""
    pool = small_pool(seed)
    assert filled(pool, plan(pool, BALANCED)) <= optimum(pool, owed(pool)) + 1e-9
    assert filled(pool, plan(pool, FREE)) <= optimum(pool) + 1e-9
