"""Slowdown against the waits of the worst treated: `balanced` over its patience, as table and SVG.

    python -m bench.tradeoff [--shaken N] [--svg docs/explanation/backfilling.svg]

`--shaken N` also gives means over N slightly changed copies of each log.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.learned import LOGS, Change, change, fare, folder, log, shaken
from fenglin.simulator.swf_run import BatchPolicy, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = (0, 25, 50, 75, 100, 125, 150, 200)
COLOURS = {"KTH-SP2": "#1b6ca8", "SDSC-SP2": "#b5451b", "CEA-curie": "#2e7d32"}
# Of the picture, in pixels; and what it shows, in percent.
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 480, 70, 30, 20, 60
X_FROM, X_TO, Y_FROM, Y_TO = -40, 40, -100, 10
STEP = 10


class Contender(NamedTuple):
    """A policy as it is compared."""

    policy: BatchPolicy
    runtime: Runtime
    patience: int

    def title(self) -> str:
        """Return what the table calls it."""
        if self.policy is BatchPolicy.BALANCED:
            return f"balanced, patience {self.patience} %"
        return f"{self.policy}, {self.runtime} times"


KNOWS = Runtime.ACTUAL
CONTENDERS = [
    *(Contender(BatchPolicy.BALANCED, Runtime.REQUESTED, one) for one in PATIENCE),
    Contender(BatchPolicy.EASY_SJBF, Runtime.REQUESTED, 100),
    Contender(BatchPolicy.EASY, KNOWS, 100),
    Contender(BatchPolicy.EASY_SJBF, KNOWS, 100),
]


def measured(data: Path, name: str, seed: int) -> dict[Contender, Change]:
    """Return how every contender changes a log, or a shaken copy of it."""
    trace, procs = shaken(log(data, name), seed), LOGS[name]
    before = fare(trace, procs, BatchPolicy.EASY)
    return {one: change(before, fare(trace, procs, *one)) for one in CONTENDERS}


def x_of(worst_wait: float) -> float:
    """Return the place of a change of the longest waits."""
    return LEFT + (worst_wait - X_FROM) / (X_TO - X_FROM) * (WIDTH - LEFT - RIGHT)


def y_of(slowdown: float) -> float:
    """Return the place of a change of slowdown."""
    return TOP + (Y_TO - slowdown) / (Y_TO - Y_FROM) * (HEIGHT - TOP - BOTTOM)


def words(x: float, y: float, text: str, more: str = "") -> str:
    """Return a text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{text}</text>'


def legend(row: int) -> tuple[float, float]:
    """Return the place of a line of the legend, where no curve comes."""
    return WIDTH - RIGHT - 240, HEIGHT - BOTTOM - 102 + 18 * row


def frame() -> Iterator[str]:
    """Yield the axes, and where the goal lies."""
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    yield (
        f'<rect x="{x_of(X_FROM):.1f}" y="{y_of(-40):.1f}" fill="#e9f5e9"'
        f' width="{x_of(0) - x_of(X_FROM):.1f}" height="{y_of(Y_FROM) - y_of(-40):.1f}"/>'
    )
    for at in range(X_FROM, X_TO + 1, STEP):
        x, shade = x_of(at), "#666" if at == 0 else "#ddd"
        yield f'<path d="M{x:.1f} {y_of(Y_TO):.1f}V{y_of(Y_FROM):.1f}" stroke="{shade}"/>'
        yield words(x, HEIGHT - BOTTOM + 18, f"{at:+d}", 'text-anchor="middle"')
    for at in range(Y_FROM, Y_TO + 1, STEP):
        y, shade = y_of(at), "#666" if at == 0 else "#ddd"
        yield f'<path d="M{x_of(X_FROM):.1f} {y:.1f}H{x_of(X_TO):.1f}" stroke="{shade}"/>'
        yield words(LEFT - 8, y + 4, f"{at:+d}", 'text-anchor="end"')
    middle = (LEFT + WIDTH - RIGHT) / 2
    below = "mean wait of the 1 % that wait longest, % against EASY"
    yield words(middle, HEIGHT - 16, below, 'text-anchor="middle"')
    yield words(
        0, 0, "mean bounded slowdown, % against EASY",
        f'text-anchor="middle" transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"',
    )  # fmt: skip
    yield words(x_of(X_FROM) + 8, y_of(-40) + 18, "goal", 'fill="#2e7d32"')


def curve(name: str, found: dict[Contender, Change], row: int) -> Iterator[str]:
    """Yield the curve of a log."""
    colour = COLOURS[name]
    places = [
        (x_of(found[one].worst_wait), y_of(found[one].slowdown), one.patience)
        for one in CONTENDERS
        if one.policy is BatchPolicy.BALANCED
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    for x, y, patience in places:
        size = 6 if patience == 100 else 3
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>'
        if patience in (0, 100, 200):
            yield words(x + 8, y - 6, f"{patience}", f'fill="{colour}"')
    knowing = found[Contender(BatchPolicy.EASY_SJBF, KNOWS, 100)]
    x, y = x_of(min(X_TO, max(X_FROM, knowing.worst_wait))), y_of(knowing.slowdown)
    cross = f"M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"
    yield f'<path d="{cross}" stroke="{colour}" stroke-width="2"/>'
    yield words(*legend(row), name, f'fill="{colour}"')


def picture(found: dict[str, dict[Contender, Change]]) -> str:
    """Return the SVG."""
    parts = list(frame())
    for row, (name, changes) in enumerate(found.items()):
        parts += curve(name, changes, row)
    notes = ("● balanced, with its patience in %", "✕ easy-sjbf with actual times")
    for row, note in enumerate(notes, start=len(found)):
        parts.append(words(*legend(row), note, 'fill="#444"'))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">'
    )
    return "\n".join((head, *parts, "</svg>", ""))


def spread(copies: list[float]) -> str:
    """Return mean and standard deviation."""
    return f"{statistics.mean(copies):+7.1f} ±{statistics.stdev(copies):5.1f}"


def main(arguments: list[str]) -> int:
    """Print the table and draw the curve; return 1 when the logs are not at hand."""
    parser = argparse.ArgumentParser(prog="bench/tradeoff.py", description=__doc__)
    parser.add_argument("--shaken", type=int, default=0, help="changed copies of each log")
    parser.add_argument("--svg", type=Path, help="file to draw")
    asked = parser.parse_args(arguments)
    data = folder()
    if data is None:
        print("no archive logs, or no Polars: see FENGLIN_TEST_DATA", file=sys.stderr)
        return 1
    found = {}
    print("% against EASY with requested times; (s): mean and deviation over shaken copies")
    print(
        f"{'log':10} {'policy':26} {'slowdown':>9} {'worst 1%':>9} {'longest':>8} {'mean wait':>9}"
    )
    for name in LOGS:
        found[name] = measured(data, name, 0)
        copies = [measured(data, name, seed) for seed in range(1, asked.shaken + 1)]
        for one, got in found[name].items():
            line = f"{name:10} {one.title():26} {got.slowdown:+9.1f} {got.worst_wait:+9.1f}"
            line += f" {got.max_wait:+8.1f} {got.mean_wait:+9.1f}"
            if len(copies) > 1:
                line += f"  (s) {spread([copy[one].slowdown for copy in copies])}"
                line += f" {spread([copy[one].worst_wait for copy in copies])}"
            print(line, flush=True)
    if asked.svg:
        asked.svg.write_text(picture(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
