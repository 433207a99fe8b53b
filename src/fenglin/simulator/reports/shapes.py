"""Pieces that several plots are made of."""

from __future__ import annotations

import unicodedata
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from fenglin.simulator.reports.canvas import FAINT, OTHER, PAGE, SERIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from fenglin.simulator.reports.steps import Band, Floats

MOST_NAME = 28
_CORNERS = 5


def colour(at: int) -> str:
    """Return the colour of the n-th series; grey for all beyond the palette."""
    return SERIES[at][0] if at < len(SERIES) else OTHER[0]


def label(name: str, most: int = MOST_NAME) -> str:
    """Return a name that fits beside an axis: printable, on one line, cut in its middle.

    Chinese characters are as wide as two Latin letters, and count as two.
    """
    text = visible(name)
    if sum(map(_width, text)) <= most:
        return text
    tail = most // 3
    return f"{_fitting(text, most - tail - 1)}…{_fitting(text[::-1], tail)[::-1]}"


def _fitting(text: str, most: int) -> str:
    """Return the beginning of a text that is not wider than so many letters."""
    widths = accumulate(map(_width, text))
    return text[: sum(width <= most for width in widths)]


def _width(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def visible(text: str) -> str:
    """Return a text in which every unprintable character shows its code instead of working."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def largest(amounts: Mapping[str, float], most: int) -> list[str]:
    """Return the names with the largest amounts, largest first; ties in their given order."""
    return sorted(amounts, key=lambda name: -amounts[name])[:most]


def draw_band(axes: Axes, band: Band, at: int, seconds: int, scale: float = 1.0) -> None:
    """Draw a quantity: its mean as a line, and from least to largest as a pale band."""
    edges = band.edges_s / seconds
    low, high, mean = (_stairs(one * scale) for one in (band.low, band.high, band.mean))
    axes.fill_between(edges, low, high, step="post", color=colour(at), alpha=0.22, linewidth=0)
    axes.step(edges, mean, where="post", color=colour(at))


def boxes(
    axes: Axes, spans: Sequence[tuple[float, float, float, float]], fill: str, line: float = 0.0
) -> None:
    """Draw rectangles (left, right, bottom, top) as one path: few bytes for thousands.

    Args:
        axes: Where.
        spans: The rectangles.
        fill: Their colour.
        line: Width in points of a line of the page's colour that parts neighbours.
    """
    if not spans:
        return
    from matplotlib.patches import PathPatch  # noqa: PLC0415 - an extra, and slow to load
    from matplotlib.path import Path  # noqa: PLC0415 - see above

    left, right, bottom, top = np.array(spans).T
    corners = np.empty((len(spans), _CORNERS, 2))
    corners[:, :, 0] = np.stack([left, right, right, left, left], axis=1)
    corners[:, :, 1] = np.stack([bottom, bottom, top, top, bottom], axis=1)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(spans)
    path = Path(corners.reshape(-1, 2), codes)
    axes.add_patch(PathPatch(path, facecolor=fill, edgecolor=PAGE[0], linewidth=line))


def side_title(axes: Axes, text: str, *, right: str = "") -> None:
    """Write what a panel shows above its left corner, and a remark above its right one."""
    axes.set_title(visible(text), loc="left", fontsize=9.5, pad=4)
    if right:
        axes.set_title(visible(right), loc="right", fontsize=9, color=FAINT[0], pad=4)


def legend_above(axes: Axes, letters: int = 90) -> None:
    """Place the legend over the plot, where it hides nothing, in lines of so many letters."""
    names = axes.get_legend_handles_labels()[1]
    columns = max(1, letters // (max(map(len, names)) + 7))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, handlelength=2.6)


def _stairs(values: Floats) -> Floats:
    """Return the values with the last one repeated, for stairs over one more edge."""
    stairs: Floats = np.append(values, values[-1:])
    return stairs
