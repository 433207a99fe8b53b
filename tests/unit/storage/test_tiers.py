"""Tiers: what an account has used decides what the next use costs, in the posting transaction."""

from dataclasses import replace

import msgspec
import pytest

from fenglin.catalog.pricebook.items import PriceTerms, Unit
from fenglin.catalog.pricebook.rating import rate
from fenglin.catalog.prices import rate_usage
from fenglin.errors import ConflictError
from fenglin.ledger.metering.records import UseRecord
from fenglin.ledger.posting import Charge, Hold, Terms, charges_of, post, unit_of, void
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key
from fenglin.model.site import Price, Tiered
from fenglin.model.states import AttemptState, JobState
from fenglin.quantities.period import parse_period
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet
from fenglin.storage import ledger
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.metering import SqliteMetering

NOW_MS = 1_700_000_000_000
DECEMBER = parse_period("2023-12")
NEXT_YEAR = parse_period("2024-01")
HOUR_MS = 3_600_000
# Odd prices, so that rounding shows: 3 core-hours at the first, up to 10 at the second.
STEPS = ((3, 1_000_003), (10, 500_001))
PRICE = Price(
    core_hour_micro=2_000_007,
    tiers=(Tiered("core_hour", "cores", STEPS, offset_min=480),),
)


def settled(here, unit, wall_ms, price=PRICE, now_ms=NOW_MS):
    """Return the change that settles an attempt of one task, as the engine makes it."""
    record, job = unit.allocation, unit.job
    key = attempt_key(here.loaded.hub, record.number, 1)
    usage = Usage(1, wall_ms, wall_ms)
    lines = rate_usage(price, record.resources, usage)
    charges = [Charge(x.item, x.quantity, x.per, x.price_micro, x.amount_micro) for x in lines]
    cost = sum(one.amount_micro for one in charges)
    done = replace(
        record, state=AttemptState.ENDED, shares=(), succeeded=record.tasks, usage=usage,
        started_ms=NOW_MS, ended_ms=now_ms, cost_micro=cost,
    )  # fmt: skip
    after = replace(
        job, version=job.version + 1, state=JobState.SUCCEEDED, ended_ms=now_ms, cost_micro=cost
    )
    hold = Hold(key, job.spec.account, "CNY", record.held_micro, job.number)
    return here.change(
        now_ms=now_ms, jobs=[after], allocations=[done], usage=[(key, done)],
        postings=[post(hold, "gz", charges, Terms("site", "std", "p1"), details=[("x", "y")])],
        released=[("site", record.shares[0].node, record.resources)],
    )  # fmt: skip


async def started(here, price=PRICE, **spec):
    unit = here.unit(await here.job(**spec), held=90_000_000)
    unit.allocation.price = price
    unit.allocation.resources = Resources(1_000, 2**20)
    assert await here.start(unit) == []
    return unit


async def used(here, hours, **more):
    """Run and settle one task of one core; return the change as it was written."""
    unit = await started(here, more.get("price", PRICE))
    change = settled(here, unit, round(hours * HOUR_MS), **more)
    await here.store.commit(change)
    return change


def charged(change):
    return -sum(
        leg.amount_micro
        for draft in change.postings
        for leg in draft.legs
        if leg.account.startswith("tenant:")
    )


def whole(hours):
    """Return what so many core-hours cost by the price book's own rating."""
    terms = PriceTerms("CNY", PRICE.core_hour_micro, STEPS)
    lines = rate(Unit.CORE_HOUR, terms, round(hours * 1_000 * HOUR_MS))
    return sum(line.amount_micro for line in lines)


