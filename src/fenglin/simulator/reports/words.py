"""What the figures of a run are called and in which unit they stand, for readers of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fenglin.simulator.reports.scales import number, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MICRO = 1_000_000


class Word(NamedTuple):
    """How a figure is written.

    Attributes:
        name: What it is called.
        unit: In which it stands; empty for a count or a ratio.
        meaning: What it says, where the name does not.
        scale: By what the value is divided to stand in the unit.
    """

    name: str
    unit: str = ""
    meaning: str = ""
    scale: float = 1.0


FIGURES = {
    "jobs": Word("Jobs"),
    "mean_wait_s": Word("Mean wait", "s", "From arrival to first start."),
    "p50_wait_s": Word("Median wait", "s"),
    "p95_wait_s": Word("95th percentile of waits", "s", "95 of 100 jobs waited no longer."),
    "p99_wait_s": Word("99th percentile of waits", "s", "99 of 100 jobs waited no longer."),
    "max_wait_s": Word("Longest wait", "s"),
    "mean_bounded_slowdown": Word(
        "Mean bounded slowdown", "", "(wait + run) / max(run, 10 s), at least 1."
    ),
    "p99_bounded_slowdown": Word("99th percentile of slowdowns"),
    "mean_turnaround_s": Word("Mean turnaround", "s", "From arrival to last end."),
    "makespan_s": Word("Makespan", "s", "From the workload's zero to the last end."),
    "used_cpu": Word("Cores used", "%", "Of all cores, over the whole time.", 0.01),
    "most_waiting_tasks": Word("Most tasks waiting"),
    "cost_micro": Word("Cost", "CNY", "What the jobs paid.", MICRO),
    "carbon_kg": Word("Carbon", "kg CO2", "By declared power and grid; 0 where unknown."),
    "evictions": Word("Evictions", "", "Allocations stopped for another job."),
    "work_h": Word("Work", "task-h", "Runtimes of all tasks, lost work included."),
    "lost_h": Word("Lost work", "task-h", "Destroyed by evictions."),
    "promises": Word("Promised starts", "", "Jobs that were promised a first start."),
    "p90_promise_error_s": Word(
        "Error of promises", "s", "Nine of ten promised starts were off by no more, either way."
    ),
    "cycles": Word("Planning cycles"),
    "checked_cycles": Word("Cycles checked", "", "Plans held to their lawfulness (--check)."),
    "allocations": Word("Allocations"),
    "most_jobs_at_once": Word("Most jobs at once", "", "Waiting and running together."),
    "skipped": Word("Skipped", "", "Jobs or lines of the trace that were left out."),
}
# Figures that hold several, each with what its parts are.
GROUPS = {
    "states": Word("Jobs", "", "By how they ended."),
    "used": Word("Used", "%", "Of all that the pool holds, over the whole time.", 0.01),
    "mean_wait_s_by_queue": Word("Mean wait", "s", "By queue."),
    "slot_h_by_site": Word("Slots held", "slot-h", "By site and flavor."),
}
# How fast the simulation was differs from run to run; who and what stands at the page's top.
LEFT_OUT = ("policy", "workload", "seed", "seconds", "cpu_s", "jobs_per_s")


class Row(NamedTuple):
    """A line of a table of figures, all of it text."""

    name: str
    value: str
    unit: str
    meaning: str


def figure_rows(figures: Mapping[str, Any], most: int) -> Iterator[Row]:
    """Yield the lines of the table of figures.

    Args:
        figures: Of a run, by name.
        most: Parts shown of a figure that has many, largest first.
    """
    for key, value in figures.items():
        if key in LEFT_OUT:
            continue
        if isinstance(value, dict):
            yield from _group(GROUPS.get(key, Word(key)), value, most)
        elif isinstance(value, int | float):
            yield row_of(FIGURES.get(key, Word(key)), value)


def row_of(word: Word, value: float) -> Row:
    """Return the line of one figure; a long time is also said in larger units."""
    meaning = word.meaning
    if word.unit == "s" and abs(value) >= 120:
        meaning = f"{spoken(value)}. {meaning}".strip()
    return Row(word.name, number(value / word.scale), word.unit, meaning)


def _group(word: Word, parts: Mapping[str, float], most: int) -> Iterator[Row]:
    shown = sorted(parts, key=lambda name: -parts[name])[:most] if len(parts) > most else parts
    for name in shown:
        row = row_of(word, parts[name])
        yield row._replace(name=f"{word.name}: {name}")
    if len(shown) < len(parts):
        yield Row(f"{word.name}: …", f"{len(shown)} of {len(parts)} shown", "", "The largest.")
