"""Who may see and move an account's money, and what is refused before the ledger is asked."""

import asyncio

import pytest
from msgspec.structs import replace

from fenglin.engine.books.accounts import AccountDesk
from fenglin.errors import DeniedError, InputError, NotFoundError
from fenglin.ledger.budgets import Budget, BudgetUse, Span
from fenglin.ledger.entry import Entry, Head, seal
from fenglin.ledger.posting import grant
from fenglin.ledger.standing import Limits
from fenglin.ledger.statement import Funds
from fenglin.model.hours import CORE_HOUR, purse
from fenglin.ports.accounts import HoursBack
from fenglin.ports.hub import Principal
from fenglin.wire.account_views import MoneyMove

ADMIN = Principal("ada", frozenset({"admin"}))
ANN = Principal("ann", frozenset({"read", "write"}), "lab")
DECEMBER_MS = 1_796_054_400_000  # 2026-12-01T00:00+08:00
BUDGET = Budget(Span.MONTH, 9, 8)
MOVE = MoneyMove(amount_micro=5, key="bank-1")


class Store:
    def __init__(self):
        self.entered = []

    async def funds(self):
        return {"lab": Funds(-3, 2), "team": Funds(9, 0)}

    async def hours(self):
        return {"lab": {"CORE-HOUR": Funds(7, 1)}}

    async def budgets(self, now_ms):
        return {"lab": [BudgetUse(BUDGET, 1, now_ms + 1, 4, 5)]}

    async def set_budgets(self, epoch, budgets, offset_min, now_ms):
        self.entered.append((epoch, budgets, offset_min, now_ms))

    async def enter(self, epoch, draft, now_ms, *, least_micro) -> Entry:
        self.entered.append((epoch, draft.key, least_micro))
        return seal(Head("hub", 6, bytes(32)), draft, now_ms)

    async def take_back(self, epoch, account, hours, now_ms) -> Entry:
        self.entered.append((epoch, account, hours))
        draft = grant(account, hours.amount_micro, hours.key, commodity=hours.commodity)
        return seal(Head("hub", 8, bytes(32)), draft, now_ms)

    async def close(self, epoch, period, now_ms):
        self.entered.append((epoch, str(period)))
        # The entry's number is all that is told of it.
        return Entry(1, "hub", 8, now_ms, "close", "k", 0, "", "", (), (), b"", b""), 4


class Clock:
    now = DECEMBER_MS

    def now_ms(self):
        return self.now


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def desk(store):
    limits = {"lab": Limits(10, 1), "new": Limits()}
    return AccountDesk(store, Clock(), lambda: 3, limits, 480, {"lab": (BUDGET,)})


def test_a_tenant_sees_its_own_account_and_no_other(desk):
    names = [one.name for one in asyncio.run(desk.list(ADMIN)).items]
    assert names == ["lab", "new", "team"]
    (own,) = asyncio.run(desk.list(ANN)).items
    assert (own.name, own.available_micro, own.held_micro, own.standing) == (
        "lab",
        -3,
        2,
        "overdue",
    )
    assert asyncio.run(desk.show("lab", ANN)) == own
    for account, principal in (("team", ANN), ("gone", ANN), ("gone", ADMIN)):
        with pytest.raises(NotFoundError, match=f"no account '{account}'"):
            asyncio.run(desk.show(account, principal))


def test_only_an_admin_moves_money_and_the_loop_hears_of_it(desk, store):
    heard = []
    desk.connect(lambda: heard.append(1))
    moved = asyncio.run(desk.deposit("lab", MOVE, ADMIN))
    assert (moved.entry, moved.key, moved.account.name) == (7, "deposit:bank-1", "lab")
    asyncio.run(desk.refund("lab", MOVE, ADMIN))
    # Only what goes back must be there before.
    assert store.entered == [(3, "deposit:bank-1", 0), (3, "pay:bank-1", 5)]
    assert heard == [1, 1]
    for way in (desk.deposit, desk.refund):
        with pytest.raises(DeniedError):
            asyncio.run(way("lab", MOVE, ANN))
        with pytest.raises(NotFoundError):
            asyncio.run(way("gone", MOVE, ADMIN))
        for amount, key in ((0, "a"), (-1, "a"), (5, ""), (5, "x" * 129), (5, "a\n")):
            with pytest.raises(InputError):
                asyncio.run(way("lab", MoneyMove(amount_micro=amount, key=key), ADMIN))
    assert len(store.entered) == 2


