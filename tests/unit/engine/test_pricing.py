"""The price book at the sites: what the planner sees, and what an allocation is frozen with."""

import asyncio

import msgspec
from msgspec.structs import replace
from structlog.testing import capture_logs

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion
from fenglin.catalog.prices import estimate_micro, rate_usage, total_micro
from fenglin.engine.books.pricing import Pricing
from fenglin.engine.status import SiteStatus
from fenglin.model.allocation import Usage
from fenglin.model.job import Mode
from fenglin.model.site import Price, Tiered, tariff_of
from fenglin.quantities.resources import Resources
from fenglin.testing.builders import a_site

GIB = 2**30
HOUR_MS = 3_600_000


def version(number, key, price_micro, from_ms=0, end_ms=FOREVER_MS, **terms):
    promised = PriceTerms(terms.pop("currency", "CNY"), price_micro, **terms)
    return PriceVersion(number, key, promised, from_ms, FOREVER_MS, 0, end_ms)


class Book:
    """A book and a clock in memory."""

    def __init__(self, *versions):
        self.known = list(versions)
        self.now = 1_000
        self.reads = 0

    async def last(self):
        return len(self.known)

    async def versions(self, providers):
        self.reads += 1
        return [one for one in self.known if one.key.provider in providers]

    def now_ms(self):
        return self.now


class Pool:
    def __init__(self, *sites):
        self.sites = {site.name: SiteStatus(site) for site in sites}

    def price(self, name="west"):
        return self.sites[name].site.flavors[0].price


def follow(book, pool, classes=()):
    pool.classes = dict(enumerate(classes))
    pricing = Pricing(pool, book, book)
    asyncio.run(pricing.once())
    return pricing


WEST, EAST = a_site("west", core_hour_micro=5), a_site("east", core_hour_micro=6)
CORES = PriceKey("core_hour", "provider-west", "west", flavor="std")


def test_a_flavor_costs_what_the_book_says_and_others_what_the_file_says():
    pool = Pool(WEST, EAST)
    follow(Book(version(1, CORES, 120_000, memory_per_core_bytes=4 * GIB)), pool)
    assert pool.price() == Price(
        core_hour_micro=120_000, memory_per_core_bytes=4 * GIB, book=("p1",)
    )
    assert pool.price("east") == Price(core_hour_micro=6)


def test_a_unit_that_the_book_does_not_price_stays_as_it_was():
    pool = Pool(WEST)
    follow(Book(version(1, replace(CORES, unit="memory_gib_hour"), 9)), pool)
    assert pool.price() == Price(core_hour_micro=5, memory_gib_hour_micro=9, book=("p1",))


def test_items_of_another_mode_or_class_or_of_a_currency_without_a_rate_are_not_used():
    pool = Pool(WEST)
    follow(
        Book(
            version(1, CORES, 1, currency="USD"),
            version(2, replace(CORES, unit="card_hour", mode="urgent"), 2),
            version(3, replace(CORES, unit="memory_gib_hour", user_class="school"), 3),
        ),
        pool,
    )
    assert pool.price() == Price(core_hour_micro=5)


def test_a_class_and_a_mode_have_prices_of_their_own_where_the_book_speaks_of_them():
    pool = Pool(WEST)
    follow(
        Book(
            version(1, CORES, 1_000_001, factors=(("school", 500),)),
            version(2, replace(CORES, mode="urgent"), 3_000_000),
            version(3, replace(CORES, user_class="army"), 7),
            version(4, replace(CORES, user_class="nobody"), 1),
        ),
        pool,
        ("school", "army", "firm"),
    )
    flavor = pool.sites["west"].site.flavors[0]
    costs = {
        name: flavor.price_for(name).core_hour_micro
        for group in ("", "school", "army", "firm")
        for mode in Mode
        if (name := tariff_of(group, mode))
    }
    # Half of 1,000,001 is rounded half to even. A class goes before a mode in the book's order.
    assert flavor.price.core_hour_micro == 1_000_001
    assert costs == {
        "/urgent": 3_000_000, "/exclusive": 1_000_001, "/spot": 1_000_001,
        "school/shared": 500_000, "school/exclusive": 500_000, "school/spot": 500_000,
        "school/urgent": 3_000_000,
        "army/shared": 7, "army/exclusive": 7, "army/urgent": 7, "army/spot": 7,
        "firm/shared": 1_000_001, "firm/exclusive": 1_000_001, "firm/spot": 1_000_001,
        "firm/urgent": 3_000_000,
    }  # fmt: skip
    assert flavor.price_for("army/spot").book == ("p3",)
    assert not any("nobody" in name for name, _ in flavor.tariffs)


