"""Quota as a hard cap, and borrowing inside a cohort.

Every rule is one short function whose docstring is its formula in words. None stands for "no
limit" throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

from fenglin.model.site import Queue

Vector = tuple[int, ...]


def cohort_of(queues: Sequence[Queue], row: int) -> tuple[int, ...]:
    """Return the rows of all queues that lend to `row`, itself included; only itself if alone."""
    cohort = queues[row].cohort
    if not cohort:
        return (row,)
    return tuple(i for i, queue in enumerate(queues) if queue.cohort == cohort)


def lendable(quota: Sequence[int], used: Sequence[int]) -> Vector:
    """Return what a queue leaves unused: max(0, quota - used) per dimension."""
    return tuple(max(0, own - have) for own, have in zip(quota, used, strict=True))


def overdrawn(quota: Sequence[int], used: Sequence[int]) -> Vector:
    """Return what a queue has borrowed: max(0, used - quota) per dimension."""
    return tuple(max(0, have - own) for own, have in zip(quota, used, strict=True))


def room(queues: Sequence[Queue], used: Sequence[Sequence[int]], row: int) -> Vector | None:
    """Return how much more a queue may take; None for no limit.

    Room is what the queue itself leaves unused, plus what the others of its cohort leave
    unused, less what members have borrowed already: over the members with a quota, the sum of
    quotas less the sum of use. Lending never exceeds the cohort's quota, whoever borrows. A
    queue without a quota has no limit and, having nothing of its own, lends nothing.
    """
    if queues[row].quota is None:
        return None
    total: list[int] | None = None
    for member in cohort_of(queues, row):
        quota = queues[member].quota
        if quota is None:
            continue
        plus = lendable(quota.values(), used[member])
        minus = overdrawn(quota.values(), used[member])
        part = [a - b for a, b in zip(plus, minus, strict=True)]
        total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
    return None if total is None else tuple(max(0, amount) for amount in total)


def tasks_in(room_left: Sequence[int] | None, need: Sequence[int]) -> int:
    """Return how many tasks of that need fit into the room: min of room / need, 10^9 if free."""
    if room_left is None:
        return 10**9
    counts = [have // want for have, want in zip(room_left, need, strict=True) if want > 0]
    return max(0, min(counts, default=10**9))
