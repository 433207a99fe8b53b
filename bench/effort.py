"""How long to measure, and how contenders take turns."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fenglin.errors import FenglinError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.figures import Row

MOST_REASON = 300


@dataclass(frozen=True, slots=True)
class Effort:
    """How much work a run does.

    Attributes:
        rounds: Repeats; each contender is measured once per round.
        tasks: Tasks of the array.
        singles: Single jobs whose start is timed, per round.
        load_s: Seconds of each load on the hub.
        jobs: Jobs of the crowded hub.
        tasks_per_job: Tasks of each of them.
        passes: Planning passes per round.
        commands: Runs of each command.
        scale: Part of each row's time budget.
        peers: Whether peers are measured too.
    """

    rounds: int = 3
    tasks: int = 10_000
    singles: int = 50
    load_s: float = 5.0
    jobs: int = 1_000
    tasks_per_job: int = 100
    passes: int = 40
    commands: int = 11
    scale: float = 1.0
    peers: bool = True


FULL = Effort()
QUICK = Effort(rounds=1, tasks=1_000, singles=20, load_s=1.5, passes=20, commands=3, scale=0.2)
TINY = Effort(
    rounds=1, tasks=20, singles=2, load_s=0.2, jobs=20, tasks_per_job=5, passes=2, commands=1,
    scale=0.1, peers=False,
)  # fmt: skip


class BenchError(Exception):
    """A contender could not be measured; the text says why."""


def in_turns(
    row: Row, contenders: Mapping[str, Callable[[], float]], rounds: int, budget_s: float
) -> dict[str, list[float]]:
    """Measure every contender once per round, so that all see the same machine.

    A contender that fails is left out of later rounds and named in the row. No round begins
    that would probably end beyond the budget; the first is always made.

    Args:
        row: Hears of failures and of the number of rounds.
        contenders: Name → measures once.
        rounds: Most rounds.
        budget_s: Time for all of them, in seconds.
    """
    values: dict[str, list[float]] = {}
    begun = time.monotonic()
    for done in range(rounds):
        spent_s = time.monotonic() - begun
        if done and spent_s * (done + 1) / done > budget_s:
            row.notes.append(f"time allowed {done} of {rounds} rounds")
            break
        for name, measure in contenders.items():
            if name in row.failed:
                continue
            try:
                values.setdefault(name, []).append(measure())
            except (BenchError, FenglinError, OSError, subprocess.SubprocessError) as error:
                row.failed[name] = str(error)[-MOST_REASON:] or type(error).__name__
                values.pop(name, None)
        row.rounds = done + 1
    return values
