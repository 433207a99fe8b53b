"""Row a, second part: from sending a submit to the first word of its process, on an idle hub."""

from __future__ import annotations

import time

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row, percentile
from bench.hub import Door, running

BUDGET_S = 45.0
PAUSE_S = 0.02
LOG_READS = 50
START = "submit → process says the time"
ACKNOWLEDGED = "submit → acknowledged"
JOB = {
    "name": "what-time-is-it",
    "resources": {"cpu": 1, "memory": "16MiB"},
    "command": ["date", "+%s%N"],
}


def starts(singles: int) -> tuple[list[float], list[float]]:
    """Return (start, acknowledgement) latencies of single jobs, in milliseconds."""
    start_ms: list[float] = []
    acknowledged_ms: list[float] = []
    with running() as hub:
        door = hub.door
        for number in range(singles + 1):
            sent_ns = time.time_ns()
            job = door.ask("POST", "/v1/jobs", JOB)["id"]
            answered_ns = time.time_ns()
            door.wait(job)
            said_ns = _said_ns(door, job)
            if number:  # the first warms up
                start_ms.append((said_ns - sent_ns) / 1e6)
                acknowledged_ms.append((answered_ns - sent_ns) / 1e6)
            time.sleep(PAUSE_S)
    return start_ms, acknowledged_ms


def _said_ns(door: Door, job: str) -> int:
    """Return the time that the process printed; its output may be on its way to its last place.

    Raises:
        BenchError: it printed none.
    """
    for _ in range(LOG_READS):
        if text := door.raw("GET", f"/v1/jobs/{job}/logs?task=0"):
            return int(text)
        time.sleep(PAUSE_S)
    raise BenchError(f"{job} has succeeded but left no output")


def run(effort: Effort) -> Row:
    """Measure the row."""
    row = Row("latency", "From submit to the first process, idle hub")
    rounds: list[tuple[list[float], list[float]]] = []

    def measure() -> float:
        rounds.append(starts(effort.singles))
        return percentile(rounds[-1][0], 50)

    in_turns(row, {"Fenglin": measure}, effort.rounds, BUDGET_S * effort.scale)
    for name, part, goal in ((START, 0, 100.0), (ACKNOWLEDGED, 1, None)):
        for percent in (50, 95):
            values = [percentile(pair[part], percent) for pair in rounds]
            if values:
                row.figures.append(
                    Figure(
                        f"{name}, p{percent}", "ms", values, ours=True,
                        goal=goal if percent == 50 else None, at_most=True, digits=1,
                    )
                )  # fmt: skip
    row.notes.append(
        f"{effort.singles} single jobs per round, one after another, each on a hub that has"
        " nothing else to do. The payload is `date +%s%N`, so its own start is in the figure."
    )
    return row
