"""What else is done with money in a run: voucher pools, hours granted and lent, budgets.

Drawn from streams of its own, so that whatever a seed tells without it stays as it was. What a hub
has acknowledged of a voucher is noted and looked for when all has come to rest.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from fenglin.errors import FenglinError
from fenglin.ledger.budgets import Budget, Span
from fenglin.ledger.vouchers.claim import Application, Line
from fenglin.ledger.vouchers.scheme import NO_CAP_MICRO, UNIT_MICRO, Ratio, Reservation, Scheme
from fenglin.model.hours import CORE_HOUR, purse
from fenglin.quantities.period import period_of
from fenglin.testing.dst.users import ADMIN, at_desk, pay_in
from fenglin.wire.voucher_views import PoolAsk, TakeBackAsk, UseAsk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from fenglin.engine.books.vouchers import VoucherDesk
    from fenglin.testing.dst.world import World

T = TypeVar("T")
# Share of the runs in which these things are done.
SHARE = 0.3
YEAR = 2025
# Budgets and pools are this large for each job that users want, or a part of it.
PER_JOB_MICRO = 100_000
# So many acts of a clerk for each job; at least `LEAST_ACTS`.
ACTS_PER_JOB = 0.15
LEAST_ACTS = 12
OFFSET_MIN = 480
_ACTS = ("file", "file", "approve", "approve", "round", "use", "claw back", "revoke")


@dataclass(frozen=True, slots=True)
class Told:
    """An act that a hub has acknowledged.

    Attributes:
        act: As the pool's events name it.
        voucher: Its id.
        bill: Key of the posting that was paid; empty for other acts.
        why: The key under which it was asked, where the event names it.
        amount_micro: How much; 0 where the answer does not say.
    """

    act: str
    voucher: str
    bill: str = ""
    why: str = ""
    amount_micro: int = 0


@dataclass(slots=True)
class Clerk:
    """Who keeps one pool.

    Attributes:
        scheme: Of the pool.
        steps: (when, what) is done; the pool is opened with the first.
        random: Source of the rest.
        filed: (id, account) of each application.
        told: What was acknowledged.
    """

    scheme: Scheme
    steps: list[tuple[float, str]]
    random: Random
    filed: list[tuple[str, str]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    @property
    def pool(self) -> str:
        """Return the pool's name."""
        return f"{self.scheme.name}-{YEAR}"


@dataclass(slots=True)
class Books:
    """All of it in a run.

    Attributes:
        clerks: One for each pool.
        budgets: What accounts may use in the month, until all is healed.
        hours: (when, account, millionths of a core-hour) that are granted.
    """

    clerks: list[Clerk]
    budgets: dict[str, tuple[Budget, ...]]
    hours: list[tuple[float, str, int]]


def draw_books(random: Random, jobs: int, span_s: float, accounts: tuple[str, ...]) -> Books:
    """Return what is done in a run with so many jobs in so long a time."""
    whole_micro = PER_JOB_MICRO * jobs
    clerks = []
    for number in range(random.choice((1, 1, 2))):
        acts = max(LEAST_ACTS, round(ACTS_PER_JOB * jobs))
        times = sorted(random.random() * span_s for _ in range(acts))
        steps = [(at_s, random.choice(_ACTS)) for at_s in times]
        steps[0] = (steps[0][0], "file")
        clerks.append(Clerk(_scheme(random, f"s{number}", whole_micro, accounts), steps, random))
    # The first account has most of the jobs: to plan for all of them again and again costs much.
    budgets: dict[str, tuple[Budget, ...]] = {
        account: (
            Budget(
                Span.MONTH,
                hard_micro=round(whole_micro * random.choice((0.02, 0.2, 1.0))),
                soft_micro=random.choice((None, 1_000)),
            ),
        )
        for account in accounts[1:]
        if random.random() < 0.5
    }
    hours = [
        (random.random() * span_s, account, round(jobs * 40_000 * random.random()) + 1)
        for account in accounts
        if random.random() < 0.4
    ]
    return Books(clerks, budgets, hours)


def draw_lent(
    random: Random, jobs: int, accounts: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, Budget]]:
    """Return how far core-hours are lent, by purse, and what may be used of them, by account."""
    lent, rationed = {}, {}
    for account in accounts:
        most_micro = round(jobs * 20_000 * random.random())
        if random.random() < 0.4:
            lent[purse(account, CORE_HOUR)] = most_micro
        if random.random() < 0.4:
            rationed[account] = Budget(Span.MONTH, 2 * most_micro, most_micro, CORE_HOUR)
    return lent, rationed


