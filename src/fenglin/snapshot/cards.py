"""The cards of one node: which task sits on which, so that two halves never pass for a whole.

A task that needs less than a card shares one card with others; a task that needs more takes
whole free cards. A task's cards never change while it runs, so they are written down with its
share and never worked out anew from sums.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence

import numpy as np
from numpy.typing import NDArray

FULL_MILLI = 1_000
_SHORT = 64

I64 = NDArray[np.int64]


def layout(accelerator_milli: int) -> tuple[int, ...]:
    """Return what each card of an idle node holds: whole cards, then the part of one, if any."""
    whole, part = divmod(accelerator_milli, FULL_MILLI)
    return (FULL_MILLI,) * whole + ((part,) if part else ())


def cards_per_task(need_milli: int) -> int:
    """Return on how many cards one task sits."""
    return -(-need_milli // FULL_MILLI)


def rooms(free: I64, need_milli: int) -> I64:
    """Return how many such tasks fit on each node.

    Args:
        free: [n, C] thousandths free on each card.
        need_milli: Of one task; more than 0.
    """
    if len(free) < _SHORT:
        fit = free // need_milli if need_milli < FULL_MILLI else free == FULL_MILLI
        return np.asarray(fit.sum(axis=1) // cards_per_task(need_milli), np.int64)
    # Card by card: NumPy adds up long columns far faster than many short rows.
    count = np.zeros(len(free), np.int64)
    if need_milli < FULL_MILLI:
        for left in free.T:
            count += left // need_milli
        return count
    for left in free.T:
        count += left == FULL_MILLI
    return np.asarray(count // cards_per_task(need_milli), np.int64)


def rooms_on(free: Sequence[int], need_milli: int) -> int:
    """Return how many such tasks fit on one node; as `rooms`."""
    if need_milli < FULL_MILLI:
        return sum(left // need_milli for left in free)
    return free.count(FULL_MILLI) // cards_per_task(need_milli)


def assign(free: MutableSequence[int], need_milli: int, slots: int) -> tuple[int, ...]:
    """Take the cards of `slots` tasks: the tightest for a part, the lowest free for whole ones.

    Either way the number of further such tasks that fit falls by one with each.

    Args:
        free: Thousandths free on each card of the node; reduced.
        need_milli: Of one task; more than 0.
        slots: Tasks; at most as many as `rooms` says.

    Returns:
        Card numbers, task by task.
    """
    taken: list[int] = []
    for _ in range(slots):
        if need_milli < FULL_MILLI:
            enough = [(left, card) for card, left in enumerate(free) if left >= need_milli]
            cards = [min(enough)[1]]
        else:
            whole = [card for card, left in enumerate(free) if left == FULL_MILLI]
            cards = whole[: cards_per_task(need_milli)]
        for card in cards:
            free[card] -= min(need_milli, FULL_MILLI)
        taken += cards
    return tuple(taken)


def occupy(free: MutableSequence[int], need_milli: int, slots: int) -> None:
    """Take cards for tasks that run already though nobody wrote down where.

    As `assign` as far as they fit; what does not is spread over what is left, so that the sum
    is right even then.
    """
    for _ in range(slots):
        for at in range(0, need_milli, FULL_MILLI):
            part = min(need_milli - at, FULL_MILLI)
            enough = [(left, card) for card, left in enumerate(free) if left >= part]
            if enough:
                free[min(enough)[1]] -= part
                continue
            for card, left in enumerate(free):
                taken = min(left, part)
                free[card] -= taken
                part -= taken
