"""Whose turn it is: weighted dominant shares compared level by level, many tasks at a time.

Source: progressive filling (A. Ghodsi et al., NSDI 2011), through a hierarchy as in A.
Bhattacharya et al., "Hierarchical Scheduling for Diverse Datacenter Workloads", SoCC 2013: from
the top, go to the sibling with the lowest weighted dominant share of all that it and those below
it hold, down to a queue whose jobs wait; serve it; look again.

Serving one task per turn would be exact and slow. A turn may be longer where that cannot change
the end: up to the share of the next sibling, since strict turns would serve nobody else before;
and beyond it by a step so small that all siblings could take as large a one within a part of
what the pool has left. As room shrinks so do steps, and the last turns are one task long. What
each queue gets in the end is within one task of what strict turns give it, or, where tasks are
unlike, within the largest task (property tests say so; on nodes, packing has its own say).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import add, sub, truediv
from typing import NamedTuple

from fenglin.fairness.share import UNBOUNDED, dominant_share
from fenglin.fairness.tree import QueueTree

# Steps are reckoned anew when this part of the room is gone.
ROUND_PART = 0.5
# All who wait could take a step each within this part of the room.
STEP_PART = 0.25
_TOP = -1
UNBOUNDED_AMOUNT = 2**62


class Claim(NamedTuple):
    """What the head of a queue's line asks for.

    Attributes:
        need: Of one task.
        room: How many such tasks the pool could still hold.
        scarce: The dimensions that may be what limits the room; those needed if not known.
    """

    need: Sequence[int]
    room: int
    scarce: Sequence[int] = ()


def scarce_in(need: Sequence[int], free: Sequence[int], room: int) -> tuple[int, ...]:
    """Return the dimensions that may limit a room: where what is free would not hold twice it.

    All that are needed when none is as short as that: then it is not amounts that limit it.
    """
    wanted = [d for d, want in enumerate(need) if want > 0]
    return tuple(d for d in wanted if free[d] < 2 * room * need[d]) or tuple(wanted)


class Steps(NamedTuple):
    """How far beyond its own share a task may lift a child of one queue.

    Attributes:
        sizes: For a task that needs something of each dimension; empty while not reckoned.
        front: Lowest share of a child that was out of reach when that was reckoned.
        least: The least of the sizes of some dimensions, once looked for.
    """

    sizes: list[float]
    front: float
    least: dict[tuple[int, ...], float]

    def of(self, wanted: tuple[int, ...]) -> float:
        """Return the least size of the wanted dimensions; 0 where none is known."""
        step = self.least.get(wanted)
        if step is None:
            step = min([self.sizes[d] for d in wanted]) if self.sizes and wanted else 0.0
            self.least[wanted] = step
        return step


class Limit(NamedTuple):
    """How far a turn may go among the children of one queue.

    Attributes:
        node: The child that is served.
        share: Its share when the turn began.
        second: The lowest share of the others.
        steps: Of them all.
    """

    node: int
    share: float
    second: float
    steps: Steps


class Turns:
    """The order of turns between queues with waiting jobs, while what they hold changes.

    A queue that has both jobs of its own and queues below it takes turns with those as one more
    child, of weight 1.
    """

    def __init__(
        self,
        tree: QueueTree,
        used: Sequence[Sequence[int]],
        total: Sequence[int],
        heads: Mapping[int, tuple[int, int]],
        past: Sequence[float] = (),
    ) -> None:
        """Set the queues in order.

        Args:
            tree: All queues.
            used: [Q][D] what each holds of its own; the caller's table, read when it is served.
            total: [D] what the pool has.
            heads: Queue row → (time, number) of the job at the head of its line: ties.
            past: [Q] past shares of their own; empty for none.
        """
        count = len(tree.queues)
        self._rows = count
        self._total = total
        # What a dimension's share is a part of; of what the pool has nothing, no amount is any.
        self._whole = [of if of > 0 else math.inf for of in total]
        # By need: the dimensions in which there is one, and (dimension, need, total) of those
        # that count.
        self._wants: dict[tuple[int, ...], tuple[tuple[int, ...], list[tuple[int, int, int]]]] = {}
        self._used = used
        self._seen = [list(amounts) for amounts in used]
        # Node q is queue q with all below it; node Q + q is the jobs of its own where it has both.
        self._up = [*tree.parent, *range(count)]
        self._leaf = [q + count if tree.children[q] else q for q in range(count)]
        self._path = [self._upward(leaf) for leaf in self._leaf]
        self._climb = [[(node, self._up[node]) for node in path] for path in self._path]
        self._weight = [max(1, queue.weight) for queue in tree.queues] + [1_000] * count
        self._use = [*tree.totals(used), *(list(amounts) for amounts in used)]
        own = list(past) or [0.0] * count
        self._past = [*(sums[0] for sums in tree.totals([(part,) for part in own])), *own]
        self._heaps: dict[int, list[tuple[float, int, int, int]]] = {}
        self._steps: dict[int, Steps] = {}
        self._no_steps = Steps([], math.inf, {})
        self._rise: dict[int, float] = {}
        self.active = len(heads)
        self._spent, self._lost = 1.0, 1.0
        self._set_up(heads, tree.upward)

    @property
    def due(self) -> bool:
        """Whether `reckon` should be called before the next turn."""
        return self.active > 1 and self._spent >= ROUND_PART

    def waiting(self) -> list[int]:
        """Return the rows of queues that still take turns."""
        found, frontier = [], [_TOP]
        for node in frontier:
            for entry in self._heaps.get(node, ()):
                child = entry[-1]
                if child in self._heaps:
                    frontier.append(child)
                else:
                    found.append(child % self._rows)
        return sorted(found)

    def first(self) -> int:
        """Return the row of the queue whose turn it is; -1 when nobody waits."""
        node = _TOP
        while node in self._heaps:
            node = self._heaps[node][0][-1]
        return node % self._rows if node >= 0 else -1

    def reckon(self, claims: Mapping[int, Claim]) -> None:
        """Reckon how long turns may be until `due` again.

        Args:
            claims: Queue row → what its head asks for, of all queues that wait; without those
                for which there is no room.
        """
        lifts: dict[int, float] = {}
        self._rise = {}
        for row, claim in claims.items():
            rise = self._rise[row] = dominant_share(claim.need, self._total, 1_000) * claim.room
            for node in self._path[row]:
                lift = rise * 1_000 / self._weight[node]
                lifts[node] = max(lift, lifts.get(node, 0.0))
        self._steps = {
            parent: Steps([math.inf] * len(self._total), _front(heap, lifts), {})
            for parent, heap in self._heaps.items()
        }
        shares = {entry[-1]: entry[0] for heap in self._heaps.values() for entry in heap}
        part = STEP_PART / max(1, len(claims))
        for row, claim in claims.items():
            scarce = claim.scarce or [d for d, want in enumerate(claim.need) if want > 0]
            for node in self._path[row]:
                steps = self._steps[self._up[node]]
                if shares[node] < steps.front:
                    step = self._rise[row] * 1_000 / self._weight[node] * part
                    for d in scarce:
                        steps.sizes[d] = min(step, steps.sizes[d])
        self._spent, self._lost = 0.0, 4 * ROUND_PART / self.active

    def limits(self, row: int) -> list[Limit]:
        """Return how far the turn of the first queue may go, from itself upward."""
        found: list[Limit] = []
        for node, above in self._climb[row]:
            heap = self._heaps[above]
            size = len(heap)
            if size > 1:
                second = heap[1][0]
                if size > 2 and heap[2][0] < second:
                    second = heap[2][0]
                steps = self._steps.get(above, self._no_steps)
                found.append(Limit(node, heap[0][0], second, steps))
        return found

    def tasks_to(self, limits: Iterable[Limit], need: tuple[int, ...]) -> int:
        """Return how many tasks of that need reach the first of these limits."""
        found = self._wants.get(need)
        if found is None:
            wanted = tuple(d for d, want in enumerate(need) if want > 0)
            counted = [(d, need[d], self._total[d]) for d in wanted if self._total[d] > 0]
            found = self._wants[need] = wanted, counted
        wanted, counted = found
        least: float = UNBOUNDED
        for limit in limits:
            node, share, second, (_, front, sizes) = limit
            step = sizes.get(wanted)
            if step is None:
                step = limit.steps.of(wanted)
            # As `_target` below.
            target = share + step
            if share >= front or step == math.inf:
                # Nobody asked for that, or came that far, when steps were reckoned: a sure step
                # is enough for some, but not for many.
                target = second
                self._spent += self._lost
            elif target < second or target > front:
                target = min(max(second, target), front)
            # As `share.tasks_to_level`; nowhere else is so much asked so often.
            bare, use = target * self._weight[node] / 1_000 - self._past[node], self._use[node]
            for d, want, of in counted:
                fits = (bare * of - use[d]) // want
                if fits < least:  # noqa: PLR1730 - as in `dominant_share`
                    least = fits
        return int(least) if least > 0 else 0

    def rooms(self, limits: Iterable[Limit], kinds: Sequence[tuple[int, ...]]) -> list[list[int]]:
        """Return for each kind of task how much more, by dimension, reaches none of these limits.

        Args:
            limits: Of the queue that is served.
            kinds: The dimensions in which the tasks of the kind need something.
        """
        found = [[UNBOUNDED_AMOUNT] * len(self._total) for _ in kinds]
        for limit in limits:
            node = limit.node
            for room, wanted in zip(found, kinds, strict=True):
                target = _target(limit, wanted)
                level = limit.second if target is None else target
                bare = level * self._weight[node] / 1_000 - self._past[node]
                for d in wanted:
                    if self._total[d] > 0 and bare < math.inf:
                        more = math.floor(bare * self._total[d] - self._use[node][d])
                        room[d] = min(room[d], max(0, more))
        return found

    def count(self, row: int) -> None:
        """Take note of what a queue holds now, without ending its turn."""
        now, seen = self._used[row], self._seen[row]
        if now == seen:
            return
        change = list(map(sub, now, seen))
        self._seen[row] = list(now)
        rise = self._rise.get(row, 0.0)
        moved = max(0.0, *map(truediv, change, self._whole)) * 1_000 / 1_000
        self._spent += moved / rise if rise > 0 else self._lost
        for node in self._path[row]:
            use = self._use[node]
            use[:] = map(add, use, change)

    def end_turn(self, row: int, head: tuple[int, int] | None) -> None:
        """Put the first queue where it belongs now.

        Args:
            row: The queue that `first` gave.
            head: (time, number) of the job now at its head; None when its line is at its end.
        """
        self.count(row)
        if head is None:
            self.active -= 1
        for node, above in self._climb[row]:
            heap = self._heaps[above]
            if head is None:
                heapq.heappop(heap)
                if not heap:
                    del self._heaps[above]
            else:
                heapq.heapreplace(heap, (self._share(node), *head, node))
            head = heap[0][1:3] if heap else None

    def _upward(self, node: int) -> list[int]:
        """Return a node and those above it."""
        path = []
        while node >= 0:
            path.append(node)
            node = self._up[node]
        return path

    def _share(self, node: int) -> float:
        """Return the node's `dominant_share`."""
        most: float = max(0.0, *map(truediv, self._use[node], self._whole))
        return (most + self._past[node]) * 1_000 / self._weight[node]

    def _set_up(self, heads: Mapping[int, tuple[int, int]], upward: Iterable[int]) -> None:
        """Make the heaps, from the leaves upward; a group ties by the head that it would serve."""
        rows = self._rows
        for node in (*range(rows, 2 * rows), *upward):
            row = node % rows
            heap = self._heaps.get(node)
            if heap:
                heapq.heapify(heap)
                head = heap[0][1:3]
            elif row in heads and self._leaf[row] == node:
                head = heads[row]
            else:
                continue
            entry = (self._share(node), *head, node)
            self._heaps.setdefault(self._up[node], []).append(entry)
        heapq.heapify(self._heaps.get(_TOP, []))


def _front(siblings: Iterable[tuple[float, int, int, int]], lifts: Mapping[int, float]) -> float:
    """Return the lowest share among siblings that this round leaves above all others.

    A round lifts the lowest together until a part of the room is gone; by how much all the room
    would lift each stands in `lifts`. Whoever stands above that level loses nothing by it.
    """
    level, steepness, spent = 0.0, 0.0, 0.0
    for share, *_, node in sorted(siblings):
        spent += (share - level) * steepness
        if spent >= ROUND_PART:
            return share
        level = share
        if lifts.get(node, 0.0) > 0:
            steepness += 1.0 / lifts[node]
    return math.inf


def _target(limit: Limit, wanted: tuple[int, ...]) -> float | None:
    """Return up to what share a turn may go with tasks that need something of these dimensions.

    None where no step was reckoned for that: then no further than the next sibling.
    """
    _, share, second, steps = limit
    step = steps.of(wanted)
    if share >= steps.front or step == math.inf:
        return None
    return min(max(second, share + step), steps.front)
