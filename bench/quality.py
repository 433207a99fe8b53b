"""The row `quality`: how far plans are from the best, exactly on small pools, by a bound on large.

The objective is what the planner improves where all jobs are of one queue and priority: the sum
of the dominant shares of the tasks that start. Small pools are solved exactly by HiGHS (integer
program, gap 0), twice. Once nothing of the order of submission is asked of the optimum; that is
the goal of a policy without reservations. Once it owes what the default policy owes (`Owed`): the
reservations that stand hold. Both are printed for the default policy, the goal is the second. On
the large pool the bound by linear programming stands in for the optimum.
"""

from __future__ import annotations

import random
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec import structs

from bench.figures import Figure, Row
from fenglin.fairness.share import dominant_share
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import plan
from fenglin.planner.bound import wanted_per_shape
from fenglin.planner.draft import Draft
from fenglin.planner.order import may_start
from fenglin.planner.policy import BALANCED, Backfill, Policy
from fenglin.planner.relax import bounds, linear_bound
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.effort import Effort
    from fenglin.model.plan import Plan
    from fenglin.snapshot.snapshot import Snapshot

SMALL = 200
GOAL_PCT = 2.0
GIB = 2**30
NOW_MS = 1_700_000_000_000
ESTIMATES_MS = (30_000, 60_000, 120_000, 240_000)
LARGE_NODES, LARGE_SHAPES, LARGE_SITES = 10_000, 20, 10
PLENTY_MICRO = 10**15

FREE = structs.replace(BALANCED, backfill=Backfill.NONE)
IN_TURN = structs.replace(BALANCED, improve_steps=0)
# Name → policy, and whether its optimum owes what the reservations ask.
CASES: dict[str, tuple[Policy, bool]] = {
    "mean gap, without reservations": (FREE, False),
    "mean gap, default policy, reservations kept": (BALANCED, True),
    "mean gap, default policy, to an optimum without": (BALANCED, False),
    "mean gap, not improved": (structs.replace(FREE, improve_steps=0), False),
}


class Solved(NamedTuple):
    """A small pool with its optima.

    Attributes:
        snapshot: The pool.
        optimum: Most that any set of starts fills.
        keeping: Most that any set of starts fills that owes what the default policy owes.
        bound: By linear programming; never less.
    """

    snapshot: Snapshot
    optimum: float
    keeping: float
    bound: float


class Standing(NamedTuple):
    """A reservation that holds unless its job starts at once.

    Attributes:
        row: Job row.
        ahead: Job rows that started in their turn, before it: whoever of them did not start would
            come before it in the next cycle too, and delay it.
        node: Its node row.
        late: Job rows that would still run when it begins.
    """

    row: int
    ahead: tuple[int, ...]
    node: int
    late: tuple[int, ...]


class Owed(NamedTuple):
    """What the starts of a policy with reservations must leave as it was decided in turn.

    Attributes:
        first: Row of the job that is first in order, if it started; it never gives way.
        standing: The reservations.
    """

    first: int | None
    standing: tuple[Standing, ...]


FREELY = Owed(None, ())


def small_pool(seed: int) -> Snapshot:
    """Return a pool of 3 to 6 nodes, some with cards, and 6 to 12 tasks that want more."""
    rng = random.Random(seed)
    flavors = _flavors(8_000, 16)
    nodes = tuple(Node(f"n{at}", rng.choice(("plain", "cards"))) for at in range(rng.randint(3, 6)))
    needs = [
        Resources(
            rng.randint(1, 8) * 1_000, rng.randint(1, 16) * GIB, 0, rng.choice((0, 0, 1, 2)) * 1_000
        )
        for _ in range(rng.randint(6, 12))
    ]
    jobs = [
        JobRow(
            number=at,
            shape=Shape(need),
            pending=1,
            submitted_ms=at,
            estimate_ms=rng.choice(ESTIMATES_MS),
        )
        for at, need in enumerate(needs, 1)
    ]
    return _snapshot([Site("site", "provider", "mock", flavors=flavors, nodes=nodes)], jobs)


