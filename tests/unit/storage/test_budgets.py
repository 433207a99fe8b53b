"""Budgets hold however many start at once, and what counts against them comes from the ledger."""

import asyncio

from fenglin.ledger.budgets import Budget, BudgetState, Span
from fenglin.ledger.entry import Leg
from fenglin.ledger.posting import Hold, Terms, adjust, charge, post, void
from fenglin.model.reason import Reason
from fenglin.quantities.period import parse_period
from fenglin.storage.accounts import SqliteAccounts

# The store's own fixtures write at this time, which lies in 2023-11, as its last quarter does.
NOW_MS = 1_700_000_000_000
DECEMBER = parse_period("2023-12")
MONTH, YEAR = Span.MONTH, Span.YEAR


def settled(hold, used_micro):
    """Return the posting of a hold of which so much was used."""
    of = Hold(hold.attempt, "default", "CNY", hold.legs[1].amount_micro, hold.job)
    if not used_micro:
        return void(of)
    return post(of, "gz", [charge("core_hour", 1, 1, used_micro)], Terms())


async def started(here, held):
    """Start a job of its own with such a hold; return the hold, or why it was refused."""
    unit = here.unit(await here.job(), held=held)
    unit.allocation.shares = ()
    refused = await here.start(unit)
    return refused[0][1] if refused else unit.hold


def test_no_number_of_starts_at_once_passes_a_hard_limit(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        budgets = {"default": [Budget(MONTH, 2_500_000), Budget(YEAR, 9_000_000)]}
        await accounts.set_budgets(here.epoch, budgets, 480, NOW_MS)
        planned = (await here.store.balances())["default"]
        made = await asyncio.gather(*(started(here, 1_000_000) for _ in range(20)))
        return planned, made, await accounts.budgets(NOW_MS)

    planned, made, uses = desk(scene)
    assert planned == 2_500_000
    assert made.count(Reason.BUDGET_EXHAUSTED) == 18
    month, year = uses["default"]
    assert (month.used_micro, month.left_micro) == (2_000_000, 500_000)
    assert (year.used_micro, year.left_micro) == (2_000_000, 7_000_000)


def test_what_was_charged_counts_until_the_month_turns(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        budgets = {"default": [Budget(MONTH, 1_000_000)]}
        await accounts.set_budgets(here.epoch, budgets, 480, NOW_MS)
        hold = await started(here, 900_000)
        entry, *_ = await here.store.post(here.epoch, [settled(hold, 700_000)], NOW_MS)
        first = await started(here, 400_000)
        right = [
            Leg("provider:gz:due", "CNY", -200_000),
            Leg("tenant:default:available", "CNY", 200_000),
        ]
        both = [adjust(entry, right, "a"), adjust(entry, right, "a")]
        await here.store.post(here.epoch, both, NOW_MS)
        await here.store.post(here.epoch, both, NOW_MS)
        second = await started(here, 400_000)
        (november,) = (await accounts.budgets(NOW_MS))["default"]
        (december,) = (await accounts.budgets(DECEMBER.from_ms))["default"]
        before = (await here.store.balances())["default"]
        await accounts.set_budgets(here.epoch, budgets, 480, DECEMBER.from_ms)
        after = (await here.store.balances())["default"]
        # In another zone the same ledger is counted by other months.
        await accounts.set_budgets(here.epoch, budgets, -480, NOW_MS)
        (again,) = (await accounts.budgets(NOW_MS))["default"]
        return first, second, november, december, before, after, again

    first, second, november, december, before, after, again = desk(scene)
    assert first is Reason.BUDGET_EXHAUSTED
    assert second.attempt
    assert (november.charged_micro, november.held_micro) == (500_000, 400_000)
    assert (december.charged_micro, december.held_micro) == (0, 400_000)
    assert (before, after) == (100_000, 600_000)
    assert (again.charged_micro, again.from_ms) != (0, november.from_ms)
    assert again.charged_micro == 500_000


def test_a_soft_limit_lets_work_start_and_tells_once(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        await accounts.set_budgets(here.epoch, {"default": [Budget(YEAR, None, 100)]}, 480, NOW_MS)
        holds = [await started(here, 60) for _ in range(3)]
        told = [
            [event.text for event in await here.store.events(hold.job, 0, 99)
             if event.kind == "soft_budget"]
            for hold in holds
        ]  # fmt: skip
        (use,) = (await accounts.budgets(NOW_MS))["default"]
        return told, use.state, (await here.store.balances())["default"]

    told, state, left = desk(scene)
    assert [len(one) for one in told] == [0, 1, 0]
    assert told[1][0].startswith("account default has used 0.00012 CNY of this year")
    assert state is BudgetState.SOFT
    assert left == 10_000_000 - 180


def test_of_starts_in_one_change_the_one_that_passes_the_soft_limit_is_told(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        await accounts.set_budgets(here.epoch, {"default": [Budget(YEAR, None, 100)]}, 480, NOW_MS)
        units = [here.unit(await here.job(), held=60) for _ in range(3)]
        assert await here.start(*units) == []
        return [
            [event.text for event in await here.store.events(unit.job.number, 0, 99)
             if event.kind == "soft_budget"]
            for unit in units
        ]  # fmt: skip

    told = desk(scene)
    assert [len(one) for one in told] == [0, 1, 0]
    assert told[1][0].startswith("account default has used 0.00012 CNY of this year")


def test_what_costs_nothing_starts_however_the_account_stands(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        hold = await started(here, 1_000)
        await here.store.post(here.epoch, [settled(hold, 11_000_000)], NOW_MS)
        await accounts.set_budgets(here.epoch, {"default": [Budget(MONTH, 5)]}, 480, NOW_MS)
        spendable = (await here.store.balances())["default"]
        return spendable, await started(here, 1), await started(here, 0)

    spendable, refused, hold = desk(scene)
    assert spendable < 0
    assert refused is Reason.BUDGET_EXHAUSTED
    assert hold.legs[1].amount_micro == 0
