"""Voucher pools in the store: the ledger and the events say the same, and nothing goes twice."""

import asyncio
import random
import sqlite3

import pytest
from msgspec.structs import replace

from fenglin.errors import ConflictError, InputError, NotFoundError, StaleEpochError
from fenglin.ledger.accounts import available, voucher_budget, voucher_reserved
from fenglin.ledger.vouchers.claim import Application, Line, Reason
from fenglin.ledger.vouchers.pool import Act
from fenglin.ledger.vouchers.scheme import NO_CAP_MICRO, Ratio, Reservation, Scheme
from fenglin.storage.vouchers import SqliteVouchers

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
YUAN = 1_000_000
POOL = "gz-2023"
SCHEME = Scheme(
    name="gz",
    title="算力券",
    budget_micro=1_000 * YUAN,
    reservation=Reservation.FIFO,
    ratios=(Ratio(0, 10_000),),
    firm_cap_micro=NO_CAP_MICRO,
    items=("compute",),
    unrelated=True,
    once_per_contract=True,
    paid_proof=False,
    signed_from="",
    valid_days=90,
)


def asks(name, yuan, account="ann", **more):
    plain = {"firm": f"firm-{account}", "seller": "S", "contract": name, "signed": "2023-09-01"}
    lines = (Line("compute", yuan * YUAN),)
    return Application(id=name, account=account, lines=lines, **(plain | more))


class Bench:
    """Vouchers of a store, and what the ledger says of them."""

    def __init__(self, here):
        self.here = here
        self.rooms = SqliteVouchers(here.store)

    async def open(self, name=POOL, **more):
        return await self.rooms.open(self.here.epoch, name, replace(SCHEME, **more), "bo", NOW_MS)

    async def decide(self, *round_, pool=POOL, now_ms=NOW_MS):
        return await self.rooms.decide(self.here.epoch, pool, round_, "bo", now_ms)

    async def pay(self, bill, yuan, account="ann", now_ms=NOW_MS, commodity="CNY"):
        owed = (bill, yuan * YUAN)
        left = await self.rooms.pay(self.here.epoch, account, commodity, owed, now_ms)
        return left / YUAN

    async def withdraw(self, name, why="audit", now_ms=NOW_MS, pool=POOL):
        return await self.rooms.withdraw(self.here.epoch, (pool, name), why, "bo", now_ms)

    def balance(self, account):
        query = "SELECT amount_micro FROM ledger_balance WHERE account = ?"
        rows = self.here.sql(query, account)
        return rows[0][0] / YUAN if rows else 0

    def balances(self, pool=POOL):
        """What is free, what is promised, what ann has."""
        names = (voucher_budget(pool), voucher_reserved(pool), available("ann"))
        return tuple(self.balance(name) for name in names)


@pytest.fixture
def play(desk):
    def run(scene):
        async def whole(here):
            return await scene(Bench(here))

        return desk(whole)

    return run


def test_money_goes_from_the_budget_to_a_promise_to_a_tenant_and_back(play):
    async def scene(bench):
        await bench.open()
        assert bench.balances() == (1_000, 0, 0)
        await bench.decide(asks("a", 300))
        assert bench.balances() == (700, 300, 0)
        assert await bench.pay("2023-11/ann", 100) == 0
        assert bench.balances() == (700, 200, 100)
        back = await bench.withdraw("a")
        assert [one.act for one in back] == [Act.REVOKE, Act.CLAWBACK]
        assert bench.balances() == (1_000, 0, 0)
        check = await bench.here.store.ledger_verify()
        assert check.ok, check.problem

    play(scene)


def test_the_soonest_of_all_pools_pays_first_and_money_the_rest(play):
    async def scene(bench):
        await bench.open("late", valid_days=90)
        await bench.open("soon", valid_days=30)
        await bench.decide(asks("a", 50), pool="late")
        await bench.decide(asks("b", 50), pool="soon")
        assert await bench.pay("1", 60) == 0
        assert bench.balances("soon")[1:] == (0, 60)
        assert bench.balances("late")[1:] == (40, 60)
        assert await bench.pay("2", 60, commodity="USD") == 60
        assert await bench.pay("2", 60) == 20
        with pytest.raises(ConflictError, match="paid it already"):
            await bench.pay("2", 60)
        with pytest.raises(InputError):
            await bench.pay("3", -1)

    play(scene)


