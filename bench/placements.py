"""The row `placements`: whole planning cycles, beside a bare first fit, and how cost grows."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.effort import BenchError, in_turns
from bench.figures import Figure, Row
from fenglin.model.site import Flavor, Node, Price, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import plan
from fenglin.planner.lane import compiled_loop
from fenglin.planner.policy import BALANCED
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.effort import Effort
    from fenglin.planner.backfill.twins import Kernel

BUDGET_S = 120.0
SEED = 20_261_122
GIB = 2**30
NOW_MS = 1_700_000_000_000
PLENTY_MICRO = 10**18
SITES = 20
MANY_SHAPES = 1_000
FEW_SHAPES = 50
SIZES = (8, 4, 2, 1)
# Smaller pools say nothing of how cost grows.
LEAST_NODES = 1_000
BARE = "bare first fit, Numba"
BARE_FROM_START = "bare first fit, Numba, from the first node each time"


def a_pool(nodes: int, sites: int = 1) -> list[Site]:
    """Return sites of two flavors: three nodes in four have 64 cores, the fourth has 8 cards."""
    found = []
    for number in range(sites):
        speed = 1_000 + 10 * number
        flavors = (
            Flavor(
                "cpu", ComputeClass.GENERAL, Resources(64_000, 256 * GIB),
                speed_milli=speed, price=Price(core_hour_micro=100_000),
            ),
            Flavor(
                "gpu", ComputeClass.AI, Resources(96_000, 512 * GIB, 0, 8_000),
                speed_milli=speed, accelerator="A100-80",
                price=Price(core_hour_micro=400_000, card_hour_micro=8_000_000),
            ),
        )  # fmt: skip
        places = tuple(
            Node(f"n{i:05}", "gpu" if i % 4 == 0 else "cpu") for i in range(nodes // sites)
        )
        found.append(Site(f"s{number:02}", f"p{number:02}", "mock", flavors=flavors, nodes=places))
    return found


def some_jobs(jobs: int, tasks: int, shapes: int) -> list[JobRow]:
    """Return jobs of random shapes, of which some need a part of a card or a whole one."""
    rng = random.Random(SEED)
    kinds: set[Shape] = set()
    while len(kinds) < shapes:
        cards = rng.choice([0] * 16 + [100, 200, 250, 500, 500, 1_000])
        cpu = rng.choice([250, 500, 750, 1_000, 1_500, 2_000, 4_000])
        kinds.add(Shape(Resources(cpu, rng.randrange(1, 65) * GIB // 4, 0, cards)))
    chosen = sorted(kinds)
    return [
        JobRow(
            number, chosen[rng.randrange(shapes)], tasks, submitted_ms=number, tasks=tasks,
            estimate_ms=60_000,
        )
        for number in range(1, jobs + 1)
    ]  # fmt: skip


class Cycles:
    """Cycles of one pool and queue, timed in CPU time of this process."""

    def __init__(self, sites: list[Site], jobs: list[JobRow], loop: Kernel | None) -> None:
        """Take what to plan, and the compiled loop of the planner."""
        self._sites, self._jobs, self._loop = sites, jobs, loop
        self.placed = 0

    def cycle(self) -> float:
        """Return the time of a snapshot and a plan, in ms."""
        begun = time.process_time()
        snapshot = build(
            index=1, now_ms=NOW_MS, sites=self._sites, jobs=self._jobs,
            accounts={"default": PLENTY_MICRO},
        )  # fmt: skip
        done = plan(snapshot, BALANCED, loop=self._loop)
        spent_ms = (time.process_time() - begun) * 1_000
        self.placed = done.filled_slots
        return spent_ms


def first_fit(need: Any, shape: Any, free: Any, from_start: int) -> int:
    """Place tasks on the first node with room and no more; return how many.

    Each shape goes on where it last found room, or, `from_start`, at the first node.
    """
    last = np.zeros(len(need), np.int64)
    placed = 0
    for task in range(len(shape)):
        kind = shape[task]
        node = 0 if from_start else last[kind]
        while node < len(free):
            fits = True
            for d in range(4):
                if free[node, d] < need[kind, d]:
                    fits = False
            if fits:
                for d in range(4):
                    free[node, d] -= need[kind, d]
                placed += 1
                break
            node += 1
        last[kind] = node
    return placed


def bare(kernel: Callable[..., int], nodes: int, jobs: list[JobRow], from_start: int) -> float:
    """Return the CPU time, in ms, of the bare first fit on a pool of that size."""
    shapes = sorted({job.shape for job in jobs})
    row = {shape: number for number, shape in enumerate(shapes)}
    need = np.array([shape.resources.values() for shape in shapes], np.int64)
    wanted = np.array([row[job.shape] for job in jobs for _ in range(job.pending)], np.int64)
    (site,) = a_pool(nodes)
    flavor = {one.name: one.node.values() for one in site.flavors}
    ordered = sorted(site.nodes, key=lambda node: (node.flavor, node.name))
    free = np.array([flavor[node.flavor] for node in ordered], np.int64)
    kernel(need, wanted[:1], free.copy(), from_start)
    begun = time.process_time()
    kernel(need, wanted, free, from_start)
    return (time.process_time() - begun) * 1_000


def exponent(sizes: list[int], costs: list[float]) -> float:
    """Return b of cost = a · size^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def growth(effort: Effort, loop: Kernel | None) -> tuple[list[int], list[int], list[Cycles]]:
    """Return sizes of queues and of pools, and what to time: each queue, then each pool."""
    jobs, nodes = effort.tasks * 10, effort.tasks
    queues = [jobs // part for part in SIZES]
    pools = [max(1, nodes // part) for part in SIZES]
    few = max(1, min(queues))
    timed = [Cycles(a_pool(nodes), some_jobs(n, 1, FEW_SHAPES), loop) for n in queues]
    timed += [Cycles(a_pool(n), some_jobs(few, 1, FEW_SHAPES), loop) for n in pools]
    return queues, pools, timed


def contenders(effort: Effort, loop: Kernel | None) -> dict[str, tuple[Cycles, float | None]]:
    """Return what is timed by its name, each with its goal in ms."""
    jobs, nodes = effort.tasks * 10, effort.tasks
    small = max(1, nodes // 10)
    middle = max(1, nodes // 2)
    one, twenty = a_pool(nodes), a_pool(nodes, SITES)
    many, few = some_jobs(jobs, 1, MANY_SHAPES), some_jobs(jobs, 1, FEW_SHAPES)
    queues = [job._replace(queue=f"q{job.number % 20:02}") for job in few]
    arrays = some_jobs(max(1, jobs // 100), 100, MANY_SHAPES)
    queue = some_jobs(max(1, jobs * 3 // 100), 1, 100)
    size = f"{jobs:,} jobs of one task, {nodes:,} nodes"
    return {
        f"{size}, 1,000 shapes": (Cycles(one, many, loop), 1_500.0),
        f"{size}, 50 shapes": (Cycles(one, few, loop), 400.0),
        f"{size}, 50 shapes, without Numba": (Cycles(one, few, None), None),
        f"{size} of 20 sites, 1,000 shapes": (Cycles(twenty, many, loop), None),
        f"{size} of 20 sites, 50 shapes": (Cycles(twenty, few, loop), None),
        f"{size}, 50 shapes, in 20 queues": (Cycles(one, queues, loop), 400.0),
        f"{jobs:,} jobs of one task, {middle // 2:,} nodes, 1,000 shapes": (
            Cycles(a_pool(middle // 2), many, loop), None,
        ),
        f"{len(arrays):,} arrays of 100 tasks, {nodes:,} nodes": (
            Cycles(one, arrays, loop), 1_500.0,
        ),
        f"{len(queue):,} jobs, {small:,} nodes": (Cycles(a_pool(small), queue, loop), 250.0),
        f"{len(queue):,} jobs, {middle:,} nodes": (Cycles(a_pool(middle), queue, loop), 1_000.0),
    }  # fmt: skip


def run(effort: Effort) -> Row:
    """Measure the row.

    Raises:
        BenchError: there is no Numba for the yardstick.
    """
    try:
        import numba  # noqa: PLC0415 - slow, and an extra
    except ImportError as error:
        raise BenchError("Numba is not installed: `fenglin[simulate]`") from error
    loop = compiled_loop()
    kernel = numba.njit(first_fit)
    row = Row("placements", "Planning: a whole cycle, from plain records to a plan")
    timed = contenders(effort, loop)
    many = some_jobs(effort.tasks * 10, 1, MANY_SHAPES)
    queues, pools, grown = growth(effort, loop)
    measured: dict[str, Callable[[], float]] = {
        **{name: cycles.cycle for name, (cycles, _) in timed.items()},
        BARE: partial(bare, kernel, effort.tasks, many, 0),
        BARE_FROM_START: partial(bare, kernel, effort.tasks, many, 1),
        **{f"size {at}": cycles.cycle for at, cycles in enumerate(grown)},
    }
    values = in_turns(row, measured, effort.rounds, BUDGET_S * effort.scale)
    for name, (cycles, goal) in timed.items():
        spent_ms = values.get(name, [])
        rate = cycles.placed / min(spent_ms, default=1.0) * 1_000
        note = f"{cycles.placed:,} placed, {rate:,.0f} a second"
        row.figures.append(
            Figure(name, "ms", spent_ms, ours=True, goal=goal, at_most=True, note=note)
        )
    for name in (BARE, BARE_FROM_START):
        row.figures.append(Figure(name, "ms", values.get(name, [])))
        row.compare(next(iter(timed)), name)
    if effort.tasks >= LEAST_NODES:
        _grow(row, queues, pools, [min(values[f"size {at}"]) for at in range(len(grown))])
    row.notes.append(
        "CPU time of one process on one core, the collector of garbage included. The compiled"
        " loop is loaded before; a hub plans without it until it is there. A cycle reads plain"
        " records, ranks two flavors a site by the policy `balanced`, gives out cards one by one,"
        " and writes each start and each reason down. The bare first fit only subtracts four"
        " numbers from a node; it knows neither cards nor sites, prices or queues."
    )
    return row


def _grow(row: Row, queues: list[int], pools: list[int], best_ms: list[float]) -> None:
    """Add how cost grows with the queue and with the pool."""
    for name, sizes, costs, goal in (
        ("exponent of cost in waiting jobs", queues, best_ms[: len(queues)], 1.1),
        ("exponent of cost in nodes", pools, best_ms[len(queues) :], 1.0),
    ):
        note = ", ".join(f"{n:,}: {ms:.0f} ms" for n, ms in zip(sizes, costs, strict=True))
        row.figures.append(
            Figure(
                name, "power of size", [exponent(sizes, costs)], ours=True, goal=goal,
                at_most=True, digits=2, note=note,
            )
        )  # fmt: skip
