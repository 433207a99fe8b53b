"""The plots of a comparison: how each policy did, and how far it is from the first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fenglin.simulator.reports.canvas import FAINT, INK, PAGE, SERIES, drawing, svg
from fenglin.simulator.reports.plots import Plot
from fenglin.simulator.reports.scales import tick, time_unit
from fenglin.simulator.reports.shapes import label, side_title
from fenglin.simulator.reports.words import FIGURES, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from fenglin.simulator.pool.compare import Estimate, Standing


def comparison_plots(standings: Sequence[Standing], metrics: Sequence[str]) -> list[Plot]:
    """Return a plot for each metric that is not zero everywhere.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    told = [name for name in metrics if any(one.figures[name].mean for one in standings)]
    plots = [_metric(standings, name) for name in told]
    nothing = [FIGURES.get(name, Word(name)).name for name in metrics if name not in told]
    if nothing:
        plots.append(Plot("Zero in every run", "", [f"{', '.join(nothing)}."]))
    return plots


def differs(one: Estimate) -> bool:
    """Return whether a difference is told from chance: its 95 % interval leaves zero out."""
    return not math.isnan(one.half) and abs(one.mean) > one.half


def _metric(standings: Sequence[Standing], metric: str) -> Plot:
    word = _on_axis(FIGURES.get(metric, Word(metric)), standings, metric)
    unit = f" ({word.unit})" if word.unit else ""
    with drawing(0.72 + 0.29 * len(standings)) as figure:
        means, gaps = figure.subplots(1, 2, width_ratios=(1.35, 1))
        for axes in (means, gaps):
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.locator_params(axis="x", nbins=5)
            axes.xaxis.set_major_formatter(tick)
        _means(means, standings, metric, word.scale)
        side_title(means, f"{word.name}{unit}")
        _gaps(gaps, standings, metric, word.scale)
        side_title(gaps, f"Difference to {label(standings[0].policy)}{unit}")
        for axes in (means, gaps):
            axes.set_ylim(len(standings) - 0.5, -0.5)
        picture = svg(figure, metric.replace("_", "-"), f"{word.name} by policy")
    return Plot(word.name, picture, [word.meaning] if word.meaning else [])


def _on_axis(word: Word, standings: Sequence[Standing], metric: str) -> Word:
    """Return the figure with a unit of time in which the longest is a short number."""
    if word.unit != "s":
        return word
    unit = time_unit(max(one.figures[metric].mean for one in standings))
    return word._replace(unit=unit.name, scale=float(unit.seconds))


def _means(axes: Axes, standings: Sequence[Standing], metric: str, scale: float) -> None:
    """Draw bars from zero, with the confidence interval of each mean."""
    for at, one in enumerate(standings):
        found = one.figures[metric]
        axes.barh(at, found.mean / scale, 0.56, color=SERIES[0][0] if at else FAINT[0])
        if not math.isnan(found.half):
            axes.errorbar(
                found.mean / scale, at, xerr=found.half / scale,
                color=INK[0], capsize=3, linewidth=1.2,
            )  # fmt: skip
    axes.set_yticks(range(len(standings)), [label(one.policy) for one in standings])
    axes.set_xlim(left=0)


def _gaps(axes: Axes, standings: Sequence[Standing], metric: str, scale: float) -> None:
    """Draw differences to the first; hollow ones may be chance."""
    axes.axvline(0, color=INK[0], linewidth=0.9)
    for at, one in enumerate(standings):
        if not one.against:
            continue
        gap = one.against[metric]
        half = 0.0 if math.isnan(gap.half) else gap.half / scale
        axes.errorbar(
            gap.mean / scale, at, xerr=half, fmt="o", markersize=6, color=SERIES[0][0],
            markerfacecolor=SERIES[0][0] if differs(gap) else PAGE[0], capsize=3, linewidth=1.4,
        )  # fmt: skip
    axes.set_yticks(range(len(standings)), [""] * len(standings))
    if any(gap.mean or gap.half > 0 for one in standings[1:] for gap in [one.against[metric]]):
        reach = max(map(abs, axes.get_xlim()))
        axes.set_xlim(-reach, reach)
    else:
        axes.set_xlim(-1, 1)
        axes.set_xticks([0])