def test_tiers_come_with_the_price_exchanged_and_by_class():
    pool = Pool(WEST)
    rate = PriceKey("exchange", model="USD")
    follow(
        Book(
            version(1, CORES, 1_000, currency="USD", tiers=((100, 501),), tier_period="year",
                    factors=(("school", 500),)),
            version(2, rate, 7_000_000),
        ),
        pool,
        ("school",),
    )  # fmt: skip
    flavor = pool.sites["west"].site.flavors[0]
    (usual,), (school,) = flavor.price.tiers, flavor.price_for("school/spot").tiers
    assert (usual.item, usual.steps, usual.yearly) == ("core_hour", ((100, 3_507),), True)
    # 501 × 50 % × 7 = 1,753.5, to even.
    assert (school.steps, school.counter) == (((100, 1_754),), usual.counter)
    assert usual.offset_min == 480
    # A later version of the item goes on counting; another item has a count of its own.
    other = Pool(WEST)
    follow(Book(version(9, CORES, 5, tiers=((100, 4),))), other)
    assert other.price().tiers[0].counter == usual.counter
    follow(Book(version(9, replace(CORES, mode="shared"), 5, tiers=((100, 4),))), other)
    assert other.price().tiers[0].counter != usual.counter


def test_a_hold_is_enough_for_the_dearest_tier():
    price = Price(core_hour_micro=5, tiers=(Tiered("core_hour", "c", ((10, 3), (20, 9))),))
    assert price.dearest.core_hour_micro == 9
    assert Price(core_hour_micro=5).dearest == Price(core_hour_micro=5)


def test_prices_come_and_go_with_time_and_the_file_rules_again():
    pool, book = Pool(WEST), Book(version(1, CORES, 7, from_ms=2_000, end_ms=3_000))
    pricing = follow(book, pool)
    seen = []
    for now in (1_999, 2_000, 2_999, 3_000):
        book.now = now
        asyncio.run(pricing.once())
        seen.append(pool.price().core_hour_micro)
    assert (seen, book.reads) == ([5, 7, 7, 5], 1)
    book.known.append(version(2, CORES, 8))
    asyncio.run(pricing.once())
    assert (pool.price().core_hour_micro, pool.price().book, book.reads) == (8, ("p2",), 2)


def test_cores_that_memory_fills_are_rated_and_estimated_alike():
    # 4 cores with 20 GiB at 4 GiB a core count as 5: 5 × 10 h × 0.12 = 6 yuan.
    price = Price(core_hour_micro=120_000, memory_per_core_bytes=4 * GIB)
    held = Resources(4_000, 20 * GIB)
    usage = Usage(tasks=1, wall_ms=10 * HOUR_MS, billed_ms=10 * HOUR_MS)
    assert total_micro(rate_usage(price, held, usage)) == 6_000_000
    assert estimate_micro(price, held, 10 * HOUR_MS, 1) == 6_000_000


def test_an_old_price_reads_as_before_and_a_new_one_tells_its_versions():
    old = msgspec.json.decode(b'{"version":3,"core_hour_micro":5}', type=Price)
    assert (old.name, old.memory_per_core_bytes) == ("3", 0)
    new = replace(old, book=("p1", "p4"))
    assert msgspec.json.decode(msgspec.json.encode(new), type=Price).name == "p1+p4"


DOLLARS = version(1, CORES, 100_000, currency="USD")


def rate(number, price_micro, from_ms=0, end_ms=FOREVER_MS, provider="", **terms):
    key = PriceKey("exchange", provider, model="USD")
    return version(number, key, price_micro, from_ms, end_ms, **terms)


