"""Runs a policy over seeds, and measures how much of the GPUs it gives away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import fsum
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from fenglin.errors import InputError
from fenglin.planner.packers.columns import FULL_MILLI, Floats, Policy
from fenglin.planner.packers.pack import pack, twin, typical_of
from fenglin.simulator.openb.trace import Stream, read_streams

LAST_PERCENT = 130


@dataclass(frozen=True)
class Outcome:
    """What a run gave.

    Attributes:
        alloc_pct: Mean allocation in percent at each whole percent of arrived GPUs, from 0;
            not a number where no arrival falls on it.
        run_s: Time of placing, without reading and compiling.
        rejected: Pods that fitted nowhere.
        pods: All pods.
    """

    alloc_pct: Floats
    run_s: float
    rejected: int
    pods: int


def policy_of(name: str) -> Policy:
    """Return a policy by its name.

    Raises:
        InputError: there is none of that name.
    """
    names = {one.name.lower(): one for one in Policy}
    if name not in names:
        raise InputError(f"there is no policy {name!r}", hint=f"one of {', '.join(names)}")
    return names[name]


def run_stream(stream: Stream, policy: Policy, seed: int, *, plain: bool = False) -> Outcome:
    """Place the pods of a stream, and measure."""
    typical = typical_of(stream.shapes, stream.pods, stream.models)
    if not plain and twin() is not None:
        # Compiling, or fetching from the cache, is no part of the run.
        pack(policy, stream.nodes, stream.shapes, stream.arrivals[:1], typical=typical)
    begun = time.perf_counter()
    done = pack(
        policy, stream.nodes, stream.shapes, stream.arrivals,
        typical=typical, seed=seed, plain=plain,
    )  # fmt: skip
    run_s = time.perf_counter() - begun
    placed = done.node >= 0
    return Outcome(
        alloc_pct=allocation(stream, placed),
        run_s=run_s,
        rejected=int((~placed).sum()),
        pods=len(placed),
    )


def allocation(stream: Stream, placed: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Floats:
    """Return the mean allocation at each percent of arrived GPUs, as the experiment counts it.

    After each arrival: GPU milli given away, in percent of all, rounded to hundredths. The mean
    is over the arrivals at which all arrived GPU milli, in percent and rounded half to even, is
    the same.
    """
    shapes = stream.shapes
    asked = (shapes.gpu_milli * shapes.gpus)[stream.arrivals]
    total = max(int(stream.nodes.gpus.sum()), 1)
    arrived = np.rint(np.cumsum(asked) / (total * FULL_MILLI) * 100.0).astype(np.int64)
    used = np.round(np.cumsum(np.where(placed, asked, 0)) / total / (FULL_MILLI / 100), 2)
    means = np.full(max(LAST_PERCENT, int(arrived[-1])) + 1, np.nan)
    # Arrived GPUs only rise, so each percent is one slice.
    bounds = np.searchsorted(arrived, np.arange(means.size + 1))
    for percent in range(means.size):
        part = used[bounds[percent] : bounds[percent + 1]]
        if part.size:
            means[percent] = fsum(part.tolist()) / part.size
    return means


def _one(data: Path, workload: str, seed: int, policy: Policy, nodes: Path | None) -> Outcome:
    """Read and run one seed: the work of a process."""
    return run_stream(read_streams(data, workload, [seed], nodes)[seed], policy, seed)


def run_seeds(
    data: Path,
    workload: str,
    seeds: Sequence[int],
    policy: Policy,
    *,
    nodes: Path | None = None,
    jobs: int = 1,
) -> dict[int, Outcome]:
    """Run a policy over seeds, in as many processes as asked for.

    Raises:
        NotFoundError: the folder, the workload or a seed is not there.
        InputError: a file is broken.
        UnavailableError: Polars is not installed.
    """
    if jobs == 1 or len(seeds) == 1:
        streams = read_streams(data, workload, seeds, nodes)
        return {seed: run_stream(stream, policy, seed) for seed, stream in streams.items()}
    # Fresh processes: Polars has threads, and a fork of a process with threads may hang.
    with ProcessPoolExecutor(min(jobs, len(seeds)), mp_context=get_context("spawn")) as pool:
        tasks = [pool.submit(_one, data, workload, seed, policy, nodes) for seed in seeds]
        return {seed: task.result() for seed, task in zip(seeds, tasks, strict=True)}