def large_pool(jobs: int, tasks: int, nodes: int) -> Snapshot:
    """Return a pool of two flavors at ten sites, and arrays of twenty shapes that want more."""
    rng = random.Random(1)
    shapes = [
        Shape(
            Resources(
                rng.randint(1, 16) * 500,
                rng.randint(1, 32) * GIB // 4,
                0,
                rng.choice((0, 0, 0, 1_000)),
            )
        )
        for _ in range(LARGE_SHAPES)
    ]
    flavors = _flavors(16_000, 64)
    sites = [
        Site(
            f"site{at}",
            f"provider{at}",
            "mock",
            flavors=flavors,
            nodes=tuple(
                Node(f"n{number}", rng.choice(("plain", "cards")))
                for number in range(max(1, nodes // LARGE_SITES))
            ),
        )
        for at in range(LARGE_SITES)
    ]
    rows = [
        JobRow(
            number=number,
            shape=rng.choice(shapes),
            pending=tasks,
            tasks=tasks,
            submitted_ms=number,
            estimate_ms=60_000,
        )
        for number in range(1, jobs + 1)
    ]
    return _snapshot(sites, rows)


def _flavors(cpu_milli: int, memory_gib: int) -> tuple[Flavor, Flavor]:
    """Return a flavor without cards, and one of twice the size with four."""
    plain, cards = (
        Resources(cpu_milli, memory_gib * GIB),
        Resources(2 * cpu_milli, 2 * memory_gib * GIB, 0, 4_000),
    )
    return (
        Flavor("plain", ComputeClass.GENERAL, plain),
        Flavor("cards", ComputeClass.AI, cards, accelerator="A100-80"),
    )


def _snapshot(sites: list[Site], jobs: list[JobRow]) -> Snapshot:
    return build(index=1, now_ms=NOW_MS, sites=sites, accounts={"default": PLENTY_MICRO}, jobs=jobs)


def worth_of_slots(snapshot: Snapshot) -> list[float]:
    """Return per shape the dominant share of one slot."""
    total = snapshot.node_capacity.sum(axis=0).tolist()
    return [dominant_share(shape.resources.values(), total, 1_000) for shape in snapshot.shapes]


def filled(snapshot: Snapshot, made: Plan) -> float:
    """Return the sum of dominant shares of what a plan starts."""
    worth = worth_of_slots(snapshot)
    rows = np.searchsorted(snapshot.job_number, [start.job for start in made.starts])
    shapes: list[int] = snapshot.job_shape[rows].tolist()
    return sum(
        worth[shape] * share.slots
        for shape, start in zip(shapes, made.starts, strict=True)
        for share in start.shares
    )


def owed(snapshot: Snapshot, policy: Policy = IN_TURN) -> Owed:
    """Return what the plan in turn, before any improvement, promised. All tasks of one node.

    Raises:
        ValueError: something runs already: what is free later would not be known.
    """
    if len(snapshot.share_job):
        raise ValueError("something runs in this pool")
    made = plan(snapshot, structs.replace(policy, improve_steps=0))
    order: list[int] = np.searchsorted(snapshot.job_number, made.order).tolist()
    started = set(np.searchsorted(snapshot.job_number, [one.job for one in made.starts]).tolist())
    span_ms: list[int] = snapshot.job_estimate_ms.tolist()
    standing = []
    for one in made.reservations:
        row = int(np.searchsorted(snapshot.job_number, one.job))
        ahead = order[: order.index(row)]
        node = snapshot.node_names.index(one.shares[0].node)
        end_ms = [snapshot.now_ms + span for span in span_ms]
        late = tuple(at for at, end in enumerate(end_ms) if end > one.start_ms)
        standing.append(Standing(row, tuple(r for r in ahead if r in started), node, late))
    return Owed(order[0] if order and order[0] in started else None, tuple(standing))


def optimum(snapshot: Snapshot, owes: Owed = FREELY) -> float:
    """Return the most that can be filled by single tasks of one node: an exact integer program."""
    highspy = import_module("highspy")
    worth = worth_of_slots(snapshot)
    shapes = snapshot.job_shape.tolist()
    needs = [snapshot.shapes[shape].resources.values() for shape in shapes]
    solver = highspy.Highs()
    for option, value in (("output_flag", False), ("mip_rel_gap", 0.0), ("threads", 1)):
        solver.setOptionValue(option, value)
    nodes = range(len(snapshot.node_names))
    here = [[solver.addBinary() for _ in nodes] for _ in shapes]
    for row in here:
        solver.addConstr(sum(row) <= 1)
    for node in nodes:
        for dimension, free in enumerate(snapshot.node_free[node].tolist()):
            parts = [
                (need[dimension] / max(1, free)) * row[node]
                for need, row in zip(needs, here, strict=True)
                if need[dimension]
            ]
            if parts:
                solver.addConstr(sum(parts) <= float(free > 0))
    _owe(solver, here, snapshot, owes)
    solver.maximize(
        sum(worth[shape] * var for shape, row in zip(shapes, here, strict=True) for var in row)
    )
    return float(solver.getInfo().objective_function_value)


def _owe(solver: Any, here: list[list[Any]], snapshot: Snapshot, owes: Owed) -> None:
    """Ask for the first job's start, and that each reservation holds unless its job starts."""
    needs = [snapshot.shapes[shape].resources.values() for shape in snapshot.job_shape.tolist()]
    if owes.first is not None:
        solver.addConstr(sum(here[owes.first]) >= 1)
    for one in owes.standing:
        waits = 1 - sum(here[one.row])
        for ahead in one.ahead:
            solver.addConstr(sum(here[ahead]) >= waits)
        for dimension, free in enumerate(snapshot.node_free[one.node].tolist()):
            if need := needs[one.row][dimension]:
                late = [(needs[at][dimension] / free) * here[at][one.node] for at in one.late]
                solver.addConstr(sum(late) + (need / free) * waits <= 1.0)


def bound_of(snapshot: Snapshot, least: Sequence[int] = ()) -> float:
    """Return the bound by linear programming on what can be filled.

    Args:
        snapshot: The pool.
        least: Per shape, slots that must start.
    """
    wanted = wanted_per_shape(snapshot, may_start(snapshot))
    return linear_bound(Draft(snapshot, BALANCED), wanted, worth_of_slots(snapshot), least)


def slots_per_shape(snapshot: Snapshot, made: Plan) -> list[int]:
    """Return how many slots of each shape a plan starts."""
    rows = np.searchsorted(snapshot.job_number, [start.job for start in made.starts])
    slots = [sum(share.slots for share in start.shares) for start in made.starts]
    count = np.bincount(snapshot.job_shape[rows], slots, len(snapshot.shapes))
    return [int(one) for one in count]


def gap_pct(best: float, ours: float) -> float:
    """Return by how many percent of the best we stay below it."""
    return 100.0 * (best - ours) / best if best else 0.0


def run(effort: Effort) -> Row:
    """Measure the row."""
    count = max(4, int(SMALL * effort.scale))
    row = Row("quality", f"Plans against the exact optimum, {count} small pools; bounds on a large")
    if find_spec("highspy") is None:
        row.failed["HiGHS"] = "not installed: fenglin[simulate]"
        return row
    begun = time.process_time()
    solved = [
        Solved(pool, optimum(pool), optimum(pool, owed(pool)), bound_of(pool))
        for pool in map(small_pool, range(count))
    ]
    exact_ms = (time.process_time() - begun) * 1_000 / count
    row.rounds = 1
    for name, (policy, keeping) in CASES.items():
        begun = time.process_time()
        plans = [plan(one.snapshot, policy) for one in solved]
        ours_ms = (time.process_time() - begun) * 1_000 / count
        gaps = [
            gap_pct(one.keeping if keeping else one.optimum, filled(one.snapshot, made))
            for one, made in zip(solved, plans, strict=True)
        ]
        goal = GOAL_PCT if policy is FREE or keeping else None
        goal = goal if count == SMALL else None
        note = f"{ours_ms:.1f} ms each; exact in {sum(gap < 1e-6 for gap in gaps)}"
        row.figures.append(
            Figure(
                name,
                "%",
                [sum(gaps) / count],
                ours=True,
                goal=goal,
                at_most=True,
                digits=2,
                note=note,
            )
        )
    low = sum(one.bound < one.optimum - 1e-9 for one in solved)
    row.figures.append(
        Figure("bounds below an optimum", "pools", [float(low)], ours=True, goal=0.0, at_most=True)
    )
    loose = sum(gap_pct(one.bound, one.optimum) for one in solved) / count
    row.figures.append(Figure("optimum below the bound, mean", "%", [loose], digits=2))
    row.notes.append(f"two exact optima and a bound take {exact_ms:.0f} ms of HiGHS; CPU time")
    _large(row, effort)
    return row


def _large(row: Row, effort: Effort) -> None:
    """State the gap to the bound where no optimum can be had."""
    nodes = max(LARGE_SITES, int(LARGE_NODES * min(1.0, effort.jobs / 1_000)))
    pool = large_pool(effort.jobs, effort.tasks_per_job, nodes)
    made = plan(pool, BALANCED)
    begun = time.process_time()
    found = bounds(pool)
    most = bound_of(pool)
    spent_s = time.process_time() - begun
    title = f"{effort.jobs:,} jobs of {effort.tasks_per_job} tasks on {nodes:,} nodes"
    row.figures.append(
        Figure(
            "gap to the bound, large", "%", [gap_pct(most, filled(pool, made))], ours=True, digits=2
        )
    )
    beside = bound_of(pool, slots_per_shape(pool, made))
    row.figures.append(
        Figure("of it by what was started in turn", "%", [gap_pct(most, beside)], digits=2)
    )
    row.notes.append(
        f"large: {title}; {made.filled_slots:,} slots, bounds {found.combinatorial:,} and"
        f" {found.linear:,} (linear), found in {spent_s:.1f} s"
    )
