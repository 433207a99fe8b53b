"""Replays a batch log under a policy and measures how its jobs fared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np

from fenglin.errors import InputError
from fenglin.planner.backfill import easy
from fenglin.planner.backfill.nodes import WRITTEN
from fenglin.planner.backfill.twins import Column, Kernel, compiled
from fenglin.simulator import loop
from fenglin.simulator.columns import Columns
from fenglin.simulator.stepwise import ConservativeDesk, EasyDesk, LearnedDesk, drive
from fenglin.simulator.trace import Ints, Trace

TAU_S = 10


class BatchPolicy(StrEnum):
    """How waiting jobs are started."""

    FCFS = "fcfs"
    EASY = "easy"
    EASY_SJBF = "easy-sjbf"
    CONSERVATIVE = "conservative"
    BALANCED = "balanced"


class Runtime(StrEnum):
    """What a policy believes of a job's runtime."""

    ACTUAL = "actual"
    REQUESTED = "requested"


EASY_POLICIES = {
    BatchPolicy.FCFS: easy.FCFS,
    BatchPolicy.EASY: easy.ARRIVAL_ORDER,
    BatchPolicy.EASY_SJBF: easy.SHORTEST_FIRST,
}


@dataclass(frozen=True)
class Schedule:
    """When each job of a trace starts.

    Attributes:
        start_s: By job.
        first_s: First reservation by job, where the policy gives everybody one; else None.
        seconds: How long the replay took, without reading and compiling.
        compiled: Whether the loop was compiled.
    """

    start_s: Ints
    first_s: Ints | None
    seconds: float
    compiled: bool


@dataclass(frozen=True)
class Fares:
    """How the jobs fared: waits, and bounded slowdowns with τ = 10 s, over all jobs.

    Attributes:
        wait_s: By job.
        mean_wait_s: Mean.
        mean_bounded_slowdown: Mean of max(1, (wait + run) / max(run, τ)).
        max_bounded_slowdown: The largest.
        worst_wait_s: Mean of the longest 1 % of the waits, at least of one.
    """

    wait_s: Ints
    mean_wait_s: float
    mean_bounded_slowdown: float
    max_bounded_slowdown: float
    worst_wait_s: float


@dataclass(frozen=True)
class NodeMap:
    """Which nodes each job had, as ranges.

    Attributes:
        job: Index of the job, by range.
        first: First node.
        length: How many, in a row.
        seconds: How long the assignment took.
    """

    job: Ints
    first: Ints
    length: Ints
    seconds: float


@cache
def twins() -> Mapping[str, Kernel] | None:
    """Return the compiled loops; None when there is no Numba."""
    sets = (
        loop.EASY_KERNELS,
        loop.CONSERVATIVE_KERNELS,
        loop.LEARNED_KERNELS,
        loop.NODE_KERNELS,
    )
    compiled_sets = [compiled(kernels) for kernels in sets]
    names = ("replay_easy", "replay_conservative", "replay_learned", "map_nodes")
    found = {
        name: one[name] for name, one in zip(names, compiled_sets, strict=True) if one is not None
    }
    return found or None


def simulate(
    trace: Trace,
    procs: int,
    policy: BatchPolicy,
    runtime: Runtime,
    *,
    patience_percent: int = 100,
    plain: bool = False,
) -> Schedule:
    """Replay a trace that `usable` has gone over.

    Args:
        trace: The jobs.
        procs: Processors of the machine.
        policy: How waiting jobs are started.
        runtime: What is expected of each job's runtime.
        patience_percent: How far `balanced` may put a long job back, of what it would by itself;
            0 keeps the order of arrival.
        plain: Whether to do without compiled loops even where there are some.
    """
    kernels = None if plain else twins()
    if kernels is not None:
        # Compiling, or fetching from the cache, is no part of the replay.
        _run(kernels, trace.only(np.arange(min(1, len(trace)))), procs, policy, runtime, 0)
    begun = time.perf_counter()
    start_s, first_s = _run(kernels, trace, procs, policy, runtime, patience_percent)
    return Schedule(start_s, first_s, time.perf_counter() - begun, kernels is not None)


