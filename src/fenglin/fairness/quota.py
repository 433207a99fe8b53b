"""Quota as a hard cap, and borrowing between siblings, through all levels of the tree.

Every rule is one short function whose docstring is its formula in words, in one dimension. The
algebra is that of Kueue's hierarchical cohorts (KEP-79), with one difference: the quota of a
queue is all that its subtree may hold of its own, not something on top of its children's quotas.
A cohort is a parent without a name: no quota, no weight, only lending.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fenglin.fairness.tree import NO_LIMIT, QueueTree, kept_back, limit_of, tree_of
from fenglin.model.site import Queue
from fenglin.quantities.resources import DIMENSIONS

Vector = tuple[int, ...]
_WIDTH = len(DIMENSIONS)


def shown(use: int, keep: int) -> int:
    """Return what of a use the queue above sees: max(0, use - what is kept for it)."""
    return max(0, use - keep)


def room_at_top(pool: int, use: int) -> int:
    """Return the room of a queue with nobody above: max(0, what it divides - its use)."""
    return max(0, pool - use)


def room_below(above: int, pool: int, keep: int, use: int, borrow: int) -> int:
    """Return the room of a queue with somebody above it.

    What is kept for it and unused, plus what it may take through the queue above: that one's
    room, at most what this queue has lent out and may borrow back, plus its limit to borrow.
    """
    through = min(above, pool - keep - shown(use, keep) + borrow)
    return max(0, keep - use) + max(0, through)


@dataclass(frozen=True, slots=True)
class _Limits:
    """What does not change while use does; the last rows are cohorts.

    Attributes:
        tree: Queues and, above them, cohorts.
        free: [D][row] whether neither it nor any queue above has a quota.
        pool: [D][row] what it divides; see `kept_back`.
        keep: [D][row] what it keeps.
        borrow: [D][row] its limit to borrow.
        kin: [row] all rows of its tree in which use is counted.
    """

    tree: QueueTree
    free: list[list[bool]]
    pool: list[list[int]]
    keep: list[list[int]]
    borrow: list[list[int]]
    kin: list[list[int]]


@lru_cache(maxsize=4)
def _limits_of(queues: tuple[Queue, ...]) -> _Limits:
    """Lay the limits out; a cycle asks about one and the same tuple many times."""
    tree = _with_cohorts(tree_of(queues))
    free = _free(tree)
    columns = [kept_back(tree, d) for d in range(_WIDTH)]
    top_of = [list(tree.path(row))[-1] for row in range(len(tree.queues))]
    family: dict[int, list[int]] = {}
    for row in range(len(queues)):
        if not all(column[row] for column in free):
            family.setdefault(top_of[row], []).append(row)
    return _Limits(
        tree,
        free,
        [pool for pool, _ in columns],
        [keep for _, keep in columns],
        [[limit_of(queue, "borrow", d) for queue in tree.queues] for d in range(_WIDTH)],
        [family.get(top, []) for top in top_of],
    )


class Quotas:
    """The rooms of all queues while use changes; the table of use is the caller's, not copied."""

    def __init__(self, queues: Sequence[Queue], used: Sequence[Sequence[int]]) -> None:
        """Take the queues and what each holds of its own, [Q][D], live.

        Raises:
            InputError: a queue stands above itself, or keeps more than the quota above it.
        """
        self._limits = _limits_of(tuple(queues))
        self._used = used
        self._seen = [[0] * _WIDTH for _ in queues]
        self._use = [[0] * len(self._limits.tree.queues) for _ in range(_WIDTH)]

    def room(self, row: int) -> Vector | None:
        """Return how much more a queue may take now; None when nothing limits it.

        A dimension without a limit has `NO_LIMIT`.
        """
        free = self._limits.free
        if all(column[row] for column in free):
            return None
        for kin in self._limits.kin[row]:
            if self._used[kin] != self._seen[kin]:
                self._count(kin)
        return tuple(NO_LIMIT if free[d][row] else self._room(d, row) for d in range(_WIDTH))

    def _room(self, dimension: int, row: int) -> int:
        pool, keep = self._limits.pool[dimension], self._limits.keep[dimension]
        use, borrow = self._use[dimension], self._limits.borrow[dimension]
        top, *below = list(self._limits.tree.path(row))[::-1]
        room = room_at_top(pool[top], use[top])
        for at in below:
            room = room_below(room, pool[at], keep[at], use[at], borrow[at])
        return room

    def _count(self, row: int) -> None:
        """Count what a queue holds up the tree, as far as each level sees it."""
        for d, (now, before) in enumerate(zip(self._used[row], self._seen[row], strict=True)):
            change = 0 if self._limits.free[d][row] else now - before
            keep, use = self._limits.keep[d], self._use[d]
            for at in self._limits.tree.path(row):
                if not change:
                    break
                saw = shown(use[at], keep[at])
                use[at] += change
                change = shown(use[at], keep[at]) - saw
        self._seen[row] = list(self._used[row])


