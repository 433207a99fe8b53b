"""Which of the nodes with room a task goes to: the tightest, or the one it fragments least.

Everything is counted in whole numbers, so that a score does not depend on how many nodes were
scored together.
"""

from __future__ import annotations

import numpy as np

from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.cards import FULL_MILLI, cards_per_task
from fenglin.snapshot.snapshot import I64, Bool, Snapshot

_PARTS = 1_000_000
_CPU = DIMENSIONS.index("cpu_milli")
_CARDS = DIMENSIONS.index("accelerator_milli")
# Typical tasks: the most frequent shapes that make up so much of the pending tasks.
_TYPICAL_PERCENT = 95
_MOST_TYPICAL = 16
# More nodes than this are first reduced to their distinct states.
_FEW = 64


def leftover(free: I64, capacity: I64) -> I64:
    """Return how empty each node is: the sum of its free parts per million, [n].

    Among nodes of one flavor the one with the least is the tightest for any task, as all lose
    the same.

    Args:
        free: [D, n].
        capacity: [D] of a node of the flavor.
    """
    total = np.zeros(free.shape[1], np.int64)
    for have, of in zip(free, capacity.tolist(), strict=True):
        if of:
            total += (have / of * _PARTS).astype(np.int64)
    return total


def after_one(cards: I64, milli: int) -> I64:
    """Return the cards once one task that fits has taken its own, as `cards.assign` would."""
    left = cards.copy()
    if milli < FULL_MILLI:
        enough = np.where(cards >= milli, cards, np.iinfo(np.int64).max)
        left[np.arange(len(cards)), enough.argmin(axis=1)] -= milli
    else:
        whole = cards == FULL_MILLI
        left[whole & (whole.cumsum(axis=1) <= cards_per_task(milli))] = 0
    return left


class Fragments:
    """How much of a node's free cards the pool's own pending tasks could not use.

    After "Beware of Fragmentation" (Weng et al., USENIX ATC'23): over the typical tasks, weighted
    by how many wait, what is left on cards that are too small for the task, or all that is left
    where it cannot run. A node without cards is measured by its cores in the same way.
    """

    def __init__(self, snapshot: Snapshot, possible: Bool) -> None:
        """Take the typical tasks from what waits. `possible` is [shapes, flavors]."""
        tasks = np.zeros(len(snapshot.shapes), np.int64)
        np.add.at(tasks, snapshot.job_shape, snapshot.job_pending)
        order = np.argsort(-tasks, kind="stable")[:_MOST_TYPICAL]
        before = np.concatenate(([0], np.cumsum(tasks[order])[:-1]))
        order = order[(tasks[order] > 0) & (before * 100 < tasks.sum() * _TYPICAL_PERCENT)]
        needs = [snapshot.shapes[row].resources.values() for row in order.tolist()]
        self._needs = np.array(needs, np.int64).reshape(len(order), len(DIMENSIONS))
        self._tasks = tasks[order]
        self._possible = possible[order]

    def added(self, flavor_row: int, free: I64, cards: I64, need: I64) -> I64:
        """Return by how much one task more fragments each node where it fits, [n].

        Args:
            flavor_row: Of the nodes.
            free: [D, n].
            cards: [n, C] free on the flavor's cards.
            need: [D] of the task.
        """
        if free.shape[1] > _FEW:
            states, back = np.unique(
                np.concatenate((free.T, cards), axis=1), axis=0, return_inverse=True
            )
            free, cards = states[:, : len(free)].T, states[:, len(free) :]
            return self._added(flavor_row, free, cards, need)[back.reshape(-1)]
        return self._added(flavor_row, free, cards, need)

    def _added(self, flavor_row: int, free: I64, cards: I64, need: I64) -> I64:
        milli = int(need[_CARDS])
        later = after_one(cards, milli) if milli else cards
        return self.value(flavor_row, free - need[:, None], later) - self.value(
            flavor_row, free, cards
        )

    def value(self, flavor_row: int, free: I64, cards: I64) -> I64:
        """Return the fragments of each node, [n], summed over typical tasks by their number.

        Args:
            flavor_row: Of the nodes.
            free: [D, n].
            cards: [n, C] free on the flavor's cards.
        """
        count, width = cards.shape
        total = np.zeros(count, np.int64)
        left = cards.sum(axis=1) if width else np.maximum(free[_CPU], 0)
        for need, tasks, may in zip(
            self._needs.tolist(), self._tasks.tolist(), self._possible[:, flavor_row], strict=True
        ):
            milli = need[_CARDS]
            if not may or (width and not milli):
                total += tasks * left
                continue
            fits = np.ones(count, np.bool_)
            for dimension, amount in enumerate(need[:_CARDS]):
                if amount:
                    fits &= free[dimension] >= amount
            lost = np.zeros(count, np.int64)
            if milli:
                large = cards >= min(milli, FULL_MILLI)
                fits &= large.sum(axis=1) >= cards_per_task(milli)
                lost = np.where(large, 0, cards).sum(axis=1)
            total += tasks * np.where(fits, lost, left)
        return total
