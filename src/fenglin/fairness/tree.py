"""The tree of queues: who stands above whom, and whether its limits make sense."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fenglin.errors import InputError
from fenglin.model.site import Queue
from fenglin.quantities.resources import DIMENSIONS

# An amount that stands for "no limit here": what a quota does not name, it does not limit.
NO_LIMIT = 2**62
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class QueueTree:
    """Queues by row with their kin.

    Attributes:
        queues: Q records.
        parent: Row of the queue above; -1 at the top.
        children: Rows of the queues below, rising.
        upward: All rows, each before the one above it.
    """

    queues: tuple[Queue, ...]
    parent: tuple[int, ...]
    children: tuple[tuple[int, ...], ...]
    upward: tuple[int, ...]

    def path(self, row: int) -> Iterator[int]:
        """Yield the row and all rows above it, upward."""
        while row >= 0:
            yield row
            row = self.parent[row]

    def totals(self, own: Sequence[Sequence[_Number]]) -> list[list[_Number]]:
        """Return per queue the sum of what it and all queues below it have of their own."""
        sums = [list(amounts) for amounts in own]
        for row in self.upward:
            above = self.parent[row]
            if above >= 0:
                sums[above] = [a + b for a, b in zip(sums[above], sums[row], strict=True)]
        return sums


def tree_of(queues: Sequence[Queue]) -> QueueTree:
    """Return the tree of these queues. A parent that is not among them counts as none.

    Raises:
        InputError: a queue stands above itself.
    """
    row_of = {queue.name: row for row, queue in enumerate(queues)}
    parent = tuple(row_of.get(queue.parent, -1) if queue.parent else -1 for queue in queues)
    children: list[list[int]] = [[] for _ in queues]
    for row, above in enumerate(parent):
        if above >= 0:
            children[above].append(row)
    downward = [row for row, above in enumerate(parent) if above < 0]
    for row in downward:
        downward.extend(children[row])
    if len(downward) < len(queues):
        raise _circle(queues, parent, set(range(len(queues))) - set(downward))
    return QueueTree(
        tuple(queues), parent, tuple(tuple(rows) for rows in children), tuple(reversed(downward))
    )


def _circle(queues: Sequence[Queue], parent: Sequence[int], lost: set[int]) -> InputError:
    """Return the error that names one circle among rows that no top leads to."""
    row = min(lost)
    seen: list[int] = []
    while row not in seen:
        seen.append(row)
        row = parent[row]
    names = [queues[at].name for at in (*seen[seen.index(row) :], row)]
    return InputError(
        f"the queues stand above each other in a circle: {' → '.join(names)}",
        where=f"queue.{names[0]}.parent",
        hint="take the parent away from one of them",
    )


def check_queues(queues: Sequence[Queue]) -> None:
    """Refuse a tree that cannot be meant.

    Raises:
        InputError: a circle, an unknown parent, a parent beside a cohort, limits of nothing, or
            more kept back than there is; says which queue and what to do.
    """
    names = {queue.name for queue in queues}
    for queue in queues:
        if queue.parent and queue.parent not in names:
            raise InputError(
                f"there is no queue {queue.parent!r}",
                where=f"queue.{queue.name}.parent",
                hint=f"add a [queue.{queue.parent}] block, or take the parent away",
            )
        if queue.parent and queue.cohort:
            raise InputError(
                "a queue has a parent or a cohort, not both",
                where=f"queue.{queue.name}.cohort",
                hint="queues with the same parent lend to each other already: drop the cohort",
            )
        _check_limits(queue)
    tree = tree_of(queues)
    for dimension in range(len(DIMENSIONS)):
        kept_back(tree, dimension)


def _check_limits(queue: Queue) -> None:
    """Refuse limits on borrowing and lending where there is nothing to borrow or lend."""
    for word, limit in (("borrow", queue.borrow), ("lend", queue.lend)):
        if limit is None:
            continue
        where = f"queue.{queue.name}.{word}"
        if not queue.parent and not queue.cohort:
            raise InputError(
                f"the queue has nobody to {word} {'from' if word == 'borrow' else 'to'}",
                where=where,
                hint="give it a parent or a cohort, or drop the limit",
            )
        if queue.quota is None:
            raise InputError(
                f"a limit to {word} needs a quota of its own", where=where, hint="add a quota"
            )
        for name, amount, own in zip(DIMENSIONS, limit.values(), queue.quota.values(), strict=True):
            said = name.rsplit("_", 1)[0]
            if amount < NO_LIMIT <= own:
                raise InputError(
                    f"it limits {said}, of which the queue has no quota",
                    where=where,
                    hint=f"name {said} in the quota too",
                )
            if word == "lend" and own < amount < NO_LIMIT:
                raise InputError(
                    f"it would lend more {said} than its quota has",
                    where=where,
                    hint="at most the quota",
                )


def limit_of(queue: Queue, what: str, dimension: int) -> int:
    """Return the amount of `quota`, `borrow` or `lend` in one dimension, or NO_LIMIT."""
    limits = getattr(queue, what)
    return NO_LIMIT if limits is None else min(NO_LIMIT, limits.values()[dimension])


def kept(pool: int, lend: int) -> int:
    """Return what a queue never lends: max(0, what it has to divide - what it lends at most)."""
    return max(0, pool - lend)


def kept_back(tree: QueueTree, dimension: int) -> tuple[list[int], list[int]]:
    """Return per queue what it has to divide and what it keeps, in one dimension.

    A queue with a quota divides its quota less all that queues below it keep for themselves; one
    without divides what those below it are ready to lend. See `kept`.

    Raises:
        InputError: queues keep more than the quota above them.
    """
    count = len(tree.queues)
    pools, keeps, below = [0] * count, [0] * count, [0] * count
    lent = [0] * count
    for row in tree.upward:
        queue = tree.queues[row]
        quota = limit_of(queue, "quota", dimension)
        if quota < below[row]:
            raise InputError(
                f"the queues below it keep more {DIMENSIONS[dimension].rsplit('_', 1)[0]} for"
                " themselves than its quota has",
                where=f"queue.{queue.name}.quota",
                hint="let them lend more, or raise this quota",
            )
        pools[row] = lent[row] if quota >= NO_LIMIT else quota - below[row]
        keeps[row] = kept(pools[row], limit_of(queue, "lend", dimension))
        above = tree.parent[row]
        if above >= 0:
            below[above] += below[row] + keeps[row]
            lent[above] += pools[row] - keeps[row]
    return pools, keeps
