"""Row i: an array of trivial tasks onto an SSH host through the whole hub, beside a local site."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from bench.hub import HEAD, TWO_SLOTS, running
from bench.tasks import WARM_UP_TASKS, no_op
from fenglin.testing.servers.sshd import SshHosts, find_sshd

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "onto one SSH host"
LOCAL = "onto a local site of the same two slots"
MOST_TASKS = 1_000
GOAL = 100.0
BUDGET_S = 60.0


def through(config: str, tasks: int) -> float:
    """Return tasks/s from the submit to the answer that the job has succeeded."""
    with running(config) as hub:
        door = hub.door
        door.wait(door.ask("POST", "/v1/jobs", no_op(WARM_UP_TASKS))["id"])
        begun = time.perf_counter()
        view = door.wait(door.ask("POST", "/v1/jobs", no_op(tasks))["id"])
        seconds = time.perf_counter() - begun
    if view["tasks"]["succeeded"] != tasks:
        raise BenchError(f"only {view['tasks']['succeeded']} of {tasks} tasks succeeded")
    return tasks / seconds


def run(effort: Effort) -> Row:
    """Measure the row."""
    tasks = min(MOST_TASKS, effort.tasks)
    row = Row("ssh", f"{tasks:,} trivial tasks as one array, two slots")
    missing = find_sshd()
    if missing:
        raise BenchError(missing)
    with SshHosts() as hosts:
        remote = HEAD + hosts.block("lab")
        contenders: dict[str, Callable[[], float]] = {
            OURS: lambda: through(remote, tasks),
            LOCAL: lambda: through(TWO_SLOTS, tasks),
        }
        values = in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    for name, measured in values.items():
        goal = GOAL if name == OURS else None
        row.figures.append(Figure(name, "tasks/s", measured, ours=name == OURS, goal=goal))
    row.compare(OURS, LOCAL, percent=True)
    row.notes.append(
        "A real sshd on a loopback address and a clean user: from sending the submit to the answer"
        " of `wait`, each task a process with its own output, exit status and bill. The hub, the"
        " server and the tasks share the machine."
    )
    return row