def _with_cohorts(tree: QueueTree) -> QueueTree:
    """Return the tree with a parent of no limits over each cohort, after all queues."""
    rows = len(tree.queues)
    cohorts = sorted({queue.cohort for queue in tree.queues if queue.cohort})
    if not cohorts:
        return tree
    heads = [Queue(f"cohort {name}") for name in cohorts]
    head_of = {name: rows + at for at, name in enumerate(cohorts)}
    parent = tuple(
        head_of[queue.cohort] if queue.cohort and above < 0 else above
        for queue, above in zip(tree.queues, tree.parent, strict=True)
    )
    parent += (-1,) * len(heads)
    children: list[list[int]] = [list(below) for below in tree.children] + [[] for _ in heads]
    for row, above in enumerate(parent):
        if above >= rows:
            children[above].append(row)
    upward = tree.upward + tuple(range(rows, rows + len(heads)))
    both = (*tree.queues, *heads)
    return QueueTree(both, parent, tuple(tuple(below) for below in children), upward)


def _free(tree: QueueTree) -> list[list[bool]]:
    """Return per dimension and queue whether neither it nor any queue above has a quota."""
    free = [[True] * len(tree.queues) for _ in range(_WIDTH)]
    for row in reversed(tree.upward):
        above = tree.parent[row]
        for d in range(_WIDTH):
            bare = limit_of(tree.queues[row], "quota", d) >= NO_LIMIT
            free[d][row] = bare and (above < 0 or free[d][above])
    return free


def room(queues: Sequence[Queue], used: Sequence[Sequence[int]], row: int) -> Vector | None:
    """Return how much more a queue may take; None when nothing limits it. See `Quotas`.

    A queue without a quota has no limit of its own and, having nothing, lends nothing; the
    limits of those above it hold.
    """
    return Quotas(queues, used).room(row)


def cohort_of(queues: Sequence[Queue], row: int) -> tuple[int, ...]:
    """Return the rows of all queues of one cohort; only the queue itself if it has none."""
    cohort = queues[row].cohort
    if not cohort:
        return (row,)
    return tuple(i for i, queue in enumerate(queues) if queue.cohort == cohort)


def borrowed(queues: Sequence[Queue], used: Sequence[Sequence[int]], row: int) -> Vector:
    """Return what a queue and those below it hold beyond its quota: max(0, use - quota).

    Without a quota of its own all that it holds is borrowed, if a queue above has a quota;
    otherwise it owes nobody.
    """
    limits = _limits_of(tuple(queues))
    return _borrowed(limits, _totals(limits.tree, used), row)


def reclaimable(
    queues: Sequence[Queue], used: Sequence[Sequence[int]], lender: int, holder: int
) -> Vector:
    """Return what one queue may take back of what another holds.

    It is the least of: what the lender, and each queue between it and the first common one above,
    leaves unused of its quota; and what the holder, and each queue between it and that one, has
    borrowed. Nothing when they have no queue or cohort in common.
    """
    limits = _limits_of(tuple(queues))
    tree, totals = limits.tree, _totals(limits.tree, used)
    mine, theirs = list(tree.path(lender)), list(tree.path(holder))
    common = {row for row in mine if row in theirs}
    if not common:
        return (0,) * _WIDTH
    back = [NO_LIMIT] * _WIDTH
    for row in (row for row in theirs if row not in common):
        back = [min(a, b) for a, b in zip(back, _borrowed(limits, totals, row), strict=True)]
    for row in (row for row in mine if row not in common):
        for d in range(_WIDTH):
            quota = limit_of(tree.queues[row], "quota", d)
            if quota < NO_LIMIT:
                back[d] = min(back[d], max(0, quota - totals[row][d]))
            elif row == lender:
                back[d] = 0
    return tuple(0 if amount >= NO_LIMIT else amount for amount in back)


def _totals(tree: QueueTree, used: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return what each queue and those below it hold; cohorts have nothing of their own."""
    bare = len(tree.queues) - len(used)
    return tree.totals([*used, *([0] * _WIDTH for _ in range(bare))])


def _borrowed(limits: _Limits, totals: Sequence[Sequence[int]], row: int) -> Vector:
    owed = []
    for d, held in enumerate(totals[row]):
        quota = limit_of(limits.tree.queues[row], "quota", d)
        own = 0 if quota >= NO_LIMIT else quota
        owed.append(0 if limits.free[d][row] else max(0, held - own))
    return tuple(owed)


def tasks_in(room_left: Sequence[int] | None, need: Sequence[int]) -> int:
    """Return how many tasks of that need fit into the room: min of room / need, 10^9 if free."""
    if room_left is None:
        return 10**9
    counts = [have // want for have, want in zip(room_left, need, strict=True) if want > 0]
    return max(0, min(counts, default=10**9))
