"""The row `pool`: whole pools in virtual time under the hub's own lifecycle; speed and memory."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench.children import ROOT, environment
from bench.effort import BenchError, in_turns
from bench.figures import Figure, Row
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner.policy import BALANCED
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.outcome import Nowhere
from fenglin.simulator.pool.world import Setting, World
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob, Workload
from fenglin.snapshot.snapshot import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.effort import Effort

BUDGET_S = 120.0
SEED = 20_261_122
GIB = 2**30
EVERY = "a plan at every event"
BEAT = "a plan every 10 s of the trace"
BEAT_MS = 10_000
SHORT = "peak memory, {:,} jobs"


def jobs(count: int) -> Iterator[WorkJob]:
    """Yield jobs that keep two thirds of the pool busy."""
    rng = np.random.default_rng(SEED)
    shapes = [Shape(Resources(1_000 * 2**k, GIB)) for k in range(5)]
    at_ms = 0
    for number in range(1, count + 1):
        at_ms += int(rng.exponential(1_000))
        run_ms = int(rng.lognormal(10, 1.5)) + 1_000
        shape = shapes[rng.integers(len(shapes))]
        user, queue = f"u{number % 7}", f"q{number % 3}"
        yield WorkJob(
            number, at_ms, shape, (run_ms,), estimate_ms=2 * run_ms, user=user, queue=queue
        )


def world(count: int, beat_ms: int) -> World:
    """Return a run of so many jobs on 16 nodes of 64 cores."""
    flavor = Flavor("f", ComputeClass.GENERAL, Resources(64_000, 256 * GIB))
    nodes = tuple(Node(f"n{i:02}", "f") for i in range(16))
    site = Site("a", "p", "mock", flavors=(flavor,), nodes=nodes)
    workload = Workload("made up", partial(jobs, count), Findings("made up"))
    return World(Setting((site,), BALANCED, cycle_ms=beat_ms), workload, Nowhere())


def speed(count: int, beat_ms: int) -> float:
    """Return jobs per second of processor time."""
    run = world(count, beat_ms)
    begun_s = time.process_time()
    tally = run.run()
    if tally.task_ends != count:
        raise BenchError(f"{tally.task_ends} of {count} tasks ended")
    return count / (time.process_time() - begun_s)


def peak_mib(count: int) -> float:
    """Return the peak memory of a process of its own that runs so many jobs."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.pools", str(count)],
        capture_output=True, text=True, check=False, timeout=900, cwd=ROOT, env=environment(),
    )  # fmt: skip
    if done.returncode:
        raise BenchError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout)


def run(effort: Effort) -> Row:
    """Measure the row."""
    few, many = effort.tasks // 2, effort.tasks * 4
    row = Row("pool", f"Whole pools in virtual time: {few:,} jobs on 1,024 cores, `balanced`")
    contenders = {
        EVERY: partial(speed, few, 0),
        BEAT: partial(speed, few, BEAT_MS),
    }
    for name, values in in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale).items():
        row.figures.append(Figure(name, "jobs/s", values, ours=True))
    for count in (few, many):
        name = SHORT.format(count)
        row.figures.append(Figure(name, "MiB", [peak_mib(count)], ours=True, digits=1))
    row.notes.append(
        "Processor time of one core; snapshot, plan, commitments, lifecycle, bills. Memory is that"
        " of a whole process: it follows the jobs in the pool, not the length of the trace."
    )
    return row


if __name__ == "__main__":
    world(int(sys.argv[1]), BEAT_MS).run()
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024}\n")
