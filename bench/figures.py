"""What a run of the benchmark measures, as plain records that become text and JSON."""

from __future__ import annotations

import statistics

from msgspec import Struct


class Figure(Struct):
    """One measured quantity.

    Attributes:
        name: What was measured, and of whom.
        unit: Such as `tasks/s`.
        values: One per repeat.
        ours: Whether it is Fenglin's; others are peers and limits.
        goal: What we want of it; None for no goal.
        at_most: Whether the goal is a ceiling; otherwise a floor.
        digits: Decimals to print.
        note: What a reader must know to judge it.
    """

    name: str
    unit: str
    values: list[float]
    ours: bool = False
    goal: float | None = None
    at_most: bool = False
    digits: int = 0
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median of the repeats."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Return whether the goal is met; None when there is none."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.at_most else self.median >= self.goal


class Ratio(Struct):
    """How one figure stands to another of the same run, above 1 where we are the better.

    Attributes:
        name: Of what to what.
        value: The quotient of the medians.
        goal: What we want of it at least; None for no goal.
        percent: Whether it reads better as a share of a limit.
    """

    name: str
    value: float
    goal: float | None = None
    percent: bool = False


class Row(Struct):
    """One part of the benchmark.

    Attributes:
        key: Its name on the command line.
        title: Its name for people.
        figures: In the order of the report.
        ratios: In the order of the report.
        failed: Contender → why there is no figure of it.
        notes: How it was measured.
        rounds: Repeats that were made.
        seconds: Time the row took.
    """

    key: str
    title: str
    figures: list[Figure] = []
    ratios: list[Ratio] = []
    failed: dict[str, str] = {}
    notes: list[str] = []
    rounds: int = 0
    seconds: float = 0.0

    def figure(self, name: str) -> Figure | None:
        """Return the figure of that name, if it was measured."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def compare(
        self, ours: str, theirs: str, *, goal: float | None = None, percent: bool = False
    ) -> None:
        """Add the ratio of two figures, if both were measured; less is better for times."""
        one, other = self.figure(ours), self.figure(theirs)
        if one is None or other is None or not one.median or not other.median:
            return
        value = one.median / other.median
        if one.unit.endswith(("ms", "MB", " s")) or one.unit in ("s", "h"):
            value = 1 / value
        self.ratios.append(Ratio(f"{ours} : {theirs}", value, goal, percent))


class Report(Struct):
    """A whole run.

    Attributes:
        date: UTC, ISO 8601.
        machine: Facts about it, in words.
        versions: Package → version.
        yardstick_ms: Time of a fixed Python loop before the run and after each row.
        rows: What was measured.
        quick: Whether it was too short to be quoted.
    """

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    yardstick_ms: list[float]
    rows: list[Row]
    quick: bool


def percentile(values: list[float], percent: int) -> float:
    """Return the nearest-rank percentile."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]
