"""Runs the jobs of a workload round by round, and measures when they end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fenglin.errors import InputError
from fenglin.planner.backfill.twins import Kernel, compiled
from fenglin.planner.rounds import elastic, goodput
from fenglin.planner.rounds.columns import NOWHERE, Floats, Ints
from fenglin.planner.rounds.elastic import Crew
from fenglin.simulator.sia.job import Profile, Run, Shop, advance, move
from fenglin.simulator.sia.tables import Application, SiaJob, read_applications, read_jobs

HOUR_S = 3600.0
# Sia's heterogeneous cluster: cards of a node, and nodes.
CLUSTER = (("aws", 6, 4), ("dgx-ext", 2, 8), ("rtx", 3, 8))
POLICIES = ("fenglin", "fenglin-alone", "sia", "fifo")
# What Sia's scheduler reckons for a change where it differs from what the change takes.
SIA_RECKONED_S = {"cifar10": 30.0, "yolov3": 45.0}
# Nobody grows to more than twice the cards that it was seen on, as in Pollux and Sia.
GROWTH = 2
# Work of a job of which nothing is known, on its slowest configuration; and of one that should
# have ended, as a part of that.
FRESH_S = 3600.0
OVERDUE = 0.01
MOST_CARDS = 64
MOST_ROUNDS = 200_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave.

    Attributes:
        avg_jct_h: Mean time from arrival to end, in hours.
        p99_jct_h: The time that 99 % of the jobs did not exceed.
        makespan_h: From the first arrival to the last end.
        jobs: How many there were.
        rounds: How many.
        restarts: Changes of cards per job, without the first start.
        seconds: Process time of planning.
    """

    avg_jct_h: float
    p99_jct_h: float
    makespan_h: float
    jobs: int
    rounds: int
    restarts: float
    seconds: float


@dataclass(slots=True)
class World:
    """A run on its way.

    Attributes:
        shop: The cluster.
        room: Cards by type.
        policy: Its name.
        shared: What all jobs of an application know, for the policy that keeps it.
        first: The gradient that was first met, by application.
        total: The progress that ended jobs needed, by application.
        best: Scratch of `assign`.
        chosen: Scratch of `assign`.
        seconds: See `Outcome`.
    """

    shop: Shop
    room: Ints
    policy: str
    shared: dict[str, Profile] = field(default_factory=dict)
    first: dict[str, tuple[float, float]] = field(default_factory=dict)
    total: dict[str, float] = field(default_factory=dict)
    best: Floats = field(default_factory=lambda: np.zeros((2, 0)))
    chosen: NDArray[np.int16] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int16))
    seconds: float = 0.0

    @property
    def learns(self) -> bool:
        """Return whether jobs know what others of their application have met."""
        return self.policy == "fenglin"


def simulate(
    jobs: Sequence[SiaJob], applications: Mapping[str, Application], policy: str, round_s: float,
    cluster: Sequence[tuple[str, int, int]] = CLUSTER,
) -> Outcome:  # fmt: skip
    """Run all jobs to their ends.

    Args:
        jobs: In the order of their arrival.
        applications: What they train.
        policy: One of `POLICIES`.
        round_s: Length of a round.
        cluster: Types of cards, their nodes, and the cards of a node.

    Raises:
        InputError: there is no such policy, or a job never ends.
    """
    world = new_world(policy, cluster)
    runs, rounds = run_jobs(world, jobs, applications, round_s)
    return outcome(runs, rounds, world.seconds)


def run_jobs(
    world: World, jobs: Sequence[SiaJob], applications: Mapping[str, Application], round_s: float
) -> tuple[list[Run], int]:
    """Run all jobs to their ends; return them, and the number of rounds.

    Raises:
        InputError: a job never ends.
    """
    runs = []
    for job in jobs:
        app = applications[job.application]
        own = Profile.empty(len(world.shop.kinds))
        profile = world.shared.setdefault(app.name, own) if world.learns else own
        runs.append(Run(job, app, profile))
    now_s, rounds, ahead = 0.0, 0, list(reversed(runs))
    active: list[Run] = []
    while ahead or active:
        for run in active:
            advance(run, world.shop, now_s, round_s)
        now_s += round_s
        rounds += 1
        for run in active:
            remember(world, run)
        active = [run for run in active if run.ended_s is None]
        while ahead and ahead[-1].job.submitted_s <= now_s:
            active.append(ahead.pop())
        if rounds > MOST_ROUNDS:
            raise InputError(f"after {MOST_ROUNDS:,} rounds {len(active)} jobs have not ended")
        plan(world, active, now_s)
    return runs, rounds


def new_world(policy: str, cluster: Sequence[tuple[str, int, int]]) -> World:
    """Return an empty cluster.

    Raises:
        InputError: there is no such policy, or the cluster is empty or too large.
    """
    if policy not in POLICIES:
        raise InputError(f"there is no policy {policy!r}", hint=f"one of {', '.join(POLICIES)}")
    kinds, nodes, each = zip(*cluster, strict=True)
    every = (*goodput.KERNELS, *elastic.KERNELS)
    kernels: Mapping[str, Kernel] = compiled(every) or {one.__name__: one for one in every}
    shop = Shop(kinds, each, elastic.configurations(nodes, each), kernels)
    return World(shop, np.array(nodes) * np.array(each), policy)


def remember(world: World, run: Run) -> None:
    """Keep what a job has shown of its application."""
    name = run.application.name
    if run.gradient is not None:
        world.first.setdefault(name, run.gradient)
    if run.ended_s is not None:
        world.total[name] = run.progress


