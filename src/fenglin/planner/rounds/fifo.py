"""First come, first served, as Gavel's simulator does it, with and without a look at speeds.

`fifo` keeps what it has given. Who comes next takes the workers of a job that has ended, else the
last type by name that has any free; its random choice only says which type is struck off when
one is used up. Where that is odd, we follow it: published figures depend on it. `fifo-perf` gives
everything anew each time, to each job in turn the fastest type that has workers left for it. The
first job that fits nowhere ends both, so nobody is overtaken.

Types are numbered by falling name, as `v100`, `p100`, `k80`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.planner.rounds.columns import NOWHERE, Ints, Rates
from fenglin.planner.rounds.mechanism import Crowd, Shares

WORD_BITS = 32


class Draws(NamedTuple):
    """Random numbers, as values.

    Attributes:
        words: 32-bit words of a Mersenne twister; begun again at the end.
        at: The next of them; its only entry.
    """

    words: Ints
    at: Ints


def draw(draws: Draws, below: int) -> int:
    """Return a number from 0 to below one less, as CPython's `randrange` makes it; below < 4."""
    shift = WORD_BITS - 1 if below == 1 else WORD_BITS - 2
    while True:
        found = draws.words[draws.at[0] % draws.words.size] >> shift
        draws.at[0] += 1
        if found < below:
            return int(found)


def inherit(shares: Shares, crowd: Crowd, rates: Rates, left: Ints, floor: Ints) -> None:
    """Give the workers of those who have ended to those who wait, one job for one.

    Args:
        shares: `held` is read and written.
        crowd: The jobs; at least one.
        rates: Throughput tables.
        left: By type: workers; what is held is taken off.
        floor: No job of a lower number holds anything; its only entry.
    """
    count = crowd.present[0]
    # Looked at before anything is handed on: who inherits is not asked again.
    types = shares.held[floor[0] : crowd.job[count - 1] + 1].copy()
    at, heir = 0, 0
    for s in range(types.size):
        job, j = floor[0] + s, types[s]
        while at < count and crowd.job[at] < job:
            at += 1
        if j == NOWHERE:
            continue
        if at < count and crowd.job[at] == job:
            left[j] -= rates.workers[crowd.kind[at]]
            continue
        shares.held[job] = NOWHERE
        while heir < count and shares.held[crowd.job[heir]] != NOWHERE:
            heir += 1
        if heir == count:
            continue
        kind = crowd.kind[heir]
        if rates.workers[kind] <= left[j] and rates.alone[j, kind] > 0.0:
            shares.held[crowd.job[heir]] = j
            left[j] -= rates.workers[kind]
    floor[0] = crowd.job[0]


def last_open(shut: Ints) -> int:
    """Return the last type by name that is not struck off, or `NOWHERE`."""
    for j in range(shut.size):
        if shut[j] == 0:
            return j
    return NOWHERE


def nth_fitting(left: Ints, shut: Ints, size: int, nth: int) -> int:
    """Return the n-th type by name that is not struck off and has room, or `NOWHERE`."""
    for j in range(left.size - 1, -1, -1):
        if shut[j] == 0 and left[j] >= size:
            if nth == 0:
                return j
            nth -= 1
    return NOWHERE


def fastest(rates: Rates, left: Ints, shut: Ints, kind: int) -> int:
    """Return the fastest type with room for a kind; ties to the first by name."""
    best, found = -1.0, NOWHERE
    for j in range(left.size - 1, -1, -1):
        room = shut[j] == 0 and left[j] >= rates.workers[kind]
        if room and rates.alone[j, kind] > best:
            best, found = rates.alone[j, kind], j
    return found


def pick(
    rates: Rates,
    left: Ints,
    shut: Ints,
    kind: int,
    draws: Draws,
    perf: bool,  # noqa: FBT001 - kernels take no keywords
) -> tuple[int, int]:
    """Return the type for a job, and the one to strike off if that is used up."""
    if perf:
        j = fastest(rates, left, shut, kind)
        return j, j
    size, fitting = rates.workers[kind], 0
    while nth_fitting(left, shut, size, fitting) != NOWHERE:
        fitting += 1
    return last_open(shut), nth_fitting(left, shut, size, draw(draws, fitting))


def spread(shares: Shares, crowd: Crowd) -> None:
    """Give everybody a whole share of what it holds, and nothing else."""
    for i in range(crowd.present[0]):
        job = crowd.job[i]
        for j in range(shares.spent_s.size):
            shares.part[job, j] = 1.0 if shares.held[job] == j else 0.0


def fifo(
    shares: Shares,
    crowd: Crowd,
    rates: Rates,
    workers: Ints,
    draws: Draws,
    floor: Ints,
    perf: bool,  # noqa: FBT001 - kernels take no keywords
) -> None:
    """Give whole shares to jobs in the order of arrival; the types are at most three.

    Args:
        shares: `held` and `part` are written.
        crowd: The jobs; at least one.
        rates: Throughput tables.
        workers: By type.
        draws: For `fifo`.
        floor: As in `inherit`.
        perf: Whether to give the fastest type, and everything anew.
    """
    count = crowd.present[0]
    left = workers.copy()
    if perf:
        for i in range(count):
            shares.held[crowd.job[i]] = NOWHERE
    else:
        inherit(shares, crowd, rates, left, floor)
    shut = np.zeros(left.size, dtype=np.int64)
    for j in range(left.size):
        if left[j] <= 0:
            shut[j] = 1
    for i in range(count):
        job, kind = crowd.job[i], crowd.kind[i]
        if shares.held[job] != NOWHERE:
            continue
        if nth_fitting(left, shut, rates.workers[kind], 0) == NOWHERE:
            break
        j, struck = pick(rates, left, shut, kind, draws, perf)
        if rates.alone[j, kind] > 0.0:
            shares.held[job] = j
            left[j] -= rates.workers[kind]
            if left[j] == 0:
                shut[struck] = 1
    spread(shares, crowd)


def shuffle(draws: Draws, types: Ints) -> None:
    """Shuffle the numbers of types, as CPython's `shuffle` does; at most three."""
    for j in range(types.size):
        types[j] = j
    for j in range(types.size - 1, 0, -1):
        other = draw(draws, j + 1)
        types[j], types[other] = types[other], types[j]


KERNELS = (draw, inherit, last_open, nth_fitting, fastest, pick, spread, fifo, shuffle)
