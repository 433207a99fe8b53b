"""The row `gavel`: training jobs on unlike accelerators, leased round by round.

Leases per second of the simulation, the time of one round's plan beside Gavel's linear program,
and the average completion time beside the published one. `python -m bench.gavel DIR` prints
every published rate: published, our own reproduction, and `fenglin`.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from fenglin.planner.rounds.columns import Policy, Rates
from fenglin.planner.rounds.fair import fill_gain, new_fair
from fenglin.planner.rounds.maxmin import Fair, new_path
from fenglin.planner.rounds.plan import Past, new_pool, plan_ours
from fenglin.simulator.gavel import drive
from fenglin.simulator.gavel.drive import Jobs
from fenglin.simulator.gavel.read import published, read_jobs, read_rates
from fenglin.simulator.gavel.run import CLUSTER, GAVEL_NAMES, Setting, cluster_of, run_jobs

BUDGET_S = 60.0
SEED = 0
JOBS_PER_HOUR = 5.6
CROWD = 2_000
WORKERS = 36
LEASES = "Fenglin, fenglin"
PLAN = "Fenglin, one round"
SHARES = "Fenglin, the shares of Gavel's LAS"
PROGRAM = "HiGHS, the same program over jobs"


def folder() -> Path | None:
    """Return the reference data: `FENGLIN_TEST_DATA`, or `shared/data` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("FENGLIN_TEST_DATA", beside)) / "dl" / "gavel"
    return path if path.is_dir() else None


def made_up() -> Rates:
    """Return tables of 26 kinds on three types: what is measured where the data is not at hand."""
    rng = np.random.default_rng(SEED)
    alone = rng.uniform(1.0, 20.0, 26) * np.array([[1.0], [0.8], [0.2]]) * rng.uniform(0.6, 1.4, 26)
    beside = alone[:, :, None] * rng.uniform(0.3, 0.9, (3, 26, 26))
    return Rates(alone, beside, alone.max(axis=0), np.ones(26, dtype=np.int64))


def made_up_jobs(count: int) -> Jobs:
    """Return random jobs that keep the cluster busy."""
    rng = np.random.default_rng(SEED)
    arrival_s = np.cumsum(rng.exponential(600.0, count))
    return Jobs(arrival_s, rng.integers(0, 26, count), 10 ** rng.uniform(4, 6, count))


def round_ms(rates: Rates, kinds: np.ndarray[Any, Any]) -> Callable[[], float]:
    """Return what measures one plan by `fenglin`, in milliseconds."""
    served_s = 10 ** np.random.default_rng(SEED).uniform(2, 5, kinds.size)
    workers = np.full(len(rates.alone), WORKERS, dtype=np.int64)
    pool = new_pool(rates, workers, kinds.size, np.zeros(1, dtype=np.int64))
    pool.crowd.job[:], pool.crowd.kind[:] = np.arange(kinds.size), kinds
    pool.crowd.present[0] = kinds.size
    past = Past(np.zeros(kinds.size), served_s, 2e5)
    plan = partial(plan_ours, drive.twin(), Policy.FENGLIN, pool, past)
    plan()

    def once() -> float:
        # From prices of another moment, as in the worst round.
        pool.desk.price[:] = 0.0
        begun = time.process_time()
        plan()
        return (time.process_time() - begun) * 1e3

    return once


def program(rates: Rates, kinds: np.ndarray[Any, Any]) -> Fair:
    """Return Gavel's max-min program with one row for each kind that is there."""
    workers = np.full(len(rates.alone), WORKERS, dtype=np.int64)
    present, many = np.unique(kinds, return_counts=True)
    fair = new_fair(present.size, workers)
    fair.many[:], fair.size[:] = many, rates.workers[present]
    for row, kind in enumerate(present):
        fill_gain(fair, rates, row, int(kind), True)  # noqa: FBT003 - a kernel
    return fair


def shares_ms(fair: Fair, found: dict[str, float]) -> float:
    """Return the milliseconds of our own solution; note its optimum."""
    path = new_path(fair.many.size, fair.workers.size)
    begun = time.process_time()
    found[SHARES] = drive.twin()["share_out"](fair, path)
    return (time.process_time() - begun) * 1e3


def highs_ms(fair: Fair, found: dict[str, float]) -> float:
    """Return the milliseconds in which HiGHS solves the program over jobs; note its optimum.

    The matrix is made beforehand; passing it is part of the time.

    Raises:
        BenchError: HiGHS is not installed.
    """
    if not find_spec("highspy"):
        raise BenchError("HiGHS is not installed: `fenglin[simulate]`")
    import highspy  # noqa: PLC0415 - an extra

    program = rows_of(fair, highspy)
    begun = time.process_time()
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("threads", 1)
    solver.passModel(program)
    solver.run()
    found[PROGRAM] = -solver.getInfo().objective_function_value
    return (time.process_time() - begun) * 1e3


def rows_of(fair: Fair, highspy: Any) -> Any:
    """Return the program over jobs: per job a row of progress and one of time, then the types."""
    gain, size = np.repeat(fair.gain, fair.many, axis=0), np.repeat(fair.size, fair.many)
    jobs, types = gain.shape
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = jobs * types + 1, 2 * jobs + types
    lp.col_cost_ = np.append(np.zeros(jobs * types), -1.0)
    lp.col_lower_ = np.zeros(lp.num_col_)
    lp.col_upper_ = np.append(np.ones(jobs * types), highspy.kHighsInf)
    lp.row_lower_ = np.concatenate([np.zeros(jobs), np.full(jobs + types, -highspy.kHighsInf)])
    lp.row_upper_ = np.concatenate([np.full(jobs, highspy.kHighsInf), np.ones(jobs), fair.workers])
    job = np.repeat(np.arange(jobs), types)
    index = np.column_stack([job, jobs + job, 2 * jobs + np.tile(np.arange(types), jobs)])
    value = np.column_stack([gain.ravel(), np.ones(jobs * types), size[job]])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = np.append(np.arange(jobs * types + 1) * 3, 3 * jobs * types + jobs)
    lp.a_matrix_.index_ = np.concatenate([index.ravel(), np.arange(jobs)])
    lp.a_matrix_.value_ = np.concatenate([value.ravel(), -np.ones(jobs)])
    return lp


