"""The profile's loops, compiled: the same answers as the NumPy of `horizon.py` and `lent.py`.

NumPy goes through all events several times over and makes a column of each step; these stop where
the answer is known and make none. Tests compare the two on random profiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fenglin.planner.backfill.twins import Kernel, compiled

# Arrays; compiled code takes its own view of their types.
Column = Any

# As in `runtime`, `pack` and `snapshot.cards`; a test holds them to that.
FOREVER = 2**60
MOST_PER_NODE = 10_000
FULL_MILLI = 1_000


class Events(NamedTuple):
    """The events of some nodes, in order of node and time.

    Attributes:
        node: [E] position among the nodes; each node's first event is what is free now.
        time: [E] Unix time.
        level: [E, D] free from this event until the node's next.
        heads: [n + 1] each node's first event, and E.
    """

    node: Column
    time: Column
    level: Column
    heads: Column


class Booked(NamedTuple):
    """What `lent.py` knows of booked nodes.

    Attributes:
        slot: [N] row of a node in the others; -1 for one that is not booked.
        begins: [M, W] when its bookings begin, rising.
        room: [M, W + 1, D] free right after now and right after each beginning.
        cards: [M, C] free cards that the pool does not show.
        shown: [D, M] what the pool showed when the others were right.
    """

    slot: Column
    begins: Column
    room: Column
    cards: Column
    shown: Column


class Shown(NamedTuple):
    """What the pool shows of all nodes.

    Attributes:
        free: [D, N].
        cards: [N, C].
        up: [N] whether in service.
    """

    free: Column
    cards: Column
    up: Column


def fits_at(events: Events, event: int, need: Column) -> bool:
    """Return whether all that is needed is free from an event on."""
    for d in range(len(need)):  # noqa: SIM110 - Numba compiles no generator in any()
        if need[d] > 0 and events.level[event, d] < need[d]:
            return False
    return True


def runs(
    events: Events, up: Column, head_fits: Column, need: Column, span_ms: int, found: Column
) -> int:
    """Write the runs with room for long enough as (node, first start, last start); how many."""
    count = 0
    for place in range(len(up)):
        if not up[place]:
            continue
        head, first = events.heads[place], -1
        for event in range(head, events.heads[place + 1]):
            fits = fits_at(events, event, need) and (event > head or head_fits[place])
            if fits and first < 0:
                first = events.time[event]
            elif first >= 0 and not fits:
                last = events.time[event] - span_ms
                if last >= first:
                    found[count] = place, first, last
                    count += 1
                first = -1
        if first >= 0:
            found[count] = place, first, FOREVER
            count += 1
    return count


def first_with(found: Column, count: int, nodes: int) -> int:
    """Return the earliest time at which so many of the runs are open; -1 for never."""
    opens = np.sort(found[:count, 1])
    closes = np.sort(found[:count, 2])
    shut = 0
    for at in range(nodes - 1, count):
        while closes[shut] < opens[at]:
            shut += 1
        if at + 1 - shut >= nodes:
            return int(opens[at])
    return -1


def earliest(
    events: Events, up: Column, head_fits: Column, need: Column, span_ms: int, nodes: int,
    ready: Column,
) -> int:  # fmt: skip
    """Return when a task may begin, -1 for never; mark in `ready` on which nodes."""
    found = np.empty((len(events.time), 3), np.int64)
    count = runs(events, up, head_fits, need, span_ms, found)
    if count < nodes:
        return -1
    if nodes > 1:
        start_ms = first_with(found, count, nodes)
    else:
        start_ms = found[0, 1]
        for at in range(1, count):
            start_ms = min(start_ms, found[at, 1])
    for at in range(count):
        if found[at, 1] <= start_ms <= found[at, 2]:
            ready[found[at, 0]] = True
    return start_ms


def copy(events: Events, first: int, stop: int, new: Events, to: int, less: Column) -> int:
    """Copy events, with less free; return where the next one goes."""
    for event in range(first, stop):
        new.node[to] = events.node[event]
        new.time[to] = events.time[event]
        for d in range(len(less)):
            new.level[to, d] = events.level[event, d] - less[d]
        to += 1
    return to


def insert(events: Events, places: Column, need: Column, begin_ms: int, end_ms: int) -> Events:
    """Return the events with the need taken at some places from `begin_ms` to `end_ms`.

    A date before all events stands for now: what is free at first is less, without an event.
    """
    size, width = len(events.time) + 2 * len(places), len(need)
    new = Events(
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty((size, width), np.int64),
        np.empty(len(events.heads), np.int64),
    )
    nothing = np.zeros(width, np.int64)
    to, done, before = 0, 0, 0
    for at in range(len(places)):
        place = places[at]
        first, stop = events.heads[place], events.heads[place + 1]
        for other in range(before, place + 1):
            new.heads[other] = events.heads[other] + to - done
        before = place + 1
        begin = first
        while begin < stop and events.time[begin] <= begin_ms:
            begin += 1
        end = begin
        while end < stop and events.time[end] < end_ms:
            end += 1
        to = copy(events, done, begin, new, to, nothing)
        if begin > first:
            copy(events, begin - 1, begin, new, to, need)
            new.time[to] = begin_ms
            to += 1
        to = copy(events, begin, end, new, to, need)
        if end_ms < FOREVER:
            copy(events, end - 1, end, new, to, nothing)
            new.time[to] = end_ms
            to += 1
        done = end
    for other in range(before, len(events.heads)):
        new.heads[other] = events.heads[other] + to - done
    to = copy(events, done, len(events.time), new, to, nothing)
    return Events(new.node[:to], new.time[:to], new.level[:to], new.heads)


def levels(events: Events, place: int, begins: Column, found: Column) -> None:
    """Write down what is free at a place right after now and right after each rising date."""
    event, stop = events.heads[place], events.heads[place + 1]
    found[0] = events.level[event]
    for at in range(len(begins)):
        while event + 1 < stop and events.time[event + 1] <= begins[at]:
            event += 1
        found[at + 1] = events.level[event]


def stale(booked: Booked, shown: Shown, row: int, node: int) -> bool:
    """Return whether the pool has changed on a booked node since it was last looked at."""
    for d in range(len(shown.free)):  # noqa: SIM110 - see above
        if shown.free[d, node] != booked.shown[d, row]:
            return True
    return False


def least_until(booked: Booked, row: int, d: int, end_ms: int) -> int:
    """Return the least that is free of one dimension of a booked node until a date."""
    least = booked.room[row, 0, d]
    for at in range(booked.begins.shape[1]):
        if booked.begins[row, at] >= end_ms:
            break
        least = min(least, booked.room[row, at + 1, d])
    return int(least)


def cards_fit(booked: Booked, shown: Shown, node: int, milli: int) -> int:
    """Return for how many parts of a task the free cards of a node are enough; as `cards.rooms`."""
    row, count = booked.slot[node], 0
    for c in range(shown.cards.shape[1]):
        left = shown.cards[node, c]
        if row >= 0:
            left += booked.cards[row, c]
        if milli < FULL_MILLI:
            count += left // milli
        elif left == FULL_MILLI:
            count += 1
    return int(count // ((milli + FULL_MILLI - 1) // FULL_MILLI))


def counts(
    booked: Booked, shown: Shown, need: Column, end_ms: int, everywhere: int, first: int,
    found: Column,
) -> int:  # fmt: skip
    """Count the parts of a task that fit on each node until a date; return on how many one does.

    When the pool has changed since it is -1, and nothing is counted.

    Args:
        booked: What is known of booked nodes.
        shown: What the pool shows.
        need: Of one part.
        end_ms: Unix time.
        everywhere: 1 where nodes that are not booked count too.
        first: Row of the first node asked about.
        found: Is filled, one for each node asked about.
    """
    some = 0
    for at in range(len(found)):
        node = first + at
        row = booked.slot[node]
        if row >= 0 and stale(booked, shown, row, node):
            return -1
        fits = MOST_PER_NODE if shown.up[node] and (row >= 0 or everywhere) else 0
        for d in range(len(need)):
            if need[d] > 0 and fits > 0:
                free = shown.free[d, node] if row < 0 else least_until(booked, row, d, end_ms)
                fits = min(fits, free // need[d])
        if need[3] > 0 and fits > 0:
            fits = min(fits, cards_fit(booked, shown, node, need[3]))
        found[at] = max(0, fits)
        some += fits > 0
    return some


KERNELS = (
    fits_at, runs, first_with, earliest, copy, insert, levels, stale, least_until, cards_fit,
    counts,
)  # fmt: skip


@cache
def compiled_profile() -> Mapping[str, Kernel] | None:
    """Return the compiled loops by name, ready to run; None when there is no Numba."""
    twins = compiled(KERNELS)
    if twins is None:
        return None
    one, row = np.zeros(1, np.int64), np.zeros((1, 4), np.int64)
    yes, need = np.ones(1, np.bool_), np.zeros(4, np.int64)
    events = Events(one, one, row, np.array([0, 1]))
    twins["earliest"](events, yes, yes, need, 1, 1, np.zeros(1, np.bool_))
    twins["insert"](events, one, need, 1, 2)
    twins["levels"](events, 0, one, np.zeros((2, 4), np.int64))
    column = row.T.copy()
    booked = Booked(one, row[:, :1].copy(), row[None].copy(), row, column)
    twins["counts"](booked, Shown(column, row, yes), need, 1, 1, 0, np.zeros(1, np.int64))
    return twins
