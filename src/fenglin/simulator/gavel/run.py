"""Runs a policy over seeds, and measures when the jobs end."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fenglin.errors import ConflictError, InputError
from fenglin.planner.rounds.columns import Ints, Policy, Rates
from fenglin.planner.rounds.plan import MOST_TYPES, new_pool
from fenglin.simulator.gavel import drive
from fenglin.simulator.gavel.drive import Jobs, Meters, Rules, new_meters
from fenglin.simulator.gavel.read import HOUR_S, read_jobs, read_rates, workload_of

CLUSTER = "v100:36,p100:36,k80:36"
# What Gavel's simulator waits between two computations of shares.
GAVEL_REPLAN_S = 1920.0
FIRST_JOB, LAST_JOB = 4000, 4999
# More than a run of the published size takes from its generator.
WORDS = 1 << 18
WORD_BITS = 32
SHUFFLE_SEED = 5

# Our name of a policy → Gavel's.
GAVEL_NAMES = {
    "fifo": "fifo",
    "fifo-perf": "fifo_perf",
    "las": "max_min_fairness",
    "las-perf": "max_min_fairness_perf",
}


@dataclass(frozen=True)
class Setting:
    """What is run.

    Attributes:
        policy: How rounds are given out.
        types: Names of the types of workers, by falling name.
        workers: By type.
        jobs_per_hour: Mean rate of arrival.
        multi: Whether jobs take several workers.
        round_s: Length of a lease.
        replan_s: Time between two plans, at least; None for what the policy takes.
        first: The first measured job.
        last: The last measured job.
    """

    policy: Policy
    types: tuple[str, ...]
    workers: tuple[int, ...]
    jobs_per_hour: float
    multi: bool = False
    round_s: float = 360.0
    replan_s: float | None = None
    first: int = FIRST_JOB
    last: int = LAST_JOB

    @property
    def plan_every_s(self) -> float:
        """Return the time between two plans."""
        if self.replan_s is not None:
            return self.replan_s
        return 0.0 if self.policy >= Policy.FENGLIN else GAVEL_REPLAN_S


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes:
        avg_jct_h: Mean time from arrival to end over the measured jobs, in hours.
        jobs: How many were measured.
        rounds: Rounds that were run.
        leases: Job-rounds, given or renewed.
        renewed: Leases to the same workers, with the same mate, as in the round before.
        shared: Leases with a mate.
        rounds_after: Rounds after the last arrival of the trace, when the load falls: the end of
            the trace flatters a run that has many.
        seconds: Process time of the rounds, without reading and compiling.
    """

    avg_jct_h: float
    jobs: int
    rounds: int
    leases: int
    renewed: int
    shared: int
    rounds_after: int
    seconds: float


def policy_of(name: str) -> Policy:
    """Return a policy by its name, such as `las-perf`.

    Raises:
        InputError: there is none of that name.
    """
    names = {one.name.lower().replace("_", "-"): one for one in Policy}
    if name not in names:
        raise InputError(f"there is no policy {name!r}", hint=f"one of {', '.join(names)}")
    return names[name]