def speed(setting: Setting, rates: Rates, jobs: Jobs, hours: list[float]) -> float:
    """Return the leases per second of a run; note the average completion time."""
    outcome, _ = run_jobs(setting, rates, jobs, SEED)
    hours.append(outcome.avg_jct_h)
    return outcome.leases / outcome.seconds


def run(effort: Effort) -> Row:
    """Measure the row."""
    data = folder() if effort.peers and find_spec("polars") else None
    types, workers = cluster_of(CLUSTER)
    setting = Setting(Policy.FENGLIN, types, workers, JOBS_PER_HOUR)
    if data is not None:
        rates, kinds = read_rates(data, types, setting.round_s)
        jobs = read_jobs(data, "single", SEED, JOBS_PER_HOUR, kinds)
        title = f"Gavel's continuous-single, seed {SEED}, {JOBS_PER_HOUR} jobs an hour"
    else:
        rates, jobs = made_up(), made_up_jobs(effort.tasks)
        setting = Setting(Policy.FENGLIN, types, workers, 6.0, first=0, last=effort.tasks - 1)
        title = f"{effort.tasks} random jobs"
    row = Row("gavel", f"Training jobs leased on 108 unlike accelerators: {title}")
    single = np.flatnonzero(rates.workers == 1)
    crowd = np.random.default_rng(SEED).choice(single, min(CROWD, effort.tasks))
    fair, hours, found = program(rates, crowd), [], {}  # type: ignore[var-annotated]
    shares_ms(fair, found)
    contenders: dict[str, Callable[[], float]] = {
        LEASES: partial(speed, setting, rates, jobs, hours),
        PLAN: round_ms(rates, crowd),
        SHARES: partial(shares_ms, fair, found),
    }
    if effort.peers:
        contenders[PROGRAM] = partial(highs_ms, fair, found)
    taken = in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    for name, values in taken.items():
        goal = 40_000.0 if name == LEASES and data is not None else None
        unit = "leases/s" if name == LEASES else "ms"
        row.figures.append(Figure(name, unit, values, ours=name != PROGRAM, goal=goal, digits=2))
    if hours:
        row.figures.append(Figure("average completion, fenglin", "h", hours, ours=True, digits=2))
    row.compare(PLAN, PROGRAM, goal=5.0)
    row.compare(SHARES, PROGRAM, goal=5.0)
    row.notes += notes(data, crowd.size, found)
    return row


def notes(data: Path | None, jobs: int, found: dict[str, float]) -> list[str]:
    """Return how it was measured."""
    told = [f"One round, the shares and the program: {jobs:,} jobs at once; process time."]
    if PROGRAM in found:
        told.append(f"Optima of the program: {found[SHARES]:.6f} and, HiGHS, {found[PROGRAM]:.6f}.")
    if data is not None:
        best = min(published(data, "single", JOBS_PER_HOUR).values())
        told.append(f"Best published mean of seeds 0 to 2 at this rate: {best} h.")
    return told


def mean_h(data: Path, setting: Setting, seeds: tuple[int, ...]) -> tuple[float, int]:
    """Return the mean over seeds of the average completion, and rounds after the last arrival."""
    rates, kinds = read_rates(data, setting.types, setting.round_s)
    done = [
        run_jobs(
            setting,
            rates,
            read_jobs(
                data, "multi" if setting.multi else "single", seed, setting.jobs_per_hour, kinds
            ),
            seed,
        )[0]
        for seed in seeds
    ]
    return sum(one.avg_jct_h for one in done) / len(done), sum(one.rounds_after for one in done)


def main(words: list[str]) -> int:
    """Print every published rate; return 1 where `fenglin` is slower than the best published."""
    data, behind = Path(words[0]), 0
    with (data / "published_avg_jct.csv").open(encoding="utf-8") as text:
        cells = sorted(
            {(row["workload"], float(row["jobs_per_hour"])) for row in csv.DictReader(text)}
        )
    names = ("fifo", "fifo-perf", "las", "las-perf", "fenglin-alone", "fenglin")
    print(f"{'workload':9}{'rate':>5}{'best':>8}" + "".join(f"{name:>18}" for name in names))
    for workload, rate in cells:
        known = published(data, workload, rate)
        best, line = min(known.values()), ""
        for name in names:
            policy = Policy[name.upper().replace("-", "_")]
            setting = Setting(policy, *cluster_of(CLUSTER), rate, multi=workload == "multi")
            told = known.get(GAVEL_NAMES.get(name, ""))
            if told is None and name in GAVEL_NAMES:
                line += f"{'-':>18}"
                continue
            hours, after = mean_h(data, setting, (0, 1, 2))
            told_h = "" if told is None else f"{told:8.2f} →"
            line += f"{told_h:>9}{hours:8.2f}{'*' if after else ' '}"
            behind += name == "fenglin" and hours > best
        print(f"{workload:9}{rate:5.1f}{best:8.2f}{line}", flush=True)
    print("published → ours, hours; * the trace ended before the measured jobs did")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
