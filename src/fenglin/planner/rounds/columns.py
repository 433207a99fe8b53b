"""What the kernels of a round work on: throughput tables, jobs by position, seats.

Jobs stand in the order of their arrival; a position is a place in that list. A worker is one
accelerator; types of workers differ in speed, and differently for each kind of job.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

# A job that has no workers; a job that shares with nobody.
NOWHERE = -1
ALONE = -1


class Policy(IntEnum):
    """How a round is given out.

    `FENGLIN` and `FENGLIN_ALONE` are ours. The others are the policies that Gavel (OSDI'20)
    publishes figures of, by its rules.
    """

    FIFO = 0
    FIFO_PERF = 1
    LAS = 2
    LAS_PERF = 3
    FENGLIN = 4
    FENGLIN_ALONE = 5


class Rates(NamedTuple):
    """What each kind of job does on each type of worker.

    Attributes:
        alone: By type and kind: steps per second; 0 where it cannot run.
        beside: By type, kind and other kind: steps per second of the kind while the other
            shares its workers; 0 where the two may not share.
        top: By kind: the highest of `alone`.
        workers: By kind: how many workers a job takes, all of one type.
    """

    alone: Floats
    beside: Floats
    top: Floats
    workers: Ints


class Seats(NamedTuple):
    """Who runs where, by position.

    Attributes:
        place: Type of worker, or `NOWHERE`.
        mate: Position of the job that shares the workers, or `ALONE`.
        free: By type: workers that nobody has.
    """

    place: Ints
    mate: Ints
    free: Ints


class Desk(NamedTuple):
    """What `fenglin` works on while it seats the jobs of a round; by position but for `price`.

    Attributes:
        kind: Kind of the job.
        size: Workers that it takes.
        weight: What its progress is worth; 1 s at its highest throughput counts 1.
        unit: What one step of it is worth.
        value: By position and type: worth per second if it runs there alone.
        order: Positions in the order in which they are looked at.
        guests: Positions of those who run alone, and of the first one waiting of each kind; then
            unused.
        gain: Of one who runs alone: what the best mate for it would add.
        match: That mate; `NOWHERE` when nobody would add anything.
        after: The next one waiting of the same kind.
        head: By kind: the first one waiting.
        seen: Place of that mate when it was found.
        many: How many guests there are; its only entry.
        price: By type: worth per second that a worker must bring; kept from round to round.
    """

    kind: Ints
    size: Ints
    weight: Floats
    unit: Floats
    value: Floats
    order: Ints
    guests: Ints
    gain: Floats
    match: Ints
    after: Ints
    head: Ints
    seen: Ints
    many: Ints
    price: Floats


def falling(key: Floats) -> Ints:
    """Return where the highest key is, then the next; equal ones in their order."""
    return np.argsort(-key, kind="mergesort")


def new_seats(jobs: int, types: int) -> Seats:
    """Return seats for that many jobs, all empty and without workers."""
    place = np.full(jobs, NOWHERE, dtype=np.int64)
    mate = np.full(jobs, ALONE, dtype=np.int64)
    return Seats(place, mate, np.zeros(types, dtype=np.int64))


def new_desk(jobs: int, rates: Rates) -> Desk:
    """Return a desk for that many jobs."""
    types, kinds = rates.alone.shape
    return Desk(
        kind=np.zeros(jobs, dtype=np.int64),
        size=np.ones(jobs, dtype=np.int64),
        weight=np.ones(jobs),
        unit=np.zeros(jobs),
        value=np.zeros((jobs, types)),
        order=np.zeros(jobs, dtype=np.int64),
        guests=np.zeros(jobs, dtype=np.int64),
        gain=np.zeros(jobs),
        match=np.full(jobs, NOWHERE, dtype=np.int64),
        after=np.full(jobs, NOWHERE, dtype=np.int64),
        head=np.full(kinds, NOWHERE, dtype=np.int64),
        seen=np.full(jobs, NOWHERE, dtype=np.int64),
        many=np.zeros(1, dtype=np.int64),
        price=np.zeros(types),
    )
