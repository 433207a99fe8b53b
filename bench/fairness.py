"""The row `fairness`: fair shares of 20 sites for 100,000 jobs in a tree of 200 queues.

What is timed, in CPU time of this process: putting the jobs in order (priorities, queues, deadlines
at risk, submission), adding them up by queue and class, and taking turns until nothing fits any
more. Sites hold classes by count; which node a task gets is another row's business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.effort import Effort, in_turns
from bench.figures import Figure, Row
from fenglin.fairness.decay import past_share
from fenglin.fairness.tree import QueueTree, tree_of
from fenglin.fairness.turns import Claim, Turns, scarce_in
from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.planner.order import Line, levels, may_start
from fenglin.planner.policy import BALANCED
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape, Snapshot

BUDGET_S = 60.0
JOBS = 100_000
SITES = 20
NODES_PER_SITE = 500
SEED = 20_261_122
NOW_MS = 10_000_000
GOAL_MS = 150.0
DAY_MS = 86_400_000
POLICY_DECAY_MS = 7 * DAY_MS
OURS = "Fenglin, order and turns"
ORDER = "of these, the order"
STRICT = "the same with one task per turn"
GIB = 2**30


def queue_tree() -> list[Queue]:
    """Return 8 faculties of 6 groups of 3 queues: 200 queues in three levels."""
    tops = [Queue(f"f{i}", weight=1_000 + 500 * (i % 3)) for i in range(8)]
    groups = [Queue(f"f{i % 8}-{i // 8}", parent=f"f{i % 8}") for i in range(48)]
    leaves = [
        Queue(f"{group.name}-{i}", weight=1_000 * (1 + i), parent=group.name)
        for group in groups
        for i in range(3)
    ]
    return [*tops, *groups, *leaves]


def pool(jobs: int) -> Snapshot:
    """Return 20 unlike sites and jobs of 40 classes, far more than fits."""
    rng = np.random.default_rng(SEED)
    sites = []
    for at in range(SITES):
        cards = 8_000 if at % 4 == 0 else 0
        node = Resources(1_000 * (32 + 16 * (at % 5)), GIB * (64 << at % 4), 2**40, cards)
        nodes = tuple(Node(f"n{i}", "std") for i in range(NODES_PER_SITE))
        flavor = Flavor("std", ComputeClass.AI if cards else ComputeClass.GENERAL, node)
        sites.append(Site(f"s{at:02}", f"p{at % 6}", "mock", flavors=(flavor,), nodes=nodes))
    shapes = [
        Shape(Resources(1_000 * 2 ** (i % 5), GIB * (1 + 3 * (i % 8)), 0, 1_000 * (i % 8 == 7)))
        for i in range(40)
    ]
    queues = queue_tree()
    leaves = [queue.name for queue in queues if queue.name.count("-") == 2]
    shape = rng.integers(0, len(shapes), jobs).tolist()
    # Some queues have a hundred times the jobs of others.
    popular = rng.zipf(1.3, 4 * jobs)
    queue = popular[popular <= len(leaves)][:jobs] - 1
    tasks = np.minimum(rng.zipf(2.0, jobs), 1_000).tolist()
    submitted = rng.integers(0, NOW_MS, jobs).tolist()
    due = np.where(rng.random(jobs) < 0.05, NOW_MS + rng.integers(1, DAY_MS, jobs), 0).tolist()
    rows = [
        JobRow(
            at + 1, shapes[shape[at]], tasks[at], queue=leaves[row], submitted_ms=submitted[at],
            tasks=tasks[at], estimate_ms=60_000, deadline_ms=due[at],
        )
        for at, row in enumerate(queue.tolist())
    ]  # fmt: skip
    spent = {name: int(x) for name, x in zip(leaves, rng.integers(0, DAY_MS, 144), strict=False)}
    return build(
        index=1, now_ms=NOW_MS, sites=sites, queues=queues, accounts={}, jobs=rows, spent_ms=spent
    )


class Room:
    """What sites have left, by count; a class fills them one after another."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Add the nodes of each site up."""
        free = np.zeros((len(snapshot.sites), len(DIMENSIONS)), np.int64)
        np.add.at(free, snapshot.flavor_site[snapshot.node_flavor], snapshot.node_free)
        self.free: list[list[int]] = free.tolist()
        self.plain = [shape.resources.values() for shape in snapshot.shapes]
        self.needs = [[(d, want) for d, want in enumerate(need) if want] for need in self.plain]
        self.first = [0] * len(self.plain)
        self.closed: set[int] = set()

    def take(self, shape: int, count: int) -> int:
        """Take up to so many tasks; return how many there was room for.

        Room only shrinks, so that a site that was full for a class is not looked at again.
        """
        got, needs = 0, self.needs[shape]
        while self.first[shape] < len(self.free):
            left = self.free[self.first[shape]]
            part = min(count - got, *[left[d] // want for d, want in needs])
            for d, want in needs:
                left[d] -= want * part
            got += part
            if got == count:
                return got
            self.first[shape] += 1
        self.closed.add(shape)
        return got

    def next_class(self, demand: Demand) -> int:
        """Return the first class of which a queue wants more and there may be room; -1 for none."""
        while demand.at < len(demand.classes):
            shape = demand.classes[demand.at]
            if demand.tasks[demand.at] and shape not in self.closed:
                return shape
            demand.at += 1
        return -1

    def claims(self, demands: dict[int, Demand]) -> dict[int, Claim]:
        """Return what the heads of queues ask for, if there is room for it."""
        table = np.array(self.free)
        free = table.sum(axis=0).tolist()
        rooms: dict[int, int] = {}
        found = {}
        for row, demand in demands.items():
            shape = self.next_class(demand)
            if shape >= 0 and shape not in rooms:
                fits = [table[:, d] // want for d, want in self.needs[shape]]
                rooms[shape] = int(np.minimum.reduce(fits).sum())
            if rooms.get(shape):
                need = self.plain[shape]
                found[row] = Claim(need, rooms[shape], scarce_in(need, free, rooms[shape]))
        return found


@dataclass(slots=True)
class Demand:
    """What a queue wants: (class, tasks), the class of its first job first."""

    classes: list[int]
    tasks: list[int]
    at: int = 0


def demands(snapshot: Snapshot, lines: list[Line]) -> dict[int, Demand]:
    """Add the jobs of each line up by class."""
    width = len(snapshot.shapes)
    rows = np.array([row for line in lines for row in line.jobs])
    number = np.repeat(np.arange(len(lines)), [len(line.jobs) for line in lines])
    code = number * width + snapshot.job_shape[rows]
    tasks = np.bincount(code, snapshot.job_pending[rows], len(lines) * width).astype(np.int64)
    first = np.full(len(tasks), len(rows))
    first[code[::-1]] = np.arange(len(rows))[::-1]
    order = np.argsort(first)[: np.count_nonzero(first < len(rows))]
    found = {line.queue: Demand([], []) for line in lines}
    for at, count in zip(order.tolist(), tasks[order].tolist(), strict=True):
        demand = found[lines[at // width].queue]
        demand.classes.append(at % width)
        demand.tasks.append(count)
    return found


def share_out(
    snapshot: Snapshot, tree: QueueTree, wanted: dict[int, Demand], *, strict: bool = False
) -> list[int]:
    """Take turns until nothing fits any more; return the tasks of each queue."""
    room, total = Room(snapshot), snapshot.node_capacity.sum(axis=0).tolist()
    needs = room.plain
    used = snapshot.queue_used.tolist()
    served = [0] * len(used)
    past = [past_share(spent, POLICY_DECAY_MS) for spent in snapshot.queue_spent_ms.tolist()]
    turns = Turns(tree, used, total, {row: (0, row) for row in wanted}, past)
    while (queue := turns.first()) >= 0:
        line = wanted[queue]
        if not strict and turns.due:
            turns.reckon(room.claims({row: wanted[row] for row in turns.waiting()}))
        limits = [] if strict else turns.limits(queue)
        least = 1
        while (shape := room.next_class(line)) >= 0:
            turns.count(queue)
            step = least if strict else max(least, turns.tasks_to(limits, needs[shape]))
            if step <= 0:
                break
            goal = min(step, line.tasks[line.at])
            got = room.take(shape, goal)
            line.tasks[line.at] -= got
            served[queue] += got
            for d, want in room.needs[shape]:
                used[queue][d] += got * want
            least = 0 if got else least
            if got == step:
                break
        turns.end_turn(queue, (0, queue) if room.next_class(line) >= 0 else None)
    return served


def measured(
    snapshot: Snapshot, served: dict[str, list[int]], name: str, *, only_order: bool = False
) -> float:
    """Return CPU milliseconds of one pass, and keep what it served under its name."""
    begun = time.process_time()
    (lines,) = levels(snapshot, may_start(snapshot), BALANCED)
    if not only_order:
        wanted = demands(snapshot, lines)
        tree = tree_of(snapshot.queues)
        served[name] = share_out(snapshot, tree, wanted, strict=name == STRICT)
    return (time.process_time() - begun) * 1_000


def run(effort: Effort) -> Row:
    """Measure the row."""
    jobs = JOBS if effort.peers else effort.tasks * 10
    snapshot = pool(jobs)
    queues = len(snapshot.queues)
    row = Row("fairness", f"Fair shares: {jobs:,} jobs, {SITES} sites, {queues} queues")
    served: dict[str, list[int]] = {}
    contenders = {
        OURS: partial(measured, snapshot, served, OURS),
        ORDER: partial(measured, snapshot, served, ORDER, only_order=True),
        STRICT: partial(measured, snapshot, served, STRICT),
    }
    for name, values in in_turns(row, contenders, effort.rounds, BUDGET_S * effort.scale).items():
        goal = GOAL_MS if name == OURS and effort.peers else None
        row.figures.append(
            Figure(name, "ms", values, name == OURS, goal, at_most=True, note="CPU time")
        )
    row.compare(OURS, STRICT)
    if OURS in served and STRICT in served:
        apart = [abs(a - b) for a, b in zip(served[OURS], served[STRICT], strict=True)]
        row.notes.append(
            f"{sum(served[OURS]):,} tasks fit, {sum(served[STRICT]):,} with one per turn. No"
            f" queue's tasks differ by more than {max(apart)} (of {max(served[STRICT]):,}): longer"
            " turns fill the sites in another order, and other pieces are left over."
        )
    return row
