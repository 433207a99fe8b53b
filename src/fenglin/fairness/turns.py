"""Whose turn it is: weighted dominant shares compared level by level, many tasks at a time.

Source: progressive filling (A. Ghodsi et al., NSDI 2011), through a hierarchy as in A.
Bhattacharya et al., "Hierarchical Scheduling for Diverse Datacenter Workloads", SoCC 2013: from
the top, go to the sibling with the lowest weighted dominant share of all that it and those below
it hold, down to a queue whose jobs wait; serve it; look again.

Serving one task per turn would be exact and slow. A turn may be longer where that cannot change
the end: up to the share of the next sibling, since strict turns would serve nobody else before;
and beyond it by a step so small that all siblings could take as large a one within a part of
what the pool has left. As room shrinks so do steps, and the last turns are one task long. What
came out is within one task of strict turns for each queue (a property test says so).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fenglin.fairness.share import UNBOUNDED, dominant_share, tasks_to_level
from fenglin.fairness.tree import QueueTree

# Steps are reckoned anew when this part of the room is gone.
ROUND_PART = 0.5
# All who wait could take a step each within this part of the room.
STEP_PART = 0.25
_TOP = -1


class Claim(NamedTuple):
    """What the head of a queue's line asks for.

    Attributes:
        need: Of one task.
        room: How many such tasks the pool could still hold.
    """

    need: Sequence[int]
    room: int


class _Step(NamedTuple):
    """How far one turn may go among the children of one queue.

    Attributes:
        size: Share beyond the next sibling's.
        front: Lowest share of a sibling that was out of reach when this was reckoned.
    """

    size: float
    front: float


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
        self._used = used
        self._seen = [list(amounts) for amounts in used]
        # Node q is queue q with all below it; node Q + q is the jobs of its own where it has both.
        self._up = [*tree.parent, *range(count)]
        self._leaf = [q + count if tree.children[q] else q for q in range(count)]
        self._weight = [max(1, queue.weight) for queue in tree.queues] + [1_000] * count
        self._use = [*tree.totals(used), *(list(amounts) for amounts in used)]
        own = list(past) or [0.0] * count
        self._past = [*(sums[0] for sums in tree.totals([(part,) for part in own])), *own]
        self._heaps: dict[int, list[tuple[float, int, int, int]]] = {}
        self._steps: dict[int, _Step] = {}
        self._rise: dict[int, float] = {}
        self._spent = 1.0
        self.active = len(heads)
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
            claims: Queue row → what its head asks for, of all queues that wait.
        """
        lifts: dict[int, float] = {}
        for row, claim in claims.items():
            rise = self._rise[row] = dominant_share(claim.need, self._total, 1_000) * claim.room
            node = self._leaf[row]
            while node >= 0:
                lift = rise * 1_000 / self._weight[node]
                lifts[node] = min(lift, lifts.get(node, math.inf))
                node = self._up[node]
        part = STEP_PART / len(claims)
        self._steps = {
            parent: _step([(entry[0], lifts.get(entry[-1], 0.0)) for entry in heap], part)
            for parent, heap in self._heaps.items()
        }
        self._spent = 0.0

    def targets(self, row: int) -> list[tuple[int, float]]:
        """Return how far the turn of the first queue goes: (node, share), from it upward."""
        found: list[tuple[int, float]] = []
        node = self._leaf[row]
        while node >= 0:
            heap = self._heaps[self._up[node]]
            second = min((entry[0] for entry in heap[1:3]), default=math.inf)
            if second < math.inf:
                share = heap[0][0]
                step = self._steps[self._up[node]]
                if share < step.front:
                    found.append((node, min(step.front, max(second, share + step.size))))
                else:
                    found.append((node, second))
                    self._spent = 1.0
            node = self._up[node]
        return found

    def tasks_to(self, targets: Iterable[tuple[int, float]], need: Sequence[int]) -> int:
        """Return how many tasks reach the first of these targets."""
        counts = [
            tasks_to_level(
                share, self._use[node], need, self._total, self._weight[node], self._past[node]
            )
            for node, share in targets
        ]
        return min(counts, default=UNBOUNDED)

    def count(self, row: int) -> None:
        """Take note of what a queue holds now, without ending its turn."""
        now, seen = self._used[row], self._seen[row]
        change = [a - b for a, b in zip(now, seen, strict=True)]
        if not any(change):
            return
        self._seen[row] = list(now)
        rise = self._rise.get(row, 0.0)
        self._spent += dominant_share(change, self._total, 1_000) / rise if rise > 0 else 1.0
        node = self._leaf[row]
        while node >= 0:
            use = self._use[node]
            for d, more in enumerate(change):
                use[d] += more
            node = self._up[node]

    def end_turn(self, row: int, head: tuple[int, int] | None) -> None:
        """Put the first queue where it belongs now.

        Args:
            row: The queue that `first` gave.
            head: (time, number) of the job now at its head; None when its line is at its end.
        """
        self.count(row)
        node = self._leaf[row]
        if head is None:
            self.active -= 1
        while node >= 0:
            above = self._up[node]
            heap = self._heaps[above]
            if head is None:
                heapq.heappop(heap)
                if not heap:
                    del self._heaps[above]
            else:
                heapq.heapreplace(heap, (self._share(node), *head, node))
            head = heap[0][1:3] if heap else None
            node = above

    def _share(self, node: int) -> float:
        return dominant_share(self._use[node], self._total, self._weight[node], self._past[node])

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


def _step(siblings: Iterable[tuple[float, float]], part: float) -> _Step:
    """Return the step among siblings.

    It is the least that one of them could take, of those which the rest of the round may lift or
    reach: whoever stands above the level to which half the room would lift all below it cannot
    lose anything by it.

    Args:
        siblings: (share, by how much all the room would lift it).
        part: Of that, what a step may take.
    """
    least, level, steepness, spent = math.inf, 0.0, 0.0, 0.0
    for share, rise in sorted(siblings):
        spent += (share - level) * steepness
        if spent >= ROUND_PART:
            return _Step(least * part, share)
        level = share
        steepness += 1.0 / max(rise, 1e-300)
        least = min(least, rise)
    return _Step(least * part, math.inf)
