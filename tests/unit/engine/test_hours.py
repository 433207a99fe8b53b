"""Jobs that are planned, held and settled in hours before money."""

import pytest
from msgspec import structs

from fenglin.engine.admission import Admission
from fenglin.engine.applier import commitments
from fenglin.engine.hours import Hours
from fenglin.engine.sights import price_of
from fenglin.model.hours import CORE_HOUR, purse
from fenglin.model.job import AcceleratorNeed, Mode
from fenglin.model.site import Price
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED
from fenglin.quantities.resources import Resources
from fenglin.testing.builders import a_site

NOW_MS = 5_000
HOUR_MS = 3_600_000
PRICE = Price(core_hour_micro=80_000)
TWO = Resources(cpu_milli=2_000, memory_bytes=2**28)


def priced(**changes):
    site = a_site(**changes)
    (flavor,) = site.flavors
    return (structs.replace(site, flavors=(structs.replace(flavor, price=PRICE),)),)


def starts(pool):
    snapshot = pool.snapshot(NOW_MS)
    return commitments(pool, snapshot, BALANCED, plan(snapshot, BALANCED), NOW_MS).starts


def pool_of(world, *jobs, hours_micro, money_micro=10**12):
    pool = world.pool(list(jobs), sites=priced())
    pool.balances = {"default": money_micro, purse("default", CORE_HOUR): hours_micro}
    return pool


def test_hours_are_held_before_money(world):
    # Two cores for at most an hour, since nothing is known of how long it takes.
    job = world.job(1, resources=TWO, timeout_ms=HOUR_MS)
    (unit,) = starts(pool_of(world, job, hours_micro=2_000_000, money_micro=0))
    assert unit.allocation.price.currency == CORE_HOUR
    assert unit.allocation.held_micro == 2_000_000
    assert {leg.commodity for leg in unit.hold.legs} == {CORE_HOUR}
    assert [leg.account for leg in unit.hold.legs] == [
        "tenant:default:available",
        "tenant:default:held",
    ]


def test_too_few_hours_leave_it_to_money(world):
    job = world.job(1, resources=TWO, timeout_ms=HOUR_MS)
    (unit,) = starts(pool_of(world, job, hours_micro=1_999_999))
    assert unit.allocation.price == PRICE
    assert unit.allocation.held_micro == 160_000
    assert {leg.commodity for leg in unit.hold.legs} == {"CNY"}
    assert starts(pool_of(world, job, hours_micro=1_999_999, money_micro=0)) == []


def test_no_more_starts_in_hours_than_there_are_hours(world):
    jobs = [world.job(n, resources=TWO, timeout_ms=HOUR_MS) for n in (1, 2)]
    pool = world.pool(jobs, sites=priced(nodes=4, cpu=4))
    pool.balances = {"default": 10**12, purse("default", CORE_HOUR): 3_000_000}
    units = starts(pool)
    assert [unit.allocation.held_micro for unit in units] == [2_000_000]
    pool.balances[purse("default", CORE_HOUR)] = 1_000_000
    currencies = {unit.allocation.price.currency for unit in starts(pool)}
    assert currencies == {"CNY"}


@pytest.mark.parametrize(
    "asked",
    [
        {"mode": Mode.URGENT},
        {
            "resources": Resources(cpu_milli=1, memory_bytes=1, accelerator_milli=1_000),
            "accelerator": AcceleratorNeed(vendor="NVIDIA"),
        },
    ],
)
def test_what_hours_do_not_pay_for_is_planned_in_money(world, asked):
    pool = pool_of(world, world.job(1, **asked), hours_micro=10**12)
    row = pool.row_of(1)
    made = Hours(pool.balances, [one.site for one in pool.sites.values()], pool.policy)
    assert made.rows([row]) == [row]


def test_what_is_asked_before_a_submit_is_told_in_hours(world):
    pool = pool_of(world, hours_micro=2_000_000, money_micro=0)
    admission = Admission(pool, BALANCED, frozenset({"default"}))
    spec = world.job(1, resources=TWO, timeout_ms=HOUR_MS).spec
    assert admission.paid_in(spec, NOW_MS) == CORE_HOUR
    receipt = admission.receipt(spec, NOW_MS)
    # Two cores for the minutes that nobody knows better: one hour of each at most.
    assert 0 < price_of(receipt) <= 2_000_000
    dear = world.job(2, resources=TWO, timeout_ms=2 * HOUR_MS).spec
    assert admission.paid_in(dear, NOW_MS) == "CNY"


def test_without_hours_nothing_is_touched(world):
    pool = world.pool([world.job(1)], sites=priced())
    sites = [one.site for one in pool.sites.values()]
    made = Hours({"default": 5, purse("default", CORE_HOUR): 0}, sites, pool.policy)
    assert made.sites() == sites
    assert made.rows([pool.row_of(1)]) == [pool.row_of(1)]
