"""Row b: how many jobs per second the hub takes over HTTP, each answered when it is on disk."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row
from bench.hub import running
from bench.inserts import rows_per_s
from bench.load import GENERATOR, Load, put
from bench.tasks import no_op

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.load import Answered

BUDGET_S = 170.0
CLIENTS = 32
BATCH_CLIENTS = 4
BATCH_JOBS = 1_000
SINGLE = "single submits, 32 clients"
KEYED = "single submits with idempotency keys"
ACTIVE = "single submits while sites run them"
BATCHED = "batches of 1,000 jobs"
BATCHED_ACTIVE = "batches of 1,000 jobs while sites run them"
LIMIT_1 = "limit: one row per commit"
LIMIT_100 = "limit: 100 rows per commit"
LIMIT_1000 = "limit: 1,000 rows per commit"
DOCUMENT = no_op(1)


def single(
    seconds: float, seen: list[Answered], *, active: bool = False, keyed: bool = False
) -> float:
    """Return acknowledged jobs/s, one job per request; `seen` hears of latencies."""
    with running() as hub:
        if not active:
            hub.door.drain()
        load = Load(
            hub.url, hub.token, "POST", ["/v1/jobs"], CLIENTS, seconds,
            json.dumps(DOCUMENT), keyed,
        )  # fmt: skip
        answered = put(load)
        _check(hub.door.ask("GET", "/v1/overview"), answered.per_s)
    seen.append(answered)
    return answered.per_s


def batched(seconds: float, *, active: bool = False) -> float:
    """Return acknowledged jobs/s, a thousand jobs per request."""
    with running() as hub:
        if not active:
            hub.door.drain()
        body = json.dumps([DOCUMENT] * BATCH_JOBS)
        load = Load(hub.url, hub.token, "POST", ["/v1/jobs:batch"], BATCH_CLIENTS, seconds, body)
        answered = put(load)
        _check(hub.door.ask("GET", "/v1/overview"), answered.per_s)
    return answered.per_s * BATCH_JOBS


def _check(overview: dict[str, int], per_s: float) -> None:
    """Refuse a figure for a hub that holds nothing of what it acknowledged."""
    held = overview["pending_jobs"] + overview["running_jobs"] + overview["finished_tasks"]
    if per_s and not held:
        raise BenchError("the hub holds none of the jobs that it acknowledged")


def run(effort: Effort) -> Row:
    """Measure the row."""
    row = Row("submits", "Submits over HTTP, acknowledged after the commit is on disk")
    body = json.dumps(DOCUMENT).encode()
    seconds = effort.load_s
    seen: list[Answered] = []
    other: list[Answered] = []
    contenders: dict[str, Callable[[], float]] = {
        LIMIT_1: partial(rows_per_s, body, 1, seconds / 2),
        SINGLE: partial(single, seconds, seen),
        KEYED: partial(single, seconds, other, keyed=True),
        LIMIT_100: partial(rows_per_s, body, 100, seconds / 2),
        ACTIVE: partial(single, seconds, other, active=True),
        LIMIT_1000: partial(rows_per_s, body, 1_000, seconds / 2),
        BATCHED: partial(batched, seconds),
        BATCHED_ACTIVE: partial(batched, seconds, active=True),
    }
    values = in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale)
    goals = {SINGLE: 4_000.0, BATCHED: 35_000.0}
    for name in (SINGLE, KEYED, ACTIVE, BATCHED, BATCHED_ACTIVE, LIMIT_1, LIMIT_100, LIMIT_1000):
        if name in values:
            is_ours = not name.startswith("limit")
            row.figures.append(
                Figure(name, "jobs/s", values[name], ours=is_ours, goal=goals.get(name))
            )
    if seen and SINGLE in values:
        for word, times in (("p50", [a.p50_ms for a in seen]), ("p99", [a.p99_ms for a in seen])):
            name = f"single submit, latency {word}"
            row.figures.append(Figure(name, "ms", times, ours=True, digits=1))
    row.compare(SINGLE, LIMIT_1, percent=True)
    row.compare(BATCHED, LIMIT_1000, percent=True)
    row.compare(BATCHED, SINGLE)
    row.notes += [
        (
            f"Load from {GENERATOR}, in a process of its own on the same cores; {CLIENTS} kept"
            f" connections for single jobs, {BATCH_CLIENTS} for batches; a fresh hub each time."
        ),
        (
            "The limit inserts the same row into the same tables with the same settings, from one"
            " Python thread with no HTTP. Sites are drained unless the figure says that they run."
        ),
    ]
    return row
