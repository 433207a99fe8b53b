"""Run seeds by hand: one again, a range, or as many as a time allows.

python -m fenglin.testing.dst replay 17 --size small
python -m fenglin.testing.dst sweep 0 500 --size small
python -m fenglin.testing.dst soak --seconds 600
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from fenglin.testing.dst.faults import CATALOGUE
from fenglin.testing.dst.run import report, run_seed
from fenglin.testing.dst.world import EXTRAS, FULL, SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fenglin.testing.dst.world import Size

# Of the seeds of a soak every so many is of full size.
FULL_EVERY = 10


def main() -> int:
    """Do what the command line says; return 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m fenglin.testing.dst")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("replay", help="run one seed again, with its trace")
    one.add_argument("seed", type=int)
    many = commands.add_parser("sweep", help="run a range of seeds")
    many.add_argument("first", type=int)
    many.add_argument("count", type=int)
    for command in (one, many):
        command.add_argument("--size", choices=sorted(SIZES), default="small")
        names = sorted([*CATALOGUE, *EXTRAS])
        command.add_argument("--more", action="append", choices=names, default=[])
        command.add_argument("--plain", action="store_true", help="nothing of " + ", ".join(EXTRAS))
    long = commands.add_parser("soak", help="run new seeds for a time")
    long.add_argument("--seconds", type=float, default=600.0)
    long.add_argument("--first", type=int, default=1_000_000)
    asked = parser.parse_args()
    if asked.command == "replay":
        outcome = run_seed(asked.seed, SIZES[asked.size], _say, asked.more, plain=asked.plain)
        _say(report(outcome))
        return int(outcome.violation is not None)
    if asked.command == "sweep":
        size = SIZES[asked.size]
        seeds = range(asked.first, asked.first + asked.count)
        return _run_all(((seed, size) for seed in seeds), asked.more, plain=asked.plain)
    return _run_all(_until(time.monotonic() + asked.seconds, asked.first))


def _until(end_s: float, first: int) -> Iterator[tuple[int, Size]]:
    seed = first
    while time.monotonic() < end_s:
        yield seed, FULL if seed % FULL_EVERY == 0 else SIZES["small"]
        seed += 1


def _run_all(
    seeds: Iterable[tuple[int, Size]], more: Sequence[str] = (), *, plain: bool = False
) -> int:
    struck: Counter[str] = Counter()
    checks: Counter[str] = Counter()
    figures: Counter[str] = Counter()
    bad = runs = 0
    began_s = time.process_time()
    for seed, size in seeds:
        outcome = run_seed(seed, size, more=more, plain=plain)
        runs += 1
        struck.update(outcome.struck)
        checks.update(outcome.checks)
        figures.update(outcome.figures)
        if outcome.violation is not None:
            bad += 1
            _say(report(outcome))
    each_s = (time.process_time() - began_s) / max(1, runs)
    _say(f"{runs} seeds, {bad} with a violation, {each_s:.2f} s of one core each")
    for title, counted in (("in all", figures), ("faults", struck), ("rules", checks)):
        _say(f"{title}: " + ", ".join(f"{name} {many}" for name, many in sorted(counted.items())))
    return int(bad > 0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
