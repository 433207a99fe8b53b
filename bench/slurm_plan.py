"""The row `slurm`: the same jobs on the same pool, planned by us and by a real slurmctld."""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bench.effort import BenchError, in_turns
from bench.figures import Figure, Row
from bench.placements import GIB, NOW_MS, PLENTY_MICRO, SEED, a_pool
from bench.slurm_control import Ask, Control, Planned
from fenglin.planner import plan
from fenglin.planner.lane import compiled_loop
from fenglin.planner.policy import BALANCED, CONSERVATIVE, Policy
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.effort import Effort
    from fenglin.planner.backfill.twins import Kernel

BUDGET_S = 30.0
# One job in six: of 3,000 as many as Slurm's backfill looks at unless it is told otherwise
# (`bf_max_job_test=500`).
DATED_PART = 6
KINDS = 100
MINUTES = (10, 30, 60, 120, 240, 480, 720, 1_440)
GOAL = 100.0
# The goal is for so many jobs; fewer say little, as both have work that does not grow.
GOAL_JOBS = 3_000
FAILURES = (BenchError, OSError, subprocess.SubprocessError)


def room_for_all(jobs: int) -> list[Ask]:
    """Return jobs of one node and of a hundred shapes, of which some need whole cards."""
    rng = random.Random(SEED)
    kinds = [
        Ask(
            1, rng.choice([1, 1, 1, 2, 2, 4, 8, 16]), rng.randrange(1, 17),
            rng.choice([0] * 16 + [1, 1, 1, 2, 2, 4]), rng.choice(MINUTES),
        )
        for _ in range(KINDS)
    ]  # fmt: skip
    return [rng.choice(kinds) for _ in range(jobs)]


