"""Money of operators, limits of credit under many starts, and months that were closed."""

import asyncio
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from fenglin.engine.books.accounts import AccountDesk
from fenglin.errors import ConflictError, InputError
from fenglin.ledger.budgets import Budget, Span
from fenglin.ledger.moves import deposit, refund
from fenglin.ledger.posting import grant
from fenglin.ledger.standing import Limits
from fenglin.ledger.statement import Funds
from fenglin.model.hours import purse
from fenglin.model.reason import Reason
from fenglin.ports.accounts import HoursBack
from fenglin.ports.hub import Principal
from fenglin.quantities.period import parse_period
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.settlements import SqliteSettlings

# The store's own fixtures write at this time, which lies in 2023-11.
NOW_MS = 1_700_000_000_000
NOVEMBER = parse_period("2023-11")


def test_a_deposit_counts_once_and_what_is_there_can_go_back(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        draft = deposit("default", 500, "bank-1")
        first = await accounts.enter(here.epoch, draft, NOW_MS, least_micro=0)
        again = await accounts.enter(here.epoch, draft, NOW_MS + 9, least_micro=0)
        other = deposit("default", 501, "bank-1")
        with pytest.raises(ConflictError, match="another body"):
            await accounts.enter(here.epoch, other, NOW_MS, least_micro=0)
        whole = refund("default", 10_000_500, "back-1")
        paid = await accounts.enter(here.epoch, whole, NOW_MS, least_micro=10_000_500)
        # What is gone is no reason to refuse the same refund once more.
        twice = await accounts.enter(here.epoch, whole, NOW_MS, least_micro=10_000_500)
        more = refund("default", 1, "back-2")
        with pytest.raises(ConflictError, match="only 0"):
            await accounts.enter(here.epoch, more, NOW_MS, least_micro=1)
        return first == again, paid == twice, await accounts.funds()

    same, same_refund, funds = desk(scene)
    assert same
    assert same_refund
    assert funds == {"default": Funds(0, 0)}


def test_hours_are_taken_back_once_and_only_those_that_are_there(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        first, second = (grant("default", n, f"q{n}", commodity="CORE-HOUR") for n in (300, 200))
        other = grant("default", 9, "cards", commodity="CARD.A100")
        for draft in (first, second, other):
            await accounts.enter(here.epoch, draft, NOW_MS, least_micro=0)
        back = HoursBack("CORE-HOUR", 400, "back-1", "typed twice")
        entry = await accounts.take_back(here.epoch, "default", back, NOW_MS)
        # A grant in between does not make the same word another one.
        more = grant("default", 50, "q50", commodity="CORE-HOUR")
        await accounts.enter(here.epoch, more, NOW_MS, least_micro=0)
        again = await accounts.take_back(here.epoch, "default", back, NOW_MS + 9)
        for change in ({"amount_micro": 401}, {"commodity": "CARD.A100"}):
            with pytest.raises(ConflictError, match="another body"):
                await accounts.take_back(here.epoch, "default", replace(back, **change), NOW_MS)
        for commodity, why in (("CORE-HOUR", "only 0.00015 CORE-HOUR"), ("CARD.H20", "only 0.00")):
            much = HoursBack(commodity, 151, "back-2", "")
            with pytest.raises(ConflictError, match=why):
                await accounts.take_back(here.epoch, "default", much, NOW_MS)
        none = replace(back, amount_micro=0, key="back-3")
        with pytest.raises(InputError, match="out of range"):
            await accounts.take_back(here.epoch, "default", none, NOW_MS)
        told = await here.store.ledger_statement("default", NOVEMBER.from_ms, NOVEMBER.to_ms)
        checked = await SqliteSettlings(here.store).check(NOVEMBER)
        spendable = await here.store.balances()
        return entry == again, entry, told, checked, spendable, await here.store.ledger_verify()

    same, entry, told, checked, spendable, check = desk(scene)
    assert same
    assert (entry.kind, entry.detail("corrects")) == ("adjust", "grant:q200")
    assert entry.memo == "typed twice"
    cards, cores = told.hours
    assert (cores.granted_micro, cores.adjusted_micro, cores.closing_micro) == (550, -400, 150)
    assert (cards.granted_micro, cards.adjusted_micro) == (9, 0)
    assert (told.adjusted_micro, told.charged_micro) == (0, 0)
    assert spendable["default:CORE-HOUR"] == 150
    assert checked.ok, checked.faults
    assert check.ok, check.problem


@pytest.mark.parametrize("commodity", ["CNY", "CORE-HOUR", "CARD.A100"])
def test_no_number_of_starts_at_once_passes_the_credit_limit(desk, commodity):
    name = "default" if commodity == "CNY" else purse("default", commodity)

    async def scene(here):
        accounts = SqliteAccounts(here.store)
        draft = grant("default", 10_000_000, "first", commodity=commodity)
        await accounts.enter(here.epoch, draft, NOW_MS, least_micro=0)
        await accounts.set_limits(here.epoch, {name: 2_000_000})
        spendable = await here.store.balances()
        jobs = [await here.job(name=f"j{i}") for i in range(20)]
        units = [here.unit(job, held=2_500_000, commodity=commodity) for job in jobs]
        for unit in units:
            unit.allocation.shares = ()
        refused = await asyncio.gather(*(here.start(unit) for unit in units))
        await accounts.set_limits(here.epoch, {})
        hours = (await accounts.hours()).get("default", {})
        return spendable, refused, {**await accounts.funds(), **hours}

    spendable, refused, funds = desk(scene, credit=0)
    assert spendable == {name: 12_000_000}
    reasons = [reason for one in refused for _, reason in one]
    assert reasons == [Reason.BUDGET_EXHAUSTED] * 16
    assert list(funds.values()) == [Funds(0, 10_000_000)]


def test_what_accounts_tell_of_their_room_is_what_starts_are_held_against(desk):
    limits = {"default": Limits(2_000_000), "poor": Limits(), "team": Limits(9_000_000)}
    lent = {purse("default", "CORE-HOUR"): Limits(3_000_000), purse("team", "CARD.A100"): Limits(7)}
    budgets = {
        "default": (
            Budget(Span.YEAR, 11_000_000),
            Budget(Span.MONTH, 4_000_000, None, "CARD.A100"),
        ),
        "team": (Budget(Span.MONTH, 5_000_000),),
    }

    async def scene(here):
        accounts = SqliteAccounts(here.store)
        for account, commodity in (
            ("default", "CNY"), ("default", "CARD.A100"), ("team", "CNY"), ("poor", "CNY"),
        ):  # fmt: skip
            micro = 1 if account == "poor" else 10_000_000
            draft = grant(account, micro, f"{account}-{commodity}", commodity=commodity)
            await accounts.enter(here.epoch, draft, NOW_MS, least_micro=0)
        for commodity in ("CNY", "CARD.A100"):
            unit = here.unit(await here.job(), held=1_500_000, commodity=commodity)
            unit.allocation.shares = ()
            assert await here.start(unit) == []
        lines = {name: one.credit_micro for name, one in (limits | lent).items()}
        await accounts.set_limits(here.epoch, lines)
        await accounts.set_budgets(here.epoch, budgets, 480, NOW_MS)
        clock = SimpleNamespace(now_ms=lambda: NOW_MS)
        books = AccountDesk(accounts, clock, lambda: here.epoch, limits, 480, budgets, lent)
        views = (await books.list(Principal("ada", frozenset({"admin"})))).items
        told = {one.name: one.room_micro for one in views}
        told |= {purse(one.name, kind.kind): kind.room_micro for one in views for kind in one.hours}
        return told, await here.store.balances()

    told, spendable = desk(scene, credit=0)
    assert told == spendable
    assert told[purse("default", "CARD.A100")] == 2_500_000
    assert told["default"] == 9_500_000


def test_nothing_is_entered_into_a_closed_month(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        unit = here.unit(await here.job(), held=1_000)
        await here.start(unit)
        later = NOVEMBER.to_ms + 5
        before = await here.store.ledger_statement("default", NOVEMBER.from_ms, NOVEMBER.to_ms)
        closed, open_holds = await accounts.close(here.epoch, NOVEMBER, later)
        again = await accounts.close(here.epoch, NOVEMBER, later + 99)
        # A clock that stands in November enters it in December all the same.
        late = await accounts.enter(
            here.epoch, deposit("default", 7, "late"), NOW_MS, least_micro=0
        )
        after = await here.store.ledger_statement("default", NOVEMBER.from_ms, NOVEMBER.to_ms)
        sums = [(one.opening_micro, one.closing_micro, one.held_micro) for one in (before, after)]
        return closed, open_holds, again, late, sums, await here.store.ledger_verify()

    closed, open_holds, again, late, sums, check = desk(scene)
    assert closed.key == "close:2023-11"
    assert open_holds == 1
    assert again == (closed, 1)
    assert late.time_ms == NOVEMBER.to_ms
    assert sums[0] == sums[1]
    assert check.ok


@pytest.mark.parametrize(
    ("closed", "then", "why"),
    [
        ([], "2023-10", "the ledger was founded in 2023-11"),
        (["2023-11"], "2024-01", "the last closed month is 2023-11"),
        (["2023-11", "2023-12"], "2023-10", "the last closed month is 2023-12"),
    ],
)
def test_months_are_closed_one_after_another(desk, closed, then, why):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        for month in closed:
            period = parse_period(month)
            await accounts.close(here.epoch, period, period.to_ms)
        with pytest.raises(ConflictError, match=why):
            await accounts.close(here.epoch, parse_period(then), NOW_MS * 2)

    desk(scene)