def cluster_of(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return types and workers from text such as `v100:36,k80:8`, by falling name.

    Raises:
        InputError: it is not of that form, or names no, too many or the same types.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, colon, count = part.strip().partition(":")
        number = int(count) if count.isascii() and count.isdigit() and len(count) < 7 else 0
        if not name or not colon or number < 1 or name in found:
            raise InputError(f"{part!r} is no type of workers", where="--cluster", hint=CLUSTER)
        found[name] = number
    if len(found) > MOST_TYPES:
        raise InputError(f"at most {MOST_TYPES} types of workers", where="--cluster")
    falling = sorted(found.items(), reverse=True)
    return tuple(name for name, _ in falling), tuple(count for _, count in falling)


def window_of(text: str) -> tuple[int, int]:
    """Return the first and last measured job from text such as `4000-4999`.

    Raises:
        InputError: it is not of that form.
    """
    first, _, last = text.partition("-")
    if not all(end.isascii() and end.isdigit() and len(end) < 10 for end in (first, last)):
        raise InputError(f"{text!r} is no range of jobs", where="--jobs", hint="such as 4000-4999")
    return int(first), int(last)


def words_of(policy: Policy, seed: int) -> Ints:
    """Return the random words that Gavel's simulator would draw with a seed."""
    shift = 0 if policy is Policy.FIFO else SHUFFLE_SEED
    source = random.Random(seed + shift)  # noqa: S311 - as published, no secret
    return np.array([source.getrandbits(WORD_BITS) for _ in range(WORDS)], dtype=np.int64)


def check(setting: Setting, rates: Rates, jobs: Jobs, names: Sequence[str]) -> None:
    """Refuse a job that no type of the cluster can ever run, and a window beyond the trace.

    Raises:
        ConflictError: a job needs more workers than any type has that it can run on.
        InputError: the trace has not the measured jobs, or a number is out of range.
    """
    if not 0 <= setting.first <= setting.last < jobs.steps.size:
        raise InputError(
            f"the trace has jobs 0 to {jobs.steps.size - 1}, not {setting.first}-{setting.last}",
            where="--jobs",
        )
    room = np.array(setting.workers)[:, None] >= rates.workers[None, :]
    never = np.logical_not(np.logical_and(room, rates.alone > 0.0).any(axis=0))
    stuck = np.flatnonzero(np.asarray(never)[jobs.kind])
    if stuck.size:
        raise ConflictError(
            f"{stuck.size} jobs fit no type of workers, the first is job {stuck[0]}, "
            f"{names[jobs.kind[stuck[0]]]}",
            where="--cluster",
            hint="give some type more workers",
        )


def run_jobs(
    setting: Setting, rates: Rates, jobs: Jobs, seed: int, *, plain: bool = False
) -> tuple[Outcome, Meters]:
    """Run the jobs of one seed; also return what came of each job.

    Args:
        setting: What is run.
        rates: Throughput tables.
        jobs: Of the seed.
        seed: Of what the policy draws.
        plain: Whether to run the kernels as plain Python even where they can be compiled.

    Raises:
        ConflictError: nobody can be given workers any more, and measured jobs are left.
    """
    kernels = drive.PLAIN if plain else drive.twin()
    rules = Rules(
        setting.policy, setting.round_s, setting.plan_every_s, setting.first, setting.last
    )
    workers = np.array(setting.workers, dtype=np.int64)
    words = words_of(setting.policy, seed)
    if not plain:
        # Compiling, or fetching from the cache, is no part of the run.
        one = Jobs(jobs.arrival_s[:1], jobs.kind[:1], jobs.steps[:1])
        probe = rules._replace(first=0, last=0)
        drive.drive(kernels, one, probe, new_pool(rates, workers, 1, words), new_meters(one))
    pool, meters = new_pool(rates, workers, jobs.steps.size, words), new_meters(jobs)
    begun = time.process_time()
    drive.drive(kernels, jobs, rules, pool, meters)
    seconds = time.process_time() - begun
    window = slice(setting.first, setting.last + 1)
    jct_s = meters.done_s[window] - jobs.arrival_s[window]
    if np.isnan(jct_s).any():
        raise ConflictError(
            f"{int(np.isnan(jct_s).sum())} measured jobs are never given workers",
            hint="another policy, or a larger cluster",
        )
    return Outcome(
        avg_jct_h=float(jct_s.mean()) / HOUR_S,
        jobs=jct_s.size,
        rounds=int(meters.tally[drive.ROUNDS]),
        leases=int(meters.tally[drive.LEASES]),
        renewed=int(meters.tally[drive.RENEWED]),
        shared=int(meters.tally[drive.SHARED]),
        rounds_after=int(meters.tally[drive.AFTER]),
        seconds=seconds,
    ), meters


def run_seeds(data: Path, setting: Setting, seeds: Sequence[int]) -> dict[int, Outcome]:
    """Run a policy over the seeds of a folder.

    Raises:
        NotFoundError: a file, a seed or a type of workers is not there.
        InputError: a file is broken, or the setting is out of range.
        ConflictError: a job can never run.
        UnavailableError: Polars is not installed.
    """
    for name, value in (("--rate", setting.jobs_per_hour), ("--round", setting.round_s)):
        if not 0.0 < value < float("inf"):
            raise InputError(f"{value} is out of range", where=name, hint="above 0")
    rates, kinds = read_rates(data, setting.types, setting.round_s)
    outcomes: dict[int, Outcome] = {}
    for seed in seeds:
        jobs = read_jobs(data, workload_of(setting.multi), seed, setting.jobs_per_hour, kinds)
        check(setting, rates, jobs, list(kinds))
        outcomes[seed], _ = run_jobs(setting, rates, jobs, seed)
    return outcomes