def test_another_currency_is_exchanged_at_the_rate_of_the_day_and_both_versions_are_told():
    pool = Pool(WEST)
    book = Book(DOLLARS, rate(2, 7_100_000, 0, 2_000), rate(3, 7_200_001, 2_000))
    pricing = follow(book, pool)
    assert pool.price() == Price(core_hour_micro=710_000, book=("p1", "p2"))
    book.now = 2_000
    asyncio.run(pricing.once())
    # 0.72000010 CNY is rounded half to even at the millionth.
    assert pool.price() == Price(core_hour_micro=720_000, book=("p1", "p3"))


def test_a_providers_own_rate_goes_before_that_of_all():
    pool = Pool(WEST)
    own = rate(3, 6_500_000, provider="provider-west")
    follow(Book(DOLLARS, rate(2, 7_000_000), own), pool)
    assert pool.price() == Price(core_hour_micro=650_000, book=("p1", "p3"))


def test_what_cannot_be_exchanged_is_told_once_and_the_file_rules():
    pool = Pool(WEST)
    book = Book(DOLLARS, rate(2, 7_000_000, currency="EUR"))
    with capture_logs() as logs:
        pricing = follow(book, pool)
        asyncio.run(pricing.once())
    told = [one["what"] for one in logs if one["event"] == "price_not_used"]
    assert told == ["p1 is in USD, of which the book has no exchange into CNY"]
    assert pool.price() == Price(core_hour_micro=5)
    book.known.append(rate(3, 7_000_000, from_ms=500, provider="provider-west"))
    asyncio.run(pricing.once())
    assert pool.price().core_hour_micro == 700_000


def test_a_node_price_is_that_of_exclusive_use_and_of_all_that_is_in_the_node():
    book = Book(
        version(1, replace(CORES, unit="node_day"), 720_000_000),
        version(2, replace(CORES, unit="task"), 50_000),
        version(3, CORES, 120_000),
    )
    pool = Pool(WEST)
    follow(book, pool)
    (flavor,) = pool.sites["west"].site.flavors
    usual = Price(core_hour_micro=120_000, task_micro=50_000, book=("p3", "p2"))
    assert flavor.price_for(tariff_of("", Mode.SHARED)) == usual
    assert flavor.price_for(tariff_of("", Mode.URGENT)) == usual
    alone = flavor.price_for(tariff_of("", Mode.EXCLUSIVE))
    assert alone == Price(
        node_day_micro=720_000_000,
        node_cpu_milli=flavor.node.cpu_milli,
        task_micro=50_000,
        book=("p1", "p2"),
    )
    # Half a day of two whole nodes, and two tasks.
    held = Resources(cpu_milli=2 * flavor.node.cpu_milli, memory_bytes=1)
    used = Usage(tasks=2, wall_ms=12 * HOUR_MS, billed_ms=12 * HOUR_MS)
    assert total_micro(rate_usage(alone, held, used)) == 720_000_000 + 100_000
    assert estimate_micro(alone, held, 6 * HOUR_MS, 2) == 720_000_000 + 100_000


def test_of_two_node_prices_the_hour_is_charged():
    book = Book(
        version(1, replace(CORES, unit="node_day"), 720_000_000),
        version(2, replace(CORES, unit="node_hour"), 40_000_000, tiers=((100, 30_000_000),)),
    )
    pool = Pool(WEST)
    follow(book, pool)
    (flavor,) = pool.sites["west"].site.flavors
    alone = flavor.price_for(tariff_of("", Mode.EXCLUSIVE))
    assert (alone.node_hour_micro, alone.node_day_micro, alone.book) == (40_000_000, 0, ("p2",))
    # 110 node-hours: 100 at 40 and 10 at 30.
    held = Resources(cpu_milli=flavor.node.cpu_milli, memory_bytes=1)
    used = Usage(tasks=1, wall_ms=110 * HOUR_MS, billed_ms=110 * HOUR_MS)
    assert total_micro(rate_usage(alone, held, used, {})) == 4_300_000_000
