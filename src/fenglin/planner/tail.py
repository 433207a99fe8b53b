"""The end of an array: when another slot helps, and how large a piece each slot takes.

An array is finished when its last task is. Slots of unlike speed must therefore not take more
than they can return in time, and the slowest not even one task when the faster would have done
it sooner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fenglin.planner.policy import Policy
from fenglin.planner.runtime import Runtime

# A piece works this many times as long as its site takes to begin it.
WORTH = 10


class Held(NamedTuple):
    """Slots that a job holds.

    Attributes:
        free_in_ms: When they can take the next waiting task, from now.
        task_ms: Runtime of one task on them.
        slots: How many.
    """

    free_in_ms: int
    task_ms: int
    slots: int


def wait_for(end_ms: int, now_ms: int) -> int:
    """Return how long until a promised end.

    A promise that is overdue by x is trusted to be kept within another x: what is late by a
    moment ends in a moment, what is late by an hour is not counted on.
    """
    return abs(end_ms - now_ms)


def tasks_within(held: Iterable[Held], window_ms: float) -> int:
    """Return how many waiting tasks the held slots can finish inside the window."""
    return sum(
        part.slots * int((window_ms - part.free_in_ms) // part.task_ms)
        for part in held
        if window_ms > part.free_in_ms
    )


def finish_in(held: Iterable[Held], tasks: int) -> int:
    """Return the least time in which the held slots finish the waiting tasks; 0 for none held.

    Each takes the next task when it is free. `tasks_within` is monotone, so bisect.
    """
    parts = list(held)
    if not parts:
        return 0
    if tasks <= 0:
        return max(part.free_in_ms for part in parts)
    low, high = 0, min(p.free_in_ms + -(-tasks // p.slots) * p.task_ms for p in parts)
    while low < high:
        middle = (low + high) // 2
        if tasks_within(parts, middle) >= tasks:
            high = middle
        else:
            low = middle + 1
    return low


def useful_slots(held: Iterable[Held], tasks: int, task_ms: int, patience: float) -> int:
    """Return how many more slots with that runtime would help to finish `tasks`.

    What the held slots finish within one task's runtime there (times the policy's patience)
    needs nobody else; each of the rest is worth a slot.
    """
    return max(0, tasks - tasks_within(held, task_ms * patience))


def piece_ms(held: Iterable[Held], tasks: int, policy: Policy) -> float:
    """Return how long each slot should work on its next piece: guided self-scheduling.

    All held slots together finish `tasks` in tasks / rate; a piece is that divided by the
    policy's divisor, so that pieces shrink towards the end and all slots end together.
    Source: C. Polychronopoulos, D. Kuck, "Guided Self-Scheduling", IEEE ToC 1987, with slots
    weighted by speed.
    """
    rate = sum(part.slots / part.task_ms for part in held)
    return tasks / rate / policy.split_divisor if rate > 0 else 0.0


def piece_depth(
    span_ms: float, task_ms: int, runtime: Runtime, policy: Policy, start_ms: int = 0
) -> int:
    """Return how many tasks in turn each slot takes for a piece of that span; at least 1.

    Args:
        span_ms: How long a slot should work, from `piece_ms`.
        task_ms: Runtime of a task.
        runtime: Whether that is known; if not, a few tasks go first to learn it.
        policy: Bounds of a piece.
        start_ms: What the site takes to begin an allocation: a piece is `WORTH` times as long.
    """
    depth = int(span_ms // task_ms)
    if not runtime.known:
        return max(1, min(depth, policy.probe_depth))
    least = max(policy.least_ms, WORTH * start_ms) // task_ms
    most = policy.horizon_ms // task_ms
    return max(1, min(max(depth, least), most))