@pytest.mark.parametrize("hours", [(1.7, 3.3, 9.1), (9.1, 1.7, 3.3), (14.1,), (3, 7, 4.1)])
def test_uses_of_a_month_add_up_to_the_rated_sum_in_any_order(desk, hours):
    async def scene(here):
        changes = [await used(here, each) for each in hours]
        first = [charges_of(one) for one in await here.store.read(posted)]
        check = await here.store.ledger_verify()
        return changes, first, check

    changes, entries, check = desk(scene, credit=10**9)
    assert sum(map(charged, changes)) == whole(14.1)
    assert check.ok, check.problem
    lines = [line for charges in entries for line in charges]
    assert sum(line.amount_micro for line in lines) == whole(14.1)
    assert sum(line.quantity for line in lines) == round(14.1 * 1_000 * HOUR_MS)
    assert {line.item for line in lines} == {"core_hour", "core_hour-above-3", "core_hour-above-10"}
    assert {unit_of(line.item) for line in lines} == {"core_hour"}
    # What job and allocation cost is what was charged.
    for change in changes:
        assert change.jobs[0].cost_micro == change.allocations[0].cost_micro == charged(change)
        assert ("x", "y") in change.postings[0].details


def posted(conn):
    return [one for one in ledger.entries(conn) if one.kind == "post"]


def test_each_month_and_each_year_counts_anew(desk):
    async def scene(here):
        yearly = msgspec.structs.replace(
            PRICE, tiers=(msgspec.structs.replace(PRICE.tiers[0], counter="y", yearly=True),)
        )
        moments = (NOW_MS, DECEMBER.from_ms - 1, DECEMBER.from_ms, NEXT_YEAR.from_ms)
        return [
            charged(await used(here, 3, price=price, now_ms=now_ms))
            for price in (PRICE, yearly)
            for now_ms in moments
        ]

    found = desk(scene, credit=10**9)
    low, high = whole(3), whole(6) - whole(3)
    assert found[:4] == [low, high, low, low]
    assert found[4:] == [low, high, whole(9) - whole(6), low]


def test_a_use_after_the_close_counts_in_the_month_that_is_open(desk):
    async def scene(here):
        november = parse_period("2023-11")
        await SqliteAccounts(here.store).close(here.epoch, november, DECEMBER.from_ms + 5)
        late = await used(here, 3, now_ms=NOW_MS)
        more = await used(here, 3, now_ms=DECEMBER.from_ms + 6)
        return charged(late), charged(more)

    assert desk(scene, credit=10**9) == (whole(3), whole(6) - whole(3))


def test_what_is_settled_twice_is_counted_once(desk):
    async def scene(here):
        unit = await started(here)
        await here.store.commit(settled(here, unit, 3 * HOUR_MS))
        with pytest.raises(ConflictError):
            await here.store.commit(replace(settled(here, unit, 3 * HOUR_MS), released=[]))
        return charged(await used(here, 3))

    assert desk(scene, credit=10**9) == whole(6) - whole(3)


def test_late_use_goes_on_in_the_tier_that_is_reached(desk):
    async def scene(here):
        unit = await started(here)
        change = settled(here, unit, 3 * HOUR_MS)
        # The hub heard of no end: the hold is given back, and the record comes later.
        record = replace(change.allocations[0], succeeded=TaskSet(), usage=Usage(), cost_micro=0)
        key = change.usage[0][0]
        hold = Hold(key, unit.job.spec.account, "CNY", record.held_micro, unit.job.number)
        silent = replace(change, allocations=[record], usage=[(key, record)], postings=[void(hold)])
        await here.store.commit(silent)
        before = await here.store.read(earned)
        records = [UseRecord(key, 0, NOW_MS, 3 * HOUR_MS, 1)]
        meters = SqliteMetering(here.store, 480)
        taken = [await meters.take(here.epoch, records, {"site": "gz"}, "ann", NOW_MS)
                 for _ in range(2)]  # fmt: skip
        after = await here.store.read(earned)
        return taken, after - before, charged(await used(here, 3))

    taken, late, then = desk(scene, credit=10**9)
    assert [one.billed for one in taken] == [1, 0]
    assert (late, then) == (whole(3), whole(6) - whole(3))


def earned(conn):
    return ledger.balance(conn, "provider:gz:due")
