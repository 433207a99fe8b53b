"""`fenglin`, second half: two jobs of equal size share workers where that adds worth.

Neural networks seldom fill an accelerator, so two of them side by side often do more together
than one. Starting from seats for one, the pair that adds most is made, again and again, until no
pair adds anything: the guest comes from the queue, or leaves workers of its own to others.
"""

from __future__ import annotations

from fenglin.planner.rounds.columns import ALONE, NOWHERE, Desk, Rates, Seats, falling
from fenglin.planner.rounds.seat import improve


def queue_up(desk: Desk, seats: Seats, count: int) -> None:
    """Chain those who wait, by kind and falling weight."""
    for kind in range(desk.head.size):
        desk.head[kind] = NOWHERE
    order = falling(desk.weight[:count])
    for at in range(count - 1, -1, -1):
        i = order[at]
        if seats.place[i] == NOWHERE:
            desk.after[i] = desk.head[desk.kind[i]]
            desk.head[desk.kind[i]] = i


def gather(desk: Desk, seats: Seats, count: int) -> None:
    """List the guests: all that run alone, and the weightiest that waits of each kind."""
    guests, place, mate = desk.guests, seats.place, seats.mate
    many = 0
    for i in range(count):
        if place[i] != NOWHERE and mate[i] == ALONE:
            guests[many] = i
            many += 1
    for kind in range(desk.head.size):
        i = desk.head[kind]
        while i != NOWHERE and place[i] != NOWHERE:
            i = desk.after[i]
        desk.head[kind] = i
        if i != NOWHERE:
            guests[many] = i
            many += 1
    desk.many[0] = many


def court(desk: Desk, seats: Seats, rates: Rates, host: int) -> None:
    """Find the mate that adds most to one who runs alone.

    A guest adds what both do together, less what each does now. Sizes must be the same.
    """
    guests, unit, size, kinds = desk.guests, desk.unit, desk.size, desk.kind
    place, alone, beside = seats.place, rates.alone, rates.beside
    j, one = place[host], kinds[host]
    now = unit[host] * alone[j, one]
    best, match = 0.0, NOWHERE
    for at in range(desk.many[0]):
        guest = guests[at]
        other = kinds[guest]
        if guest == host or size[guest] != size[host]:
            continue
        ours, theirs = beside[j, one, other], beside[j, other, one]
        if ours <= 0.0 or theirs <= 0.0:
            continue
        gain = unit[host] * ours + unit[guest] * theirs - now
        if place[guest] != NOWHERE:
            gain -= unit[guest] * alone[place[guest], other]
        if gain > best:
            best, match = gain, guest
    desk.gain[host] = best
    desk.match[host] = match
    desk.seen[host] = place[match] if match != NOWHERE else NOWHERE


def best_host(desk: Desk, seats: Seats, rates: Rates) -> int:
    """Return who gains most by its mate, or `NOWHERE`.

    A gain that was found before others moved is too high or right: who is paired is gone, and
    who moves, moves up, and so has more to lose. So only the highest need be found again.
    """
    while True:
        best, host = 0.0, NOWHERE
        for at in range(desk.many[0]):
            i = desk.guests[at]
            if seats.place[i] != NOWHERE and desk.gain[i] > best:
                best, host = desk.gain[i], i
        if host == NOWHERE:
            return NOWHERE
        match = desk.match[host]
        if seats.mate[match] == ALONE and seats.place[match] == desk.seen[host]:
            return int(host)
        court(desk, seats, rates, host)


def successor(desk: Desk, seats: Seats) -> int:
    """Return who gains most by moving to free workers, or `NOWHERE`."""
    value, size, place, free = desk.value, desk.size, seats.place, seats.free
    best, found = 0.0, NOWHERE
    for at in range(desk.many[0]):
        i = desk.guests[at]
        now = value[i, place[i]] if place[i] != NOWHERE else 0.0
        for j in range(free.size):
            if free[j] >= size[i] and value[i, j] - now > best:
                best, found = value[i, j] - now, i
    return int(found)


def fill_up(desk: Desk, seats: Seats, rates: Rates, count: int) -> None:
    """Let jobs move to free workers, who gains most first, until nobody gains."""
    moved = successor(desk, seats)
    while moved != NOWHERE:
        improve(desk, seats, moved)
        gather(desk, seats, count)
        court(desk, seats, rates, moved)
        moved = successor(desk, seats)


def share(desk: Desk, seats: Seats, rates: Rates, count: int) -> None:
    """Make pairs, and give the workers that guests leave to others, until nothing adds worth.

    Args:
        desk: As `seat` left it.
        seats: Filled by `seat`; pairs are written into them.
        rates: Throughput tables.
        count: How many jobs there are.
    """
    queue_up(desk, seats, count)
    gather(desk, seats, count)
    for at in range(desk.many[0]):
        if seats.place[desk.guests[at]] != NOWHERE:
            court(desk, seats, rates, desk.guests[at])
    while True:
        host = best_host(desk, seats, rates)
        if host == NOWHERE:
            return
        guest = desk.match[host]
        left = seats.place[guest]
        seats.place[guest] = seats.place[host]
        seats.mate[host] = guest
        seats.mate[guest] = host
        gather(desk, seats, count)
        if left != NOWHERE:
            seats.free[left] += desk.size[guest]
            fill_up(desk, seats, rates, count)


KERNELS = (queue_up, gather, court, best_host, successor, fill_up, share)