def test_a_month_is_closed_when_it_is_over_in_the_books_zone(desk):
    closed = asyncio.run(desk.close("2026-11", ADMIN))
    assert (closed.zone, closed.to_ms, closed.open_holds) == ("+08:00", DECEMBER_MS, 4)
    Clock.now = DECEMBER_MS - 1
    try:
        with pytest.raises(InputError, match="2026-11 is not over"):
            asyncio.run(desk.close("2026-11", ADMIN))
    finally:
        Clock.now = DECEMBER_MS
    with pytest.raises(InputError, match="not a month"):
        asyncio.run(desk.close("2026-13", ADMIN))
    with pytest.raises(DeniedError):
        asyncio.run(desk.close("2026-11", ANN))


def test_an_account_tells_its_budgets_and_renews_them(desk, store):
    view = asyncio.run(desk.show("lab", ANN))
    (budget,) = view.budgets
    assert (budget.span, budget.hard_micro, budget.soft_micro) == ("month", 9, 8)
    assert (budget.charged_micro, budget.held_micro, budget.state) == (4, 5, "hard")
    heard = []
    desk.connect(lambda: heard.append("moved"))
    asyncio.run(desk.renew())
    assert store.entered == [(3, {"lab": (BUDGET,)}, 480, DECEMBER_MS)]
    assert heard == ["moved"]


def test_hours_are_granted_in_their_own_commodity_and_shown_beside_money(desk, store):
    move = MoneyMove(amount_micro=5, key="quota", hours="Ascend910B")
    moved = asyncio.run(desk.deposit("lab", move, ADMIN))
    assert store.entered[-1] == (3, "grant:quota", 0)
    (hours,) = moved.account.hours
    assert (hours.kind, hours.available_micro, hours.held_micro) == ("CORE-HOUR", 7, 1)
    assert moved.account.available_micro == -3
    asyncio.run(desk.deposit("lab", MoneyMove(amount_micro=5, key="q2", hours="core"), ADMIN))
    assert store.entered[-1] == (3, "grant:q2", 0)


def test_hours_are_taken_back_in_their_own_commodity_and_the_loop_hears_of_it(desk, store):
    heard = []
    desk.connect(lambda: heard.append(1))
    move = MoneyMove(amount_micro=5, key="too-much", hours="A100-80", memo="typed twice")
    moved = asyncio.run(desk.refund("lab", move, ADMIN))
    back = HoursBack("CARD.A100-80", 5, "too-much", "typed twice")
    assert store.entered == [(3, "lab", back)]
    assert (moved.entry, heard) == (9, [1])
    for amount in (0, -1, 10**17 + 1):
        with pytest.raises(InputError, match="out of range"):
            asyncio.run(desk.refund("lab", replace(move, amount_micro=amount), ADMIN))
    with pytest.raises(DeniedError):
        asyncio.run(desk.refund("lab", move, ANN))


@pytest.mark.parametrize("way", ["deposit", "refund"])
def test_hours_that_are_none_are_refused(desk, store, way):
    move = MoneyMove(amount_micro=5, key="quota", hours="a model")
    with pytest.raises(InputError):
        asyncio.run(getattr(desk, way)("lab", move, ADMIN))
    assert store.entered == []


def test_hours_that_are_lent_or_rationed_are_shown_with_how_they_stand(store):
    lent = {purse("lab", CORE_HOUR): Limits(10, 7), purse("new", "CARD.A100"): Limits(3)}
    desk = AccountDesk(store, Clock(), lambda: 3, {"lab": Limits(), "new": Limits()}, 480, {}, lent)
    rationed = Budget(Span.YEAR, 50, None, "CARD.H20")

    async def budgets(_now_ms):
        return {"lab": [BudgetUse(BUDGET, 1, 2, 4, 5), BudgetUse(rationed, 1, 2, 50, 0)]}

    store.budgets = budgets
    lab, new, _ = asyncio.run(desk.list(ADMIN)).items
    cards, cores = lab.hours
    assert (cores.kind, cores.standing) == (CORE_HOUR, "low")
    assert (cores.credit_limit_micro, cores.low_micro, cores.budgets) == (10, 7, [])
    assert (cards.kind, cards.standing, cards.available_micro) == ("CARD.H20", "frozen", 0)
    assert [(one.span, one.state) for one in cards.budgets] == [("year", "hard")]
    assert [one.span for one in lab.budgets] == ["month"]
    (owed,) = new.hours
    # Nothing of it was granted, and all of it may be used.
    assert (owed.kind, owed.available_micro, owed.standing) == ("CARD.A100", 0, "low")
