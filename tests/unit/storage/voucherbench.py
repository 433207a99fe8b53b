"""Vouchers of a store, short ways to use them, and what the ledger says."""

from msgspec.structs import replace

from fenglin.ledger.accounts import available, voucher_budget, voucher_reserved
from fenglin.ledger.posting import Charge, Hold, Terms, hold, post
from fenglin.ledger.vouchers.claim import Application, Line
from fenglin.ledger.vouchers.scheme import NO_CAP_MICRO, Ratio, Reservation, Scheme
from fenglin.ports.vouchers import TakeBack, Use
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
        self.charged = 0
        self.keys = 0

    async def open(self, name=POOL, **more):
        return await self.rooms.open(self.here.epoch, name, replace(SCHEME, **more), "bo", NOW_MS)

    async def file(self, *asked, pool=POOL, now_ms=NOW_MS):
        return await self.rooms.file(self.here.epoch, pool, asked, "ann", now_ms)

    async def approve(self, name, pool=POOL, now_ms=NOW_MS):
        return await self.rooms.approve(self.here.epoch, (pool, name), "bo", now_ms)

    async def give(self, *asked, pool=POOL, now_ms=NOW_MS):
        """File, decide and approve; return what each was granted, in yuan."""
        await self.file(*asked, pool=pool, now_ms=now_ms)
        await self.rooms.round(self.here.epoch, pool, "bo", now_ms)
        found = [
            one
            for asks in asked
            for one in await self.rooms.records([("pool", pool), ("voucher", asks.id)], "", 0, 10)
        ]
        for one in found:
            if one.voucher is not None:
                await self.approve(one.application.id, pool, now_ms)
        return [one.decision.granted_micro // YUAN for one in found]

    async def charge(self, yuan, account="ann", now_ms=NOW_MS, item="core_hour", commodity="CNY"):
        """Post a use, as the hub does at its end; return what vouchers paid of it."""
        self.charged += 1
        before = self.credited(account)
        of = Hold(f"x/{self.charged}", account, commodity, 0, 7)
        drafts = [
            hold(account, 0, of.attempt, job=7, commodity=commodity),
            post(of, "p", [Charge(item, 1, 1, yuan * YUAN, yuan * YUAN)], Terms("s", "f", "p1")),
        ]
        change = self.here.change(now_ms=now_ms, postings=drafts)
        await self.here.store.commit(change)
        return self.credited(account) - before

    async def use(self, yuan=0, account="ann", key="", voucher=None, now_ms=NOW_MS):
        self.keys += 1
        ask = Use(account, "CNY", 0, now_ms + 1, yuan * YUAN, voucher, key or f"use-{self.keys}")
        parts = await self.rooms.use(self.here.epoch, ask, "bo", now_ms)
        return sum(one.amount_micro for one in parts) / YUAN

    async def take(
        self, name, yuan=0, *, used=False, why="audit", now_ms=NOW_MS, key="", pool=POOL
    ):
        self.keys += 1
        ask = TakeBack(used, why, yuan * YUAN, key or f"take-{self.keys}")
        return await self.rooms.take_back(self.here.epoch, (pool, name), ask, "bo", now_ms)

    def balance(self, account):
        query = "SELECT amount_micro FROM ledger_balance WHERE account = ?"
        rows = self.here.sql(query, account)
        return rows[0][0] / YUAN if rows else 0

    def credited(self, account="ann"):
        """What vouchers have put into a tenant's account, less what was taken back, in yuan."""
        rows = self.here.sql(
            "SELECT COALESCE(SUM(amount_micro), 0) FROM ledger_leg JOIN ledger_entry USING (seq)"
            " WHERE account = ? AND kind = 'voucher'",
            available(account),
        )
        return rows[0][0] / YUAN

    def balances(self, pool=POOL):
        """What is free, what is promised, what vouchers have given ann."""
        names = (voucher_budget(pool), voucher_reserved(pool))
        return (*(self.balance(name) for name in names), self.credited())

    async def check(self):
        """Everything agrees: rows, events, ledger."""
        for one in await self.rooms.pools():
            assert (await self.rooms.audit(one.name, "", "")).problems == ()
        found = await self.here.store.ledger_verify()
        assert found.ok, found.problem


def played(desk, scene):
    """Play a scene; afterwards rows, events and ledger must agree."""

    async def whole(here):
        bench = Bench(here)
        await scene(bench)
        await bench.check()

    return desk(whole)
