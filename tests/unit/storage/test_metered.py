"""Storage, egress and frames at work: each line charged once, by the price book, or refused."""

import csv
import io
import random
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from tests.unit.storage.voucherbench import Bench, asks

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion, Unit
from fenglin.catalog.pricebook.rating import rate
from fenglin.engine.books import metering
from fenglin.engine.books.metering import MeteringDesk
from fenglin.errors import InputProblems, LimitError
from fenglin.ledger.accounts import available
from fenglin.ledger.beancount import beancount
from fenglin.ledger.bill import make_bill
from fenglin.ledger.bill import rows as rows_of
from fenglin.ledger.focus import focus
from fenglin.ledger.metering.metered import MeteredSeries
from fenglin.ledger.statement import Funds, SiteTotal
from fenglin.ledger.vouchers.claim import Line
from fenglin.model.ids import attempt_key
from fenglin.ports.hub import Principal
from fenglin.ports.prices import PriceBatch
from fenglin.quantities.period import parse_period
from fenglin.storage import ledger, prices
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.metering import SqliteMetering
from fenglin.storage.settlements import SqliteSettlings
from fenglin.testing.builders import a_site

# 2023-11-15 06:13:20 by the books' clock.
NOW_MS = 1_700_000_000_000
OCTOBER, NOVEMBER, DECEMBER = map(parse_period, ("2023-10", "2023-11", "2023-12"))
CNY = 1_000_000
TB_MONTH = 10**12 * 30 * 24 * 3_600_000
ADMIN = Principal("ada", frozenset({"read", "write", "admin"}))
HEAD = "line,account,unit,quantity,bytes,start,end,resource,job,attempt\n"
SPAN = "2023-11-01T00:00:00,2023-11-11T00:00:00"
# Odd prices, so that rounding shows: up to 3 GB, up to 10, and above.
TIERS = ((3, 333_331), (10, 111_113))
EGRESS = PriceTerms("CNY", 777_777, TIERS)


def row(line, unit="frame", quantity="", *, account="default", held="", span=SPAN, more=",,"):
    return f"{line},{account},{unit},{quantity},{held},{span},{more}\n"


def version(number, unit, terms, *, from_ms=OCTOBER.from_ms, to_ms=FOREVER_MS, **key):
    end = min(to_ms, FOREVER_MS)
    return PriceVersion(number, PriceKey(unit, **key), terms, from_ms, to_ms, 0, end)


BOOK = (
    version(1, "storage_tb_month", PriceTerms("CNY", 300 * CNY, factors=(("school", 500),))),
    version(2, "egress_gb", EGRESS, provider="provider-site"),
    version(3, "frame", PriceTerms("CNY", 20_000), site="site"),
)


class House:
    """A desk over a real store, with prices in its book."""

    def __init__(self, here):
        self.here = here
        self.now_ms = NOW_MS
        self.heard = 0
        site = a_site(cpu=4, nodes=2)
        self.pool = SimpleNamespace(
            hub=here.loaded.hub, epoch=here.epoch, allocations={}, classes={"campus": "school"},
            sites={"site": SimpleNamespace(site=site)},
        )  # fmt: skip
        self.meters = SqliteMetering(here.store, 480)
        self.desk = MeteringDesk(
            self.meters, self.pool, {}, SimpleNamespace(now_ms=lambda: self.now_ms), {}, 480,
            SimpleNamespace(names={"default", "campus", "poor"}, moved=self.hear),
        )  # fmt: skip

    def hear(self):
        self.heard += 1

    async def price(self, *versions):
        def work(conn):
            batch = PriceBatch(NOW_MS, "ada", "test")
            assert prices.append(conn, prices.last(conn), versions, batch)

        await self.here.store.write(self.here.epoch, work)

    async def load(self, *rows, source="", head=HEAD):
        text = head + "".join(rows)
        asked = ("site", source, "csv", "use.csv")
        return await self.desk.load(io.BytesIO(text.encode()), asked, "", ADMIN)

    async def refused(self, *rows, **more):
        with pytest.raises(InputProblems) as caught:
            await self.load(*rows, **more)
        assert caught.value.source == "use.csv"
        return caught.value.problems

    async def close(self, month):
        self.now_ms = month.to_ms + 5_000
        await SqliteAccounts(self.here.store).close(self.here.epoch, month, self.now_ms)

    async def entries(self):
        return await self.here.store.read(lambda conn: list(ledger.entries(conn)))

    async def charged(self, account="default"):
        """Return what lines of use cost an account, posted and adjusted."""
        return -sum(
            leg.amount_micro
            for entry in await self.entries()
            for leg in entry.legs
            if entry.kind in {"post", "adjust"} and leg.account == f"tenant:{account}:available"
        )

    def count(self, *tables):
        return [self.here.sql(f"SELECT COUNT(*) FROM {name}")[0][0] for name in tables]  # noqa: S608

    async def sound(self):
        check = await self.here.store.ledger_verify()
        assert check.ok, check.problem


