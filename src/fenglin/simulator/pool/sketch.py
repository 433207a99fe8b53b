"""Quantiles of a stream in little memory, with a known relative error."""

from __future__ import annotations

import math

# A quantile is off by at most this part of itself.
ERROR = 0.005


class Sketch:
    """Counts values in buckets whose bounds grow geometrically.

    Source: C. Masson, J. Rim, H. Lee, "DDSketch", VLDB 2019. Values at or below 0 count as 0.
    """

    def __init__(self) -> None:
        """Begin with no values."""
        self.count = 0
        self.total = 0.0
        self.largest = 0.0
        self._smallest = math.inf
        self._zeros = 0
        self._buckets: dict[int, int] = {}
        self._growth = (1 + ERROR) / (1 - ERROR)
        self._scale = 1 / math.log(self._growth)

    def add(self, value: float) -> None:
        """Count a value."""
        self.count += 1
        if value <= 0:
            self._zeros += 1
            return
        self.total += value
        self.largest = max(self.largest, value)
        self._smallest = min(self._smallest, value)
        bucket = math.ceil(math.log(value) * self._scale)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    @property
    def mean(self) -> float:
        """Return the exact mean; 0 for no values."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, part: float) -> float:
        """Return the value below which that part of all values lies, within `ERROR`."""
        rank = part * (self.count - 1)
        seen = self._zeros
        if seen > rank or not self._buckets:
            return 0.0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen > rank:
                middle: float = 2 * self._growth**bucket / (self._growth + 1)
                return max(self._smallest, min(middle, self.largest))
        return self.largest

    def curve(self) -> list[tuple[float, float]]:
        """Return (value, part of all values up to it), rising: the distribution function."""
        points: list[tuple[float, float]] = []
        seen = self._zeros
        if seen:
            points.append((0.0, seen / self.count))
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            points.append((min(self._growth**bucket, self.largest), seen / self.count))
        return points
