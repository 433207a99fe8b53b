"""Gavel's round mechanism: shares of time become who runs in a round (OSDI'20, section 5).

A job's priority on a type is its share there over the part of the type's time that it has had
since the shares were last made. Those with the highest priority run, and each runs on one type.
Like Gavel's simulator we count half a round for everybody when shares are made, let a job that
came after that hold workers only by name, and start a job of share 0 where workers are left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.planner.rounds.columns import ALONE, NOWHERE, Floats, Ints, Rates, Seats, falling

# Of a job that has a share and has not run at all, in units of its share.
UNSERVED = 1e9


class Shares(NamedTuple):
    """Shares of time and what has come of them; by number of job, and type.

    Attributes:
        part: Share of time.
        known: By job: whether it was there when shares were made; 0 or 1.
        had_s: Time it has run since, and half a round.
        owed_s: Time it should have had, less what it has had, before that.
        spent_s: By type: the sum of `had_s` over jobs when shares were made, and what was run
            since.
        held: By job: the type that `fifo` has given it, or `NOWHERE`.
    """

    part: Floats
    known: Ints
    had_s: Floats
    owed_s: Floats
    spent_s: Floats
    held: Ints


class Crowd(NamedTuple):
    """The jobs that wait or run, in the order of arrival.

    Attributes:
        job: Their numbers, by position.
        kind: Their kinds, by position.
        present: How many there are; its only entry.
    """

    job: Ints
    kind: Ints
    present: Ints


def arrive(shares: Shares, job: int, half_s: float) -> None:
    """Open the account of a job that has just come."""
    shares.part[job] = 0.0
    shares.known[job] = 0
    shares.had_s[job] = half_s
    shares.owed_s[job] = 0.0


def settle(shares: Shares, crowd: Crowd, elapsed_s: float, half_s: float) -> None:
    """Close the accounts since shares were last made, and open new ones."""
    shares.spent_s[:] = 0.0
    for i in range(crowd.present[0]):
        job = crowd.job[i]
        for j in range(shares.spent_s.size):
            due_s = shares.part[job, j] * elapsed_s
            shares.owed_s[job, j] += due_s - (shares.had_s[job, j] - half_s)
            shares.had_s[job, j] = half_s
            shares.spent_s[j] += half_s
        shares.known[job] = 1


def urgency(shares: Shares, rates: Rates, job: int, kind: int, j: int) -> float:
    """Return the priority of a job on a type."""
    part = shares.part[job, j]
    if part == 0.0 or rates.alone[j, kind] == 0.0:
        return 0.0
    if shares.spent_s[j] == 0.0 or shares.had_s[job, j] == 0.0:
        return float(part * UNSERVED)
    return float(part / (shares.had_s[job, j] / shares.spent_s[j]))


def rank(shares: Shares, crowd: Crowd, rates: Rates, j: int, urge: Floats) -> Ints:
    """Return positions by priority, then by what is owed, then by share; ties by arrival."""
    count = crowd.present[0]
    key = np.zeros(count)
    for i in range(count):
        job = crowd.job[i]
        urge[i] = urgency(shares, rates, job, crowd.kind[i], j)
        key[i] = shares.part[job, j]
    order = falling(key)
    for i in range(count):
        key[i] = shares.owed_s[crowd.job[order[i]], j]
    order = order[falling(key)]
    for i in range(count):
        key[i] = urge[order[i]]
    return order[falling(key)]


def grant(
    shares: Shares,
    crowd: Crowd,
    rates: Rates,
    seats: Seats,
    types: Ints,
    workers: Ints,
    by_name: bool,  # noqa: FBT001 - kernels take no keywords
) -> None:
    """Fill the seats of a round, type after type.

    Args:
        shares: Read only.
        crowd: The jobs.
        rates: Throughput tables.
        seats: Emptied and filled.
        types: The order in which types choose their jobs.
        workers: By type.
        by_name: Whether only jobs with a share run, as `fifo` wants it.
    """
    count = crowd.present[0]
    seats.free[:] = workers
    seats.place[:count] = NOWHERE
    seats.mate[:count] = ALONE
    urge = np.zeros(count)
    for j in types:
        for i in rank(shares, crowd, rates, j, urge):
            kind = crowd.kind[i]
            if seats.place[i] != NOWHERE or rates.alone[j, kind] <= 0.0:
                continue
            if (by_name and urge[i] <= 0.0) or rates.workers[kind] > seats.free[j]:
                continue
            seats.place[i] = j
            seats.free[j] -= rates.workers[kind]
    for i in range(count):
        if seats.place[i] != NOWHERE and shares.known[crowd.job[i]] == 0:
            seats.place[i] = NOWHERE


KERNELS = (arrive, settle, urgency, rank, grant)


def new_shares(jobs: int, types: int) -> Shares:
    """Return empty accounts for that many jobs."""
    return Shares(
        part=np.zeros((jobs, types)),
        known=np.zeros(jobs, dtype=np.int64),
        had_s=np.zeros((jobs, types)),
        owed_s=np.zeros((jobs, types)),
        spent_s=np.zeros(types),
        held=np.full(jobs, NOWHERE, dtype=np.int64),
    )
