"""Who runs where in one round: feasible, near the best, and the same compiled."""

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.errors import InputError
from fenglin.planner.rounds import maxmin, plan
from fenglin.planner.rounds.columns import ALONE, NOWHERE, Policy, Rates
from fenglin.planner.rounds.fair import las, new_fair
from fenglin.planner.rounds.fifo import Draws, draw, shuffle
from fenglin.planner.rounds.maxmin import Fair, new_path, share_out

WORDS = np.arange(100, dtype=np.int64)


def pool_of(rates, workers, kinds):
    pool = plan.new_pool(rates, np.array(workers), len(kinds), WORDS)
    pool.crowd.job[:] = np.arange(len(kinds))
    pool.crowd.kind[:] = kinds
    pool.crowd.present[0] = len(kinds)
    return pool


def seated(rates, workers, kinds, policy=Policy.FENGLIN, served=None):
    pool = pool_of(rates, workers, kinds)
    served_s = np.zeros(len(kinds)) if served is None else np.array(served)
    past = plan.Past(np.zeros(len(kinds)), served_s, 1e6)
    plan.plan_ours(plan.PLAIN, policy, pool, past)
    return pool


def worth(pool):
    """Return the sum of what all jobs bring per second, from the tables alone."""
    total = 0.0
    for i, (j, mate) in enumerate(zip(pool.seats.place, pool.seats.mate, strict=True)):
        kind = pool.crowd.kind[i]
        if j != NOWHERE:
            rates = pool.rates
            beside = rates.beside[j, kind, pool.crowd.kind[mate]]
            rate = rates.alone[j, kind] if mate == ALONE else beside
            total += pool.desk.weight[i] * rate / rates.top[kind]
    return total


def tables(draw_from, types, kinds):
    number = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0])
    alone = np.array(
        draw_from(st.lists(number, min_size=types * kinds, max_size=types * kinds))
    ).reshape(types, kinds)
    alone[0] += 1.0
    shares = np.array(
        draw_from(st.lists(number, min_size=types * kinds**2, max_size=types * kinds**2))
    ).reshape(types, kinds, kinds)
    sizes = np.array(draw_from(st.lists(st.sampled_from([1, 2]), min_size=kinds, max_size=kinds)))
    return Rates(alone, np.minimum(shares, alone[:, :, None]), alone.max(axis=0), sizes)


def test_a_job_gets_the_type_where_it_gains_most_over_the_others(rates):
    # Kind 0 is twice as fast on type 0, kind 1 hardly faster: one worker each.
    pool = seated(rates, [1, 1], [1, 0], Policy.FENGLIN_ALONE)
    assert pool.seats.place.tolist() == [1, 0]
    assert pool.seats.free.tolist() == [0, 0]


def test_two_jobs_share_where_that_adds(rates):
    # Apart: one of them waits. Together on type 0: 7 of 10 and 3 of 4 steps.
    pool = seated(rates, [1, 1], [0, 1, 1, 0])
    pairs = {(i, int(m)) for i, m in enumerate(pool.seats.mate) if m != ALONE}
    assert pairs
    assert all((m, i) in pairs for i, m in pairs)
    assert worth(pool) > worth(seated(rates, [1, 1], [0, 1, 1, 0], Policy.FENGLIN_ALONE))


def test_nobody_shares_where_that_takes_away(rates):
    pool = seated(rates, [2, 2], [0, 0, 1, 1])
    assert (pool.seats.mate == ALONE).all()


def test_of_equal_jobs_those_run_that_have_had_least(rates):
    alone = rates._replace(beside=np.zeros_like(rates.beside))
    pool = seated(alone, [1, 1], [0, 0, 0], served=[9e5, 100.0, 5e5])
    assert pool.seats.place.tolist() == [NOWHERE, 0, 1]


@pytest.mark.parametrize(("age_s", "runs"), [(600.0, [0, 0, NOWHERE]), (2e4, [NOWHERE] * 2 + [0])])
def test_a_large_job_passes_small_ones_once_it_has_waited_long(rates, age_s, runs):
    alone = rates._replace(alone=rates.alone * [[1.0], [0.0]], beside=np.zeros((2, 3, 3)))
    pool = pool_of(alone, [2, 1], [0, 0, 2])
    past = plan.Past(np.array([1e6, 1e6, 1e6 - age_s]), np.zeros(3), 1e6)
    plan.plan_ours(plan.PLAIN, Policy.FENGLIN, pool, past)
    assert pool.seats.place.tolist() == runs


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_seats_are_lawful(data):
    rates = tables(data.draw, 2, 3)
    kinds = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=5))
    workers = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    for policy in (Policy.FENGLIN, Policy.FENGLIN_ALONE):
        pool = seated(rates, list(workers), kinds, policy)
        place, mate = pool.seats.place.tolist(), pool.seats.mate.tolist()
        used = [0, 0]
        for i, j in enumerate(place):
            if j == NOWHERE:
                assert mate[i] == ALONE
                continue
            size, share = rates.workers[kinds[i]], mate[i] != ALONE
            used[j] += size / 2 if share else size
            if share:
                assert policy is Policy.FENGLIN
                assert mate[mate[i]] == i
                assert place[mate[i]] == j
                assert rates.workers[kinds[mate[i]]] == size
                assert rates.beside[j, kinds[i], kinds[mate[i]]] > 0
            else:
                assert rates.alone[j, kinds[i]] > 0
        assert [w - f for w, f in zip(workers, pool.seats.free, strict=True)] == used
        assert min(pool.seats.free) >= 0