def test_two_rounds_at_once_promise_no_more_than_there_is(play):
    async def scene(bench):
        await bench.open()
        rounds = (bench.decide(asks(f"a{n}", 300)) for n in range(5))
        rows = await asyncio.gather(*rounds)
        assert sorted(row[0].granted_micro // YUAN for row in rows) == [0, 100, 300, 300, 300]
        assert bench.balances() == (0, 1_000, 0)

    play(scene)


def test_what_has_expired_is_free_for_the_next_round(play):
    async def scene(bench):
        await bench.open()
        await bench.decide(asks("a", 1_000))
        later = NOW_MS + 90 * DAY_MS
        assert await bench.rooms.lapse(bench.here.epoch, later - 1) == 0
        assert await bench.pay("b", 1, now_ms=later) == 1
        (row,) = await bench.decide(asks("b", 700), now_ms=later)
        assert (row.granted_micro, bench.balances()) == (700 * YUAN, (300, 700, 0))
        assert await bench.rooms.lapse(bench.here.epoch, later) == 0

    play(scene)


def test_a_contract_is_subsidised_once_over_all_pools(play):
    async def scene(bench):
        await bench.open()
        await bench.open("other")
        await bench.decide(asks("a", 10))
        (row,) = await bench.decide(asks("b", 10, contract="a"), pool="other")
        assert row.reasons == (Reason.SUBSIDISED_ALREADY,)
        assert [one.application.id for one in await bench.rooms.decisions("other")] == ["b"]
        with pytest.raises(ConflictError, match="decided on already"):
            await bench.decide(asks("b", 10), pool="other")

    play(scene)


def test_a_pool_keeps_its_rules(play):
    async def scene(bench):
        first = await bench.open()
        await bench.decide(asks("a", 10))
        again = await bench.open()
        assert (first.free_micro, again.free_micro) == (1_000 * YUAN, 990 * YUAN)
        with pytest.raises(ConflictError, match="other rules"):
            await bench.open(valid_days=91)
        with pytest.raises(InputError, match="does not say: valid_days"):
            await bench.open("new", valid_days=None)
        for wrong in (bench.decide(pool="none"), bench.withdraw("a", pool="none")):
            with pytest.raises(NotFoundError):
                await wrong
        with pytest.raises(NotFoundError):
            await bench.rooms.decisions("none")

    play(scene)


def test_what_fails_leaves_nothing_behind(play):
    async def scene(bench):
        await bench.open()
        with pytest.raises(InputError):
            await bench.decide(asks("a", 10), asks("b", 10, account="a:b"))
        await bench.decide(asks("c", 10))
        with pytest.raises(InputError, match="not printable"):
            await bench.withdraw("c", why="\x1b[2J")
        with pytest.raises(StaleEpochError):
            await bench.rooms.decide(bench.here.epoch - 1, POOL, [asks("d", 10)], "bo", NOW_MS)
        assert [row.application.id for row in await bench.rooms.decisions(POOL)] == ["c"]
        assert bench.balances() == (990, 10, 0)

    play(scene)


@pytest.mark.parametrize("table", ["voucher_pool", "voucher_decision", "voucher_event"])
def test_the_database_refuses_to_forget(play, table):
    async def scene(bench):
        await bench.open()
        await bench.decide(asks("a", 10))
        for change in (f"DELETE FROM {table}", f"UPDATE {table} SET pool = 'x'"):  # noqa: S608
            query = change.replace("pool = 'x'", "name = 'x'") if table.endswith("pool") else change
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                bench.here.sql(query)

    play(scene)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_history_the_ledger_says_what_the_pool_says(play, seed):
    dice = random.Random(seed)

    async def scene(bench):
        await bench.open(reservation=dice.choice([Reservation.FIFO, Reservation.PRO_RATA]))
        now_ms = NOW_MS
        for n in range(25):
            now_ms += dice.randrange(20) * DAY_MS
            what = dice.choice(["decide", "pay", "lapse", "withdraw"])
            if what == "decide":
                round_ = [asks(f"a{n}.{i}", dice.randrange(1, 400)) for i in range(2)]
                await bench.decide(*round_, now_ms=now_ms)
            elif what == "pay":
                await bench.pay(f"bill-{n}", dice.randrange(300), now_ms=now_ms)
            elif what == "lapse":
                await bench.rooms.lapse(bench.here.epoch, now_ms)
            else:
                (pool,) = await bench.rooms.pools()
                live = [one.id for one in pool.vouchers.values() if one.counted_micro]
                if live:
                    await bench.withdraw(dice.choice(live), now_ms=now_ms)
            (pool,) = await bench.rooms.pools()
            says = (pool.free_micro, pool.reserved_micro, pool.paid_micro)
            assert bench.balances() == tuple(part / YUAN for part in says)
            assert sum(says) == 1_000 * YUAN
        check = await bench.here.store.ledger_verify()
        assert check.ok, check.problem

    play(scene)