def plan(world: World, active: Sequence[Run], now_s: float) -> None:
    """Give out the cards of the next round."""
    if not active:
        return
    began = time.process_time()
    picked = in_turn(world, active) if world.policy == "fifo" else by_value(world, active, now_s)
    world.seconds += time.process_time() - began
    for run, held in zip(active, picked, strict=True):
        move(run, world.shop, int(held))


def by_value(world: World, active: Sequence[Run], now_s: float) -> Ints:
    """Return the configurations of the highest total value."""
    crew = new_crew(world, active, now_s)
    values = elastic.sia_values(crew) if world.policy == "sia" else elastic.fenglin_values(crew)
    picked = np.full(len(active), NOWHERE)
    if world.chosen.shape[0] < len(active):
        states = int(np.prod(world.room + 1))
        world.best = np.zeros((2, states))
        world.chosen = np.zeros((2 * len(active), states), dtype=np.int16)
    menu = world.shop.menu
    world.shop.kernels["assign"](
        values, menu.kind, menu.cards, world.room, world.best, world.chosen, picked
    )
    return picked


def in_turn(world: World, active: Sequence[Run]) -> Ints:
    """Return configurations in the order of arrival, kept to the end.

    Everybody gets the largest configuration that is no larger than asked, of the first type that
    has room; who finds none holds up the rest.
    """
    menu, room = world.shop.menu, world.room.copy()
    picked = np.array([run.held for run in active])
    for held in picked[picked != NOWHERE]:
        room[menu.kind[held]] -= menu.cards[held]
    for j, run in enumerate(active):
        if picked[j] == NOWHERE:
            want = menu.cards[menu.cards <= max(run.job.cards, 1)].max()
            fits = np.flatnonzero((menu.cards == want) & (room[menu.kind] >= want))
            if not fits.size:
                break
            picked[j] = fits[0]
            room[menu.kind[fits[0]]] -= want
    return picked


def new_crew(world: World, active: Sequence[Run], now_s: float) -> Crew:
    """Return what is known of the jobs."""
    sia = world.policy == "sia"
    rows = [goodput_row(world, run) for run in active]
    names = [run.application.name for run in active]
    costs = [run.application.restart_s for run in active]
    if sia:
        costs = [SIA_RECKONED_S.get(n, c) for n, c in zip(names, costs, strict=True)]
    return Crew(
        goodput=np.array(rows),
        held=np.array([run.held for run in active]),
        locked=np.array([int(run.held != NOWHERE and run.loading_s > 0) for run in active]),
        age_s=np.array([now_s - run.job.submitted_s for run in active]),
        restarts=np.array([max(run.starts - 1, 0) for run in active]),
        restart_s=np.array(costs),
        work=np.array([left(world, run, row) for run, row in zip(active, rows, strict=True)]),
    )


def left(world: World, run: Run, row: Floats) -> float:
    """Return the progress that a job still has to make: as much as others of its application.

    Where none has ended or may be known, as much as it has made so far.
    """
    fresh = float(row[row > 0].min()) * FRESH_S
    total = world.total.get(run.application.name) if world.learns else None
    if total is None:
        return run.progress + fresh
    return max(total - run.progress, 0.0) + OVERDUE * fresh


def goodput_row(world: World, run: Run) -> Floats:
    """Return goodput by configuration, as far as it is known.

    A type of card that a job never ran on counts as one that it did, times the ratio of their
    speeds on one card. A job that never ran at all may have one card, of any type alike.
    """
    shop, profile = world.shop, run.profile
    menu = shop.menu
    gradient = run.gradient or (world.first.get(run.application.name) if world.learns else None)
    known = [k for k, terms in enumerate(profile.terms) if terms is not None]
    if gradient is None or not known:
        return np.where(menu.cards == 1, 1.0, 0.0)
    key = (profile.version, gradient)
    if run.row is not None and run.row[0] == key:
        return run.row[1]
    app = run.application
    row = np.zeros(menu.cards.size)
    top = app.limits[shop.kinds[0]]
    most = min(max(GROWTH * profile.most_cards, 1), MOST_CARDS, int(top.most // top.least_local))
    for k, kind in enumerate(shop.kinds):
        mine = (menu.kind == k) & (menu.cards <= most)
        source = k if k in known else known[0]
        cards = menu.cards[mine].astype(float)
        nodes = np.ceil(cards / shop.each[source])
        limits = app.limits[shop.kinds[source]]
        if world.policy == "sia":
            limits = limits._replace(most=max(float(run.job.batch), limits.first))
        out = np.zeros(cards.size)
        shop.kernels["goodputs"](profile.terms[source], *gradient, limits, nodes, cards, out)
        row[mine] = out * (app.base[kind] / app.base[shop.kinds[source]])
    run.row = (key, row)
    return row


def outcome(runs: Sequence[Run], rounds: int, seconds: float) -> Outcome:
    """Return the figures of a run."""
    ends = np.array([run.ended_s or 0.0 for run in runs])
    times = np.array([run.job.submitted_s for run in runs])
    took = np.sort(ends - times)
    return Outcome(
        avg_jct_h=float(took.mean()) / HOUR_S,
        p99_jct_h=float(took[int(0.99 * took.size)]) / HOUR_S,
        makespan_h=float(ends.max() - times.min()) / HOUR_S,
        jobs=len(runs),
        rounds=rounds,
        restarts=float(np.mean([max(run.starts - 1, 0) for run in runs])),
        seconds=seconds,
    )


def run_seeds(
    data: Path, workload: str, seeds: Sequence[int], policy: str, round_s: float
) -> dict[int, Outcome]:
    """Run a policy on streams of a workload; see `simulate`."""
    applications = read_applications(data, [kind for kind, _, _ in CLUSTER])
    return {
        seed: simulate(read_jobs(data, workload, seed, applications), applications, policy, round_s)
        for seed in seeds
    }
