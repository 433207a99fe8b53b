"""Whole pools in virtual time, worked by hand and by their invariants."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import count

import numpy as np
import pytest
from msgspec import structs

from fenglin.planner.policy import built_in
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.check import Checks
from fenglin.simulator.pool.outcome import Nowhere
from fenglin.simulator.pool.world import Setting, World
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob, Workload
from fenglin.snapshot.snapshot import Shape

HOUR_MS = 3_600_000


def shape(cores, nodes=1):
    """Return a shape of so many cores."""
    return Shape(Resources(cores * 1_000), nodes=nodes)


def test_a_job_runs_for_its_true_time_and_pays_for_it(simulate):
    kept, tally = simulate([WorkJob(1, 5_000, shape(2), (HOUR_MS,))])
    (job,) = kept.jobs
    assert (job.state, job.wait_ms, job.started_ms, job.ended_ms) == (
        "succeeded", 0, 5_000, 5_000 + HOUR_MS,
    )  # fmt: skip
    assert job.cost_micro == 2_000_000
    assert job.work_ms == HOUR_MS
    assert tally.starts == tally.task_ends == 1


def test_a_faster_flavor_takes_less_time(simulate, make_site):
    kept, _ = simulate([WorkJob(1, 0, shape(1), (HOUR_MS,))], [make_site(speed_milli=2_000)])
    assert kept.jobs[0].ended_ms == HOUR_MS // 2


def test_carbon_is_the_declared_power_of_the_share_held(simulate, make_site):
    green = make_site(power_watts=400, carbon_g_kwh=500)
    kept, _ = simulate([WorkJob(1, 0, shape(1), (HOUR_MS,))], [green])
    # A quarter of 400 W for an hour is 0.1 kWh, at 500 g/kWh 50 g.
    assert kept.jobs[0].carbon_mg == kept.runs[0].carbon_mg == 50_000


def test_an_array_takes_its_slots_in_turn(simulate):
    runtimes = tuple(1_000 * (i + 1) for i in range(12))
    kept, tally = simulate([WorkJob(1, 0, shape(1), runtimes, tasks=12)])
    assert tally.task_ends == 12
    assert kept.jobs[0].work_ms == sum(runtimes)
    assert kept.jobs[0].ended_ms >= sum(runtimes) // 8
    assert sum(run.tasks for run in kept.runs) == 12


def test_a_full_pool_makes_the_next_wait(simulate):
    jobs = [WorkJob(i, 0, shape(4), (10_000,), estimate_ms=10_000) for i in (1, 2, 3)]
    kept, _ = simulate(jobs)
    assert sorted(job.wait_ms for job in kept.jobs) == [0, 0, 10_000]


def test_a_job_that_fits_nowhere_is_refused_and_told(simulate):
    kept, _ = simulate([WorkJob(1, 0, shape(5), (1_000,)), WorkJob(2, 0, shape(1), (1_000,))])
    states = {job.job: (job.state, job.reason) for job in kept.jobs}
    assert states == {1: ("refused", "no_site_can_hold"), 2: ("succeeded", "")}


def test_a_timeout_ends_a_task(simulate):
    kept, _ = simulate([WorkJob(1, 0, shape(1), (60_000,), timeout_ms=20_000)])
    assert (kept.jobs[0].state, kept.jobs[0].ended_ms) == ("failed", 20_000)


def test_until_stops_the_run_and_reports_who_waits(simulate):
    jobs = [WorkJob(i, 0, shape(4), (10_000,)) for i in (1, 2, 3)]
    kept, _ = simulate(jobs, until_ms=5_000)
    assert [job.state for job in kept.jobs] == ["waiting"] * 3
    assert {job.wait_ms for job in kept.jobs} >= {0}


def test_cycles_come_at_their_beat_only(simulate):
    jobs = [WorkJob(i, i * 100, shape(1), (1_000,)) for i in range(1, 9)]
    kept, tally = simulate(jobs, cycle_ms=1_000)
    assert {run.started_ms % 1_000 for run in kept.runs} == {0}
    assert tally.cycles <= 3


def test_money_that_is_spent_starts_nothing_more(simulate):
    jobs = [WorkJob(i, i, shape(4), (HOUR_MS,), estimate_ms=HOUR_MS) for i in (1, 2)]
    # Each holds 4 core-hours at one yuan, times the margin of 1.5.
    kept, _ = simulate(jobs, balances_micro={"default": 7_000_000})
    assert sorted(job.state for job in kept.jobs) == ["succeeded", "waiting"]


def test_higher_priority_interrupts_and_checkpoints_save_work(simulate):
    low = WorkJob(1, 0, shape(4), (100_000,), estimate_ms=100_000, tasks=2, preemptible=True,
                  checkpoint_ms=10_000)  # fmt: skip
    high = WorkJob(2, 25_000, shape(4), (50_000,), estimate_ms=50_000, priority=10)
    kept, tally = simulate([low, high])
    jobs = {job.job: job for job in kept.jobs}
    assert tally.evictions == 1
    assert jobs[2].wait_ms == 0
    # The allocation runs both tasks. Each made two checkpoints in 25 s and loses the last 5 s.
    assert (jobs[1].evictions, jobs[1].lost_ms) == (1, 2 * 5_000)
    assert jobs[1].work_ms == 2 * 100_000 + 2 * 5_000
    assert all(job.state == "succeeded" for job in jobs.values())


def random_jobs(seed, size):
    rng = np.random.default_rng(seed)
    at_ms = 0
    for number in range(1, size + 1):
        at_ms += int(rng.exponential(4_000))
        run_ms = int(rng.lognormal(9.5, 1.2)) + 500
        gang = int(rng.choice([1, 1, 1, 2, 3]))
        yield WorkJob(
            number,
            at_ms,
            shape(int(rng.integers(1, 5)), nodes=gang),
            (run_ms,),
            tasks=int(rng.choice([1, 1, 2, 7])) if gang == 1 else 1,
            estimate_ms=int(run_ms * rng.uniform(1, 3)) if rng.random() < 0.8 else 0,
            queue=f"q{rng.integers(3)}",
            priority=int(rng.choice([0, 0, 0, 5])),
            preemptible=bool(rng.random() < 0.3),
            checkpoint_ms=2_000,
        )


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["balanced", "fcfs", "easy", "conservative", "fair", "fgd"])
def test_every_plan_is_lawful_and_no_work_is_lost(simulate, make_site, policy):
    checks = Checks(built_in(policy))
    jobs = list(random_jobs(7, 80))
    sites = [make_site("a", nodes=3), make_site("b", nodes=2, speed_milli=1_500)]
    kept, tally = simulate(jobs, sites, policy, watch=checks.watch)
    assert checks.cycles == tally.cycles > 40
    assert [job.state for job in kept.jobs] == ["succeeded"] * 80
    assert tally.task_ends == sum(job.tasks for job in jobs)


@pytest.mark.slow
def test_the_same_run_twice_is_the_same(simulate):
    first, _ = simulate(list(random_jobs(3, 60)))
    second, _ = simulate(list(random_jobs(3, 60)))
    assert first.jobs == second.jobs
    assert first.runs == second.runs


def test_a_checker_finds_what_is_wrong(simulate):
    checks = Checks(built_in("balanced"))

    def spoil(snapshot, plan):
        twice = structs.replace(plan, starts=(*plan.starts, *plan.starts))
        checks.watch(snapshot, twice)

    with pytest.raises(Exception, match=r"starts 2 of 1 tasks|more than it has"):
        simulate([WorkJob(1, 0, shape(4), (1_000,))], watch=spoil)


def live_bytes(jobs, place):
    """Return what is in use shortly before the end of a run of so many jobs."""
    found = []

    def stream():
        for number in range(1, jobs + 1):
            yield WorkJob(number, number * 1_000, shape(1), (2_500,), estimate_ms=2_500)

    def look(snapshot, _):
        if snapshot.index == jobs - 5:
            gc.collect()
            found.append(tracemalloc.get_traced_memory()[0])

    setting = Setting((place,), built_in("balanced"))
    world = World(setting, Workload("long", stream, Findings("long")), Nowhere(), watch=look)
    tracemalloc.start()
    try:
        world.run()
    finally:
        tracemalloc.stop()
    return found[0]


@pytest.mark.slow
def test_memory_follows_the_jobs_in_the_pool_not_the_trace(make_site):
    live_bytes(50, make_site())
    short, long = live_bytes(100, make_site()), live_bytes(500, make_site())
    # A record and its outcome alone are more than 500 bytes.
    assert long < short + 100_000


def test_numbers_of_allocations_never_repeat(simulate):
    kept, _ = simulate([WorkJob(i, i, shape(1), (500,)) for i in range(1, 40)])
    numbers = sorted(run.allocation for run in kept.runs)
    assert numbers == list(dict.fromkeys(numbers))
    assert next(count(1)) == numbers[0]


def test_an_idle_pool_is_not_counted_as_used(simulate):
    # One hour of work, nothing for nine, one hour of work: two of eleven hours on half the cores.
    jobs = [WorkJob(1, 0, shape(4), (HOUR_MS,)), WorkJob(2, 10 * HOUR_MS, shape(4), (HOUR_MS,))]
    kept, _ = simulate(jobs)
    seen = [(sample.at_ms // HOUR_MS, sample.running, sample.used[0]) for sample in kept.samples]
    assert seen == [(0, 1, 0.5), (1, 0, 0.0), (10, 1, 0.5), (11, 0, 0.0)]
