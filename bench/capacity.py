"""Row d: a hub with a thousand jobs of a hundred tasks: planning, restart, memory."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from bench.effort import Effort, in_turns
from bench.figures import Figure, Row, percentile
from bench.hub import THREE_SITES, running
from fenglin.intake.hubfile import read_hub_file
from fenglin.model.site import Queue
from fenglin.planner import plan
from fenglin.planner.policy import built_in
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

if TYPE_CHECKING:
    from bench.hub import RunningHub

BUDGET_S = 90.0
SHAPES = 20
QUEUES = ("a", "b", "c", "d")
PASS = "planning pass"  # noqa: S105 - no word of entry
CYCLE = "whole cycle of the running hub"
RESTART = "kill -9 → /readyz"
IDLE = "memory of an idle hub (PSS)"
CROWDED = "memory with all jobs waiting (PSS)"
SAMPLE_S = 0.02
BATCH = 500


def document(number: int, tasks: int) -> dict[str, object]:
    """Return one of many unlike jobs."""
    return {
        "name": f"job-{number}",
        "queue": QUEUES[number % len(QUEUES)],
        "priority": number % 3,
        "tasks": tasks,
        "resources": {"cpu": 1, "memory": f"{64 + number % SHAPES}MiB"},
        "command": ["true"],
    }


def pass_ms(effort: Effort) -> list[float]:
    """Return the times of building a snapshot and planning it, in milliseconds."""
    sites = read_hub_file(THREE_SITES, "bench").sites
    policy = built_in("balanced")
    shapes = [Shape(Resources(1_000, (64 + i) * 2**20, 0, 0)) for i in range(SHAPES)]
    jobs = [
        JobRow(
            number=i + 1,
            shape=shapes[i % SHAPES],
            pending=effort.tasks_per_job,
            queue=QUEUES[i % len(QUEUES)],
            priority=i % 3,
            submitted_ms=i,
            tasks=effort.tasks_per_job,
        )
        for i in range(effort.jobs)
    ]
    times: list[float] = []
    for index in range(effort.passes):
        begun = time.perf_counter()
        snapshot = build(
            index=index,
            now_ms=1_000_000 + index,
            sites=sites,
            queues=[Queue(name) for name in QUEUES],
            accounts={"default": 10**15},
            jobs=jobs,
            shares=[],
        )
        plan(snapshot, policy)
        times.append((time.perf_counter() - begun) * 1_000)
    return times


def cycles_ms(hub: RunningHub, seconds: float) -> list[float]:
    """Return the times of the cycles that a working hub makes in a while, in milliseconds."""
    times: dict[int, float] = {}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        overview = hub.door.ask("GET", "/v1/overview")
        times[overview["cycle"]] = overview["cycle_ms"]
        time.sleep(SAMPLE_S)
    return list(times.values())


def crowd(effort: Effort) -> dict[str, float]:
    """Fill a hub, let it work, kill it, start it again; return what was seen."""
    seen: dict[str, float] = {}
    with running(THREE_SITES) as hub:
        seen[IDLE] = hub.pss_mb()
        hub.door.drain()
        jobs = [document(i, effort.tasks_per_job) for i in range(effort.jobs)]
        for at in range(0, len(jobs), BATCH):
            hub.door.ask("POST", "/v1/jobs:batch", jobs[at : at + BATCH])
        hub.door.resume()
        times = cycles_ms(hub, effort.load_s)
        seen[f"{CYCLE}, p50"] = percentile(times, 50)
        seen[f"{CYCLE}, p95"] = percentile(times, 95)
        seen[CROWDED] = hub.pss_mb()
        hub.door.drain()
        hub.stop(signal.SIGKILL)
        seen[RESTART] = hub.start()
    return seen


def run(effort: Effort) -> Row:
    """Measure the row."""
    total = effort.jobs * effort.tasks_per_job
    row = Row("capacity", f"A hub with {effort.jobs:,} jobs and {total:,} waiting tasks")
    passes: list[list[float]] = []
    crowds: list[dict[str, float]] = []

    def planning() -> float:
        passes.append(pass_ms(effort))
        return percentile(passes[-1], 50)

    def crowding() -> float:
        crowds.append(crowd(effort))
        return crowds[-1][RESTART]

    contenders = {PASS: planning, "hub with all jobs": crowding}
    in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    if passes:
        for percent, goal in ((50, None), (95, 200.0)):
            values = [percentile(times, percent) for times in passes]
            row.figures.append(
                Figure(
                    f"{PASS}, p{percent}", "ms", values, ours=True, goal=goal, at_most=True,
                    digits=1,
                )
            )  # fmt: skip
    for name, unit, ceiling in (
        (f"{CYCLE}, p50", "ms", None),
        (f"{CYCLE}, p95", "ms", None),
        (RESTART, "s", 5.0),
        (IDLE, "MB", 150.0),
        (CROWDED, "MB", None),
    ):
        values = [seen[name] for seen in crowds]
        if values:
            row.figures.append(
                Figure(name, unit, values, ours=True, goal=ceiling, at_most=True, digits=1)
            )
    row.notes += [
        (
            "A planning pass is the snapshot built from records and the pure planner over it,"
            f" called {effort.passes} times per round: {SHAPES} shapes, {len(QUEUES)} queues,"
            " three sites."
        ),
        (
            "A whole cycle is what the hub itself reports while three sites run its tasks: news,"
            " commits, snapshot, plan, effects, and the door's work in between."
        ),
    ]
    return row
