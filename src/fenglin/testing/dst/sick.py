"""Jobs that the code cannot handle: each is set aside, all others go on, and it is let go.

A job is ill of one thing: its row cannot be read, or one step of the hub raises whenever it
touches it, as a fault of ours would. The steps are wrapped for the run; nothing in the engine
knows of it. Drawn from a stream of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from fenglin import planner
from fenglin.engine import applier, planning, quarantine
from fenglin.engine.fold import Fold
from fenglin.engine.pool import Pool
from fenglin.errors import NotFoundError
from fenglin.model.ids import parse_job_id
from fenglin.testing.dst.users import ADMIN, at_desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from fenglin.model.plan import Plan
    from fenglin.planner.policy import Policy
    from fenglin.ports.driver import Observation
    from fenglin.ports.store import Change, JobRecord
    from fenglin.snapshot.builder import JobRow
    from fenglin.snapshot.snapshot import Snapshot
    from fenglin.testing.dst.world import World

P = ParamSpec("P")
# Share of the runs that have such jobs, and how many.
SHARE = 0.25
MOST = 3
STAGES = ("load", "take in", "record", "plan", "start")
# Half of them have parents or children, whom it concerns too.
KIN_SHARE = 0.5
GARBLED = b'{"name": "torn'
# So long the others may take while what is set aside holds nothing.
GOES_ON_WITHIN_S = 4 * 86_400.0
# So long they are waited for while it holds nodes, which they may need.
LOOKS_ON_FOR_S = 6 * 3_600.0


class IllnessError(ArithmeticError):
    """What a step raises at an ill job."""


@dataclass(slots=True)
class Ward:
    """Who is ill.

    Attributes:
        plan: (when, of what, until when; 0 for the end) somebody falls ill.
        random: Source of who it is.
        ill: Number → of what, now.
        ever: All that ever were.
        specs: What stood in the rows that were garbled.
    """

    plan: list[tuple[float, str, float]]
    random: Random
    ill: dict[int, str] = field(default_factory=dict)
    ever: set[int] = field(default_factory=set)
    specs: dict[int, bytes] = field(default_factory=dict)

    def check(self, stage: str, job: int) -> None:
        """Raise at a job that is ill of this."""
        if self.ill.get(job) == stage:
            raise IllnessError(f"j{job} is ill")


def draw_ward(random: Random, span_s: float) -> Ward:
    """Return who falls ill in a run."""
    plan = []
    for _ in range(random.randint(1, MOST)):
        at_s = random.random() * span_s
        until_s = random.choice((0.0, at_s + random.random() * span_s))
        plan.append((at_s, random.choice(STAGES), until_s))
    return Ward(sorted(plan), random)


@contextlib.contextmanager
def wrapped(ward: Ward | None) -> Iterator[None]:
    """Let the hub's steps raise at those who are ill."""
    if ward is None:
        yield
        return
    steps: tuple[tuple[object, str, object], ...] = (
        (Fold, "observed", _observed(Fold.observed, ward)),
        (Pool, "job_row", _job_row(Pool.job_row, ward)),
        (planning, "plan", _plan(planner.plan, ward)),
        (quarantine, "plan", _plan(planner.plan, ward)),
        (applier, "commitments", _commitments(applier.commitments, ward)),
    )
    before = [(place, name, getattr(place, name)) for place, name, _ in steps]
    for place, name, step in steps:
        setattr(place, name, step)
    try:
        yield
    finally:
        for place, name, real in before:
            setattr(place, name, real)


def _observed(real: Callable[[Fold, Observation, int], None], ward: Ward) -> object:
    def observed(self: Fold, news: Observation, allocation: int) -> None:
        real(self, news, allocation)
        ward.check("record", self.at)

    return observed


def _job_row(real: Callable[[Pool, JobRecord], JobRow], ward: Ward) -> object:
    def job_row(self: Pool, job: JobRecord) -> JobRow:
        ward.check("take in", job.number)
        return real(self, job)

    return job_row


def _plan(real: Callable[Concatenate[Snapshot, P], Plan], ward: Ward) -> object:
    def plan(snapshot: Snapshot, *given: P.args, **named: P.kwargs) -> Plan:
        for job in snapshot.job_number.tolist() if ward.ill else ():
            ward.check("plan", job)
        return real(snapshot, *given, **named)

    return plan


def _commitments(
    real: Callable[Concatenate[Pool, Snapshot, Policy, Plan, P], Change], ward: Ward
) -> object:
    def commitments(
        pool: Pool,
        snapshot: Snapshot,
        policy: Policy,
        plan: Plan,
        *given: P.args,
        **named: P.kwargs,
    ) -> Change:
        for start in plan.starts:
            ward.check("start", start.job)
        return real(pool, snapshot, policy, plan, *given, **named)

    return commitments


