"""The loop that places single tasks one by one: the same source plain and compiled.

Plain, it runs on memory views, and looks for the next node with NumPy (`lane.py`); compiled, on
arrays, with the loop here. Both give the same answers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

FULL_MILLI = 1_000
# Why `serve` came back: the line is at its end; an order of options is not known yet; the job at
# the head needs more thought than this, or more than its queue may take.
DONE, UNKNOWN, STOPPED, LIMITED = 0, 1, 2, 3

# Arrays for the compiled loop, memory views of the same arrays for the plain one.
Column = Any


class Jobs(NamedTuple):
    """The jobs of the cycle.

    Attributes:
        kind: [J] number of those alike in shape and runtime; -1 for a job that is not simple.
        account: [J].
        turn: [J] number of the job, by which equal options take turns.
    """

    kind: Column
    account: Column
    turn: Column


class Kinds(NamedTuple):
    """Jobs that are alike, and the options they choose from.

    Attributes:
        shape: [K].
        providers: [K] how many take turns; 0 for unknown.
        order: [K, providers] which order of options a job of that turn has; -1 for unknown.
        first: [orders + 1] of an order's options.
        flavor: [options].
        hold: [options] money held for a task.
    """

    shape: Column
    providers: Column
    order: Column
    first: Column
    flavor: Column
    hold: Column


class Room(NamedTuple):
    """What is left.

    Attributes:
        need: [shapes, D].
        closed: [shapes] whether no task of the shape can start any more.
        free: [D, N].
        cards: [N, C].
        up: [N].
        cursor: [shapes, flavors] first node that may have room.
        stop: [flavors] row after the last node.
        wants: [shapes] number of the dimensions in which the shape needs something.
        queue: [wants, D] what the queue may take for tasks that need something of these.
        taken: [D] what it has taken.
        money: [accounts].
    """

    need: Column
    closed: Column
    free: Column
    cards: Column
    up: Column
    cursor: Column
    stop: Column
    wants: Column
    queue: Column
    taken: Column
    money: Column


class Given(NamedTuple):
    """What was given, in turn.

    Attributes:
        job: Row.
        option: Number.
        node: Row.
        cards: One bit for each card.
    """

    job: Column
    option: Column
    node: Column
    cards: Column


def first_room(room: Room, shape: int, node: int, stop: int) -> int:
    """Return the first node from `node` where a task of the shape fits; `stop` for none."""
    milli = room.need[shape, 3]
    while node < stop:
        fits = room.up[node] != 0
        for d in range(3):
            if room.free[d, node] < room.need[shape, d]:
                fits = False
        if fits and milli > 0:
            large = 0
            for c in range(room.cards.shape[1]):
                if room.cards[node, c] >= min(milli, FULL_MILLI):
                    large += 1
            fits = large * FULL_MILLI >= milli
        if fits:
            return node
        node += 1
    return stop


def take_cards(room: Room, node: int, milli: int) -> int:
    """Take the cards of one task, as `cards.assign` does; return one bit for each."""
    taken = 0
    if milli < FULL_MILLI:
        tightest = -1
        for c in range(room.cards.shape[1]):
            left = room.cards[node, c]
            if left >= milli and (tightest < 0 or left < room.cards[node, tightest]):
                tightest = c
        room.cards[node, tightest] -= milli
        return 1 << tightest
    for c in range(room.cards.shape[1]):
        if milli > 0 and room.cards[node, c] == FULL_MILLI:
            room.cards[node, c] -= min(milli, FULL_MILLI)
            milli -= FULL_MILLI
            taken |= 1 << c
    return taken


def choose(room: Room, kinds: Kinds, order: int, shape: int, account: int) -> tuple[int, int, bool]:
    """Return the first option with room and its node; option -1 for none; whether it is payable."""
    for option in range(kinds.first[order], kinds.first[order + 1]):
        flavor = kinds.flavor[option]
        stop = room.stop[flavor]
        node = first_room(room, shape, room.cursor[shape, flavor], stop)
        room.cursor[shape, flavor] = node
        if node < stop:
            return option, node, kinds.hold[option] <= room.money[account]
    return -1, -1, False


def over_quota(room: Room, shape: int) -> bool:
    """Return whether one task more is more than the queue may take."""
    wants = room.wants[shape]
    for d in range(4):  # noqa: SIM110 - Numba compiles no generator in any()
        if room.need[shape, d] > room.queue[wants, d] - room.taken[d]:
            return True
    return False


def serve(
    jobs: Jobs, kinds: Kinds, room: Room, given: Given, line: Column, at: int, count: int
) -> tuple[int, int, int]:
    """Place the single tasks of a line, in turn, until one of them is not so simple.

    Args:
        jobs: Of the cycle.
        kinds: Of the jobs.
        room: Is used up.
        given: Is filled.
        line: Job rows.
        at: Position of the head.
        count: How many are given already.

    Returns:
        The position of the new head, how many are given now, and why it came back.
    """
    while at < len(line):
        job = line[at]
        kind = jobs.kind[job]
        if kind < 0:
            return at, count, STOPPED
        shape = kinds.shape[kind]
        if room.closed[shape] != 0:
            at += 1
            continue
        if kinds.providers[kind] == 0:
            return at, count, UNKNOWN
        order = kinds.order[kind, jobs.turn[job] % kinds.providers[kind]]
        if order < 0:
            return at, count, UNKNOWN
        account = jobs.account[job]
        option, node, payable = choose(room, kinds, order, shape, account)
        if option < 0 or not payable:
            return at, count, STOPPED
        if over_quota(room, shape):
            return at, count, LIMITED
        for d in range(4):
            room.free[d, node] -= room.need[shape, d]
            room.taken[d] += room.need[shape, d]
        if room.need[shape, 3] > 0:
            given.cards[count] = take_cards(room, node, room.need[shape, 3])
        room.money[account] -= kinds.hold[option]
        given.job[count] = job
        given.option[count] = option
        given.node[count] = node
        count += 1
        at += 1
    return at, count, DONE


KERNELS = (first_room, take_cards, choose, over_quota, serve)
