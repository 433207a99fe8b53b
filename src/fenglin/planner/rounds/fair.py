"""`las` and `las-perf`: max-min fair shares of time as Gavel makes them, blind to speeds or not."""

from __future__ import annotations

import numpy as np

from fenglin.planner.rounds.columns import Ints, Rates
from fenglin.planner.rounds.maxmin import Fair, Path, share_out
from fenglin.planner.rounds.mechanism import Crowd, Shares


def fill_gain(
    fair: Fair,
    rates: Rates,
    row: int,
    kind: int,
    perf: bool,  # noqa: FBT001 - kernels take no keywords
) -> None:
    """Fill what a kind of job gains per time on each type.

    Throughput over that of an equal share of every type, times workers; without speeds, all
    throughputs are one.
    """
    mean, total = 0.0, 0
    for j in range(fair.workers.size):
        rate = rates.alone[j, kind] if perf else 1.0
        mean += rate * fair.workers[j]
        total += fair.workers[j]
    for j in range(fair.workers.size):
        rate = rates.alone[j, kind] if perf else 1.0
        fair.gain[row, j] = rates.workers[kind] * rate * total / mean


def las(
    shares: Shares,
    crowd: Crowd,
    rates: Rates,
    fair: Fair,
    path: Path,
    perf: bool,  # noqa: FBT001 - kernels take no keywords
) -> None:
    """Give every job its max-min fair share of time on each type.

    Args:
        shares: `part` is written.
        crowd: The jobs; at least one.
        rates: Throughput tables.
        fair: Room for every kind; its `workers` are read.
        path: Room for every kind.
        perf: Whether throughputs count.
    """
    count = crowd.present[0]
    jobs = np.zeros(rates.workers.size, dtype=np.int64)
    row_of = np.zeros(rates.workers.size, dtype=np.int64)
    for i in range(count):
        jobs[crowd.kind[i]] += 1
    rows = 0
    for kind in range(jobs.size):
        if jobs[kind]:
            row_of[kind] = rows
            fair.many[rows] = jobs[kind]
            fair.size[rows] = rates.workers[kind]
            fill_gain(fair, rates, rows, kind, perf)
            rows += 1
    share_out(
        Fair(fair.gain[:rows], fair.many[:rows], fair.size[:rows], fair.workers),
        Path(
            path.part[:rows],
            path.idle[:rows],
            path.over[:rows],
            path.spare,
            path.answer[:rows],
            path.slope[:rows],
            path.step[:rows],
            path.tie,
        ),
    )
    for i in range(count):
        for j in range(fair.workers.size):
            shares.part[crowd.job[i], j] = path.part[row_of[crowd.kind[i]], j]


def new_fair(kinds: int, workers: Ints) -> Fair:
    """Return room for the program of that many kinds."""
    return Fair(
        gain=np.zeros((kinds, workers.size)),
        many=np.zeros(kinds, dtype=np.int64),
        size=np.zeros(kinds, dtype=np.int64),
        workers=workers,
    )


KERNELS = (fill_gain, las)
