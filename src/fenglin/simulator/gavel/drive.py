"""The rounds under a virtual clock, by the rules of Gavel's simulator.

A round lasts until the last of its leases ends. In its lease of 360 s a job makes whole steps at
the throughput of the table, fewer if it ends; jobs that share end their lease together. Whoever
arrives waits for the next round. Moving to other workers costs nothing, as in Gavel's simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from fenglin.planner.backfill.twins import Kernel, compiled
from fenglin.planner.rounds.columns import ALONE, NOWHERE, Floats, Ints, Policy, Rates, Seats
from fenglin.planner.rounds.mechanism import Crowd, Shares, arrive
from fenglin.planner.rounds.plan import KERNELS as PLAN_KERNELS
from fenglin.planner.rounds.plan import Past, Pool, make_shares, plan_ours, plan_shares

# Entries of `Meters.clock`, in seconds.
NOW = 0
PLANNED = 1
ENDS = 2
CLOCK_SIZE = 3
# Entries of `Meters.tally`.
ARRIVED = 0
DONE = 1
ROUNDS = 2
LEASES = 3
RENEWED = 4
CHANGED = 5
SHARED = 6
AFTER = 7
STUCK = 8
TALLY_SIZE = 9

# So many rounds in which nobody can be given workers, and nobody comes, end a run.
MOST_STUCK = 100


class Jobs(NamedTuple):
    """The jobs of a trace, by number.

    Attributes:
        arrival_s: Rising.
        kind: Kind of job.
        steps: How many it has to make.
    """

    arrival_s: Floats
    kind: Ints
    steps: Floats


class Meters(NamedTuple):
    """What has come of the jobs, by number, and counters.

    Attributes:
        steps: All that are to be made.
        left: Steps that are still to be made.
        served_s: Steps that have been made, in seconds at the kind's highest throughput.
        done_s: When it ended; not a number before.
        place: Type of its last lease; `NOWHERE` if it had none in the last round.
        mate: Number of the job that it shared with, or `ALONE`.
        clock: `NOW`; `PLANNED`, when shares or seats were last made; `ENDS`, of the round.
        tally: `ARRIVED`; `DONE`, of the measured; `ROUNDS`; `LEASES`; `RENEWED`, leases to the
            same workers and mate as in the round before; `CHANGED`, whether jobs came or ended
            since the plan; `SHARED`, leases with a mate; `AFTER`, rounds after the last
            arrival; `STUCK`.
    """

    steps: Floats
    left: Floats
    served_s: Floats
    done_s: Floats
    place: Ints
    mate: Ints
    clock: Floats
    tally: Ints


class Rules(NamedTuple):
    """How a run goes.

    Attributes:
        policy: How rounds are given out.
        round_s: Length of a lease.
        replan_s: Shares or seats are made anew after this time, not earlier.
        first: The first measured job.
        last: The last measured job; when all of them have ended, the run ends.
    """

    policy: Policy
    round_s: float
    replan_s: float
    first: int
    last: int


def lease(round_s: float, crowd: Crowd, seats: Seats, meters: Meters, i: int, rate: float) -> float:
    """Let a job make its steps of this round; return how long they take, in seconds."""
    job, mate = crowd.job[i], seats.mate[i]
    steps = min(float(int(rate * round_s)), meters.left[job])
    meters.left[job] -= steps
    with_job = crowd.job[mate] if mate != ALONE else ALONE
    meters.tally[LEASES] += 1
    if mate != ALONE:
        meters.tally[SHARED] += 1
    if meters.place[job] == seats.place[i] and meters.mate[job] == with_job:
        meters.tally[RENEWED] += 1
    return float(steps / rate)


def work(
    round_s: float, crowd: Crowd, seats: Seats, rates: Rates, shares: Shares, meters: Meters
) -> None:
    """Run the leases of a round; the seats say who has one."""
    now_s = meters.clock[NOW]
    meters.clock[ENDS] = now_s
    for i in range(crowd.present[0]):
        j, mate = seats.place[i], seats.mate[i]
        if j == NOWHERE or (mate != ALONE and mate < i):
            continue
        kind, job = crowd.kind[i], crowd.job[i]
        if mate == ALONE:
            spent_s = lease(round_s, crowd, seats, meters, i, rates.alone[j, kind])
        else:
            other = crowd.kind[mate]
            spent_s = lease(round_s, crowd, seats, meters, i, rates.beside[j, kind, other])
            theirs_s = lease(round_s, crowd, seats, meters, mate, rates.beside[j, other, kind])
            spent_s = max(spent_s, theirs_s)
            if meters.left[crowd.job[mate]] <= 0.0:
                meters.done_s[crowd.job[mate]] = now_s + spent_s
        if meters.left[job] <= 0.0:
            meters.done_s[job] = now_s + spent_s
        shares.had_s[job, j] += spent_s
        shares.spent_s[j] += spent_s
        meters.clock[ENDS] = max(meters.clock[ENDS], now_s + spent_s)


def dismiss(
    first: int, last: int, crowd: Crowd, seats: Seats, rates: Rates, meters: Meters
) -> None:
    """Remember the seats, and let go whoever has ended."""
    for i in range(crowd.present[0]):
        job = crowd.job[i]
        made = meters.steps[job] - meters.left[job]
        meters.served_s[job] = made / rates.top[crowd.kind[i]]
        meters.place[job] = seats.place[i]
        meters.mate[job] = crowd.job[seats.mate[i]] if seats.mate[i] != ALONE else ALONE
    stay = 0
    for i in range(crowd.present[0]):
        job = crowd.job[i]
        if meters.left[job] > 0.0:
            crowd.job[stay], crowd.kind[stay] = job, crowd.kind[i]
            stay += 1
        else:
            meters.tally[CHANGED] = 1
            if first <= job <= last:
                meters.tally[DONE] += 1
    crowd.present[0] = stay


def recall(crowd: Crowd, seats: Seats, meters: Meters) -> None:
    """Fill the seats as they were in the last round; a job whose mate has ended is alone."""
    for i in range(crowd.present[0]):
        seats.place[i] = meters.place[crowd.job[i]]
        seats.mate[i] = ALONE
        mate = meters.mate[crowd.job[i]]
        for q in range(i):
            if crowd.job[q] == mate:
                seats.mate[i], seats.mate[q] = q, i


KERNELS = (*PLAN_KERNELS, lease, work, dismiss, recall)
PLAIN: Mapping[str, Kernel] = {kernel.__name__: kernel for kernel in KERNELS}


@cache
def twin() -> Mapping[str, Kernel]:
    """Return the compiled kernels, or the plain ones when there is no Numba."""
    return compiled(KERNELS) or PLAIN


def admit(jobs: Jobs, pool: Pool, meters: Meters, half_s: float) -> None:
    """Let in whoever has arrived by now."""
    crowd, tally = pool.crowd, meters.tally
    upto = int(np.searchsorted(jobs.arrival_s, meters.clock[NOW], side="right"))
    for job in range(int(tally[ARRIVED]), upto):
        at = crowd.present[0]
        crowd.job[at], crowd.kind[at] = job, jobs.kind[job]
        crowd.present[0] += 1
        arrive(pool.shares, job, half_s)
        tally[CHANGED] = 1
    tally[ARRIVED] = upto


def plan(
    kernels: Mapping[str, Kernel], jobs: Jobs, rules: Rules, pool: Pool, meters: Meters
) -> None:
    """Fill the seats of the next round."""
    clock = meters.clock
    elapsed_s = float(clock[NOW] - clock[PLANNED])
    # As in Gavel's simulator, a plan of time 0 counts as none.
    due = elapsed_s >= rules.replan_s or clock[PLANNED] == 0.0
    # Ours may plan in every round, since weights change with time.
    due = due and (bool(meters.tally[CHANGED]) or rules.replan_s == 0.0)
    ours = rules.policy in (Policy.FENGLIN, Policy.FENGLIN_ALONE)
    if due and ours:
        past = Past(jobs.arrival_s, meters.served_s, float(clock[NOW]))
        plan_ours(kernels, rules.policy, pool, past)
    elif due:
        make_shares(kernels, rules.policy, pool, elapsed_s, 0.5 * rules.round_s)
    if due:
        clock[PLANNED] = clock[NOW]
        meters.tally[CHANGED] = 0
    elif ours:
        kernels["recall"](pool.crowd, pool.seats, meters)
    if not ours:
        plan_shares(kernels, rules.policy, pool)


def skip(jobs: Jobs, rules: Rules, meters: Meters) -> None:
    """Nobody runs: go to the next arrival, or through an empty round."""
    tally = meters.tally
    if tally[ARRIVED] < jobs.steps.size:
        meters.clock[NOW] = jobs.arrival_s[tally[ARRIVED]]
    else:
        meters.clock[NOW] += rules.round_s
        tally[STUCK] += 1


def drive(
    kernels: Mapping[str, Kernel], jobs: Jobs, rules: Rules, pool: Pool, meters: Meters
) -> None:
    """Run rounds until the measured jobs have ended, or nobody can be given workers.

    Args:
        kernels: `PLAIN`, or compiled.
        jobs: Sorted by arrival.
        rules: How the run goes.
        pool: Without jobs.
        meters: Filled; `left` holds all steps, `done_s` no numbers, `place` and `mate` nothing.
    """
    tally, clock = meters.tally, meters.clock
    while tally[DONE] <= rules.last - rules.first and tally[STUCK] < MOST_STUCK:
        admit(jobs, pool, meters, 0.5 * rules.round_s)
        if pool.crowd.present[0] == 0:
            if tally[ARRIVED] == jobs.steps.size:
                return
            clock[NOW] = jobs.arrival_s[tally[ARRIVED]]
            continue
        plan(kernels, jobs, rules, pool, meters)
        kernels["work"](rules.round_s, pool.crowd, pool.seats, pool.rates, pool.shares, meters)
        if clock[ENDS] > clock[NOW]:
            tally[ROUNDS] += 1
            tally[AFTER] += tally[ARRIVED] == jobs.steps.size
            tally[STUCK] = 0
            clock[NOW] = clock[ENDS]
        else:
            skip(jobs, rules, meters)
        kernels["dismiss"](rules.first, rules.last, pool.crowd, pool.seats, pool.rates, meters)


def new_meters(jobs: Jobs) -> Meters:
    """Return the meters of a run that has not begun."""
    size = jobs.steps.size
    return Meters(
        steps=jobs.steps,
        left=jobs.steps.copy(),
        served_s=np.zeros(size),
        done_s=np.full(size, np.nan),
        place=np.full(size, NOWHERE, dtype=np.int64),
        mate=np.full(size, ALONE, dtype=np.int64),
        clock=np.zeros(CLOCK_SIZE),
        tally=np.zeros(TALLY_SIZE, dtype=np.int64),
    )
