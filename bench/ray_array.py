"""Row i: an array of trivial tasks onto a Ray cluster by the hub, beside a job of Ray's own."""

from __future__ import annotations

import secrets
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from bench.hub import HEAD, running
from bench.tasks import no_op
from fenglin.testing.servers.ray import RayCluster, find_ray

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "onto a Ray cluster, through the hub"
AGAIN = "the same array again, its runtime known"
PEER = "one Ray job of as many Ray tasks, by Ray's own API"
PROGRAM = Path(__file__).with_name("peers") / "ray_job.py"
MOST_TASKS = 1_000
# At most 1.1 times Ray's own time.
GOAL = 1 / 1.1
BUDGET_S = 240.0
POLL_S = 0.05
END_WITHIN_S = 300.0
SITE = """
[site.rays]
driver = "ray"
provider = "bench"

[site.rays.settings]
address = "{address}"

[site.rays.flavor.cpu]
nodes = 2
cpu = 2
memory = "2GiB"
disk = "1TiB"
price = {{ core_hour = "0.10" }}
"""


def through(config: str, tasks: int, *, again: bool = False) -> float:
    """Return the seconds from the submit to the answer that the job has succeeded.

    Args:
        config: Of the hub.
        tasks: Of the array.
        again: Whether the array has run once before, so that the hub knows its runtime.
    """
    with running(config) as hub:
        door = hub.door
        if again:
            door.wait(door.ask("POST", "/v1/jobs", no_op(tasks))["id"])
        begun = time.perf_counter()
        view = door.wait(door.ask("POST", "/v1/jobs", no_op(tasks))["id"])
        seconds = time.perf_counter() - begun
    if view["tasks"]["succeeded"] != tasks:
        raise BenchError(f"only {view['tasks']['succeeded']} of {tasks} tasks succeeded")
    return seconds


def by_itself(cluster: RayCluster, tasks: int) -> float:
    """Return the seconds from the submit to the status that says it has succeeded."""
    key = f"peer-{secrets.token_hex(4)}"
    begun = time.perf_counter()
    cluster.submit(key, f"python {shlex.quote(str(PROGRAM))} {tasks}")
    while (job := cluster.get(f"/api/jobs/{key}"))["status"] in {"PENDING", "RUNNING"}:
        if time.perf_counter() - begun > END_WITHIN_S:
            raise BenchError(f"Ray's own job has not ended within {END_WITHIN_S:g} s")
        time.sleep(POLL_S)
    if job["status"] != "SUCCEEDED":
        raise BenchError(f"Ray's own job: {job['message']}")
    return time.perf_counter() - begun


def run(effort: Effort) -> Row:
    """Measure the row."""
    tasks = min(MOST_TASKS, effort.tasks)
    row = Row("ray", f"{tasks:,} trivial tasks as one array, two nodes of two slots")
    missing = find_ray()
    if missing:
        raise BenchError(missing)
    folder = Path(tempfile.mkdtemp(prefix="fl-"))
    try:
        with RayCluster(folder) as cluster:
            config = HEAD + SITE.format(address=cluster.address)
            contenders: dict[str, Callable[[], float]] = {OURS: lambda: through(config, tasks)}
            contenders[AGAIN] = lambda: through(config, tasks, again=True)
            if effort.peers:
                contenders[PEER] = lambda: by_itself(cluster, tasks)
            values = in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, measured in values.items():
        row.figures.append(Figure(name, "s", measured, ours=name in (OURS, AGAIN), digits=2))
    row.compare(OURS, PEER, goal=GOAL)
    row.compare(AGAIN, PEER, goal=GOAL)
    row.notes.append(
        "A real cluster of two nodes on this machine. Both run four processes `true` at a time;"
        " ours from sending the submit to the answer of `wait`, Ray's from its submit to the status"
        " of the job, asked for every 50 ms. Each allocation of ours is one Ray job on one node."
        " Where nothing is known of the tasks, some go first, and the rest when they have ended."
        " Ours keeps every task's output, exit status, times and bill; Ray's one exit status."
    )
    return row
