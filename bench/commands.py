"""Row c: how long people wait for the command line, against the command lines of peers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.children import BIN, ROOT, wall_ms
from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from bench.hub import running
from bench.tasks import no_op

if TYPE_CHECKING:
    from collections.abc import Callable

BUDGET_S = 90.0
INSTALL_S = 600.0
JOBS = 100
HELP = "fenglin --help"
LIST = "fenglin job list"
BARE = "limit: python that does nothing"
DASK = "dask --help"
SKY = "sky --help"
GOALS = {HELP: 150.0, LIST: 300.0}
SKY_VENV = ROOT / ".venv-bench-sky"


def sky(*, install: bool) -> Path | None:
    """Return SkyPilot's program, from a venv of its own; None when it is not there.

    Args:
        install: Whether to install it first; it is large, so nobody gets it unasked.

    Raises:
        BenchError: it cannot be installed.
    """
    program = SKY_VENV / "bin" / "sky"
    if not program.exists() and install:
        venv.create(SKY_VENV, with_pip=True)
        words = [str(SKY_VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "skypilot"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise BenchError(f"pip cannot install skypilot: {done.stderr[-200:]}")
    if program.exists():
        return program
    found = shutil.which("sky")
    return Path(found) if found else None


def run(effort: Effort, *, with_sky: bool = False) -> Row:
    """Measure the row.

    Args:
        effort: How much.
        with_sky: Whether SkyPilot may be installed for it.
    """
    row = Row("commands", "Wall time of commands")
    with running() as hub:
        hub.door.drain()
        hub.door.ask("POST", "/v1/jobs:batch", [no_op(1)] * JOBS)
        words: dict[str, list[str]] = {
            BARE: [sys.executable, "-c", ""],
            HELP: [str(BIN / "fenglin"), "--help"],
            LIST: [str(BIN / "fenglin"), "job", "list"],
        }
        if effort.peers:
            words[DASK] = [str(BIN / "dask"), "--help"]
            _add_sky(row, words, install=with_sky)
        contenders: dict[str, Callable[[], float]] = {
            name: partial(wall_ms, command, hub.environment()) for name, command in words.items()
        }
        for name, measure in contenders.items():
            in_turns(row, {name: measure}, 1, 0.0)  # the first run fills caches
        values = in_turns(row, contenders, effort.commands, BUDGET_S * effort.scale)
    for name, measured in values.items():
        row.figures.append(
            Figure(name, "ms", measured, ours=name in GOALS, goal=GOALS.get(name), at_most=True)
        )
    for peer in (DASK, SKY):
        row.compare(HELP, peer)
    row.compare(HELP, BARE)
    row.notes.append(
        f"Each command is a new process, from its start to its end; the list has {JOBS} jobs"
        " and asks a hub. All run once before they are timed."
    )
    return row


def _add_sky(row: Row, words: dict[str, list[str]], *, install: bool) -> None:
    """Add SkyPilot's command, or say why it is not there."""
    try:
        program = sky(install=install)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        row.failed[SKY] = str(error)
        return
    if program is None:
        row.failed[SKY] = "skipped: not installed (`bench/run.py --with-sky` installs it)"
    else:
        words[SKY] = [str(program), "--help"]
