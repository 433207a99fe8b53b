"""The desk of vouchers: who may do what, what is refused before the store is asked."""

import asyncio

import pytest

from fenglin.engine.books.vouchers import VoucherDesk
from fenglin.errors import DeniedError, InputError, LimitError, NotFoundError, UnavailableError
from fenglin.ledger.vouchers.claim import Application, Line
from fenglin.ledger.vouchers.scheme import Scheme
from fenglin.ports.hub import Listing, Principal
from fenglin.ports.vouchers import PoolRecord, UsedPart, VoucherRecord
from fenglin.wire.voucher_views import PoolAsk, TakeBackAsk, UseAsk

ADMIN = Principal("ada", frozenset({"admin"}))
ANN = Principal("ann", frozenset({"read", "write"}), "lab")
DECEMBER_MS = 1_796_054_400_000  # 2026-12-01T00:00+08:00
NOVEMBER_MS = DECEMBER_MS - 30 * 86_400_000
SCHEME = Scheme(name="gz", title="算力券")
TAKE = TakeBackAsk(why="forged", key="k")
USE = UseAsk(account="lab", period="2026-11", key="k")


def asks(account="lab", **more):
    plain = {"id": "a1", "firm": "F", "seller": "S", "contract": "C", "signed": "2026-03-01"}
    lines = (Line("compute", 5),)
    return Application(account=account, lines=lines, **(plain | more))


class Store:
    """Remembers what was asked."""

    def __init__(self):
        self.asked = []
        self.broken = False

    def record(self, pool="gz-2026"):
        return VoucherRecord(
            number=3, pool=pool, application=asks(), filed_by="ann", filed_ms=1, decision=None,
            voucher=None,
        )  # fmt: skip

    async def open(self, epoch, name, _scheme, who, _now_ms):
        self.asked.append((epoch, name, who))
        return (await self.pools())[0]

    async def pools(self, _name=""):
        return (
            PoolRecord(
                name="gz-2026", scheme=SCHEME, opened_by="ada", time_ms=1, free_micro=1,
                reserved_micro=2, paid_micro=3, waiting=1,
            ),
        )  # fmt: skip

    async def file(self, epoch, pool, asked, who, _now_ms):
        self.asked.append((epoch, pool, [one.id for one in asked], who))
        return (self.record(),)

    async def round(self, _epoch, pool, who, _now_ms):
        self.asked.append((pool, who))
        return (self.record(),)

    async def approve(self, _epoch, voucher, who, _now_ms):
        self.asked.append((voucher, who))
        return self.record()

    async def take_back(self, _epoch, voucher, ask, who, _now_ms):
        self.asked.append((voucher, ask.used, ask.amount_micro, who))
        return self.record()

    async def use(self, _epoch, ask, _who, _now_ms):
        self.asked.append((ask.account, ask.from_ms, ask.to_ms, ask.voucher))
        return (UsedPart("gz-2026", "a1", "post:x", 4), UsedPart("gz-2026", "a1", "post:y", 5))

    async def lapse(self, _epoch, now_ms):
        self.asked.append(("lapse", now_ms))
        if self.broken:
            raise UnavailableError("the disk is full")
        return 2

    async def records(self, wanted, account, after, limit):
        self.asked.append((wanted, account, after, limit))
        return [self.record()] * limit


class Accounts:
    """Knows one account."""

    def __init__(self):
        self.heard = 0

    def moved(self):
        self.heard += 1

    async def show(self, account, principal):
        if account != "lab" or principal.account not in {"", account}:
            raise NotFoundError(f"there is no account {account!r}")


class Clock:
    def now_ms(self):
        return DECEMBER_MS


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def accounts():
    return Accounts()


@pytest.fixture
def desk(store, accounts):
    return VoucherDesk(store, accounts, Clock(), lambda: 3, 480)


def test_a_tenant_files_for_its_own_account_only(desk, store):
    asyncio.run(desk.file("gz-2026", (asks(),), ANN))
    assert store.asked == [(3, "gz-2026", ["a1"], "ann")]
    for account, who in (("team", ANN), ("gone", ADMIN)):
        with pytest.raises(NotFoundError, match=f"no account '{account}'"):
            asyncio.run(desk.file("gz-2026", (asks(), asks(account)), who))
    with pytest.raises(InputError, match="no application"):
        asyncio.run(desk.file("gz-2026", (), ADMIN))
    with pytest.raises(LimitError, match="1001 applications"):
        asyncio.run(desk.file("gz-2026", (asks(),) * 1_001, ADMIN))