@pytest.fixture
def house(desk):
    def run(scene, **options):
        async def play(here):
            made = House(here)
            await made.price(*BOOK)
            found = await scene(made)
            await made.sound()
            return found

        return desk(play, **options)

    return run


def egress(quantity):
    """Return what so many bytes cost in one month, rated at once."""
    return sum(one.amount_micro for one in rate(Unit.EGRESS_GB, EGRESS, quantity))


def test_each_line_is_one_charge_that_every_book_carries(house):
    async def scene(here):
        job = await here.here.job()
        done = await here.load(
            # 3 TB for a third of a month of 30 days; the same said outright.
            row("a", "storage_tb_month", held=3 * 10**12, more="bucket-1,,"),
            row("b", "storage_tb_month", TB_MONTH // 2),
            row("c", "frame", 150, more=f",j{job.number},"),
            row("d", "storage_tb_month", TB_MONTH, account="campus"),
        )
        store, month = here.here.store, NOVEMBER
        posts = [one for one in await here.entries() if one.kind == "post"]
        statement = await store.ledger_statement("default", month.from_ms, month.to_ms)
        seal = SqliteSettlings(store)
        settled, _ = await seal.month(month, {})
        checked = await seal.check(month)
        rows = list(csv.DictReader(io.StringIO("".join(focus(await here.entries(), 480)))))
        energy = await here.desk.energy("2023-11", ADMIN)
        return done, posts, statement, settled, checked, rows, energy, here.heard

    done, posts, statement, settled, checked, rows, energy, heard = house(scene, credit=10**9)
    assert (done.added, done.unchanged, done.charged, heard) == (0, 0, 4, 1)
    assert done.charged_micro == (300 + 150 + 3 + 150) * CNY
    assert [one.legs[-1].amount_micro for one in posts] == [
        300 * CNY,
        150 * CNY,
        3 * CNY,
        150 * CNY,
    ]
    assert {one.legs[-1].account for one in posts} == {"provider:provider-site:due"}
    assert [one.detail("price_version") for one in posts] == ["p1", "p1", "p3", "p1"]
    assert (posts[0].attempt, posts[2].job) == ("metered:site/csv/a", 1)
    assert statement.charged_micro == 453 * CNY
    assert [(line.item, line.quantity, line.site, line.job) for line in statement.lines] == [
        ("storage_tb_month", "1.500000", "site", ""), ("frame", "150.000000", "site", "j1"),
    ]  # fmt: skip
    (made,) = settled
    assert made.settlement.charged_micro == 603 * CNY
    assert checked.ok, checked.faults
    assert energy.rows == []
    first = rows[0]
    assert (first["ServiceCategory"], first["ConsumedQuantity"], first["ConsumedUnit"]) == (
        "Storage", "1.000000", "TB-Months",
    )  # fmt: skip
    assert (first["ResourceId"], first["BilledCost"]) == ("bucket-1", "300.000000")
    assert (first["ChargePeriodStart"], first["ChargePeriodEnd"]) == (
        "2023-10-31T16:00:00Z", "2023-11-10T16:00:00Z",
    )  # fmt: skip
    assert [one["BillingAccountId"] for one in rows] == ["default"] * 3 + ["campus"]
    assert (rows[2]["ServiceSubcategory"], rows[2]["ConsumedUnit"]) == (
        "Content Creation",
        "Frames",
    )


def test_beancount_text_holds_the_sums(house):
    async def scene(here):
        await here.load(row("a", "frame", 150))
        return "".join(beancount(await here.entries()))

    text = house(scene, credit=10**9)
    assert "Assets:Provider:Provider--site:Due  3.000000 CNY" in text


LINES = [("egress_gb", n, n * 1_234_567_891) for n in range(1, 7)]
LINES += [("frame", n, n * 7) for n in range(7, 10)]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_repetition_and_division_into_files_gives_the_same_bill(house, seed):
    async def scene(here):
        rng = random.Random(seed)
        lines = [row(f"l{n}", unit, quantity) for unit, n, quantity in LINES]
        told = lines + rng.choices(lines, k=4)
        rng.shuffle(told)
        cuts = sorted(rng.sample(range(len(told)), seed))
        for start, end in zip([0, *cuts], [*cuts, len(told)], strict=True):
            await here.load(*told[start:end])
        sums = {}
        for entry in await here.entries():
            unit = entry.detail("unit")
            if entry.kind == "post":
                sums[unit] = sums.get(unit, 0) + entry.legs[-1].amount_micro
        return sums, here.count("metered_use"), await here.charged()

    sums, kept, charged = house(scene, credit=10**9)
    bytes_ = sum(quantity for unit, _, quantity in LINES if unit == "egress_gb")
    frames = sum(quantity for unit, _, quantity in LINES if unit == "frame")
    assert sums == {"egress_gb": egress(bytes_), "frame": frames * 20_000}
    assert kept == [len(LINES)]
    assert charged == sum(sums.values())


def test_a_tier_counts_by_the_month_of_use_and_one_version_of_the_price(house):
    async def scene(here):
        october = "2023-10-05T00:00:00,2023-10-06T00:00:00"
        await here.load(
            row("a", "egress_gb", 3 * 10**9), row("b", "egress_gb", 3 * 10**9, span=october)
        )
        return await here.charged()

    assert house(scene, credit=10**9) == 2 * egress(3 * 10**9)


def test_the_price_is_the_one_in_force_when_the_use_began(house):
    async def scene(here):
        dear = PriceTerms("CNY", 7 * CNY)
        band = version(4, "frame", dear, site="site", band="wed 00:00-24:00")
        await here.price(band)
        await here.load(
            row("tuesday", quantity=1, span="2023-11-07T23:59:59,2023-11-08T05:00:00"),
            row("wednesday", quantity=1, span="2023-11-08T00:00:00,2023-11-09T05:00:00"),
        )
        return await here.charged()

    assert house(scene, credit=10**9) == 20_000 + 7 * CNY


def test_what_was_used_is_charged_into_arrears(house):
    async def scene(here):
        await here.load(row("a", quantity=1_000, account="poor"))
        return await SqliteAccounts(here.here.store).funds()

    funds = house(scene)
    assert funds["poor"].available_micro == -20 * CNY
    assert funds["poor"].held_micro == 0


def test_use_of_a_closed_month_is_an_adjustment_in_the_open_one(house):
    async def scene(here):
        await here.load(row("a", "egress_gb", 2 * 10**9))
        await here.close(NOVEMBER)
        before = here.here.sql("SELECT COUNT(*) FROM ledger_entry WHERE kind = 'post'")
        october = "2023-10-05T00:00:00,2023-10-06T00:00:00"
        lines = [
            row("b", "egress_gb", 2 * 10**9, more="gate,,"),
            row("c", "frame", 5, span=october),
        ]
        first = await here.load(*lines)
        again = await here.load(*lines)
        after = here.here.sql("SELECT COUNT(*) FROM ledger_entry WHERE kind = 'post'")
        late = [one for one in await here.entries() if one.kind == "adjust"]
        store = here.here.store
        statements = [await store.ledger_statement("default", one.from_ms, one.to_ms)
                      for one in (NOVEMBER, DECEMBER)]  # fmt: skip
        settled, _ = await SqliteSettlings(store).month(DECEMBER, {})
        checked = await SqliteSettlings(store).check(DECEMBER)
        rows = list(csv.DictReader(io.StringIO("".join(focus(await here.entries(), 480)))))
        return first, again, before == after, late, statements, settled, checked, rows

    first, again, same, late, (then, now), settled, checked, rows = house(scene, credit=10**9)
    assert (first.charged, again.charged, again.unchanged, same) == (2, 0, 2, True)
    # The tier goes on where the use before the close has left it.
    more = egress(4 * 10**9) - egress(2 * 10**9)
    assert first.charged_micro == more + 100_000
    assert [one.detail("corrects") for one in late] == ["close:2023-11"] * 2
    assert late[0].memo == "late use of 2023-11: 2.000000 egress_gb"
    assert late[1].memo == "late use of 2023-10: 5.000000 frame"
    assert {one.time_ms for one in late} == {DECEMBER.from_ms + 5_000}
    assert (then.charged_micro, then.adjusted_micro) == (egress(2 * 10**9), 0)
    assert (now.charged_micro, now.adjusted_micro) == (0, -more - 100_000)
    assert settled[0].settlement.adjusted_micro == more + 100_000
    assert checked.ok, checked.faults
    assert [(one["ChargeCategory"], one["ChargeClass"]) for one in rows] == [
        ("Usage", ""), ("Usage", "Correction"), ("Usage", "Correction"), ("Usage", "Correction"),
    ]  # fmt: skip
    assert (rows[1]["ResourceId"], rows[1]["ServiceCategory"]) == ("gate", "Networking")
    assert (rows[1]["BillingPeriodStart"], rows[1]["ChargePeriodStart"]) == (
        "2023-11-30T16:00:00Z", "2023-10-31T16:00:00Z",
    )  # fmt: skip


def test_a_voucher_for_storage_pays_storage_and_no_frames(house):
    async def scene(here):
        bench = Bench(here.here)
        await bench.open(items=("storage",))
        ask = asks("a", 50, account="default")
        await bench.give(replace(ask, lines=(Line("storage", 50 * CNY),)))
        await here.load(row("f", "frame", 150))
        unpaid = bench.balances()[:2]
        await here.load(row("s", "storage_tb_month", TB_MONTH))
        return unpaid, bench.balances()[:2], bench.balance(available("default"))

    unpaid, paid, left = house(scene, credit=1_000 * CNY)
    assert (unpaid, paid) == ((950, 50), (950, 0))
    assert left == 1_000 - 3 - 300 + 50


def test_a_closed_month_of_metered_use_is_settled_for_good(house):
    async def scene(here):
        await here.load(row("a", "storage_tb_month", TB_MONTH // 3))
        await here.close(NOVEMBER)
        settlings = SqliteSettlings(here.here.store)
        made, _ = await settlings.month(NOVEMBER, {})
        drafts = [one.settlement for one in made]
        await settlings.post(here.here.epoch, drafts, "ada", here.now_ms)
        await here.load(row("b", "storage_tb_month", TB_MONTH // 3))
        return drafts, (await settlings.month(NOVEMBER, {}))[0], await settlings.check(NOVEMBER)

    drafts, (kept,), checked = house(scene, credit=10**9)
    assert [kept.settlement] == drafts
    (item,) = kept.settlement.items
    # More than 64 bits hold.
    assert (item.quantity, item.amount_micro) == (TB_MONTH // 3, 100 * CNY)
    assert checked.ok, checked.faults


def test_a_bill_shows_each_item_and_counts_no_attempts(house):
    async def scene(here):
        await here.load(row("a", "storage_tb_month", TB_MONTH), row("b", "egress_gb", 4 * 10**9))
        return await here.entries()

    entries = house(scene, credit=10**9)
    bill = make_bill("default", NOVEMBER, Funds(), entries, None, final=False)
    items = [one for one in rows_of(bill) if one.quantity]
    assert [(one.item, one.quantity, one.amount_micro) for one in items] == [
        ("storage_tb_month", "1.000000", -300 * CNY),
        ("egress_gb", "3.000000", -2_333_331),
        ("egress_gb-above-3", "1.000000", -333_331),
    ]  # fmt: skip
    assert bill.sites == (SiteTotal("site", 0, 302_666_662),)


# What is wrong is told of by whoever sees it: the reader of the file, or the books.
MISREAD = [
    (row("x", "frame", -1), "quantity", "'-1' is no whole number"),
    (row("x", "frame", "1.5"), "quantity", "'1.5' is no whole number"),
    (row("x", "frame", ""), "quantity", "missing"),
    (row("x", "frame", 5, held=5), "bytes", "only storage"),
    (row("x", "storage_tb_month", 5, held=5), "quantity", "told twice"),
    (row("x", "core_hour", 5), "unit", "'core_hour' is no unit"),
    (row("x", "", 5), "unit", "missing"),
    (row("x", "frame", 5, account=""), "account", "'' is no name"),
    (row("x", "frame", 10**12 + 1), "quantity", "out of range"),
    (row("x", "frame", 5, span="2023-11-02T00:00:00,2023-11-01T00:00:00"), "end", "before"),
    (row("x", "frame", 5, span="soon,2023-11-01T00:00:00"), "start", "'soon'"),
    (row("x", "frame", 5, more=",job7,"), "job", "'job7' is no job"),
    (row("x", "frame", 5, more=",,nonsense"), "attempt", "no attempt key"),
    (row("l" * 201, "frame", 5), "line", "longer than 200"),
]
REFUSED = [
    (row("x", "frame", 5, account="nobody"), "account", "no account 'nobody'"),
    (row("x", "storage_tb_month", 10**30), "quantity", "out of range"),
    (row("x", "frame", 5, span="2023-09-01T00:00:00,2023-09-02T00:00:00"), "unit", "no price"),
    (row("x", "frame", 5, span="2023-11-15T00:00:00,2023-11-15T07:00:00"), "end", "not ended"),
    (row("x", "frame", 5, more=",j99,"), "job", "no job j99"),
    (row("x", "frame", 5, more=",,elsewhere-a1-1"), "attempt", "no attempt of this hub"),
    (row("x", "frame", 5, account="poor", more=",j1,"), "job", "account poor has no job j1"),
    (row("good", "frame", 8), "quantity", "was charged with 7, not 8"),
    (row("good", "frame", 7, account="campus"), "account", "was charged with 'default'"),
    (row("fine", "frame", 2), "quantity", "was charged with 1, not 2"),
]


@pytest.mark.parametrize("bad", [MISREAD, REFUSED], ids=["misread", "refused"])
def test_bad_lines_are_told_by_line_and_column_and_nothing_is_imported(house, bad):
    async def scene(here):
        await here.here.job()
        await here.load(row("good", quantity=7))
        tables = ("ledger_entry", "metered_use", "provider_record", "metering_import")
        before = here.count(*tables)
        told = row("told", "", account="")
        found = await here.refused(row("fine", quantity=1), told, *(one for one, _, _ in bad))
        assert here.count(*tables) == before
        return found, here.heard

    problems, heard = house(scene, credit=10**9)
    columns = HEAD.strip().split(",")
    assert [(one.line, one.path) for one in problems] == [
        (place, column) for place, (_, column, _) in enumerate(bad, 4)
    ]
    for problem, (_, column, why) in zip(problems, bad, strict=True):
        assert why in problem.what
        assert problem.column == columns.index(column) + 1
    assert heard == 1


def test_a_price_without_a_rate_of_exchange_charges_nothing(house):
    async def scene(here):
        await here.price(version(4, "frame", PriceTerms("USD", CNY), site="site", mode="shared"))
        (problem,) = await here.refused(row("a", quantity=1))
        rate_ = PriceTerms("CNY", 7_120_000)
        await here.price(version(5, "exchange", rate_, model="USD"))
        await here.load(row("a", quantity=2))
        (post,) = [one for one in await here.entries() if one.kind == "post"]
        return problem, post

    problem, post = house(scene, credit=10**9)
    assert "no exchange" in problem.what
    assert "price set" in problem.hint
    assert (post.detail("price_version"), post.legs[-1].amount_micro) == ("p4+p5", 14_240_000)


def test_a_line_is_either_compared_or_charged(house):
    async def scene(here):
        told = row("a", "", account="")
        await here.load(told)
        (other,) = await here.refused(row("a", quantity=1))
        await here.load(row("b", quantity=1))
        (charged,) = await here.refused(row("b", "", account=""))
        (both,) = await here.refused(row("c", quantity=1), row("c", "", account=""))
        return other, charged, both, here.count("provider_record", "metered_use")

    other, charged, both, counts = house(scene, credit=10**9)
    assert "without a unit" in other.what
    assert "was charged" in charged.what
    assert "without a unit" in both.what
    assert counts == [1, 1]


def test_a_long_file_with_one_bad_line_leaves_nothing(house, monkeypatch):
    monkeypatch.setattr(metering, "CHUNK_ROWS", 5)
    monkeypatch.setattr(metering, "MOST_METERED", 9)

    async def scene(here):
        compared = [row(f"l{n}", "", account="") for n in range(13)]
        (problem,) = await here.refused(*compared, row("bad", quantity="x"), row("m", quantity=1))
        lines = [row(f"m{n}", quantity=1) for n in range(10)]
        with pytest.raises(LimitError, match="split it") as caught:
            await here.load(*compared, *lines)
        counts = here.count("provider_record", "metered_use", "metering_import")
        await here.load(*lines[:9])
        await here.load(*lines[5:])
        return problem, caught.value, counts, here.count("metered_use")

    problem, limit, counts, after = house(scene, credit=10**9)
    assert (problem.line, problem.column) == (15, 4)
    assert limit.where == "use.csv"
    assert (counts, after) == ([0, 0, 0], [10])


def test_a_line_may_name_the_attempt_that_it_was_used_for(house):
    async def scene(here):
        unit = here.here.unit(await here.here.job())
        assert await here.here.start(unit) == []
        key = attempt_key(here.here.loaded.hub, unit.allocation.number, 1)
        await here.load(row("a", quantity=1, more=f",,{key}"))
        await here.load(row("a", quantity=1, more=f",,{key}"))
        (problem,) = await here.refused(row("b", quantity=1, more=f",j9,{key}"))
        (post,) = [one for one in await here.entries() if one.kind == "post"]
        return key, problem, post

    key, problem, post = house(scene, credit=10**9)
    assert (post.job, post.detail("used_by")) == (1, key)
    assert problem.path == "attempt"


def test_names_of_series_cannot_be_mistaken_for_one_another():
    one = MeteredSeries("a", "b/c", "p").name_of("d")
    other = MeteredSeries("a", "b", "p").name_of("c/d")
    assert one != other
    assert MeteredSeries("a", "b%2Fc", "p").name_of("d") not in {one, other}


def test_what_was_charged_cannot_be_changed(house):
    async def scene(here):
        await here.load(row("a", quantity=1))
        for change in ("UPDATE metered_use SET quantity = '1'", "DELETE FROM metered_use"):
            with pytest.raises(Exception, match="never changed or removed"):
                here.here.sql(change)

    house(scene, credit=10**9)
