"""The row `sia`: training jobs that change size and type of cards round by round.

Average completion time and makespan over the published streams, under our own `fenglin`, beside
our own reimplementation of Sia's policy in the same simulator and the figures that Sia printed
(S. Jayaram Subramanya and others, "Sia: Heterogeneity-aware, goodput-optimized ML-cluster
scheduling", SOSP 2023). The printed means have one decimal. `fenglin-alone` is told apart because
`fenglin` remembers what jobs of the same model have met, which Sia does not.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.figures import Figure, Row
from fenglin.planner.rounds.goodput import Limits
from fenglin.simulator.sia.run import CLUSTER, Outcome, run_seeds, simulate
from fenglin.simulator.sia.tables import Application, Course, Points, SiaJob

if TYPE_CHECKING:
    from bench.effort import Effort

ROUND_S = 60.0
# Ours, ours without memory, Sia's policy as we wrote it.
POLICIES = {
    "Fenglin": "fenglin",
    "Fenglin without memory": "fenglin-alone",
    "Sia's policy, our reimplementation": "sia",
}
OURS, WITHOUT, THEIRS = POLICIES
PRINTED = "Sia as printed"
SPEEDS = {"aws": 1.0, "dgx-ext": 4.0, "rtx": 2.0}


class Workload(NamedTuple):
    """What Sia printed of a workload.

    Attributes:
        streams: How many were published, from 1.
        mean_h: Average completion time, with one decimal.
        makespan_h: From the first arrival to the last end.
    """

    streams: int
    mean_h: float
    makespan_h: float


WORKLOADS = {"philly": Workload(8, 0.6, 14.2), "helios": Workload(10, 0.7, 14.9)}


def folder() -> Path | None:
    """Return the reference data: `FENGLIN_TEST_DATA`, or `shared/data` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("FENGLIN_TEST_DATA", beside)) / "dl" / "sia"
    return path if path.is_dir() else None


def made_up() -> Application:
    """Return a model with made-up times: for where the data is not at hand."""
    local = np.array([32.0, 64.0, 128.0])
    placed: dict[str, dict[str, Points]] = {}
    for kind, nodes, each in CLUSTER:
        sizes = [(n,) for n in range(1, each + 1)] + [(each,) * n for n in range(2, nodes + 1)]
        placed[kind] = {}
        for size in sizes:
            cards = sum(size)
            sync = 0.0 if cards == 1 else 0.01 + 0.001 * cards + 0.05 * (len(size) > 1)
            step_s = local / 320 / SPEEDS[kind] + sync
            points = Points(local, step_s, np.full(local.size, sync))
            placed[kind]["".join(map(str, size))] = points
    batches = (128, 512, 2048)
    return Application(
        name="net",
        marks=np.array([4_000.0, 8_000.0, 12_000.0]),
        batches=batches,
        courses={batch: Course(np.ones(3), np.full(3, 20.0)) for batch in batches},
        placed=placed,
        scaled={},
        limits={kind: Limits(128.0, 2048.0, 32.0, 128.0) for kind in SPEEDS},
        base={kind: 320.0 * speed for kind, speed in SPEEDS.items()},
        restart_s=30.0,
        slower=1.2,
    )


def run(effort: Effort) -> Row:
    """Measure the row: every run is made once, as it gives the same each time."""
    data = folder() if effort.peers and find_spec("polars") else None
    if data is None:
        row = Row("sia", f"Training jobs of changing size: {effort.tasks} made-up jobs", rounds=1)
        net = made_up()
        jobs = [SiaJob(f"job{at}", 120.0 * at, net.name, 4, 512) for at in range(effort.tasks)]
        for name, policy in POLICIES.items():
            _tell(row, name, "made-up", [simulate(jobs, {net.name: net}, policy, ROUND_S)])
        return row
    whole = effort.scale >= 1.0
    row = Row("sia", "Training jobs of changing size on 64 unlike cards: Sia's streams", rounds=1)
    for workload, told in WORKLOADS.items() if whole else [("philly", WORKLOADS["philly"])]:
        streams = range(1, (told.streams if whole else 1) + 1)
        for name, policy in POLICIES.items():
            done = run_seeds(data, workload, streams, policy, ROUND_S)
            _tell(row, name, workload, list(done.values()))
        row.compare(f"{OURS}, {workload}", f"{THEIRS}, {workload}", goal=1.0)
        row.compare(f"{WITHOUT}, {workload}", f"{THEIRS}, {workload}")
        if whole:
            _beside_print(row, workload, told)
    row.notes += _notes(whole=whole)
    return row


def _tell(row: Row, name: str, workload: str, done: list[Outcome]) -> None:
    """Add what the runs of one policy gave."""
    ours = name != THEIRS
    hours = [fmean(one.avg_jct_h for one in done)]
    spans = [fmean(one.makespan_h for one in done)]
    plan_ms = 1e3 * sum(one.seconds for one in done) / sum(one.rounds for one in done)
    note = f"{fmean(one.restarts for one in done):.1f} moves per job, {plan_ms:.1f} ms a round"
    row.figures += [
        Figure(f"{name}, {workload}", "h", hours, ours=ours, digits=3, note=note),
        Figure(f"{name}, {workload}, makespan", "h", spans, ours=ours, digits=2),
    ]


def _beside_print(row: Row, workload: str, told: Workload) -> None:
    """Add what Sia printed, and ratios to it."""
    mean, span = f"{PRINTED}, {workload}", f"{PRINTED}, {workload}, makespan"
    row.figures += [
        Figure(mean, "h", [told.mean_h], digits=1, note="may stand for 0.05 h more or less"),
        Figure(span, "h", [told.makespan_h], digits=1),
    ]
    for name in POLICIES:
        goal = 1.0 if name == OURS else None
        row.compare(f"{name}, {workload}", mean, goal=goal)
        row.compare(f"{name}, {workload}, makespan", span, goal=goal)


def _notes(*, whole: bool) -> list[str]:
    """Return how it was measured."""
    if not whole:
        return ["One stream of Philly: its mean does not compare with the printed one, of all."]
    return [
        "Means over all published streams. Averages of completion, then makespans; hours.",
        "Sia printed what its own simulator gave; its policy as we wrote it ran in ours.",
    ]
