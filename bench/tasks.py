"""Row a: an array of no-op tasks through the whole hub, against peers on the same two slots."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from bench.children import peer_seconds
from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from bench.hub import running

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "Fenglin, durable, a process per task"
LIMIT = "limit: bare posix_spawn + wait, two at once"
HYPERQUEUE = "HyperQueue, a process per task, no output kept"
PEERS = {
    LIMIT: ("limit_tasks", "process"),
    HYPERQUEUE: ("hyperqueue_tasks", "process"),
    "Dask distributed, a process per task": ("dask_tasks", "process"),
    "Parsl HTEX, a process per task": ("parsl_tasks", "process"),
    "Dask distributed, functions in its workers": ("dask_tasks", "function"),
    "Parsl HTEX, functions in its workers": ("parsl_tasks", "function"),
}
BUDGET_S = 480.0
WARM_UP_TASKS = 20


def no_op(tasks: int) -> dict[str, object]:
    """Return a job document of that many no-op tasks."""
    return {
        "name": "no-op",
        "tasks": tasks,
        "resources": {"cpu": 1, "memory": "16MiB"},
        "command": ["true"],
    }


def ours(tasks: int) -> float:
    """Return tasks/s from the submit to the answer that the job has succeeded."""
    with running() as hub:
        door = hub.door
        door.wait(door.ask("POST", "/v1/jobs", no_op(WARM_UP_TASKS))["id"])
        begun = time.perf_counter()
        view = door.wait(door.ask("POST", "/v1/jobs", no_op(tasks))["id"])
        seconds = time.perf_counter() - begun
    if view["tasks"]["succeeded"] != tasks:
        raise BenchError(f"only {view['tasks']['succeeded']} of {tasks} tasks succeeded")
    return tasks / seconds


def theirs(program: str, kind: str, tasks: int) -> float:
    """Return tasks/s of a peer."""
    return tasks / peer_seconds(program, tasks, kind)


def run(effort: Effort) -> Row:
    """Measure the row."""
    row = Row("tasks", f"{effort.tasks:,} no-op tasks as one array, two slots")
    contenders: dict[str, Callable[[], float]] = {OURS: partial(ours, effort.tasks)}
    for name, (program, kind) in PEERS.items():
        if effort.peers or name == LIMIT:
            contenders[name] = partial(theirs, program, kind, effort.tasks)
    values = in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    for name, measured in values.items():
        goal = 400.0 if name == OURS else None
        row.figures.append(Figure(name, "tasks/s", measured, ours=name == OURS, goal=goal))
    for name in PEERS:
        row.compare(OURS, name, goal=1.2 if name == HYPERQUEUE else None, percent=name == LIMIT)
    row.notes += [
        (
            "Ours: from sending the submit to the answer of `wait`; every task is a process of its"
            " own with its own output, exit status, usage and folder, and every end is on disk in"
            " the database and billed. A fresh hub per round, warmed up with 20 tasks."
        ),
        (
            "Peers keep their state in memory only; HyperQueue keeps no output (keeping it changes"
            " nothing here). The others' tasks start `true` with posix_spawn; the"
            " figures for functions start no process at all and say what their scheduler costs."
        ),
    ]
    return row
