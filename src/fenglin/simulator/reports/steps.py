"""Values over time in memory that does not grow with the run, and without losing a peak.

Time is cut into at most `CELLS` cells of equal width, a power of two of milliseconds. When time
runs past the last cell, neighbours are joined and the width doubles. Each cell keeps the least,
the largest and the integral of what fell into it, so that a plot of two points per cell shows
every extreme, and means stay exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Two points per cell, least and largest: 2,000 points at most.
CELLS = 1_000
_MS_PER_S = 1_000


class Band(NamedTuple):
    """One quantity over time, one entry per cell.

    Attributes:
        edges_s: Bounds of the cells, one more than there are cells.
        low, high: Least and largest value in the cell.
        mean: Average over the part of the cell that the run has covered.
    """

    edges_s: Floats
    low: Floats
    high: Floats
    mean: Floats


class Steps:
    """Several step functions of time that change at the same moments."""

    def __init__(self, rows: int) -> None:
        """Begin with all of them 0 at time 0."""
        self.width_ms = 1
        self._low = np.full((rows, CELLS), np.inf)
        self._high = np.full((rows, CELLS), -np.inf)
        self._area = np.zeros((rows, CELLS))
        self._at_ms = 0
        self._now = np.zeros(rows)

    def add(self, at_ms: int, values: Sequence[float]) -> None:
        """Let the functions take new values from a moment on; moments never fall."""
        self.advance(at_ms)
        self._now = np.array(values, dtype=np.float64)
        self._touch(slice(at_ms // self.width_ms, at_ms // self.width_ms + 1))

    def advance(self, to_ms: int) -> None:
        """Let the present values last until a moment."""
        while to_ms // self.width_ms >= CELLS:
            self._double()
        if to_ms <= self._at_ms:
            return
        first, last = self._at_ms // self.width_ms, (to_ms - 1) // self.width_ms
        cells = slice(first, last + 1)
        self._touch(cells)
        self._area[:, cells] += self._now[:, None] * overlaps_ms(
            self._at_ms, to_ms, first, last, self.width_ms
        )
        self._at_ms = to_ms

    def bands(self) -> list[Band]:
        """Return every function over the time up to the last moment."""
        cells = -(-self._at_ms // self.width_ms)
        edges_ms = np.minimum(np.arange(cells + 1) * self.width_ms, self._at_ms)
        span_ms = np.maximum(np.diff(edges_ms), 1)
        return [
            Band(
                edges_ms / _MS_PER_S,
                self._low[row, :cells],
                self._high[row, :cells],
                self._area[row, :cells] / span_ms,
            )
            for row in range(len(self._now))
        ]

    def _touch(self, cells: slice) -> None:
        """Take the present values into the extremes of cells."""
        now = self._now[:, None]
        np.minimum(self._low[:, cells], now, out=self._low[:, cells])
        np.maximum(self._high[:, cells], now, out=self._high[:, cells])

    def _double(self) -> None:
        self.width_ms *= 2
        self._low = _joined(self._low, np.minimum, np.inf)
        self._high = _joined(self._high, np.maximum, -np.inf)
        self._area = _joined(self._area, np.add, 0.0)


class Flow:
    """Amounts that arise evenly between two moments, such as money or carbon, row by row."""

    def __init__(self, rows: int) -> None:
        """Begin with nothing."""
        self.width_ms = 1
        self.totals = np.zeros(rows)
        self._cells = np.zeros((rows, CELLS))
        self._end_ms = 0

    def add(self, row: int, from_ms: int, to_ms: int, amount: float) -> None:
        """Spread an amount over a span; over no span it arises at once."""
        to_ms = max(to_ms, from_ms + 1)
        while (to_ms - 1) // self.width_ms >= CELLS:
            self.width_ms *= 2
            self._cells = _joined(self._cells, np.add, 0.0)
        first, last = from_ms // self.width_ms, (to_ms - 1) // self.width_ms
        parts = overlaps_ms(from_ms, to_ms, first, last, self.width_ms)
        self._cells[row, first : last + 1] += parts * (amount / (to_ms - from_ms))
        self.totals[row] += amount
        self._end_ms = max(self._end_ms, to_ms)

    def sums(self) -> tuple[Floats, Floats]:
        """Return the bounds of the cells in seconds, and each row's sum up to each of them."""
        cells = -(-self._end_ms // self.width_ms)
        edges_ms = np.minimum(np.arange(cells + 1) * self.width_ms, self._end_ms)
        sums = np.zeros((len(self.totals), cells + 1))
        np.cumsum(self._cells[:, :cells], axis=1, out=sums[:, 1:])
        return edges_ms / _MS_PER_S, sums


def overlaps_ms(from_ms: int, to_ms: int, first: int, last: int, width_ms: int) -> Floats:
    """Return how much of the span lies in each of the cells `first` to `last`, which hold it."""
    parts = np.full(last - first + 1, float(width_ms))
    parts[0] -= from_ms - first * width_ms
    parts[-1] -= (last + 1) * width_ms - to_ms
    return parts


def _joined(cells: Floats, join: np.ufunc, empty: float) -> Floats:
    """Return the cells joined two by two, the second half empty again."""
    half = np.full_like(cells, empty)
    half[:, : CELLS // 2] = join(cells[:, ::2], cells[:, 1::2])
    return half