def best_alone(pool, workers):
    """Return the best worth of all ways to seat the jobs alone."""
    best = 0.0
    sizes = pool.rates.workers[pool.crowd.kind]
    for places in product(range(-1, 2), repeat=len(sizes)):
        used = [sum(s for s, p in zip(sizes, places, strict=True) if p == j) for j in (0, 1)]
        if all(u <= w for u, w in zip(used, workers, strict=True)):
            chosen = zip(range(len(sizes)), places, strict=True)
            best = max(best, sum(pool.desk.value[i, j] for i, j in chosen if j >= 0))
    return best


@pytest.mark.parametrize(("sizes", "most"), [((1,), 0.0), ((1, 2), 0.01), ((1, 2, 4), 0.02)])
def test_seats_for_one_are_near_the_best_of_all_ways(sizes, most):
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(60):
        alone = rng.choice([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0], (2, 5))
        alone[0] += 1.0
        rates = Rates(alone, np.zeros((2, 5, 5)), alone.max(axis=0), rng.choice(sizes, 5))
        kinds, workers = rng.integers(0, 5, rng.integers(1, 7)), rng.integers(1, 5, 2)
        served = 10 ** rng.uniform(2, 5, len(kinds))
        pool = seated(rates, workers, kinds, Policy.FENGLIN_ALONE, served)
        best = best_alone(pool, workers)
        assert worth(pool) <= best + 1e-9
        gaps.append(1.0 - worth(pool) / best if best else 0.0)
    assert sum(gaps) / len(gaps) <= most + 1e-9


def test_random_numbers_are_those_of_python():
    source = Random(7)
    words = np.array([source.getrandbits(32) for _ in range(400)])
    draws = Draws(words, np.zeros(1, dtype=np.int64))
    theirs = Random(7)
    for below in [1, 2, 3, 3, 2, 1, 3] * 5:
        assert draw(draws, below) == theirs.randrange(below)
    for _ in range(10):
        ours, expected = np.zeros(3, dtype=np.int64), [0, 1, 2]
        shuffle(draws, ours)
        theirs.shuffle(expected)
        assert ours.tolist() == expected


def test_shares_blind_to_speeds_are_equal(rates):
    pool = pool_of(rates, [2, 4], [0, 1, 0, 1])
    las(pool.shares, pool.crowd, rates, new_fair(3, pool.workers), new_path(3, 2), False)
    assert np.allclose(pool.shares.part.sum(axis=1), 1.0, atol=1e-3)
    assert np.allclose(pool.shares.part, pool.shares.part[0], atol=1e-6)


def test_max_min_shares_are_those_of_a_linear_solver():
    highspy = pytest.importorskip("highspy", reason="HiGHS is not installed: fenglin[simulate]")
    rng = np.random.default_rng(5)
    for kinds, scale in ((1, 1), (4, 3), (12, 20)):
        gain = rng.uniform(0.05, 2.0, (kinds, 3))
        many, size = rng.integers(1, scale + 1, kinds), rng.choice([1, 2, 4], kinds)
        fair = Fair(gain, many, size, np.array([9, 7, 12]))
        path = new_path(kinds, 3)
        t = share_out(fair, path)
        assert t == pytest.approx(optimum(highspy, fair), rel=2e-4)
        load = (path.part * (many * size)[:, None]).sum(axis=0)
        assert (load <= fair.workers + 1e-9).all()
        assert (path.part >= 0).all()
        assert (path.part.sum(axis=1) <= 1 + 1e-9).all()
        assert ((gain * path.part).sum(axis=1) >= t - 1e-9).all()


def optimum(highspy, fair):
    """Return t of the same program by HiGHS."""
    solver = highspy.Highs()
    solver.silent()
    kinds, types = fair.gain.shape
    part = [[solver.addVariable(lb=0) for _ in range(types)] for _ in range(kinds)]
    t = solver.addVariable(lb=0)
    for k in range(kinds):
        solver.addConstr(sum(fair.gain[k, j] * part[k][j] for j in range(types)) >= t)
        solver.addConstr(sum(part[k]) <= 1)
    for j in range(types):
        terms = (float(fair.many[k] * fair.size[k]) * part[k][j] for k in range(kinds))
        solver.addConstr(sum(terms) <= float(fair.workers[j]))
    solver.maximize(t)
    return solver.getInfo().objective_function_value


def test_a_singular_looking_program_is_solved():
    # All gains the same: the walls of time and of t are parallel.
    fair = Fair(np.ones((2, 3)), np.array([40, 40]), np.array([1, 1]), np.array([36, 36, 36]))
    path = new_path(2, 3)
    assert share_out(fair, path) == pytest.approx(1.0, rel=2e-4)
    assert np.allclose(path.part, 1 / 3, atol=1e-3)


def test_a_pool_that_cannot_be_is_refused(rates):
    for workers in ([], [1, 0], [1, 1, 1]):
        with pytest.raises(InputError):
            plan.new_pool(rates, np.array(workers, dtype=np.int64), 3, WORDS)
    with pytest.raises(InputError):
        plan.new_pool(rates, np.array([1, 1]), 3, WORDS[:0])
    broken = rates._replace(beside=rates.beside[:, :2])
    with pytest.raises(InputError):
        plan.new_pool(broken, np.array([1, 1]), 3, WORDS)


def test_every_kernel_has_a_name_of_its_own():
    assert len(plan.PLAIN) == len(set(plan.KERNELS))
    assert {kernel.__name__ for kernel in maxmin.KERNELS} <= set(plan.PLAIN)
