"""Row b, second part: how many reads per second the hub answers to 16 clients."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.effort import Effort, in_turns
from bench.figures import Figure, Row
from bench.hub import running
from bench.load import GENERATOR, Load, put
from bench.tasks import no_op

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.hub import RunningHub

BUDGET_S = 60.0
CLIENTS = 16
LIST = "list of 20 jobs"
SHOW = "one job"
SHOWN = 200


def reads_per_s(hub: RunningHub, paths: list[str], seconds: float) -> float:
    """Return answers/s."""
    return put(Load(hub.url, hub.token, "GET", paths, CLIENTS, seconds)).per_s


def run(effort: Effort) -> Row:
    """Measure the row."""
    row = Row("reads", f"Reads over HTTP, {CLIENTS} clients")
    with running() as hub:
        hub.door.drain()
        made = hub.door.ask("POST", "/v1/jobs:batch", [no_op(10)] * effort.jobs)["items"]
        step = max(1, len(made) // SHOWN)
        shown = [f"/v1/jobs/{answer['id']}" for answer in made[::step]]
        contenders: dict[str, Callable[[], float]] = {
            LIST: partial(reads_per_s, hub, ["/v1/jobs?limit=20"], effort.load_s),
            SHOW: partial(reads_per_s, hub, shown, effort.load_s),
        }
        values = in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    for name, measured in values.items():
        row.figures.append(Figure(name, "reads/s", measured, ours=True, goal=1_000.0))
    row.notes.append(f"Load from {GENERATOR}; the hub holds {len(made):,} waiting jobs.")
    return row
