"""The plots of one run, each an SVG element with the sentences that belong below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fenglin.simulator.reports.canvas import (
    FAINT,
    INK,
    LINES,
    OTHER,
    RULE,
    SERIES,
    axes_of,
    drawing,
    svg,
)
from fenglin.simulator.reports.lanes import MOST_LANES
from fenglin.simulator.reports.scales import number, spoken, tick, time_axis, wait_axis
from fenglin.simulator.reports.shapes import (
    boxes,
    colour,
    draw_band,
    label,
    largest,
    legend_above,
    side_title,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fenglin.simulator.pool.sketch import Sketch
    from fenglin.simulator.reports.lanes import Bar, Lanes
    from fenglin.simulator.reports.series import Series, Spent
    from fenglin.simulator.reports.steps import Band

DIMENSION_NAMES = {
    "cpu_milli": "Processor cores",
    "memory_bytes": "Memory",
    "disk_bytes": "Scratch disk",
    "accelerator_milli": "Accelerators",
}
BAND = "The line is the mean; the pale band reaches from the least to the largest value, so that no"
MOST_SHOWN = len(SERIES)


class Plot(NamedTuple):
    """A figure of the page.

    Attributes:
        heading: What it is.
        picture: SVG; empty when there is nothing to draw.
        notes: Sentences below it, or instead of it.
    """

    heading: str
    picture: str
    notes: list[str]


def run_plots(series: Series) -> list[Plot]:
    """Return all plots of a run.

    Raises:
        UnavailableError: Matplotlib is not installed.
    """
    return [
        _utilisation(series),
        _queue(series),
        _waits(series),
        _gantt(series),
        _spent("Money", "money", "CNY", series.money()),
        _spent("Carbon", "carbon", "kg CO2", series.carbon()),
    ]


def _utilisation(series: Series) -> Plot:
    heading = "Utilisation"
    bands = {name: band for name, band in series.used().items() if band.high.max(initial=0) > 0}
    if not bands:
        return Plot(heading, "", ["Nothing of the pool was ever in use."])
    rows = [
        (DIMENSION_NAMES[name], band, f"mean {_average(band):.1%}".replace("%", " %"))
        for name, band in bands.items()
    ]
    with drawing(0.5 + 1.15 * len(rows)) as figure:
        for axes in _panels(figure, rows, series.end_s, scale=100):
            axes.set_ylim(0, 103)
            axes.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
        picture = svg(figure, "utilisation", "Part of the pool in use over time")
    return Plot(heading, picture, [f"{BAND} peak is lost. 100 % is all that the pool holds."])


def _queue(series: Series) -> Plot:
    heading = "Queue"
    jobs, tasks = series.waiting()
    if not tasks.high.max(initial=0) > 0:
        return Plot(heading, "", ["Nothing ever had to wait."])
    most = [f"most {number(band.high.max())}" for band in (tasks, jobs)]
    rows = [("Tasks that wait", tasks, most[0])]
    if not np.array_equal(jobs.high, tasks.high):
        rows.append(("Jobs with tasks that wait", jobs, most[1]))
    with drawing(0.5 + 1.4 * len(rows)) as figure:
        for axes in _panels(figure, rows, series.end_s, first=1):
            axes.set_ylim(bottom=0)
            axes.locator_params(axis="y", nbins=4, integer=True)
            axes.yaxis.set_major_formatter(tick)
        picture = svg(figure, "queue", "Waiting tasks and jobs over time")
    return Plot(heading, picture, [f"{BAND} peak is lost."])


def _panels(
    figure: Figure,
    rows: Sequence[tuple[str, Band, str]],
    end_s: float,
    *,
    scale: float = 1.0,
    first: int = 0,
) -> list[Axes]:
    """Draw quantities below each other over one axis of time, none hiding another."""
    panels = [figure.add_subplot(len(rows), 1, at + 1) for at in range(len(rows))]
    for at, (axes, (name, band, remark)) in enumerate(zip(panels, rows, strict=True)):
        axes.grid(visible=False, axis="x")
        side_title(axes, name, right=remark)
        draw_band(axes, band, at + first, time_axis(axes, end_s), scale)
        if axes is not panels[-1]:
            axes.tick_params(labelbottom=False)
            axes.set_xlabel("")
    return panels


def _waits(series: Series) -> Plot:
    heading = "Waits by queue"
    if not series.all_waits_ms.count:
        return Plot(heading, "", ["No job was taken in."])
    ranks = series.ranks()
    shown = list(ranks)[:MOST_SHOWN]
    with drawing(3.4) as figure:
        axes = axes_of(figure, grid="both")
        wait_axis(axes, series.all_waits_ms.largest / 1_000)
        if len(ranks) > 1:
            _curve(axes, series.all_waits_ms, "all", INK[0], LINES[0], 2.2)
        for at, name in enumerate(shown):
            one = series.waits_ms[name]
            half, most = (spoken(one.quantile(part) / 1_000) for part in (0.5, 0.95))
            text = f"{label(name)}: half within {half}, 95 % within {most}"
            _curve(axes, one, text, colour(at), LINES[at], 1.6)
        axes.set_ylim(0, 1.01)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_ylabel("Jobs that waited no longer")
        axes.set_xlabel("Wait from arrival to first start; under 1 s at the left edge")
        legend_above(axes, 120)
        picture = svg(figure, "waits", "Distribution of waits by queue")
    notes = ["Values are within 0.5 %. A job that never started counts with its wait so far."]
    if len(shown) < len(ranks):
        notes.append(f"{len(shown)} of {len(ranks)} queues shown: those with the most jobs.")
    return Plot(heading, picture, notes)


def _curve(axes: Axes, waits: Sketch, name: str, hue: str, line: object, width: float) -> None:
    points = waits.curve()
    xs = [1.0, *(max(1.0, value / 1_000) for value, _ in points), axes.get_xlim()[1]]
    at_once = max((part for value, part in points if value <= 1_000), default=0.0)
    ys = [at_once, *(max(at_once, part) for _, part in points), 1.0]
    axes.step(xs, ys, where="post", color=hue, linestyle=line, linewidth=width, label=name)


def _gantt(series: Series) -> Plot:
    lanes, heading = series.lanes, "Who ran where"
    bars = lanes.bars()
    if not bars:
        return Plot(heading, "", ["Nothing ran on the nodes that would be shown here."])
    there = {series.queues[bar.queue] for bar in bars}
    hues = {name: at for name, at in series.ranks().items() if at < MOST_SHOWN and name in there}
    places, rows = _stacked(bars, len(lanes.names))
    heights = [min(0.6, max(0.17, 0.05 * count)) for count in rows]
    with drawing(1.0 + sum(heights)) as figure:
        axes = axes_of(figure, grid="x")
        seconds = time_axis(axes, series.end_s)
        tops = np.cumsum([0.0, *heights])
        if lanes.seen > len(bars):
            boxes(axes, _busy(lanes, tops, seconds), RULE[0])
        _draw_bars(axes, series, places, rows, tops, seconds, hues)
        axes.hlines(tops[1:-1], 0, axes.get_xlim()[1], RULE[0], linewidth=0.7)
        axes.set_ylim(tops[-1], 0)
        axes.set_yticks((tops[:-1] + tops[1:]) / 2, [label(name) for name in lanes.names])
        axes.tick_params(axis="y", length=0)
        legend_above(axes)
        picture = svg(figure, "gantt", "Runs on some nodes over time, by queue")
    return Plot(heading, picture, _gantt_notes(lanes, bars, len(hues), len(there)))


def _gantt_notes(lanes: Lanes, bars: Sequence[Bar], hues: int, queues: int) -> list[str]:
    notes = [
        f"{len(lanes.names):,} of {lanes.nodes:,} nodes shown"
        + (f", spread over the flavors (at most {MOST_LANES})." if len(lanes.names) < lanes.nodes
           else "."),
    ]  # fmt: skip
    if lanes.seen > len(bars):
        shortest = spoken(lanes.shortest_ms / 1_000)
        notes.append(
            f"{len(bars):,} of their {lanes.seen:,} runs shown: the longest, none below"
            f" {shortest}. Pale grey: some run was there."
        )
    if queues > hues:
        notes.append(f"{hues} of {queues} queues have a colour of their own.")
    if any(bar.cut for bar in bars):
        notes.append("A tip in the colour of the text: the run was ended before its tasks were.")
    return notes


def _draw_bars(
    axes: Axes,
    series: Series,
    places: Sequence[tuple[Bar, int]],
    rows: Sequence[int],
    tops: np.ndarray,
    seconds: int,
    hues: dict[str, int],
) -> None:
    """Draw the bars of each queue as one path, with its name for the legend."""
    spans: dict[int, list[tuple[float, float, float, float]]] = {}
    ends: list[tuple[float, float, float, float]] = []
    tick = axes.get_xlim()[1] / 400
    for bar, row in places:
        height = (tops[bar.lane + 1] - tops[bar.lane]) * 0.86 / rows[bar.lane]
        top = tops[bar.lane] + (tops[bar.lane + 1] - tops[bar.lane]) * 0.07 + row * height
        left, right = (at / 1_000 / seconds for at in (bar.from_ms, bar.to_ms))
        hue = hues.get(series.queues[bar.queue], MOST_SHOWN)
        spans.setdefault(hue, []).append((left, right, top, top + height * 0.94))
        if bar.cut:
            ends.append((max(left, right - tick), right, top, top + height * 0.94))
    # A line between neighbours only where bars are thick enough to bear it.
    thin = min(np.diff(tops) / rows) < 0.06 or len(places) > 500
    for at in sorted(spans):
        boxes(axes, spans[at], colour(at), 0.0 if thin else 0.4)
    boxes(axes, ends, INK[0])
    named = [(label(name), at) for name, at in hues.items()]
    if MOST_SHOWN in spans:
        named.append(("other queues", MOST_SHOWN))
    for name, at in named:
        axes.plot([], [], color=colour(at), linewidth=7, label=name)


def _stacked(bars: Sequence[Bar], lanes: int) -> tuple[list[tuple[Bar, int]], list[int]]:
    """Return each bar with the lowest row of its lane that is free then, and rows by lane."""
    ends: list[list[int]] = [[] for _ in range(lanes)]
    placed = []
    for bar in bars:
        rows = ends[bar.lane]
        row = next((at for at, end in enumerate(rows) if end <= bar.from_ms), len(rows))
        rows[row : row + 1] = [bar.to_ms]
        placed.append((bar, row))
    return placed, [max(1, len(rows)) for rows in ends]


def _busy(lanes: Lanes, tops: np.ndarray, seconds: int) -> list[tuple[float, float, float, float]]:
    """Return where each lane had any run, neighbouring cells joined."""
    edges_s, busy = lanes.busy()
    edges = edges_s / seconds
    spans = []
    for lane, row in enumerate(busy):
        flips = np.flatnonzero(np.diff(np.concatenate([[0], row > 0, [0]]).astype(int)))
        top, bottom = tops[lane] + 0.01, tops[lane + 1] - 0.01
        spans += [(edges[a], edges[b], top, bottom) for a, b in flips.reshape(-1, 2)]
    return spans


def _spent(heading: str, name: str, unit: str, spent: Spent) -> Plot:
    """Draw what was spent: over time by site, and in all by queue."""
    total = float(spent.sums[:, -1].sum())
    if not total > 0:
        why = "no price" if name == "money" else "no power or no grid intensity"
        return Plot(heading, "", [f"None: the pool file declares {why} where something ran."])
    sites = dict(zip(spent.sites, spent.sums[:, -1].tolist(), strict=True))
    most = largest({site: sum_ for site, sum_ in sites.items() if sum_ > 0}, MOST_SHOWN)
    # In the pool's order, so that money and carbon give a site the same colour.
    shown = [site for site in spent.sites if site in most]
    queues = largest({one: sum_ for one, sum_ in spent.by_queue.items() if sum_ > 0}, 10)
    with drawing(max(2.6, 0.9 + 0.24 * len(queues))) as figure:
        over_time, by_queue = figure.subplots(1, 2, width_ratios=(1.7, 1))
        _areas(over_time, spent, shown, unit)
        _amounts(by_queue, {one: spent.by_queue[one] for one in queues}, unit)
        picture = svg(figure, name, f"{heading} over time by site, and by queue")
    notes = [f"In all {number(total)} {unit}, each run's spread evenly over its time."]
    if len(queues) < len(spent.by_queue):
        notes.append(f"{len(queues)} of {len(spent.by_queue)} queues shown: the largest.")
    return Plot(heading, picture, notes)


def _areas(axes: Axes, spent: Spent, shown: Sequence[str], unit: str) -> None:
    """Draw sums over time, the sites upon each other."""
    seconds = time_axis(axes, float(spent.edges_s[-1]))
    index = {site: at for at, site in enumerate(spent.sites)}
    rest = [at for site, at in index.items() if site not in shown]
    layers = [spent.sums[index[site]] for site in shown]
    names = [label(site) for site in shown]
    if spent.sums[rest, -1].sum() > 0:
        layers.append(spent.sums[rest].sum(axis=0))
        names.append("other sites")
    hues = [colour(at) for at in range(len(shown))] + [OTHER[0]]
    axes.grid(visible=False, axis="x")
    stack = axes.stackplot(spent.edges_s / seconds, layers, labels=names, linewidth=0)
    for layer, hue in zip(stack, hues, strict=False):
        layer.set_facecolor(hue)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(tick)
    axes.locator_params(axis="y", nbins=5)
    axes.set_ylabel(f"Sum so far ({unit})")
    legend_above(axes, 55)


def _amounts(axes: Axes, amounts: dict[str, float], unit: str) -> None:
    """Draw bars with their amounts written at their ends."""
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    bars = axes.barh(range(len(amounts)), list(amounts.values()), 0.62, color=FAINT[0])
    axes.bar_label(bars, [number(one) for one in amounts.values()], padding=4)
    axes.set_yticks(range(len(amounts)), [label(name, 20) for name in amounts])
    axes.set_ylim(max(len(amounts), 4) - 0.5, -0.5)
    axes.set_xlim(0, max(amounts.values()) * 1.3)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    side_title(axes, f"By queue ({unit})")


def _average(band: Band) -> float:
    """Return the mean over the whole time."""
    if not len(band.mean):
        return 0.0
    spans = np.diff(band.edges_s)
    return float((band.mean * spans).sum() / spans.sum())
