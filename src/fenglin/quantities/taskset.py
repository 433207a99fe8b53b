"""Sets of task indices kept as runs, so that an array of 10^8 tasks is a few numbers.

A set is a sorted tuple of half-open runs `(start, stop)` that neither overlap nor touch.
All operations are linear in the number of runs, never in the number of tasks.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise
from typing import TYPE_CHECKING

from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Run = tuple[int, int]
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


class TaskSet:
    """An immutable set of non-negative task indices."""

    __slots__ = ("_count", "runs")

    def __init__(self, runs: tuple[Run, ...] = ()) -> None:
        """Take runs that are already sorted, disjoint and apart; see `of` for any indices."""
        self.runs = runs
        self._count = sum(stop - start for start, stop in runs)

    @classmethod
    def span(cls, start: int, stop: int) -> TaskSet:
        """Return {start, …, stop - 1}; empty when stop <= start."""
        return cls(((start, stop),)) if stop > start else EMPTY

    @classmethod
    def of(cls, indices: Iterable[int]) -> TaskSet:
        """Return the set of the given indices, in any order, repeats allowed."""
        return cls(_merge((i, i + 1) for i in sorted(indices)))

    @classmethod
    def parse(cls, text: str) -> TaskSet:
        """Read the form that `str()` writes: `0-4,7,9-20`, inclusive; empty text is empty.

        Raises:
            InputError: the text is not of that form.
        """
        if not text:
            return EMPTY
        runs: list[Run] = []
        for part in text.split(","):
            match = _RANGE.fullmatch(part.strip())
            if match is None:
                raise InputError(
                    f"{part[:80]!r} is not a task index or range",
                    hint="write for example 0-4,7,9-20",
                )
            start = int(match[1])
            stop = int(match[2] or match[1]) + 1
            if stop <= start:
                raise InputError(f"range {part!r} runs backwards", hint="write the smaller first")
            runs.append((start, stop))
        return cls(_merge(sorted(runs)))

    def __str__(self) -> str:
        """Return `0-4,7,9-20`."""
        return ",".join(
            str(start) if stop == start + 1 else f"{start}-{stop - 1}" for start, stop in self.runs
        )

    def __repr__(self) -> str:
        """Return a form that names the class."""
        return f"TaskSet({str(self)!r})"

    def __len__(self) -> int:
        """Return the number of indices."""
        return self._count

    def __bool__(self) -> bool:
        """Return whether any index is in the set."""
        return bool(self.runs)

    def __iter__(self) -> Iterator[int]:
        """Yield the indices in rising order."""
        for start, stop in self.runs:
            yield from range(start, stop)

    def __contains__(self, index: int) -> bool:
        """Return whether the index is in the set."""
        at = bisect_right(self.runs, (index, index)) - 1
        if at + 1 < len(self.runs) and self.runs[at + 1][0] == index:
            return True
        return at >= 0 and self.runs[at][0] <= index < self.runs[at][1]

    def __eq__(self, other: object) -> bool:
        """Return whether both hold the same indices."""
        return isinstance(other, TaskSet) and self.runs == other.runs

    def __hash__(self) -> int:
        """Hash by content."""
        return hash(self.runs)

    def __or__(self, other: TaskSet) -> TaskSet:
        """Return the union."""
        if not other.runs:
            return self
        if not self.runs:
            return other
        return TaskSet(_merge(sorted(self.runs + other.runs)))

    def __sub__(self, other: TaskSet) -> TaskSet:
        """Return the indices of self that are not in other."""
        if not other.runs or not self.runs:
            return self
        kept: list[Run] = []
        cuts = other.runs
        at = 0
        for begin, stop in self.runs:
            start = begin
            while at < len(cuts) and cuts[at][1] <= start:
                at += 1
            cut = at
            while cut < len(cuts) and cuts[cut][0] < stop:
                if cuts[cut][0] > start:
                    kept.append((start, cuts[cut][0]))
                start = max(start, cuts[cut][1])
                cut += 1
            if start < stop:
                kept.append((start, stop))
        return TaskSet(tuple(kept))

    def __and__(self, other: TaskSet) -> TaskSet:
        """Return the indices in both."""
        return self - (self - other)

    def first(self, count: int) -> TaskSet:
        """Return the `count` smallest indices, or all when there are fewer."""
        taken: list[Run] = []
        for start, stop in self.runs:
            if count <= 0:
                break
            end = min(stop, start + count)
            taken.append((start, end))
            count -= end - start
        return TaskSet(tuple(taken))


def _merge(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Join sorted runs that overlap or touch."""
    merged: list[Run] = []
    for start, stop in runs:
        if merged and start <= merged[-1][1]:
            if stop > merged[-1][1]:
                merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return tuple(merged)


def check_runs(runs: tuple[Run, ...]) -> bool:
    """Return whether runs are non-empty, sorted, disjoint and apart (used by tests and loads)."""
    return all(start < stop for start, stop in runs) and all(a[1] < b[0] for a, b in pairwise(runs))


EMPTY = TaskSet()