def _scheme(random: Random, name: str, whole_micro: int, accounts: tuple[str, ...]) -> Scheme:
    budget_micro = UNIT_MICRO * max(4, round(whole_micro * random.choice((0.1, 0.5)) / UNIT_MICRO))
    quota_micro = budget_micro // 4
    return Scheme(
        name=name,
        title="a simulated scheme",
        budget_micro=budget_micro,
        reservation=random.choice(tuple(Reservation)),
        ratios=(Ratio(0, random.choice((3_000, 10_000))),),
        firm_cap_micro=random.choice((NO_CAP_MICRO, budget_micro // 3)),
        items=random.choice((("any",), ("compute",))),
        unrelated=True,
        once_per_contract=True,
        paid_proof=False,
        signed_from="",
        valid_days=random.choice((0, 1, 2)),
        quotas=tuple((account, quota_micro) for account in accounts),
    )


async def at_vouchers(world: World, what: Callable[[VoucherDesk], Awaitable[T]]) -> T:
    """Ask the voucher desk of whoever leads until there is an answer that means something."""
    return await at_desk(world, lambda hub: hub.vouchers, what)


async def grant_hours(world: World, books: Books) -> None:
    """Grant accounts their hours, each once, however often it has to be asked."""
    for at_s, account, amount_micro in sorted(books.hours):
        await asyncio.sleep(max(0.0, at_s - world.loop.time()))
        await pay_in(world, account, amount_micro, f"hours-{account}", hours="core")


async def keep(world: World, clerk: Clerk) -> None:
    """Do all that a clerk has in mind; what the hub refuses is noted and left."""
    for number, (at_s, act) in enumerate(clerk.steps):
        await asyncio.sleep(max(0.0, at_s - world.loop.time()))
        # A restored backup may know nothing of the pool; the same scheme again changes nothing.
        await _try(world, clerk, _open)
        await _try(world, clerk, _DO[act], f"{clerk.pool}/{number}")


async def _try(world: World, clerk: Clerk, act: Callable[..., Awaitable[str]], *more: str) -> None:
    try:
        said = await act(world, clerk, *more)
    except FenglinError as error:
        said = f"refused: {error}"
    world.trace.note("clerk", f"{clerk.pool} {act.__name__} {' '.join(more)}: {said}")


async def _open(world: World, clerk: Clerk) -> str:
    ask = PoolAsk(year=YEAR, scheme=clerk.scheme)
    view = await at_vouchers(world, lambda desk: desk.open(ask, ADMIN))
    return f"{view.free_micro} free, {view.reserved_micro} reserved"


async def _file(world: World, clerk: Clerk, key: str) -> str:
    random, asked = clerk.random, []
    for number in range(random.randint(1, 3)):
        account = random.choice(sorted(world.limits))
        name = f"{key.replace('/', '.')}.{number}"
        firm = random.choice(("firm-a", "firm-b"))
        asked.append(
            Application(
                id=name,
                account=account,
                firm=firm,
                seller=firm if random.random() < 0.1 else "seller",
                contract=random.choice((name, name, "the same")),
                signed="2025-10-01",
                lines=(Line("compute", random.randint(1, 60) * UNIT_MICRO // 2),),
            )
        )
        clerk.filed.append((name, account))
    found = await at_vouchers(world, lambda desk: desk.file(clerk.pool, asked, ADMIN))
    clerk.told += [
        Told("grant", one.id, amount_micro=one.granted_micro)
        for one in found.items
        if one.granted_micro
    ]
    return ", ".join(f"{one.id} {one.state} {one.granted_micro}" for one in found.items)


async def _round(world: World, clerk: Clerk, _key: str) -> str:
    found = await at_vouchers(world, lambda desk: desk.round(clerk.pool, ADMIN))
    return f"{len(found.items)} decided"


async def _approve(world: World, clerk: Clerk, _key: str) -> str:
    name, _ = clerk.random.choice(clerk.filed)
    await at_vouchers(world, lambda desk: desk.approve(clerk.pool, name, ADMIN))
    clerk.told.append(Told("approve", name))
    return name


async def _use(world: World, clerk: Clerk, key: str) -> str:
    _, account = clerk.random.choice(clerk.filed)
    ask = UseAsk(account=account, period=str(period_of(world.now_ms(), OFFSET_MIN)), key=key)
    found = await at_vouchers(world, lambda desk: desk.use(ask, ADMIN))
    again = await at_vouchers(world, lambda desk: desk.use(ask, ADMIN))
    same = found == again or world.judge.restores
    world.judge.must("V3", same, f"{key} used {found.parts}, and asked again {again.parts}")
    clerk.told += [
        Told("use", one.voucher, one.entry, amount_micro=one.amount_micro)
        for one in found.parts
        if one.pool == clerk.pool
    ]
    return f"{found.used_micro} of {account}"


async def _claw_back(world: World, clerk: Clerk, key: str) -> str:
    name, _ = clerk.random.choice(clerk.filed)
    ask = TakeBackAsk(why=key, key=key, amount_micro=clerk.random.choice((0, 1, 5_000)))
    for _ in range(2):
        await at_vouchers(
            world, lambda desk: desk.take_back(clerk.pool, name, ask, ADMIN, used=True)
        )
    clerk.told.append(Told("clawback", name, why=key, amount_micro=ask.amount_micro))
    return name


async def _revoke(world: World, clerk: Clerk, key: str) -> str:
    name, _ = clerk.random.choice(clerk.filed)
    ask = TakeBackAsk(why=key, key=key)
    await at_vouchers(world, lambda desk: desk.take_back(clerk.pool, name, ask, ADMIN, used=False))
    clerk.told.append(Told("revoke", name, why=key))
    return name


_DO: dict[str, Callable[..., Awaitable[str]]] = {
    "file": _file,
    "round": _round,
    "approve": _approve,
    "use": _use,
    "claw back": _claw_back,
    "revoke": _revoke,
}