def too_many(jobs: int, nodes: int) -> list[Ask]:
    """Return jobs of up to a hundredth of the pool; 3 of them a node want 3 times what it has."""
    rng = random.Random(SEED)
    parts = [0] * 8 + [1_000, 500, 250, 125]
    found = []
    for _ in range(jobs):
        part, cores = rng.choice(parts), rng.choice([16, 32, 64])
        size = max(1, nodes // part) if part else 1
        found.append(Ask(size, cores, cores * rng.choice([1, 2, 4]), 0, rng.choice(MINUTES)))
    return found


class Ours:
    """Our cycles on one queue and pool, by the processor's clock and by the wall's."""

    def __init__(self, asks: list[Ask], nodes: int, policy: Policy, loop: Kernel | None) -> None:
        """Take what to plan and how."""
        self._sites, self._policy, self._loop = a_pool(nodes), policy, loop
        self._jobs = [
            JobRow(
                number,
                Shape(
                    Resources(ask.cores * 1_000, ask.memory_gib * GIB, 0, ask.cards * 1_000),
                    nodes=ask.nodes,
                ),
                1, submitted_ms=number, tasks=1,
                estimate_ms=ask.minutes * 60_000, timeout_ms=ask.minutes * 60_000,
            )
            for number, ask in enumerate(asks, 1)
        ]  # fmt: skip
        self.wall_ms: list[float] = []
        self.started = self.dated = 0

    def cycle(self) -> float:
        """Return the CPU time of a snapshot and a plan, in ms."""
        wall, begun = time.perf_counter(), time.process_time()
        snapshot = build(
            index=1, now_ms=NOW_MS, sites=self._sites, jobs=self._jobs,
            accounts={"default": PLENTY_MICRO},
        )  # fmt: skip
        done = plan(snapshot, self._policy, loop=self._loop)
        spent_ms = (time.process_time() - begun) * 1_000
        self.wall_ms.append((time.perf_counter() - wall) * 1_000)
        self.started, self.dated = len(done.starts), len(done.reservations)
        return spent_ms


def run(effort: Effort) -> Row:
    """Measure the row: ours before and after Slurm, which takes one turn, being slow."""
    jobs = max(1, effort.tasks * 3 // 10)
    small, middle = max(1, effort.tasks // 10), max(1, effort.tasks // 2)
    row = Row("slurm", "Planning: the same jobs and nodes under Slurm")
    loop = compiled_loop()
    roomy, crowd = room_for_all(jobs), too_many(jobs, small)
    title = f"{jobs:,} jobs, {small:,} nodes"
    larger = f"{jobs:,} jobs, {middle:,} nodes"
    crowded = f"crowd of {jobs:,} jobs, {small:,} nodes"
    most = max(1, jobs // DATED_PART)
    deep = replace(CONSERVATIVE, reservations=most)
    dated = f"{crowded}, {most:,} dated"
    ours = {
        f"Fenglin, {title}": Ours(roomy, small, BALANCED, loop),
        f"Fenglin, {larger}": Ours(roomy, middle, BALANCED, loop),
        f"Fenglin, {dated}": Ours(crowd, small, deep, loop),
        f"Fenglin, {crowded}, `balanced`": Ours(crowd, small, BALANCED, loop),
    }
    goals = dict(zip(ours, (250.0, 1_000.0, None, None), strict=True))
    measure: dict[str, Callable[[], float]] = {name: one.cycle for name, one in ours.items()}
    values = in_turns(row, measure, effort.rounds, BUDGET_S * effort.scale)
    theirs: dict[str, Callable[[Control], Planned]] = {
        title: lambda slurm: slurm.start_all("roomy", small),
        larger: lambda slurm: slurm.start_all("roomy", middle),
        dated: lambda slurm: slurm.start_and_date("crowd", small, most),
    }
    found = _slurm(row, theirs, roomy, crowd, small) if effort.peers else {}
    before = row.rounds
    again = in_turns(row, measure, effort.rounds, BUDGET_S * effort.scale)
    row.rounds += before
    for name, more in again.items():
        one, both = ours[name], values[name] + more
        note = f"{one.started:,} started, {one.dated:,} dated"
        row.figures.append(
            Figure(name, "ms", both, ours=True, goal=goals[name], at_most=True, note=note)
        )
    for name, planned in found.items():
        _beside(row, name, planned, ours[f"Fenglin, {name}"])
    _ratios(row, (title, larger, dated), GOAL if jobs >= GOAL_JOBS else None)
    row.compare(f"Fenglin, {crowded}, `balanced`", f"Slurm, {dated}")
    row.notes += [f"{figure.name}: {figure.note}" for figure in row.figures if figure.note]
    row.notes.append(NOTE)
    return row


def _slurm(
    row: Row,
    theirs: dict[str, Callable[[Control], Planned]],
    roomy: list[Ask],
    crowd: list[Ask],
    nodes: int,
) -> dict[str, Planned]:
    """Return what Slurm did with each queue; what could not be had is named in the row."""
    found: dict[str, Planned] = {}
    with tempfile.TemporaryDirectory(prefix="fenglin-slurm-") as folder:
        try:
            slurm = Control(Path(folder))
            with slurm.munge():
                slurm.submit("roomy", nodes, roomy)
                slurm.submit("crowd", nodes, crowd)
                for name, measure in theirs.items():
                    try:
                        found[name] = measure(slurm)
                    except FAILURES as error:
                        row.failed[f"Slurm, {name}"] = str(error)
        except FAILURES as error:
            row.failed["Slurm"] = str(error)
    return found


def _beside(row: Row, name: str, slurm: Planned, ours: Ours) -> None:
    """Add Slurm's figures, and both by the wall's clock, as Slurm's own is one."""
    did = f"{slurm.started:,} started, {slurm.dated:,} dated"
    row.figures += [
        Figure(f"Slurm, {name}", "ms", [slurm.thread_ms], note=did),
        Figure(f"Slurm, {name}, as `sdiag` says", "ms", [slurm.stated_ms]),
        Figure(f"Fenglin, {name}, by the clock", "ms", ours.wall_ms, ours=True),
    ]


def _ratios(row: Row, names: tuple[str, ...], goal: float | None) -> None:
    for name in names:
        row.compare(f"Fenglin, {name}", f"Slurm, {name}", goal=goal)
        row.compare(f"Fenglin, {name}, by the clock", f"Slurm, {name}, as `sdiag` says")


NOTE = (
    "Slurm is a real slurmctld with nodes that exist only in its configuration (powered-down"
    " cloud nodes, which it gives out as idle ones) and `sbatch`ed jobs behind a closed partition"
    " that is then opened. Its figure is the processor time of its two scheduling threads, and"
    " below that the length of the same cycles by its own clock, which other work on the machine"
    " lengthens. Where there is room for all, its main scheduler starts all in one cycle; for the"
    " crowd, the main cycle is followed by one of backfill, as deep as Slurm's default, and we use"
    " `conservative` with as many reservations. `balanced` makes few reservations, so its ratio to"
    " that is one of defaults, not of equal work. In its cycles Slurm also picks cores, writes"
    " log lines and changes the records of jobs and nodes (saving them is other threads'). Ours"
    " reads plain records and returns a plan: storing and sending that is the engine's work, and"
    " in neither figure is a process started."
)
