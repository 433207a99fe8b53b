"""The row `learned`: `balanced` beside EASY on archive logs, both knowing only requested times.

How jobs fare under a policy is compared with EASY on the same log, in percent. The trade-off curve
is drawn by `bench/tradeoff.py`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.effort import Effort
from bench.figures import Figure, Row
from fenglin.simulator.swf import read_trace
from fenglin.simulator.swf_run import BatchPolicy, Fares, Runtime, fares, simulate
from fenglin.simulator.trace import Findings, Trace, usable

LOGS = {"KTH-SP2": 100, "SDSC-SP2": 128, "CEA-curie": 80_640}
ROOT = Path(__file__).resolve().parents[1]
GOAL_SLOWDOWN = -40.0
GOAL_WORST = 0.0
SEED = 20_261_122
MADE_UP_PROCS = 128
USERS = 40
# A shaken copy leaves out this part of the jobs and lets the others arrive up to so much later.
LEFT_OUT = 0.02
SHAKE_S = 120


class Change(NamedTuple):
    """How jobs fare against EASY with requested times, in percent."""

    slowdown: float
    worst_wait: float
    max_wait: float
    mean_wait: float


def folder() -> Path | None:
    """Return the archive logs: `FENGLIN_TEST_DATA`, or `shared/data` beside the repository."""
    base = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = base / "hpc_swf"
    return path if path.is_dir() and find_spec("polars") else None


def log(data: Path, name: str) -> Trace:
    """Return the jobs of an archive log."""
    path = data / f"{name}.easy_reference.parquet"
    return usable(read_trace(path), LOGS[name], needs_request=True)


def made_up(jobs: int) -> Trace:
    """Return jobs of users who repeat themselves and ask for far too much."""
    rng = np.random.default_rng(SEED)
    user = rng.integers(0, USERS, jobs)
    usual = np.exp(rng.uniform(np.log(10), np.log(40_000), USERS))
    run_s = (usual[user] * rng.uniform(0.7, 1.4, jobs)).astype(np.int64)
    request_s = np.exp2(np.ceil(np.log2(run_s * rng.uniform(2, 20, jobs)))).astype(np.int64)
    procs = 2 ** rng.integers(0, 6, jobs)
    gap_s = float((run_s * procs).mean()) / MADE_UP_PROCS / 0.85
    submit_s = np.cumsum(rng.exponential(gap_s, jobs)).astype(np.int64)
    number = np.arange(1, jobs + 1)
    found = Findings("made up")
    return Trace(number, submit_s, run_s, request_s, procs, user, number, 0, found)


def shaken(trace: Trace, seed: int) -> Trace:
    """Return the log with a few jobs less, all arriving a little later; seed 0 leaves it alone.

    One start a second earlier changes all that follow, so a single log says little about one
    percent; a mean over shaken copies says more.
    """
    if not seed:
        return trace
    rng = np.random.default_rng(seed)
    kept = trace.only(np.flatnonzero(rng.random(len(trace)) >= LEFT_OUT))
    submit_s = kept.submit_s + rng.integers(0, SHAKE_S, len(kept))
    order = np.argsort(submit_s, kind="stable")
    return replace(kept.only(order), submit_s=submit_s[order])


def fare(
    trace: Trace,
    procs: int,
    policy: BatchPolicy,
    runtime: Runtime = Runtime.REQUESTED,
    patience_percent: int = 100,
) -> Fares:
    """Return how jobs fare under a policy."""
    done = simulate(trace, procs, policy, runtime, patience_percent=patience_percent)
    return fares(trace, done.start_s)


def change(before: Fares, after: Fares) -> Change:
    """Return how much more, in percent."""

    def percent(old: float, new: float) -> float:
        return 100 * (new / old - 1) if old else 0.0

    return Change(
        percent(before.mean_bounded_slowdown, after.mean_bounded_slowdown),
        percent(before.worst_wait_s, after.worst_wait_s),
        percent(float(before.wait_s.max()), float(after.wait_s.max())),
        percent(before.mean_wait_s, after.mean_wait_s),
    )


def run(effort: Effort) -> Row:
    """Measure the row."""
    data = folder() if effort.peers else None
    row = Row("learned", "Learned backfilling against EASY, requested times")
    if data is None:
        traces = {"made up": (made_up(effort.tasks * 2), MADE_UP_PROCS)}
    else:
        traces = {name: (log(data, name), procs) for name, procs in LOGS.items()}
    for name, (trace, procs) in traces.items():
        found = change(
            fare(trace, procs, BatchPolicy.EASY), fare(trace, procs, BatchPolicy.BALANCED)
        )
        shown = (
            ("mean bounded slowdown", found.slowdown, GOAL_SLOWDOWN),
            ("mean wait of the worst 1 %", found.worst_wait, GOAL_WORST),
        )
        for what, value, goal in shown:
            row.figures.append(
                Figure(
                    f"{name}, {what}", "%", [value], ours=True,
                    goal=goal if data is not None else None, at_most=True, digits=1,
                )
            )  # fmt: skip
    row.notes.append(
        "Change against EASY on the same log; τ = 10 s. Schedules are deterministic, so one round"
        " is all there is."
    )
    return row