async def fall_ill(world: World, ward: Ward) -> None:
    """Let all fall ill who shall, and those recover who shall before the end."""
    await asyncio.gather(*(_one(world, ward, *what) for what in ward.plan))


async def _one(world: World, ward: Ward, at_s: float, stage: str, until_s: float) -> None:
    await asyncio.sleep(at_s)
    rows = world.disk.conn.execute("SELECT number FROM job WHERE ended_ms = 0 ORDER BY number")
    live = [number for (number,) in rows if number not in ward.ill]
    if not live:
        return
    pairs = world.disk.conn.execute("SELECT parent, child FROM job_parent").fetchall()
    kin = [number for number in live if any(number in pair for pair in pairs)]
    job = ward.random.choice(kin if kin and ward.random.random() < KIN_SHARE else live)
    ward.ever.add(job)
    ward.ill[job] = stage
    world.trace.note("FAULT", f"j{job} falls ill: {stage}")
    if stage == "load":
        (spec,) = world.disk.conn.execute(
            "SELECT spec FROM job WHERE number = ?", (job,)
        ).fetchone()
        ward.specs[job] = spec
        world.judge.specs[job] = spec
        write_spec(world, job, GARBLED)
        world.kill_leader("SIGKILL: a row is torn")
    if until_s:
        await asyncio.sleep(max(0.0, min(until_s, world.size.span_s) - world.loop.time()))
        await cure(world, ward, job)


def write_spec(world: World, job: int, spec: bytes) -> None:
    """Change a row behind everybody's back."""
    conn = world.disk.conn
    conn.execute("UPDATE job SET spec = ? WHERE number = ?", (spec, job))
    conn.execute("DELETE FROM dst_wrong")
    conn.execute("DELETE FROM dst_touched")


def mend_rows(world: World, ward: Ward) -> None:
    """Put right what a restored backup has brought back of rows that are well."""
    for job, spec in ward.specs.items():
        if job not in ward.ill:
            write_spec(world, job, spec)


async def cure(world: World, ward: Ward, job: int) -> None:
    """Mend a job, and have the operator let it go, if it was set aside."""
    ward.ill.pop(job, None)
    world.trace.note("FAULT", f"j{job} is well again")
    if job in ward.specs:
        write_spec(world, job, ward.specs[job])

    with contextlib.suppress(NotFoundError):
        await at_desk(world, lambda hub: hub.safety, lambda desk: desk.release(job, ADMIN))


async def recover(world: World, ward: Ward, wanting: list[asyncio.Task[None]]) -> None:
    """Wait until all go on who are well, then cure the others."""
    conn, judge = world.disk.conn, world.judge
    held = (
        "SELECT count(*) FROM allocation WHERE state <> 'ended'"
        " AND job IN (SELECT job FROM quarantine)"
    )
    began_s = world.loop.time()
    # The rows are asked, not the hub.
    while (waiting := _healthy(world, ward, wanting)) and judge.broken is None:
        since_s = world.loop.time() - began_s
        if since_s > LOOKS_ON_FOR_S and conn.execute(held).fetchone()[0]:
            break
        judge.must("J9", since_s < GOES_ON_WITHIN_S, f"{waiting[:3]} wait while others are ill")
        await asyncio.sleep(30)
    for job in sorted(ward.ill):
        await cure(world, ward, job)
    # Who was found ill just before the cure is set aside after it.
    left_s = GOES_ON_WITHIN_S
    while left_s > 0 and conn.execute("SELECT 1 FROM job WHERE ended_ms = 0").fetchone():
        for (job,) in conn.execute("SELECT job FROM quarantine ORDER BY job").fetchall():
            await cure(world, ward, job)
        await asyncio.sleep(30)
        left_s -= 30


def _healthy(world: World, ward: Ward, wanting: list[asyncio.Task[None]]) -> list[str]:
    """Return who is well, waits for nobody who is not, and has not ended."""
    conn = world.disk.conn
    ill = set(ward.ill) | {row[0] for row in conn.execute("SELECT job FROM quarantine")}
    live = {row[0] for row in conn.execute("SELECT number FROM job WHERE ended_ms = 0")}
    found = []
    for wish, task in zip(world.wishes, wanting, strict=True):
        if wish.number in ill or any(parse_job_id(one.job) in ill for one in wish.spec.after):
            ill.add(wish.number)
        elif wish.number in live or not task.done():
            found.append(wish.key)
    return found
