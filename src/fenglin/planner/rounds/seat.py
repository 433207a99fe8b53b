"""`fenglin`, first half: every job that can have workers for itself gets them, at market prices.

A job is worth `weight × throughput / highest throughput` per second on a type of worker. The
sum over a round is what we want high. Prices per worker and type are lowered and raised until
no type has more takers than workers; at such prices, if sizes did not matter, everybody taking
what leaves most after the price would be the best of all ways (the assignment LP's dual). Sizes
do matter, so the prices only say who chooses first and what; leftovers are filled greedily.
"""

from __future__ import annotations

import numpy as np

from fenglin.planner.rounds.columns import ALONE, NOWHERE, Desk, Ints, Rates, Seats, falling

# Each price is searched this often, to this many binary digits of the interval around it.
SWEEPS = 2
DIGITS = 10
# A gain below this is none: sums differ in their last bits.
SMALLEST = 1e-12
# The interval is first sought this much below and above the price of the last round.
NEAR = 1.25


def appraise(desk: Desk, rates: Rates, count: int) -> None:
    """Note what each job is worth on each type, from its kind and weight."""
    for i in range(count):
        kind = desk.kind[i]
        desk.size[i] = rates.workers[kind]
        desk.unit[i] = desk.weight[i] / rates.top[kind]
        for j in range(rates.alone.shape[0]):
            desk.value[i, j] = desk.unit[i] * rates.alone[j, kind]


def surplus(desk: Desk, i: int, j: int) -> float:
    """Return what a job is worth on a type after the price of its workers."""
    return float(desk.value[i, j] - desk.size[i] * desk.price[j])


def demand(desk: Desk, count: int, j: int, price: float) -> int:
    """Return the workers of a type that are wanted at a price; `gain` is what is had elsewhere."""
    value, size, elsewhere = desk.value, desk.size, desk.gain
    wanted = 0
    for i in range(count):
        if value[i, j] - size[i] * price > elsewhere[i]:
            wanted += size[i]
    return wanted


def search(desk: Desk, count: int, j: int, workers: int) -> float:
    """Return a price of a type at which no more than its workers are wanted."""
    if demand(desk, count, j, 0.0) <= workers:
        return 0.0
    high = desk.price[j]
    if high == 0.0:
        for i in range(count):
            high = max(high, desk.value[i, j] / desk.size[i])
    low = high
    while demand(desk, count, j, high) > workers:
        low, high = high, high * NEAR
    while low == high or demand(desk, count, j, low) <= workers:
        high = low
        low /= NEAR
    for _ in range(DIGITS):
        middle = 0.5 * (low + high)
        if demand(desk, count, j, middle) <= workers:
            high = middle
        else:
            low = middle
    return float(high)


def clear(desk: Desk, count: int, workers: Ints) -> None:
    """Set each price to nearly the lowest at which no more workers are wanted than there are."""
    for _ in range(SWEEPS):
        for j in range(workers.size):
            for i in range(count):
                # What the job could have elsewhere; `gain` is free until pairs are made.
                desk.gain[i] = 0.0
                for q in range(workers.size):
                    if q != j:
                        desk.gain[i] = max(desk.gain[i], surplus(desk, i, q))
            desk.price[j] = search(desk, count, j, workers[j])


def line_up(desk: Desk, count: int) -> None:
    """Order the jobs by what their best type leaves per worker after its price, most first."""
    key = np.zeros(count)
    for i in range(count):
        best = -np.inf
        for j in range(desk.price.size):
            if desk.value[i, j] > 0.0:
                best = max(best, surplus(desk, i, j))
        key[i] = best / desk.size[i]
    desk.order[:count] = falling(key)


def take(desk: Desk, seats: Seats, i: int, j: int) -> None:
    """Move a job to a type that has workers for it."""
    workers = desk.size[i]
    if seats.place[i] != NOWHERE:
        seats.free[seats.place[i]] += workers
    seats.place[i] = j
    seats.free[j] -= workers


