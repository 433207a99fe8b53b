"""What users want in a run, drawn from its seed: jobs of every kind, cancels, repeats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fenglin.model.job import AfterCondition, JobSpec, Retries
from fenglin.model.site import Flavor, Node, Price, Queue, Site
from fenglin.model.states import ComputeClass, PlacementKind
from fenglin.quantities.resources import Resources
from fenglin.testing.dst.site import FAILS, WALL

if TYPE_CHECKING:
    from random import Random

GIB = 2**30
ACCOUNTS = ("default", "lab", "poor")
QUEUES = (
    Queue("default", 1_000),
    Queue("batch", 500, quota=Resources(24_000, 96 * GIB)),
    Queue("urgent", 3_000),
)


@dataclass(slots=True)
class Wish:
    """One thing that a user wants, and how far a hub has acknowledged it.

    Attributes:
        spec: Of the job; its parents come when it is submitted.
        at_s: When it is first asked for.
        cancel_s: When its cancel is asked for; 0 for never.
        parents: (wish, condition, per task) that it waits for.
        again: Whether it is submitted once more although it was answered.
        number: Of the job, once acknowledged; 0 before.
        refused: Why it was refused for good.
        cancel_answer: State that the acknowledged cancel has told.
        lost: Whether a restored backup knows nothing of it.
        stray: Number of the job that another body under its key became in such a backup.
        answers: Numbers that it was acknowledged with.
    """

    key: str
    spec: JobSpec
    at_s: float
    cancel_s: float = 0.0
    parents: tuple[tuple[int, AfterCondition, bool], ...] = ()
    again: bool = False
    number: int = 0
    refused: str = ""
    cancel_answer: str = ""
    lost: bool = False
    stray: int = 0
    answers: list[int] = field(default_factory=list)


def draw_sites(random: Random) -> tuple[Site, ...]:
    """Return three sites of unlike size, price and kind."""
    sites = []
    for at, name in enumerate(("alpha", "beta", "gamma")):
        cores = random.choice((4, 8, 16))
        price = Price(
            core_hour_micro=random.choice((50_000, 100_000, 360_000)),
            task_minimum_ms=random.choice((0, 1_000, 60_000)),
        )
        flavor = Flavor(
            "std",
            tuple(ComputeClass)[at],
            Resources(cores * 1_000, cores * 4 * GIB),
            speed_milli=random.choice((500, 1_000, 2_000)),
            price=price,
        )
        nodes = tuple(Node(f"n{i}", "std") for i in range(random.randint(2, 4)))
        kind = PlacementKind.DELEGATED if at == 2 and random.random() < 0.5 else PlacementKind.NODE
        start_ms = random.choice((0, 0, 2_000))
        sites.append(
            Site(
                name,
                f"provider-{name}",
                "dst",
                placement=kind,
                flavors=(flavor,),
                nodes=nodes,
                start_ms=start_ms,
            )
        )
    return tuple(sites)


def draw_wishes(random: Random, count: int, span_s: float, arrays: tuple[int, ...]) -> list[Wish]:
    """Return what is wanted within a time, by time; some of it in bursts.

    Args:
        random: Source of the choices.
        count: So many wishes.
        span_s: They come within this time.
        arrays: How many tasks those jobs have that have more than one.
    """
    bursts = [random.random() * span_s for _ in range(4)]
    times = sorted(
        random.choice(bursts) + random.random() * 60
        if random.random() < 0.4
        else random.random() * span_s
        for _ in range(count)
    )
    wishes: list[Wish] = []
    for at, at_s in enumerate(times):
        wish = Wish(f"w{at}", _spec(random, at, arrays), at_s)
        roll = random.random()
        if roll < 0.10:
            wish.cancel_s = at_s + random.choice((0.01, 1.0, 60.0, 1_800.0)) * random.random()
        if wishes and random.random() < 0.15:
            wish.parents = _parents(random, wish, wishes)
        wish.again = random.random() < 0.05
        wishes.append(wish)
    return wishes


def _spec(random: Random, at: int, arrays: tuple[int, ...]) -> JobSpec:
    shape = random.random()
    tasks = 1 if shape < 0.5 else random.choice(arrays)
    nodes = random.choice((2, 2, 3)) if shape > 0.92 else 1
    wall_ms = int(random.choice((500, 5_000, 60_000, 600_000, 2_400_000)) * (0.5 + random.random()))
    env = [(WALL, str(wall_ms))]
    if random.random() < 0.2:
        env.insert(0, (FAILS, str(random.choice((10, 50, 100)))))
    return JobSpec(
        f"job-{at}",
        queue=random.choice(("default", "default", "batch", "urgent")),
        account=random.choice(("default", "default", "lab", "poor")),
        priority=random.choice((0, 0, 0, 10, 100)),
        tasks=tasks if nodes == 1 else min(tasks, 3),
        concurrency=random.choice((0, 0, 0, 2)),
        resources=Resources(random.choice((500, 1_000, 2_000)), random.choice((1, 2)) * GIB),
        nodes=nodes,
        command=("payload",),
        env=tuple(sorted(env)),
        retries=Retries(random.choice((0, 0, 1, 3))),
        estimate_ms=wall_ms if random.random() < 0.5 else 0,
        timeout_ms=int(wall_ms * 1.2) if random.random() < 0.15 else 0,
        preemptible=random.random() < 0.3,
    )


def _parents(
    random: Random, wish: Wish, before: list[Wish]
) -> tuple[tuple[int, AfterCondition, bool], ...]:
    """Choose what a wish waits for: jobs of its own account, some of them task by task."""
    own = [at for at, one in enumerate(before) if one.spec.account == wish.spec.account][-20:]
    if not own:
        return ()
    parent = random.choice(own)
    condition = random.choice(
        (AfterCondition.OK, AfterCondition.OK, AfterCondition.ANY, AfterCondition.FAIL)
    )
    equal = before[parent].spec.tasks == wish.spec.tasks > 1
    return ((parent, condition, equal and random.random() < 0.7),)
