"""The command line of the benchmark."""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench import (
    capacity,
    commands,
    fairness,
    gavel,
    hanging,
    latency,
    learned,
    ledger,
    machine,
    offers,
    openb,
    pg_load,
    placements,
    pools,
    quality,
    ray_array,
    reads,
    report,
    sia,
    simulate,
    slurm_plan,
    ssh,
    submits,
    tasks,
)
from bench.effort import FULL, QUICK, TINY, Effort
from bench.figures import Report, Row

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS: dict[str, Callable[[Effort], Row]] = {
    "tasks": tasks.run,
    "latency": latency.run,
    "submits": submits.run,
    "reads": reads.run,
    "commands": commands.run,
    "capacity": capacity.run,
    "offers": offers.run,
    "simulate": simulate.run,
    "openb": openb.run,
    "gavel": gavel.run,
    "sia": sia.run,
    "quality": quality.run,
    "learned": learned.run,
    "placements": placements.run,
    "slurm": slurm_plan.run,
    "fairness": fairness.run,
    "pool": pools.run,
    "ssh": ssh.run,
    "ledger": ledger.run,
    "ray": ray_array.run,
    "hanging": hanging.run,
    "pg": pg_load.run,
}
# Rows in which SkyPilot may take part.
SKY_ROWS = {"commands": commands.run, "offers": offers.run}
LETTERS = {
    "a": ("tasks", "latency"),
    "b": ("submits", "reads"),
    "c": ("commands",),
    "d": ("capacity", "pg"),
    "e": ("offers",),
    "f": ("simulate", "openb", "gavel", "sia", "learned", "pool"),
    "g": ("placements", "slurm"),
    "h": ("fairness",),
    "i": ("ssh", "ray", "hanging"),
}


def chosen(only: str) -> list[str]:
    """Return the rows that `--only` names, by name or letter; all for an empty text.

    Raises:
        ValueError: a name is unknown.
    """
    names: list[str] = []
    for word in filter(None, (part.strip() for part in only.split(","))):
        found = LETTERS.get(word, (word,))
        if found[0] not in ROWS:
            raise ValueError(f"there is no row {word!r}: one of {', '.join((*ROWS, *LETTERS))}")
        names += found
    return [name for name in ROWS if name in names or not names]


def measure(
    names: list[str], effort: Effort, *, with_sky: bool, keep: Callable[[Report], None]
) -> Report:
    """Measure the rows one after another, with the yardstick between them.

    A row that fails altogether is reported as such and ends nothing. `keep` is given what there
    is after each row: it is a long way to the last.
    """
    done = Report(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%MZ"),
        machine=machine.facts(),
        versions=machine.versions(),
        yardstick_ms=[machine.yardstick_ms()],
        rows=[],
        quick=effort is not FULL,
    )
    _say(f"yardstick {done.yardstick_ms[0]:.0f} ms (68 to 77 on a quiet machine of ours)")
    for name in names:
        run = partial(SKY_ROWS[name], with_sky=with_sky) if name in SKY_ROWS else ROWS[name]
        begun = time.monotonic()
        try:
            row = run(effort)
        except Exception as error:  # noqa: BLE001 - one row never ends the others
            row = Row(name, name, failed={"the row": f"{type(error).__name__}: {error}"})
        row.seconds = time.monotonic() - begun
        done.rows.append(row)
        done.yardstick_ms.append(machine.yardstick_ms())
        _say(f"\n{report.plain(row)}\nyardstick {done.yardstick_ms[-1]:.0f} ms")
        keep(done)
    return done


def main(words: list[str] | None = None) -> int:
    """Run the benchmark; return the exit code: 1 when a row of ours has no figure."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--only", default="", help="rows, by name or letter: " + ", ".join(ROWS))
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="under 3 minutes; not to be quoted")
    size.add_argument("--tiny", action="store_true", help="seconds, without peers; for tests")
    parser.add_argument("--with-sky", action="store_true", help="install SkyPilot if need be")
    parser.add_argument(
        "--out", type=Path, action="append", default=[], help="file to write, .md or .json"
    )
    asked = parser.parse_args(words)
    for path in asked.out:
        if path.suffix not in (".md", ".json"):
            parser.error(f"--out {path}: the name must end in .md or .json")
    try:
        names = chosen(asked.only)
    except ValueError as error:
        parser.error(str(error))
    effort = QUICK if asked.quick else TINY if asked.tiny else FULL
    done = measure(names, effort, with_sky=asked.with_sky, keep=partial(_write, asked.out))
    return 1 if any(not any(f.ours for f in row.figures) for row in done.rows) else 0


def _write(paths: list[Path], done: Report) -> None:
    for path in paths:
        if path.suffix == ".md":
            path.write_text(report.markdown(done), encoding="utf-8")
        else:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(done), indent=2) + b"\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