def choose(desk: Desk, seats: Seats, i: int) -> None:
    """Give a job the type that leaves most after the price, if it still has workers."""
    workers = desk.size[i]
    wish, found = NOWHERE, NOWHERE
    most, best = -np.inf, -np.inf
    for j in range(desk.price.size):
        if desk.value[i, j] <= 0.0:
            continue
        here = surplus(desk, i, j)
        if here > most:
            most, wish = here, j
        if here > best and seats.free[j] >= workers:
            best, found = here, j
    if found != NOWHERE and (found == wish or best > 0.0):
        take(desk, seats, i, found)


def improve(desk: Desk, seats: Seats, i: int) -> None:
    """Give a job the free type where it is worth most, if that is more than it has."""
    place = seats.place[i]
    best = desk.value[i, place] if place != NOWHERE else 0.0
    found = NOWHERE
    for j in range(desk.price.size):
        if desk.value[i, j] > best and seats.free[j] >= desk.size[i]:
            best, found = desk.value[i, j], j
    if found != NOWHERE:
        take(desk, seats, i, found)


def refuge(desk: Desk, seats: Seats, k: int, left: int, freed: int) -> int:
    """Return the best type for one who leaves its workers, or `NOWHERE`.

    Args:
        desk: Values and sizes.
        seats: Who is where.
        k: Who leaves.
        left: A type of which `freed` more workers come free; `NOWHERE` for none.
        freed: How many.
    """
    best, found = 0.0, NOWHERE
    for q in range(desk.price.size):
        room = seats.free[q] + (freed if q == left else 0)
        if q != seats.place[k] and room >= desk.size[k] and desk.value[k, q] > best:
            best, found = desk.value[k, q], q
    return found


def displace(desk: Desk, seats: Seats, i: int, count: int) -> None:
    """Give a job the workers of another, if that one's loss is smaller than its gain."""
    value, place = desk.value, seats.place
    old = place[i]
    now = value[i, old] if old != NOWHERE else 0.0
    best, other, to = SMALLEST, NOWHERE, NOWHERE
    for k in range(count):
        j = place[k]
        if j in (NOWHERE, old) or seats.free[j] + desk.size[k] < desk.size[i]:
            continue
        gain = value[i, j] - now
        if gain <= best:
            continue
        q = refuge(desk, seats, k, old, desk.size[i])
        gain -= value[k, j] - (value[k, q] if q != NOWHERE else 0.0)
        if gain > best:
            best, other, to = gain, k, q
    if other != NOWHERE:
        j = place[other]
        take(desk, seats, i, j)
        if to != NOWHERE:
            take(desk, seats, other, to)
        else:
            seats.free[j] += desk.size[other]
            place[other] = NOWHERE


def seat(desk: Desk, seats: Seats, rates: Rates, count: int, workers: Ints) -> None:
    """Seat jobs alone, until nobody can be given or moved to better workers.

    Args:
        desk: Kind and weight of the first `count` positions are read; the rest is written.
        seats: Emptied and filled.
        rates: Throughput tables.
        count: How many jobs there are.
        workers: By type.
    """
    seats.free[:] = workers
    seats.place[:count] = NOWHERE
    seats.mate[:count] = ALONE
    appraise(desk, rates, count)
    clear(desk, count, workers)
    line_up(desk, count)
    for i in desk.order[:count]:
        choose(desk, seats, i)
    # Once for those without workers, once for those whom somebody's moving up made room for.
    for _ in range(2):
        for i in desk.order[:count]:
            improve(desk, seats, i)
        for i in desk.order[:count]:
            displace(desk, seats, i, count)


KERNELS = (
    falling,
    appraise,
    surplus,
    demand,
    search,
    clear,
    line_up,
    take,
    choose,
    improve,
    refuge,
    displace,
    seat,
)
