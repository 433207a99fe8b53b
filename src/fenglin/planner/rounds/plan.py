"""The entry to the rounds: one call gives out one round, by any policy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np

from fenglin.errors import InputError
from fenglin.planner.backfill.twins import Kernel, compiled
from fenglin.planner.rounds import fair as fair_shares
from fenglin.planner.rounds import fifo as first_come
from fenglin.planner.rounds import maxmin, mechanism
from fenglin.planner.rounds import seat as seating
from fenglin.planner.rounds import share as sharing
from fenglin.planner.rounds.columns import (
    Desk,
    Floats,
    Ints,
    Policy,
    Rates,
    Seats,
    new_desk,
    new_seats,
)
from fenglin.planner.rounds.fair import new_fair
from fenglin.planner.rounds.fifo import Draws
from fenglin.planner.rounds.maxmin import Fair, Path, new_path
from fenglin.planner.rounds.mechanism import Crowd, Shares, new_shares
from fenglin.planner.rounds.seat import seat
from fenglin.planner.rounds.share import share

# A job's progress counts for `workers ** SIZE_POWER` times a power of its stretch so far: nearly
# as much per worker for large jobs as for small ones, more the longer a job has been kept from
# the work it has done. Fitted on seeds 10 to 12 of Gavel's generator, not on the published ones.
SIZE_POWER = 0.9
STRETCH_POWER = 0.1
FRESH_S = 3600.0

MOST_TYPES = 3


class Pool(NamedTuple):
    """Everything that rounds are planned with; scratch is made once.

    Attributes:
        rates: Throughput tables.
        workers: By type.
        types: Scratch: the order in which types choose.
        seats: What a plan fills.
        desk: Scratch of `fenglin`.
        shares: Accounts of Gavel's policies.
        crowd: The jobs that wait or run.
        fair: Scratch of `las`.
        path: Scratch of `las`.
        draws: Random numbers of `fifo` and `las`.
        floor: See `inherit`.
    """

    rates: Rates
    workers: Ints
    types: Ints
    seats: Seats
    desk: Desk
    shares: Shares
    crowd: Crowd
    fair: Fair
    path: Path
    draws: Draws
    floor: Ints


class Past(NamedTuple):
    """What is known of the jobs that have come, by number.

    Attributes:
        arrival_s: When it came.
        served_s: What it has done so far, in seconds at its highest throughput.
        now_s: The time.
    """

    arrival_s: Floats
    served_s: Floats
    now_s: float


def weigh(workers: int, served_s: float, age_s: float) -> float:
    """Return what the progress of a job counts.

    Args:
        workers: How many it takes.
        served_s: What it has done so far, in seconds at its highest throughput.
        age_s: Time since it came.
    """
    stretch = (age_s + FRESH_S) / (served_s + FRESH_S)
    return float(workers**SIZE_POWER * stretch**STRETCH_POWER)


def fenglin(
    crowd: Crowd,
    desk: Desk,
    seats: Seats,
    rates: Rates,
    workers: Ints,
    past: Past,
    pairs: bool,  # noqa: FBT001 - kernels take no keywords
) -> None:
    """Fill the seats by our own policy.

    Args:
        crowd: The jobs.
        desk: Scratch; its prices are kept from round to round.
        seats: Emptied and filled.
        rates: Throughput tables.
        workers: By type.
        past: What is known of the jobs.
        pairs: Whether two jobs may share workers.
    """
    count = crowd.present[0]
    for i in range(count):
        job, kind = crowd.job[i], crowd.kind[i]
        desk.kind[i] = kind
        age_s = past.now_s - past.arrival_s[job]
        desk.weight[i] = weigh(rates.workers[kind], past.served_s[job], age_s)
    seat(desk, seats, rates, count, workers)
    if pairs:
        share(desk, seats, rates, count)


KERNELS = (
    *seating.KERNELS,
    *sharing.KERNELS,
    *maxmin.KERNELS,
    *mechanism.KERNELS,
    *first_come.KERNELS,
    *fair_shares.KERNELS,
    weigh,
    fenglin,
)
# The same by name, for where there is no Numba, and for comparing.
PLAIN: Mapping[str, Kernel] = {kernel.__name__: kernel for kernel in KERNELS}


@cache
def twin() -> Mapping[str, Kernel] | None:
    """Return the compiled kernels; None when there is no Numba."""
    return compiled(KERNELS)


def plan_ours(kernels: Mapping[str, Kernel], policy: Policy, pool: Pool, past: Past) -> None:
    """Fill the seats of the next round by `fenglin` or `fenglin-alone`.

    Args:
        kernels: `PLAIN`, or compiled.
        policy: One of ours.
        pool: `crowd` is read; `seats` is filled.
        past: What is known of the jobs.
    """
    kernels["fenglin"](
        pool.crowd, pool.desk, pool.seats, pool.rates, pool.workers, past,
        policy is Policy.FENGLIN,
    )  # fmt: skip


def make_shares(
    kernels: Mapping[str, Kernel], policy: Policy, pool: Pool, elapsed_s: float, half_s: float
) -> None:
    """Settle the accounts, and make new shares of time by one of Gavel's policies.

    Args:
        kernels: `PLAIN`, or compiled.
        policy: One of Gavel's.
        pool: `crowd` is read; `shares` is written.
        elapsed_s: Time since shares were last made.
        half_s: Half a round.
    """
    kernels["settle"](pool.shares, pool.crowd, elapsed_s, half_s)
    if policy in (Policy.FIFO, Policy.FIFO_PERF):
        kernels["fifo"](
            pool.shares, pool.crowd, pool.rates, pool.workers, pool.draws, pool.floor,
            policy is Policy.FIFO_PERF,
        )  # fmt: skip
    else:
        kernels["las"](
            pool.shares, pool.crowd, pool.rates, pool.fair, pool.path, policy is Policy.LAS_PERF
        )


def plan_shares(kernels: Mapping[str, Kernel], policy: Policy, pool: Pool) -> None:
    """Fill the seats of the next round from the shares of time, as Gavel's mechanism does.

    Args:
        kernels: `PLAIN`, or compiled.
        policy: One of Gavel's.
        pool: `crowd` and `shares` are read; `seats` is filled.
    """
    if policy in (Policy.FIFO_PERF, Policy.LAS_PERF):
        pool.types[:] = np.arange(pool.types.size)
    else:
        kernels["shuffle"](pool.draws, pool.types)
    kernels["grant"](
        pool.shares, pool.crowd, pool.rates, pool.seats, pool.types, pool.workers,
        policy in (Policy.FIFO, Policy.FIFO_PERF),
    )  # fmt: skip


def new_pool(rates: Rates, workers: Ints, jobs: int, words: Ints) -> Pool:
    """Return a pool without jobs.

    Args:
        rates: Throughput tables.
        workers: By type; the types are at most three, by falling name.
        jobs: Numbers of jobs go from 0 to one less.
        words: 32-bit random words; only `fifo` and `las` look at them.

    Raises:
        InputError: a type has no workers, or the tables are not of these types and kinds.
    """
    types, kinds = rates.alone.shape
    if workers.shape != (types,) or not 0 < types <= MOST_TYPES or (workers < 1).any():
        raise InputError(f"there must be 1 to {MOST_TYPES} types of workers, none of them empty")
    if rates.beside.shape != (types, kinds, kinds) or rates.workers.shape != (kinds,):
        raise InputError("the tables of throughput are not of one size")
    if not words.size:
        raise InputError("there are no random words")
    return Pool(
        rates=rates,
        workers=workers,
        types=np.arange(types),
        seats=new_seats(jobs, types),
        desk=new_desk(jobs, rates),
        shares=new_shares(jobs, types),
        crowd=Crowd(
            np.zeros(jobs, dtype=np.int64),
            np.zeros(jobs, dtype=np.int64),
            np.zeros(1, dtype=np.int64),
        ),
        fair=new_fair(kinds, workers),
        path=new_path(kinds, types),
        draws=Draws(words, np.zeros(1, dtype=np.int64)),
        floor=np.zeros(1, dtype=np.int64),
    )
