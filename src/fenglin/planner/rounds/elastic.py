"""Rounds of jobs that can change size: type and number of cards for each, every round.

Cards are given in configurations: a power of two within a node, or whole nodes of one type. Each
job takes one configuration or none, and what it takes has a value; the assignment of the highest
total value that the cards allow is found exactly, by dynamic programming over the cards in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fenglin.errors import InputError
from fenglin.planner.rounds.columns import NOWHERE, Floats, Ints

Shorts: TypeAlias = NDArray[np.int16]
Flags: TypeAlias = NDArray[np.bool_]

# More states than this take seconds a round.
MOST_STATES = 200_000
NEVER = -np.inf
# Sia's parameters (SOSP'23, section 4.3, and its simulator).
SIA_POWER = -0.5
SIA_IDLE = 1.1
SIA_DECIMALS = 2
# Ours; chosen on four streams of Sia's sets rate_10 and rate_30, not on those of its table.
SPEED_POWER = 0.3
WORK_POWER = 0.1
HORIZON_S = 600.0


class Configurations(NamedTuple):
    """What a job may take.

    Attributes:
        kind: Type of card, by configuration.
        nodes: Nodes.
        cards: Cards in all.
    """

    kind: Ints
    nodes: Ints
    cards: Ints


class Crew(NamedTuple):
    """The jobs of a round, by position.

    Attributes:
        goodput: By job and configuration: what it would do; 0 where it may not run.
        held: The configuration of the last round, or `NOWHERE`.
        locked: Whether it must be kept.
        age_s: Time since it came.
        restarts: How often it was changed.
        restart_s: What a change costs.
        work: What is left to do, in the unit of goodput times seconds.
    """

    goodput: Floats
    held: Ints
    locked: Ints
    age_s: Floats
    restarts: Ints
    restart_s: Floats
    work: Floats


def configurations(nodes: Sequence[int], each: Sequence[int]) -> Configurations:
    """Return all configurations of a cluster.

    Args:
        nodes: By type of card.
        each: Cards of a node by type.

    Raises:
        InputError: a type has no cards, or there are too many to plan exactly.
    """
    if min(*nodes, *each) < 1:
        raise InputError("every type must have a node and a card")
    if np.prod([n * e + 1.0 for n, e in zip(nodes, each, strict=True)]) > MOST_STATES:
        raise InputError(
            "the cluster is too large to be planned exactly",
            hint="the product over the types of one more than their cards may be 200,000",
        )
    rows = []
    for kind, (count, size) in enumerate(zip(nodes, each, strict=True)):
        part = 1
        while part < size:
            rows.append((kind, 1, part))
            part *= 2
        rows += [(kind, whole, whole * size) for whole in range(1, count + 1)]
    columns = np.array(rows, dtype=np.int64).T
    return Configurations(columns[0], columns[1], columns[2])


def trace_back(
    kind: Ints, cards: Ints, stride: Ints, chosen: Shorts, state: int, picked: Ints
) -> None:
    """Write what each job takes in the best assignment, from the last job to the first."""
    for back in range(picked.size):
        j = picked.size - 1 - back
        picked[j] = chosen[j, state]
        if picked[j] != NOWHERE:
            state -= stride[kind[picked[j]]] * cards[picked[j]]


def assign(
    values: Floats, kind: Ints, cards: Ints, room: Ints, best: Floats, chosen: Shorts, picked: Ints
) -> None:
    """Choose a configuration or none for each job, for the highest total value.

    Args:
        values: By job and configuration; the last column is for none.
        kind: Type of card, by configuration.
        cards: Cards, by configuration.
        room: Cards that there are, by type.
        best: Scratch: two rows of a value by state. A state is how many cards of each type may be
            used, in mixed radix.
        chosen: Scratch: by job and state.
        picked: By job: what it takes, or `NOWHERE`.
    """
    jobs, states = values.shape[0], best.shape[1]
    none = cards.size
    stride = np.ones(room.size, dtype=np.int64)
    for t in range(1, room.size):
        stride[t] = stride[t - 1] * (room[t - 1] + 1)
    best[0, :] = 0.0
    for j in range(jobs):
        old, new = best[j % 2], best[(j + 1) % 2]
        for s in range(states):
            new[s] = old[s] + values[j, none]
            chosen[j, s] = NOWHERE
        for c in range(none):
            worth = values[j, c]
            if worth <= values[j, none]:
                continue
            t = kind[c]
            block, shift = stride[t] * (room[t] + 1), stride[t] * cards[c]
            for first in range(0, states, block):
                for s in range(first + shift, first + block):
                    if old[s - shift] + worth > new[s]:
                        new[s] = old[s - shift] + worth
                        chosen[j, s] = c
    trace_back(kind, cards, stride, chosen, states - 1, picked)


def sia_values(crew: Crew) -> Floats:
    """Return what Sia's objective says of each configuration, and of none in the last column.

    It minimises the sum of goodput to the power of -0.5, in units of a job's lowest, and 1.1 for
    each job that waits. A configuration that is not held counts less, by the part of its time
    that the job would not have lost in changes.
    """
    lost_s = crew.restarts * crew.restart_s
    factor = np.maximum(crew.age_s - lost_s, 0.0) / (crew.age_s + crew.restart_s)
    factor[crew.age_s < crew.restart_s] = 1.0
    speed = _speeds(crew)
    other = (crew.held != NOWHERE)[:, None] & ~_holds(crew)
    speed = np.where(other, speed * factor[:, None], speed)
    with np.errstate(divide="ignore"):
        cost = np.round(speed**SIA_POWER, SIA_DECIMALS)
    return _settled(crew, SIA_IDLE - cost)


def fenglin_values(crew: Crew) -> Floats:
    """Return our value of each configuration, and of none in the last column.

    Speed, less what a change costs, to a power below 1, so that cards are shared out; times the
    work that is left to a negative power, so that those who are nearly done go first.
    """
    speed = _speeds(crew)
    low = _lowest(crew)
    work_s = crew.work / low
    horizon_s = np.maximum(np.minimum(HORIZON_S, work_s), 1.0)
    part = np.maximum(1.0 - crew.restart_s / (horizon_s + crew.restart_s), 0.0)
    speed = np.where(_holds(crew), speed, speed * part[:, None])
    return _settled(crew, speed**SPEED_POWER * (work_s**-WORK_POWER)[:, None])


def _lowest(crew: Crew) -> Floats:
    """Return each job's lowest goodput."""
    there = np.where(crew.goodput > 0.0, crew.goodput, np.inf)
    low: Floats = there.min(axis=1)
    return low


def _speeds(crew: Crew) -> Floats:
    """Return goodput in units of each job's lowest."""
    speeds: Floats = crew.goodput / _lowest(crew)[:, None]
    return speeds


def _holds(crew: Crew) -> Flags:
    """Return whether a job holds a configuration."""
    return np.asarray(crew.held[:, None] == np.arange(crew.goodput.shape[1])[None, :])


def _settled(crew: Crew, values: Floats) -> Floats:
    """Return values with none at the end, without what is not allowed or must be kept."""
    values = np.where(crew.goodput > 0.0, values, NEVER)
    bound = crew.locked > 0
    values = np.where(bound[:, None], np.where(_holds(crew), 0.0, NEVER), values)
    none = np.where(bound, NEVER, 0.0)
    return np.column_stack([values, none])


KERNELS = (trace_back, assign)
