"""The row `simulate`: a batch log under EASY backfilling, jobs/s, compiled and in plain Python."""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from fenglin.simulator.swf import read_trace
from fenglin.simulator.swf_run import BatchPolicy, Runtime, map_nodes, simulate
from fenglin.simulator.trace import Findings, Trace, usable

BUDGET_S = 60.0
CURIE = "hpc_swf/CEA-curie.easy_reference.parquet"
CURIE_PROCS = 80_640
MADE_UP_PROCS = 1_024
PLAIN_JOBS = 30_000
SEED = 20_261_122
# Published in the reference's own repository, on another machine: not measured here.
CPP_S = 1.4
CURIE_JOBS = 295_540
POOL = "Fenglin, EASY"
NODES = "Fenglin, EASY with a node map"
PART = "Fenglin, EASY, the same part"
PLAIN = "Fenglin, EASY, the same part in plain Python"


def made_up(jobs: int) -> Trace:
    """Return random jobs that keep a machine of 1,024 processors almost full."""
    rng = np.random.default_rng(SEED)
    submit_s = np.cumsum(rng.exponential(110.0, jobs)).astype(np.int64)
    run_s = np.exp(rng.uniform(np.log(10), np.log(40_000), jobs)).astype(np.int64)
    request_s = (run_s * rng.uniform(1, 10, jobs)).astype(np.int64)
    procs = 2 ** rng.integers(0, 7, jobs)
    number = np.arange(1, jobs + 1)
    findings = Findings("made up")
    user = np.zeros(jobs, dtype=np.int64)
    return Trace(number, submit_s, run_s, request_s, procs, user, number, 0, findings)


def workload(effort: Effort) -> tuple[str, Trace, int]:
    """Return the jobs and their machine: Curie where it is at hand, else random ones."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("FENGLIN_TEST_DATA", beside)) / CURIE
    if effort.peers and path.exists() and find_spec("polars"):
        trace = usable(read_trace(path), CURIE_PROCS, needs_request=True)
        return f"CEA-Curie, {len(trace):,} jobs, {CURIE_PROCS:,} processors", trace, CURIE_PROCS
    jobs = effort.tasks * 10
    title = f"{jobs:,} random jobs (seed {SEED}), {MADE_UP_PROCS:,} processors"
    return title, made_up(jobs), MADE_UP_PROCS


def speed(trace: Trace, procs: int, *, nodes: bool = False, plain: bool = False) -> float:
    """Return jobs/s of a replay with requested times, without reading and compiling.

    Raises:
        BenchError: there is no compiled loop.
    """
    done = simulate(trace, procs, BatchPolicy.EASY, Runtime.REQUESTED, plain=plain)
    if done.compiled is plain:
        raise BenchError("Numba is not installed: `fenglin[simulate]`")
    seconds = done.seconds
    if nodes:
        seconds += map_nodes(trace, procs, done.start_s).seconds
    return len(trace) / seconds


def run(effort: Effort) -> Row:
    """Measure the row."""
    title, trace, procs = workload(effort)
    row = Row("simulate", f"Simulated EASY backfilling: {title}")
    part = trace.only(np.arange(min(PLAIN_JOBS, len(trace))))
    contenders = {
        POOL: partial(speed, trace, procs),
        NODES: partial(speed, trace, procs, nodes=True),
        PART: partial(speed, part, procs),
        PLAIN: partial(speed, part, procs, plain=True),
    }
    goals = {POOL: 50_000.0, NODES: 25_000.0}
    for name, values in in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale).items():
        row.figures.append(Figure(name, "jobs/s", values, ours=True, goal=goals.get(name)))
    row.compare(PART, PLAIN)
    row.notes += [
        (
            "Requested times, every decision and the assignment of nodes; without reading the file,"
            " and without compiling, which is done once and kept on disk. The first 30,000 jobs are"
            " the part; plain Python runs the same kernels on lists, under the general event queue."
        ),
        (
            f"Published, not measured here: a C++ replay of Curie takes {CPP_S} s, which is"
            f" {CURIE_JOBS / CPP_S:,.0f} jobs/s without a node map."
        ),
        (
            "AccaSim 1.1.3 does not import on Python 3.10 and later (`from collections import"
            " Mapping`), so it takes no part."
        ),
    ]
    return row
