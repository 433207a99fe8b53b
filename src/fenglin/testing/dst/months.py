"""A month that ends in a run: it is closed and settled while use that belongs to it still comes.

The run begins as long before the month's end as the seed says. An operator asks for the close too
early, in time and again; use that no hub has heard of is told late, twice, in any order and once
otherwise; sites lose their memory, so that there is such use. Drawn from a stream of its own.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from fenglin.catalog.prices import billed_ms, rate_usage, total_micro
from fenglin.errors import ConflictError, FenglinError
from fenglin.ledger.entry import Kind
from fenglin.ledger.metering.records import UseRecord
from fenglin.ledger.settlement_deal import Deal, Rate
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key
from fenglin.model.reason import Reason
from fenglin.model.site import Price
from fenglin.quantities.period import Period
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet
from fenglin.storage import books as ledger_books
from fenglin.testing.dst.books import OFFSET_MIN
from fenglin.testing.dst.users import ADMIN, at_desk

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from random import Random

    from fenglin.testing.dst.site import Run
    from fenglin.testing.dst.world import World
    from fenglin.wire.account_views import PeriodClosed
    from fenglin.wire.metering_views import Recorded
    from fenglin.wire.settling_views import SettledMonth

# Share of the runs in which a month ends, when it does, and what is asked for meanwhile.
SHARE = 0.1
MONTH = Period(2025, 10, OFFSET_MIN)
ENDS_AT = (0.2, 0.7)
CLOSINGS, TELLINGS, LOSSES = 4, 6, 2
MOST_TOLD = 8
CONTRADICTS = 0.3
# A hub whose date jumps may believe that a month is over so long before its end.
AHEAD_MS = 3_600_000
_VAT = (("vat", Rate(6, 106)),)


@dataclass(slots=True)
class Months:
    """All of it in a run.

    Attributes:
        first_ms: Unix time at which the run begins.
        closings, tellings, losses: When the close is asked for, late use is told, and a site
            loses its memory.
        deals: With providers.
        random: Source of the rest.
        records: What is told of each use, by its key.
        told: Keys that a hub has acknowledged.
        doubted: Keys that were told otherwise as well.
        frozen: Hash of the entry that closed the month → what the month was then.
    """

    first_ms: int
    closings: list[float]
    tellings: list[float]
    losses: list[float]
    deals: dict[str, tuple[Deal, ...]]
    random: Random
    records: dict[str, UseRecord] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    doubted: set[str] = field(default_factory=set)
    frozen: dict[bytes, str] = field(default_factory=dict)


def draw_months(random: Random, span_s: float, sites: tuple[str, ...]) -> Months:
    """Return what is done in a run of so many seconds."""
    ends_s = span_s * random.uniform(*ENDS_AT)

    def times(many: int) -> list[float]:
        return sorted(random.random() * span_s for _ in range(many))

    deals: dict[str, tuple[Deal, ...]] = {}
    for provider in (f"provider-{site}" for site in sites):
        share, taxes = random.choice(((Rate(1), ()), (Rate(4, 5), ()), (Rate(4, 5), _VAT)))
        if share != Rate(1):
            deals[provider] = (Deal(provider=provider, share=share, taxes=taxes),)
    first_ms = MONTH.to_ms - round(ends_s * 1_000)
    return Months(first_ms, times(CLOSINGS), times(TELLINGS), times(LOSSES), deals, random)


async def keep_books(world: World, months: Months) -> None:
    """Ask for the close at all times, whether or not the month is over."""
    for at_s in months.closings:
        await asyncio.sleep(max(0.0, at_s - world.loop.time()))
        await close(world)


async def close(world: World) -> None:
    """Close the month and settle it, each asked twice; what comes before its time is refused."""
    must, restores = world.judge.must, world.judge.restores
    next_month = f"{MONTH.next()}"
    try:
        await _close(world, next_month)
        must("L10", good=False, what=f"{next_month} was closed before its end")
    except FenglinError as error:
        world.trace.note("books", f"{next_month} stays open: {error}")
    began_ms = world.now_ms()
    try:
        closed = await _close(world, str(MONTH))
        again = await _close(world, str(MONTH))
    except FenglinError as error:
        # Its clock may have been behind for as long as it was asked.
        must("L10", began_ms < MONTH.to_ms + AHEAD_MS, f"{MONTH} cannot be closed: {error}")
        world.trace.note("books", f"{MONTH} is not closed: {error}")
        return
    world.trace.note("books", f"{MONTH} is closed by entry {closed.entry}")
    must("L10", world.now_ms() + AHEAD_MS >= MONTH.to_ms, f"{MONTH} was closed before its end")
    unrestored = restores == world.judge.restores
    must("L10", closed == again or not unrestored, f"closed twice: {closed} {again}")
    await _settle(world)


async def _close(world: World, month: str) -> PeriodClosed:
    return await at_desk(world, lambda hub: hub.accounts, lambda desk: desk.close(month, ADMIN))


async def _settle(world: World) -> None:
    """Post the settlements of the closed month, twice."""
    must, restores = world.judge.must, world.judge.restores

    async def post() -> SettledMonth:
        return await at_desk(
            world, lambda hub: hub.settling, lambda desk: desk.post(str(MONTH), "", ADMIN)
        )

    try:
        posted = await post()
        again = await post()
    except ConflictError as error:
        # A backup that was restored meanwhile knows nothing of the close.
        must("L10", restores != world.judge.restores, f"{MONTH} cannot be settled: {error}")
        return
    same = posted == again or restores != world.judge.restores
    must("L10", same, f"settled twice: {posted} {again}")
    world.trace.note("books", f"{MONTH} is settled in {len(posted.items)} parts")


async def tell_late(world: World, months: Months) -> None:
    """Tell late use at all times."""
    for at_s in months.tellings:
        await asyncio.sleep(max(0.0, at_s - world.loop.time()))
        await tell(world, months)


async def tell(world: World, months: Months) -> None:
    """Tell of some use twice, the second time in another order, and of some otherwise as well."""
    random, must = months.random, world.judge.must
    uses = [months.records.setdefault(one.key, one) for one in _picked(world, random)]
    uses = list({one.key: one for one in uses}.values())
    restores = world.judge.restores
    first = await _take(world, uses)
    random.shuffle(uses)
    again = await _take(world, uses)
    good = again.new == again.foreign == 0 or restores != world.judge.restores
    must("M1", good, f"told again, {again.new} uses were new")
    months.told |= {one.key for one in uses}
    world.trace.note("meter", f"{first.new} of {len(uses)} uses were new, {first.billed} billed")
    if uses and random.random() < CONTRADICTS:
        other = replace(uses[0], wall_ms=uses[0].wall_ms + 1)
        months.doubted.add(other.key)
        taken = await _take(world, [other])
        good = taken.contradicting == 1 or restores != world.judge.restores
        must("M1", good, f"{other.key} was taken with another body: {taken}")


async def _take(world: World, uses: Sequence[UseRecord]) -> Recorded:
    return await at_desk(world, lambda hub: hub.metering, lambda desk: desk.record(uses, ADMIN))


def _picked(world: World, random: Random) -> list[UseRecord]:
    """Choose uses that were ended, some of them such as their sites have forgotten."""
    ended = [run for truth in world.truth.values() for run in truth.runs if run.ended_s is not None]
    lost = [run for run in ended if run.key in world.truth[run.site].lost_keys]
    picked = [*random.sample(ended, min(MOST_TOLD // 2, len(ended)))]
    picked += random.sample(lost, min(MOST_TOLD // 2, len(lost)))
    return [_use(world, run) for run in picked]


def _use(world: World, run: Run) -> UseRecord:
    wall_ms = round(((run.ended_s or run.began_s) - run.began_s) * 1_000)
    return UseRecord(run.key, run.task, world.epoch_ms + round(run.began_s * 1_000), wall_ms)


# --- the judge ----------------------------------------------------------------------------------


def freeze(world: World, months: Months) -> None:
    """Note what a month comes to, now that it is closed."""
    months.frozen.update(_closed(world.disk.conn, sorted(world.limits)))


def judge_months(world: World, months: Months) -> None:
    """Judge closed months and late use when nothing is under way (L10, M1, M2)."""
    conn, must = world.disk.conn, world.judge.must
    now = _closed(conn, sorted(world.limits))
    must("L10", len(now) == 1, f"{len(now)} entries have closed {MONTH}")
    for entry, what in now.items():
        same = months.frozen.get(entry) == what
        must("L10", same, f"{MONTH} has changed since it was closed: {what[:500]}")
    stored = {
        row[0]: UseRecord(*row[1:])
        for row in conn.execute(
            "SELECT key, attempt, task, started_ms, wall_ms, cpu_ms FROM use_record"
        )
    }
    for key, use in stored.items():
        otherwise = key in months.doubted and world.judge.restores
        must(
            "M1",
            use == months.records[key] or otherwise,
            f"{months.records[key]} was told first, kept was {use}",
        )
    missing = months.told - stored.keys()
    must("M1", not missing or world.judge.restores, f"taken and not kept: {sorted(missing)}")
    _judge_outcomes(world, stored)


def _closed(conn: sqlite3.Connection, accounts: Sequence[str]) -> dict[bytes, str]:
    """Return what the closed month is by its entries and statements, by the entry that closed it.

    The ledger's head stands in a statement too, and goes on.
    """
    found = {}
    for seq, entry in conn.execute(
        "SELECT seq, hash FROM ledger_entry WHERE key = ?", (f"{Kind.CLOSE}:{MONTH}",)
    ).fetchall():
        hashes = blake2b(digest_size=16)
        for (one,) in conn.execute(
            "SELECT hash FROM ledger_entry WHERE time_ms < ? ORDER BY seq", (MONTH.to_ms,)
        ):
            hashes.update(one)
        told = []
        for account in accounts:
            made = ledger_books.statement(conn, account, MONTH.from_ms, MONTH.to_ms)
            told.append(msgspec.json.encode(replace(made, ledger_seq=0, ledger_hash="")).decode())
        found[entry] = f"entries {hashes.hexdigest()}, closed by {seq}: {' '.join(told)}"
    return found


def _judge_outcomes(world: World, stored: dict[str, UseRecord]) -> None:
    """Judge what became of each use, and that late money is the rating of all that ended."""
    conn, must = world.disk.conn, world.judge.must
    outcomes = dict(conn.execute("SELECT key, outcome FROM use_record").fetchall())
    late = late_micro(conn)
    for number, nth, price, resources, nodes, tasks, good, bad, reason, *figures in conn.execute(
        "SELECT number, attempt, price, resources, nodes, tasks_set, succeeded_set, failed_set,"
        " reason, tasks_ended, wall_ms, billed_ms, cpu_ms, peak_memory_bytes FROM allocation"
    ):
        attempt = attempt_key(world.hub_id, number, nth)
        heard = TaskSet.parse(good) | TaskSet.parse(bad)
        terms = msgspec.json.decode(price, type=Price)
        held = msgspec.json.decode(resources, type=Resources).times(nodes)
        used = told = Usage(*figures)
        for task in TaskSet.parse(tasks):
            use = stored.get(f"{attempt}/{task}")
            if use is None:
                continue
            counted = "unbilled" if reason == Reason.PREEMPTED else "billed"
            wanted = "counted" if task in heard else counted
            is_now = outcomes.pop(use.key)
            must("M2", is_now == wanted, f"{use.key} is {is_now}, not {wanted}")
            if wanted == "billed":
                told += Usage(1, use.wall_ms, billed_ms(terms, use.wall_ms), use.cpu_ms)
        before, after = (
            total_micro(rate_usage(terms, held, one)) if one.tasks else 0 for one in (used, told)
        )
        paid = sum(late.pop((attempt, terms.currency), {}).values())
        must("M2", paid == after - before, f"{attempt} paid {paid} late, owed {after} - {before}")
    strange = {key for key, outcome in outcomes.items() if outcome != "foreign"}
    must("M2", not strange, f"uses of nothing that was started: {sorted(strange)}")
    must("M2", not late, f"paid late for nothing: {late}")


def late_micro(conn: sqlite3.Connection) -> dict[tuple[str, str], dict[int, int]]:
    """Return what was charged late: (attempt, commodity) → number of the entry → micro-units."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    for seq, attempt, commodity, amount in conn.execute(
        "SELECT seq, attempt, commodity, amount_micro FROM ledger_entry JOIN ledger_leg USING (seq)"
        " WHERE kind = 'adjust' AND account LIKE 'provider:%' AND key NOT LIKE 'adjust:metered:%'"
    ):
        found.setdefault((attempt, commodity), {})[seq] = amount
    return found