@pytest.mark.parametrize(
    "ask",
    [
        lambda desk, who: desk.open(PoolAsk(year=2026, scheme=SCHEME), who),
        lambda desk, who: desk.round("gz-2026", who),
        lambda desk, who: desk.approve("gz-2026", "a1", who),
        lambda desk, who: desk.take_back("gz-2026", "a1", TAKE, who, used=True),
        lambda desk, who: desk.use(USE, who),
    ],
)
def test_only_an_admin_decides(desk, store, ask):
    auditor = Principal("udo", frozenset({"read", "audit"}))
    for who in (ANN, auditor):
        with pytest.raises(DeniedError):
            asyncio.run(ask(desk, who))
    assert store.asked == []


def test_money_that_moves_is_told_to_the_loop(desk, store, accounts):
    asyncio.run(desk.take_back("gz-2026", "a1", TAKE, ADMIN, used=False))
    done = asyncio.run(desk.use(USE, ADMIN))
    assert (done.used_micro, len(done.parts), accounts.heard) == (9, 2, 2)
    assert store.asked == [
        (("gz-2026", "a1"), False, 0, "ada"),
        ("lab", NOVEMBER_MS, DECEMBER_MS, None),
    ]


def wrong_use(**more):
    return lambda desk: desk.use(
        UseAsk(**({"account": "lab", "period": "2026-11", "key": "k"} | more)), ADMIN
    )


def wrong_take(**more):
    ask = TakeBackAsk(**({"why": "w", "key": "k"} | more))
    return lambda desk: desk.take_back("gz-2026", "a1", ask, ADMIN, used=False)


def wrong_scheme(**more):
    scheme = Scheme(**({"name": "gz", "title": "t"} | more))
    return lambda desk: desk.open(PoolAsk(year=2026, scheme=scheme), ADMIN)


@pytest.mark.parametrize(
    ("ask", "where"),
    [
        (wrong_use(key=""), "key"),
        (wrong_use(key="k\n"), "key"),
        (wrong_use(amount_micro=-1), "amount_micro"),
        (wrong_use(voucher="a1"), "voucher"),
        (wrong_use(pool="gz-2026"), "voucher"),
        (wrong_use(period="2026-13"), ""),
        (wrong_take(key="k" * 129), "key"),
        (wrong_take(amount_micro=5), "amount_micro"),
        (wrong_scheme(name="G Z"), "scheme.name"),
        (wrong_scheme(title="x" * 301), "scheme"),
        (wrong_scheme(items=("a\x1b",)), "scheme"),
        (lambda desk: desk.open(PoolAsk(year=1, scheme=SCHEME), ADMIN), "year"),
    ],
)
def test_what_is_wrong_never_reaches_the_store(desk, store, ask, where):
    with pytest.raises(InputError) as error:
        asyncio.run(ask(desk))
    assert error.value.where == where
    assert store.asked == []


def test_a_list_goes_on_where_it_was_cut(desk, store):
    page = asyncio.run(desk.vouchers(Listing(limit=2, filters=(("pool", "gz-2026"),)), ANN))
    assert (len(page.items), page.next, page.items[0].state) == (2, "3", "filed")
    assert store.asked == [((("pool", "gz-2026"),), "lab", 0, 3)]
    asyncio.run(desk.vouchers(Listing(limit=2, cursor="3"), ANN))
    assert store.asked[-1] == ((), "lab", 3, 3)
    with pytest.raises(NotFoundError, match="no page"):
        asyncio.run(desk.vouchers(Listing(cursor="x"), ANN))


def test_a_pool_shows_its_budget(desk):
    view = asyncio.run(desk.open(PoolAsk(year=2026, scheme=SCHEME), ADMIN))
    assert (view.budget_micro, view.free_micro, view.waiting) == (6, 1, 1)


def test_the_clock_frees_what_has_expired_and_outlives_a_full_disk(desk, store):
    asyncio.run(desk.once())
    store.broken = True
    asyncio.run(desk.once())
    assert store.asked == [("lapse", DECEMBER_MS)] * 2
