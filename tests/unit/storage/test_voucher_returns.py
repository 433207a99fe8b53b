"""Lines that vouchers paid and that told too much: what they paid returns to them, as if unused."""

import random
from types import SimpleNamespace

import pytest
from tests.unit.storage.meteredbench import (
    ADMIN,
    CNY,
    DECEMBER,
    NOVEMBER,
    NOW_MS,
    TB_MONTH,
    played,
    row,
    version,
)
from tests.unit.storage.test_metered_back import back
from tests.unit.storage.voucherbench import DAY_MS, POOL, Bench, asks

from fenglin.catalog.pricebook.items import PriceTerms
from fenglin.engine.books.vouchers import VoucherDesk
from fenglin.ledger.accounts import available
from fenglin.ledger.bill import make_bill
from fenglin.ledger.focus import focus
from fenglin.ledger.statement import Funds
from fenglin.storage.settlements import SqliteSettlings

GB = 10**9
# Frames cost 0.02 CNY.
FRAMES = 50


@pytest.fixture
def house(desk):
    """Play a scene with a pool that pays for anything; afterwards all books must agree."""

    def run(scene, **options):
        async def whole(here):
            async def inner(made):
                made.bench = Bench(made.here)
                await made.bench.open(items=("any",))
                found = await scene(made)
                await made.bench.check()
                return found

            return await played(here, inner)

        return desk(whole, **({"credit": 10**9} | options))

    return run


async def give(here, name, yuan, *, later_days=0, pool=POOL):
    """Give the account a voucher, valid for 90 days from then on."""
    at_ms = NOW_MS + later_days * DAY_MS
    await here.bench.give(asks(name, yuan, account="default"), pool=pool, now_ms=at_ms)


async def left(here, *names, pool=POOL):
    """Return what is left of each voucher, and used of it, in yuan."""
    found = []
    for name in names:
        (one,) = await here.bench.rooms.records([("pool", pool), ("voucher", name)], "", 0, 9)
        found.append((one.voucher.left_micro / CNY, one.voucher.used_micro / CNY))
    return found


async def give_back(here, line, key, yuan=None, **more):
    """Give back frames worth so many yuan, or all; return what vouchers got of it, in yuan."""
    quantity = "" if yuan is None else yuan * FRAMES
    done = await here.desk.give_back(back(line, key, quantity, **more), ADMIN)
    return done.vouchers_micro / CNY


def test_what_a_voucher_paid_returns_to_it_once_and_every_book_tells_it(house):
    async def scene(here):
        await give(here, "a", 50)
        await here.load(row("s", "storage_tb_month", TB_MONTH))
        first = await here.desk.give_back(back("s", "k"), ADMIN)
        again = await here.desk.give_back(back("s", "k"), ADMIN)
        store, month = here.here.store, NOVEMBER
        entries = await here.entries()
        mine = [one for one in entries if any(available("default") == x.account for x in one.legs)]
        bill = make_bill("default", month, Funds(), mine, None, final=False)
        desk = VoucherDesk.__new__(VoucherDesk)
        desk._vouchers, desk._clock = here.bench.rooms, SimpleNamespace(now_ms=lambda: NOW_MS)
        return SimpleNamespace(
            first=first, again=again, left=await left(here, "a"), bill=bill,
            pool=here.bench.balances(), credited=here.bench.credited("default"),
            check=await SqliteSettlings(store).check(month), focus="".join(focus(entries, 480)),
            audit=await desk.audit(POOL, "", ADMIN),
        )  # fmt: skip

    seen = house(scene)
    assert (seen.first.amount_micro, seen.first.vouchers_micro) == (300 * CNY, 50 * CNY)
    assert seen.again == seen.first
    assert seen.left == [(50, 0)]
    assert seen.pool[:2] == (950, 50)
    assert seen.credited == 0
    assert (seen.bill.credits_micro, seen.bill.due_micro) == (0, 0)
    rows = [(one.voucher, one.pays, one.available_micro) for one in seen.bill.entries if one.pays]
    line = "post:metered:site/csv/s"
    assert rows == [("gz-2023/a", line, 50 * CNY), ("gz-2023/a", line, -50 * CNY)]
    assert seen.check.ok, seen.check
    assert seen.check.rows[0].vouchers_micro == 0
    credited = [one for one in seen.focus.splitlines() if ",Credit," in one]
    assert len(credited) == 2
    assert seen.audit.ok
    assert [one.act for one in seen.audit.rows].count("return") == 1
    returned = next(one for one in seen.audit.rows if one.act == "return")
    assert (returned.amount_micro, returned.who, returned.why) == (
        50 * CNY, "ada", f"{line}: entered twice",
    )  # fmt: skip


def test_money_gets_its_own_back_first_then_the_voucher_that_lasts_longest(house):
    async def scene(here):
        await give(here, "soon", 30)
        await give(here, "late", 40, later_days=1)
        here.now_ms = NOW_MS + 2 * DAY_MS
        await here.load(row("f", quantity=100 * FRAMES))
        before = await left(here, "soon", "late")
        steps = []
        for n, yuan in enumerate((20, 30, None)):
            got = await give_back(here, "f", f"k{n}", yuan)
            steps.append((got, await left(here, "soon", "late")))
        return before, steps

    before, steps = house(scene)
    assert before == [(0, 30), (0, 40)]
    assert steps == [
        (0, [(0, 30), (0, 40)]),
        (20, [(0, 30), (20, 20)]),
        (50, [(30, 0), (40, 0)]),
    ]


