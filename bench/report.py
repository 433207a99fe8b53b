"""Turns a run into text: for the terminal, and as `RESULTS.md`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.figures import Figure, Ratio, Report, Row

HELD_BACK = Path(__file__).with_name("held_back.md")
MARKS = {True: "met", False: "**missed**", None: ""}


def markdown(report: Report) -> str:
    """Return the results file."""
    parts = [
        "# Results\n",
        (
            "Written by `bench/run.py --out bench/RESULTS.md`; do not edit. The last section comes"
            " from `bench/held_back.md`.\n"
        ),
    ]
    if report.quick:
        parts.append("> A quick run: too short and too noisy to be quoted.\n")
    parts += [_conditions(report), *map(_row, report.rows)]
    parts.append(HELD_BACK.read_text(encoding="utf-8").rstrip() + "\n")
    return "\n".join(parts)


def _conditions(report: Report) -> str:
    lines = [f"- date: {report.date}"]
    lines += [f"- {name}: {value}" for name, value in report.machine.items()]
    lines.append("- versions: " + ", ".join(f"{k} {v}" for k, v in report.versions.items()))
    stick = " · ".join(f"{value:.0f}" for value in report.yardstick_ms)
    lines.append(
        f"- yardstick (a million turns of a Python loop, ms; before, after each row): {stick}"
    )
    return "\n".join(lines) + "\n"


def _row(row: Row) -> str:
    lines = [f"## {row.title}\n", "| what | median | all | goal | |", "|---|---:|---|---|---|"]
    for figure in row.figures:
        name = f"**{figure.name}**" if figure.ours else figure.name
        every = " · ".join(number(value, figure) for value in figure.values)
        lines.append(
            f"| {name} | {number(figure.median, figure)} {figure.unit} | {every}"
            f" | {_goal(figure)} | {MARKS[figure.met]} |"
        )
    lines += [f"| {name} | – | {_cell(why)} | | |" for name, why in row.failed.items()]
    lines.append("")
    lines += [f"- {_ratio(ratio)}" for ratio in row.ratios]
    lines += [f"- {note}" for note in row.notes]
    lines.append(f"- {row.rounds} rounds in {row.seconds:.0f} s")
    return "\n".join(lines) + "\n"


def plain(row: Row) -> str:
    """Return a row for the terminal."""
    width = max((len(name) for name in (*(f.name for f in row.figures), *row.failed)), default=0)
    lines = [row.title]
    for figure in row.figures:
        value = f"{number(figure.median, figure):>9} {figure.unit}"
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        goal = f"  goal {_goal(figure)} {verdict}" if figure.goal is not None else ""
        lines.append(f"  {figure.name:<{width}} {value}{goal}")
    lines += [f"  {name:<{width}} no figure: {why}" for name, why in row.failed.items()]
    lines += [f"  {_ratio(ratio).replace('**', '')}" for ratio in row.ratios]
    lines.append(f"  ({row.rounds} rounds, {row.seconds:.0f} s)")
    return "\n".join(lines)


def number(value: float, figure: Figure) -> str:
    """Return a value with the digits that its figure deserves."""
    return f"{value:,.{figure.digits}f}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'≤' if figure.at_most else '≥'} {figure.goal:,.0f} {figure.unit}"


def _ratio(ratio: Ratio) -> str:
    value = f"{ratio.value:.0%}" if ratio.percent else f"{ratio.value:.2f} ×"
    if ratio.goal is None:
        return f"{ratio.name}: {value}"
    verdict = "met" if ratio.value >= ratio.goal else "**missed**"
    return f"{ratio.name}: {value} (goal ≥ {ratio.goal:g} ×, {verdict})"


def _cell(text: str) -> str:
    """Keep a text within one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())
