"""Storage, egress and frames at work: each line charged once, by the price book."""

import csv
import io
import random

import pytest
from msgspec.structs import replace
from tests.unit.storage.meteredbench import (
    ADMIN,
    CNY,
    DECEMBER,
    EGRESS,
    NOVEMBER,
    TB_MONTH,
    played,
    row,
    version,
)
from tests.unit.storage.voucherbench import Bench, asks

from fenglin.catalog.pricebook.items import PriceTerms, Unit
from fenglin.catalog.pricebook.rating import rate
from fenglin.ledger.accounts import available
from fenglin.ledger.beancount import beancount
from fenglin.ledger.bill import make_bill
from fenglin.ledger.bill import rows as rows_of
from fenglin.ledger.focus import focus
from fenglin.ledger.metering.metered import MeteredSeries
from fenglin.ledger.statement import Funds, SiteTotal
from fenglin.ledger.vouchers.claim import Line
from fenglin.model.ids import attempt_key
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.settlements import SqliteSettlings


@pytest.fixture
def house(desk):
    def run(scene, **options):
        return desk(lambda here: played(here, scene), **options)

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


@pytest.mark.slow
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
