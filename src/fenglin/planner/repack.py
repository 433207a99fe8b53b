"""A small exact search: which items go into which bins, so that most value is placed.

Depth first with branch and bound, within a budget of steps: the best found so far is the answer
when the budget is spent. Items that must be placed come first, the largest first; of the bins
that are alike only one is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Vector = tuple[int, ...]
OUT = -1


class Item(NamedTuple):
    """Something to place.

    Attributes:
        needs: By bin and dimension.
        values: By bin: what it is worth there; 0 or less where it may not go.
        must: Whether an answer without it is none.
    """

    needs: tuple[Vector, ...]
    values: tuple[float, ...]
    must: bool


class Packed(NamedTuple):
    """An answer.

    Attributes:
        value: Of all that is placed.
        bins: By item: its bin, or `OUT`.
        steps: How many places were tried.
    """

    value: float
    bins: tuple[int, ...]
    steps: int


def repack(items: Sequence[Item], bins: Sequence[Vector], least: float, budget: int) -> Packed:
    """Return the best answer of more value than `least`; all `OUT` when none is found.

    Args:
        items: What may be placed.
        bins: Free amounts of each.
        least: Value that must be beaten.
        budget: Most places tried.
    """
    search = _Search(items, bins, least, budget)
    search.descend(0, 0.0)
    return Packed(search.best, tuple(search.answer), search.steps)


class _Search:
    """The state of one search."""

    def __init__(
        self, items: Sequence[Item], bins: Sequence[Vector], least: float, budget: int
    ) -> None:
        self.items = items
        self.free = [list(bin_) for bin_ in bins]
        self.best = least
        self.budget = budget
        self.steps = 0
        self.answer = [OUT] * len(items)
        self._placed = [OUT] * len(items)
        total = [max(1, sum(bin_[d] for bin_ in bins)) for d in range(len(bins[0]) if bins else 0)]
        self._total = total
        # Bins that mean the same to every item; only with equal room are they alike.
        kinds: dict[tuple[tuple[Vector, float], ...], int] = {}
        self._kind = [
            kinds.setdefault(tuple((item.needs[at], item.values[at]) for item in items), len(kinds))
            for at in range(len(bins))
        ]
        self.order = sorted(range(len(items)), key=self._rank)
        # By depth: the most that the items from there on could still bring.
        self._rest = [0.0] * (len(items) + 1)
        for depth in range(len(items) - 1, -1, -1):
            most = max(0.0, *items[self.order[depth]].values)
            self._rest[depth] = self._rest[depth + 1] + most

    def descend(self, depth: int, value: float) -> None:
        """Place the item at this depth in every way, and those after it."""
        if depth == len(self.items):
            if value > self.best + 1e-9:
                self.best, self.answer = value, list(self._placed)
            return
        if value + self._rest[depth] <= self.best + 1e-9 or self.steps >= self.budget:
            return
        at = self.order[depth]
        item = self.items[at]
        for place in self._places(item):
            if self.steps >= self.budget:
                return
            self.steps += 1
            free = self.free[place]
            for d, need in enumerate(item.needs[place]):
                free[d] -= need
            self._placed[at] = place
            self.descend(depth + 1, value + item.values[place])
            self._placed[at] = OUT
            for d, need in enumerate(item.needs[place]):
                free[d] += need
        if not item.must:
            self.descend(depth + 1, value)

    def _rank(self, at: int) -> tuple[bool, float, float, int]:
        """Return by what items are ordered: musts, then worth, then size, largest first."""
        item = self.items[at]
        size = max(
            (n / of for need in item.needs for n, of in zip(need, self._total, strict=True)),
            default=0.0,
        )
        worth = 0.0 if item.must else max(item.values)
        return (not item.must, -worth, -size, at)

    def _places(self, item: Item) -> list[int]:
        """Return the bins with room, the most valuable and tightest first, alike ones once."""
        seen: set[tuple[int, Vector]] = set()
        found: list[tuple[float, float, int]] = []
        for place, free in enumerate(self.free):
            value = item.values[place]
            need = item.needs[place]
            if value <= 0 or any(n > f for n, f in zip(need, free, strict=True)):
                continue
            like = (self._kind[place], tuple(free))
            if like not in seen:
                seen.add(like)
                left = sum(f / of for f, of in zip(free, self._total, strict=True))
                found.append((-value, left, place))
        return [place for _, _, place in sorted(found)]