def _run(
    kernels: Mapping[str, Kernel] | None,
    trace: Trace,
    procs: int,
    policy: BatchPolicy,
    runtime: Runtime,
    patience_percent: int,
) -> tuple[Ints, Ints | None]:
    """Return the starts, and the first reservations if there are any."""
    columns = Columns(arrays=kernels is not None)
    limit_s = trace.run_s if runtime is Runtime.ACTUAL else trace.request_s
    jobs = columns.jobs(trace.submit_s, trace.run_s, limit_s, trace.procs)
    if policy is BatchPolicy.CONSERVATIVE:
        first = int(trace.submit_s[0]) if len(trace) else 0
        book = columns.book(len(trace), procs, first)
        if kernels is None:
            drive(ConservativeDesk(book, jobs), jobs)
        else:
            kernels["replay_conservative"](book, jobs, columns.ends(len(trace)))
        return _array(book.start_s), _array(book.first_s)
    machine = columns.machine(len(trace), procs)
    if policy is BatchPolicy.BALANCED:
        learns = runtime is Runtime.REQUESTED
        learner = columns.learner(trace, procs, patience_percent, learns=learns)
        if kernels is None:
            drive(LearnedDesk(machine, jobs, learner), jobs)
        else:
            kernels["replay_learned"](machine, jobs, columns.ends(len(trace)), learner)
        return _array(machine.start_s), None
    order = EASY_POLICIES[policy]
    if kernels is None:
        drive(EasyDesk(machine, jobs, order), jobs)
    else:
        kernels["replay_easy"](machine, jobs, columns.ends(len(trace)), order)
    return _array(machine.start_s), None


def fares(trace: Trace, start_s: Ints) -> Fares:
    """Return how the jobs fared under a schedule."""
    wait_s = start_s - trace.submit_s
    if not len(wait_s):
        return Fares(wait_s, 0.0, 0.0, 0.0, 0.0)
    slowdown = np.maximum(1.0, (wait_s + trace.run_s) / np.maximum(trace.run_s, TAU_S))
    worst = np.sort(wait_s)[-max(1, len(wait_s) // 100) :]
    return Fares(
        wait_s,
        float(wait_s.mean()),
        float(slowdown.mean()),
        float(slowdown.max()),
        float(worst.mean()),
    )


def past_request(trace: Trace) -> int:
    """Return how many jobs ran longer than was asked for; they hold nothing from then on."""
    return int(np.count_nonzero((trace.request_s > 0) & (trace.run_s > trace.request_s)))


def map_nodes(trace: Trace, procs: int, start_s: Ints, *, plain: bool = False) -> NodeMap:
    """Return which nodes each job has had: the lowest free ones at its start.

    Raises:
        InputError: the schedule needs more nodes than there are, as one may in which jobs
            outlive their requested time.
    """
    kernels = None if plain else twins()
    assign = loop.map_nodes if kernels is None else kernels["map_nodes"]
    columns = Columns(arrays=kernels is not None)
    if kernels is not None:
        none = np.zeros(0, dtype=np.int64)
        empty = columns.jobs(none, none, none, none)
        assign(columns.nodes(0, 1, 0), empty, *(columns.of(none) for _ in range(3)))
    begun = time.perf_counter()
    # Jobs of no length first: one may have ended before another of its second started.
    by_start = np.lexsort((trace.submit_s, trace.run_s > 0, start_s))
    end_s = start_s + trace.run_s
    by_end = np.argsort(end_s, kind="stable")
    by_end = by_end[trace.run_s[by_end] > 0]
    jobs = columns.jobs(trace.submit_s, trace.run_s, trace.run_s, trace.procs)
    orders: list[Column] = [columns.of(one) for one in (start_s, by_start, by_end)]
    nodes = columns.nodes(len(trace), procs, 0)
    failed = assign(nodes, jobs, *orders)
    if failed != loop.ENOUGH:
        raise InputError(
            f"job {trace.job_id[failed]} finds too few nodes: others outlive their requested time",
            where=trace.findings.source,
            hint="nodes can be assigned with --runtime actual",
        )
    seconds = time.perf_counter() - begun
    # The first turn has counted the ranges; the same again, written down.
    nodes = columns.nodes(len(trace), procs, nodes.state[WRITTEN])
    assign(nodes, jobs, *orders)
    job, first, length = map(_array, (nodes.log_job, nodes.log_first, nodes.log_length))
    return NodeMap(job, first, length, seconds)


def _array(column: Column) -> Ints:
    """Return a column as an array."""
    values: Any = column
    array: Ints = np.asarray(values, dtype=np.int64)
    return array