def test_what_was_given_back_is_not_paid_again(house):
    async def scene(here):
        await here.load(row("f", quantity=100 * FRAMES))
        await give_back(here, "f", "k1", 70)
        await give(here, "a", 60)
        used = await here.bench.use(account="default")
        return used, await give_back(here, "f", "k2", 10), await here.bench.use(account="default")

    assert house(scene) == (30, 10, 0)


def test_what_returns_to_an_expired_voucher_is_the_pools(house):
    async def scene(here):
        await give(here, "a", 50)
        await here.load(row("f", quantity=30 * FRAMES))
        here.now_ms = NOW_MS + 91 * DAY_MS
        await here.bench.rooms.lapse(here.here.epoch, here.now_ms)
        got = await give_back(here, "f", "k")
        (one,) = await here.bench.rooms.records([("voucher", "a")], "", 0, 9)
        state = one.voucher.state(here.now_ms)
        return got, await left(here, "a"), state, here.bench.balances()[:2]

    assert house(scene) == (30, [(0, 0)], "expired", (1_000, 0))


def test_what_returns_to_a_revoked_voucher_cannot_be_used(house):
    async def scene(here):
        await give(here, "a", 50)
        await here.load(row("f", quantity=30 * FRAMES))
        await here.bench.take("a")
        got = await give_back(here, "f", "k")
        return got, await left(here, "a"), here.bench.balances()[:2]

    assert house(scene) == (30, [(0, 0)], (1_000, 0))


def test_what_was_clawed_back_does_not_return_twice(house):
    async def scene(here):
        await give(here, "a", 50)
        await here.load(row("f", quantity=30 * FRAMES))
        await here.bench.take("a", 20, used=True)
        got = await give_back(here, "f", "k")
        return got, await left(here, "a"), here.bench.balances()[:2], await here.charged()

    assert house(scene) == (10, [(30, 20)], (970, 30), 0)


def test_a_return_of_a_later_month_is_that_months_credit(house):
    async def scene(here):
        await give(here, "a", 50)
        await here.load(row("f", quantity=30 * FRAMES))
        await here.close(NOVEMBER)
        got = await give_back(here, "f", "k")
        rows = [one for one in focus(await here.entries(), 480) if ",Credit," in one]
        seal = SqliteSettlings(here.here.store)
        return got, rows, [await seal.check(month) for month in (NOVEMBER, DECEMBER)]

    got, rows, checks = house(scene)
    assert got == 30
    assert [",Credit,Correction," in one for one in rows] == [False, True]
    assert [one.rows[0].vouchers_micro for one in checks] == [30 * CNY, -30 * CNY]
    assert all(one.ok for one in checks), checks


@pytest.mark.slow
@pytest.mark.parametrize(
    "tiers", [((3, 333_331), (10, 111_113)), ((3, 1_333_337), (10, 9_111_113))]
)
@pytest.mark.parametrize("seed", range(3))
def test_given_back_in_any_order_it_is_as_if_it_had_never_been_told(house, seed, tiers):
    async def scene(here):
        rng = random.Random(seed)
        await here.price(version(4, "egress_gb", PriceTerms("CNY", 777_777, tiers), site="site"))
        await here.bench.open("other-2023", items=("network",))
        for n in range(3):
            await give(here, f"a{n}", 10, later_days=n)
            await give(here, f"b{n}", 5, later_days=n, pool="other-2023")
        here.now_ms = NOW_MS + 3 * DAY_MS
        before = here.bench.balance(available("default")), totals(here)
        lines = {
            f"l{n}": (unit, rng.randrange(1, most))
            for n, (unit, most) in enumerate((("egress_gb", 8 * GB), ("frame", 700)) * 4)
        }
        steps = [(name, way) for name in lines for way in ("load", "part", "part", "use", "rest")]
        rng.shuffle(steps)
        steps.sort(key=lambda step: (step[1] == "rest", step[1] != "load" and rng.random() < 0.7))
        loaded, whole = set(), set()
        for n, (name, way) in enumerate(steps):
            unit, quantity = lines[name]
            if way == "load" or name not in loaded:
                loaded.add(name)
                await here.load(row(name, unit, quantity))
            if way == "use":
                await here.bench.use(account="default", now_ms=here.now_ms)
            elif way == "part" and quantity > 9 and name not in whole:
                ask = back(name, f"k{n}", rng.randrange(1, quantity // 2))
                done = await here.desk.give_back(ask, ADMIN)
                assert await here.desk.give_back(ask, ADMIN) == done
            elif way == "rest":
                whole.add(name)
                await here.desk.give_back(back(name, f"k{n}"), ADMIN)
            assert round(here.bench.credited("default") * CNY) <= await here.charged()
        after = here.bench.balance(available("default")), totals(here)
        return before, after, await here.charged(), here.bench.credited("default")

    def totals(here):
        vouchers = here.here.sql(
            "SELECT pool, voucher, left_micro, used_micro FROM voucher ORDER BY number"
        )
        return vouchers, here.bench.balances()[:2], here.bench.balances("other-2023")[:2]

    before, after, charged, credited = house(scene, credit=1_000 * CNY)
    assert (charged, credited) == (0, 0)
    assert after == before
