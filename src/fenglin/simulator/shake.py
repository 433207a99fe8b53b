"""Input shaking: a trace gets seeds of its own, so that a comparison on it has error bars.

Source: D. Tsafrir, K. Ouaknine, D. Feitelson, "Reducing Performance Evaluation Sensitivity and
Variability by Input Shaking", MASCOTS 2007: arrivals are moved by small random times, and the
spread of the results shows how much of a difference is chance.
"""

from __future__ import annotations

import heapq
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fenglin.simulator.workload import WorkJob, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator


def shake(workload: Workload, by_ms: int, seed: int) -> Workload:
    """Return the workload with each submission moved by up to `by_ms` either way, never below 0.

    Args:
        workload: What is shaken.
        by_ms: Largest move, drawn uniformly for each job.
        seed: Of the draws; 0 moves nothing, so that the trace itself is among the runs.
    """
    if not by_ms or not seed:
        return workload
    return Workload(workload.name, partial(_shaken, workload, by_ms, seed), workload.findings)


def _shaken(workload: Workload, by_ms: int, seed: int) -> Iterator[WorkJob]:
    """Yield the moved jobs in order; no more are held back than arrive within twice the move."""
    random = np.random.Generator(np.random.PCG64(seed))
    held: list[tuple[int, int, WorkJob]] = []
    for number, job in enumerate(workload.jobs()):
        while held and held[0][0] <= job.submitted_ms - by_ms:
            yield heapq.heappop(held)[2]
        at_ms = max(0, job.submitted_ms + int(random.integers(-by_ms, by_ms + 1)))
        heapq.heappush(held, (at_ms, number, job._replace(submitted_ms=at_ms)))
    while held:
        yield heapq.heappop(held)[2]
