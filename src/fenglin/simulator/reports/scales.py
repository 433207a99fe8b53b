"""Axes that people read: units of time by the range, and round steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINUTE_S, HOUR_S, DAY_S, WEEK_S = 60, 3_600, 86_400, 604_800
MOST_TICKS = 10


class TimeUnit(NamedTuple):
    """A unit of a time axis.

    Attributes:
        name: As it stands at the axis.
        seconds: Its length.
        steps: Distances of ticks in this unit, from which the finest that fits is taken; beyond
            the last, multiples of that.
    """

    name: str
    seconds: int
    steps: tuple[float, ...]


_UNITS = (
    (10 * MINUTE_S, TimeUnit("s", 1, (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 60))),
    (3 * HOUR_S, TimeUnit("min", MINUTE_S, (1, 2, 5, 10, 15, 20, 30))),
    (3 * DAY_S, TimeUnit("h", HOUR_S, (0.5, 1, 2, 3, 4, 6, 12))),
)
_DAYS = TimeUnit("days", DAY_S, (0.5, 1, 2, 5, 7, 14, 28, 50, 100, 200, 500, 1_000))
# Ticks of a logarithmic axis of waits.
_WAITS = (
    (1, "1 s"),
    (10, "10 s"),
    (MINUTE_S, "1 min"),
    (10 * MINUTE_S, "10 min"),
    (HOUR_S, "1 h"),
    (6 * HOUR_S, "6 h"),
    (DAY_S, "1 day"),
    (WEEK_S, "1 week"),
    (4 * WEEK_S, "4 weeks"),
    (52 * WEEK_S, "1 year"),
    (520 * WEEK_S, "10 years"),
)


def time_unit(longest_s: float) -> TimeUnit:
    """Return the unit in which times up to the longest are short numbers."""
    return next((unit for limit_s, unit in _UNITS if longest_s <= limit_s), _DAYS)


def step(unit: TimeUnit, longest_s: float) -> float:
    """Return the distance of ticks, in the unit, that makes few of them."""
    longest = longest_s / unit.seconds
    for one in unit.steps:
        if longest <= one * MOST_TICKS:
            return one
    last = unit.steps[-1]
    return last * -(-longest // (last * MOST_TICKS))


def time_axis(axes: Axes, longest_s: float, what: str = "Time from the first arrival on") -> int:
    """Make x an axis of time from 0 to the longest; return by what seconds are to be divided."""
    unit = time_unit(longest_s)
    every = step(unit, longest_s)
    longest = longest_s / unit.seconds
    axes.set_xlim(0, longest or 1)
    axes.set_xticks([every * at for at in range(int(longest / every + 1e-9) + 1)])
    axes.set_xlabel(f"{what} ({unit.name})")
    return unit.seconds


def wait_axis(axes: Axes, longest_s: float) -> None:
    """Make x a logarithmic axis of waits from one second on."""
    # Up to the next named wait, so that the last part of a curve has a scale too.
    right = next((value for value, _ in _WAITS[1:] if value >= longest_s), longest_s)
    ticks = [(value, name) for value, name in _WAITS if value <= right]
    axes.set_xscale("log")
    axes.set_xlim(1, right)
    axes.set_xticks([value for value, _ in ticks], [name for _, name in ticks])
    axes.minorticks_off()


def spoken(seconds: float) -> str:
    """Return a duration with three leading figures in the unit that suits it."""
    size = abs(seconds)
    if size < 2 * MINUTE_S:
        return f"{seconds:.3g} s"
    if size < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.3g} min"
    if size < 2 * DAY_S:
        return f"{seconds / HOUR_S:.3g} h"
    return f"{seconds / DAY_S:,.1f} days"


def tick(value: float, _place: object = None) -> str:
    """Return a number at a tick, without the noise of its last digits."""
    return f"{value:,.10g}"


def number(value: float) -> str:
    """Return a number with as many places as help."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    size = abs(value)
    places = 0 if size >= 1_000 else 1 if size >= 100 else 2 if size >= 1 else 4
    return f"{value:,.{places}f}"
