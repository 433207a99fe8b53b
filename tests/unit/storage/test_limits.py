"""Credit limits and hard budgets hold in every commodity, in whatever order things happen (A4)."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fenglin.errors import ConflictError
from fenglin.ledger.budgets import Budget, Span
from fenglin.ledger.posting import Hold, Terms, charge, grant, post, void
from fenglin.model.hours import CORE_HOUR, purse
from fenglin.model.reason import Reason
from fenglin.ports.accounts import HoursBack
from fenglin.storage.accounts import SqliteAccounts

NOW_MS = 1_700_000_000_000
CARD = "CARD.A100"
KINDS = ("CNY", CORE_HOUR, CARD)
kinds = st.sampled_from(KINDS)
limits = st.fixed_dictionaries(
    {kind: st.tuples(st.integers(0, 300), st.none() | st.integers(0, 900)) for kind in KINDS}
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), kinds, st.integers(1, 400)),
        st.tuples(st.just("take back"), st.sampled_from(KINDS[1:]), st.integers(1, 200)),
        st.tuples(st.just("settle"), st.integers(0, 99), st.integers(0, 300)),
        st.tuples(
            st.just("start"),
            st.just(""),
            st.lists(st.tuples(kinds, st.integers(0, 250)), min_size=1, max_size=5),
        ),
    ),
    min_size=4,
    max_size=12,
)


def named(kind, account="default"):
    return account if kind == "CNY" else purse(account, kind)


class Told:
    """What one account must have, by a model that knows nothing of the store."""

    def __init__(self, here, limits):
        self.here = here
        self.accounts = SqliteAccounts(here.store)
        self.limits = limits
        self.free = dict.fromkeys(KINDS, 0)
        self.held = dict.fromkeys(KINDS, 0)
        self.charged = dict.fromkeys(KINDS, 0)
        self.open = []
        self.keys = 0

    def spendable(self, kind):
        credit, hard = self.limits[kind]
        whole = self.free[kind] + credit
        used = self.charged[kind] + self.held[kind]
        return whole if hard is None else min(whole, hard - used)

    async def set(self):
        lent = {named(kind): credit for kind, (credit, _) in self.limits.items()}
        await self.accounts.set_limits(self.here.epoch, lent)
        budgets = [
            Budget(Span.MONTH, hard, None, kind)
            for kind, (_, hard) in self.limits.items()
            if hard is not None
        ]
        await self.accounts.set_budgets(self.here.epoch, {"default": budgets}, 480, NOW_MS)

    async def grant(self, kind, amount):
        self.keys += 1
        draft = grant("default", amount, f"k{self.keys}", commodity=kind)
        await self.here.store.post(self.here.epoch, [draft], NOW_MS)
        self.free[kind] += amount

    async def take_back(self, kind, amount):
        self.keys += 1
        back = HoursBack(kind, amount, f"k{self.keys}", "")
        if amount > self.free[kind]:
            with pytest.raises(ConflictError, match=kind):
                await self.accounts.take_back(self.here.epoch, "default", back, NOW_MS)
            return
        await self.accounts.take_back(self.here.epoch, "default", back, NOW_MS)
        self.free[kind] -= amount

    async def settle(self, pick, used):
        if not self.open:
            return
        unit, kind, amount = self.open.pop(pick % len(self.open))
        of = Hold(unit.hold.attempt, "default", kind, amount, unit.job.number)
        draft = post(of, "gz", [charge("core_hour", 1, 1, used)], Terms()) if used else void(of)
        await self.here.store.post(self.here.epoch, [draft], NOW_MS)
        self.held[kind] -= amount
        self.free[kind] += amount - used
        self.charged[kind] += used

    async def start(self, asked):
        units = []
        for kind, amount in asked:
            unit = self.here.unit(await self.here.job(), held=amount, commodity=kind)
            unit.allocation.shares = ()
            units.append((unit, kind, amount))
        answers = await asyncio.gather(*(self.here.start(unit) for unit, _, _ in units))
        waits = []
        for each, refused in zip(units, answers, strict=True):
            _, kind, amount = each
            if refused:
                assert refused[0][1] is Reason.BUDGET_EXHAUSTED
                waits.append((kind, amount))
                continue
            self.open.append(each)
            self.free[kind] -= amount
            self.held[kind] += amount
            assert not amount or self.spendable(kind) >= 0, "a limit was passed"
        for kind, amount in waits:
            # Starts only take: what did not fit then does not fit now.
            assert amount > self.spendable(kind), "there was room"


def calm(examples):
    """Return settings for a property over stores; a server takes ten times as long as a file."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


async def play(here, limits, steps):
    told = Told(here, limits)
    await told.set()
    for what, *rest in steps:
        if what == "start":
            await told.start(rest[1])
        else:
            await {"grant": told.grant, "take back": told.take_back,
                   "settle": told.settle}[what](*rest)  # fmt: skip
        planned = await here.store.balances()
        for kind in KINDS:
            # Of money that never was in the ledger nothing is planned.
            if kind != "CNY" or "default" in planned:
                assert planned[named(kind)] == told.spendable(kind)
    check = await here.store.ledger_verify()
    assert check.ok, check.problem


@pytest.mark.slow
@calm(16)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@given(limits=limits, steps=steps)
def test_no_order_of_starts_and_ends_passes_a_limit_in_any_commodity(database, desk, limits, steps):
    database.anew()
    desk(lambda here: play(here, limits, steps), credit=0)


@pytest.mark.slow
@calm(3)
@pytest.mark.parametrize("database", ["postgres"], indirect=True)
@given(limits=limits, steps=steps)
def test_no_order_passes_a_limit_on_a_server_either(database, desk, limits, steps):
    database.anew()
    desk(lambda here: play(here, limits, steps), credit=0)


def test_hours_that_were_never_granted_may_be_lent(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        await accounts.set_limits(here.epoch, {purse("new", CORE_HOUR): 70, "new": 5})
        # Without money in the ledger an account is not known to it.
        return await here.store.balances()

    assert desk(scene, credit=0) == {purse("new", CORE_HOUR): 70}


def test_budgets_of_one_commodity_say_nothing_of_another(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        await here.store.post(here.epoch, [grant("default", 500, "h", commodity=CORE_HOUR)], NOW_MS)
        ours = [Budget(Span.MONTH, 40), Budget(Span.YEAR, 100, 60, CORE_HOUR)]
        await accounts.set_budgets(here.epoch, {"default": ours}, 480, NOW_MS)
        units = [
            here.unit(await here.job(), held=held, commodity=kind)
            for kind, held in ((CORE_HOUR, 70), ("CNY", 30), (CORE_HOUR, 31), ("CNY", 11))
        ]
        for unit in units:
            unit.allocation.shares = ()
        refused = await here.start(*units)
        uses = (await accounts.budgets(NOW_MS))["default"]
        told = [
            event.text
            for unit in units
            for event in await here.store.events(unit.job.number, 0, 99)
            if event.kind == "soft_budget"
        ]
        return [units.index(unit) for unit, _ in refused], uses, told, await here.store.balances()

    refused, uses, told, planned = desk(scene)
    assert refused == [2, 3]
    assert {(use.budget.commodity, use.held_micro) for use in uses} == {
        ("CNY", 30),
        (CORE_HOUR, 70),
    }
    (line,) = told
    assert "has used 0.00007 CORE-HOUR of this year" in line
    assert "its soft limit of 0.00006 CORE-HOUR" in line
    assert planned == {"default": 10, purse("default", CORE_HOUR): 30}


def test_hours_taken_back_are_no_use_of_a_budget(desk):
    async def scene(here):
        accounts = SqliteAccounts(here.store)
        budget = {"default": [Budget(Span.MONTH, 100, None, CORE_HOUR)]}
        await accounts.set_budgets(here.epoch, budget, 480, NOW_MS)
        await here.store.post(here.epoch, [grant("default", 500, "h", commodity=CORE_HOUR)], NOW_MS)
        back = HoursBack(CORE_HOUR, 90, "typo", "")
        await accounts.take_back(here.epoch, "default", back, NOW_MS)
        unit = here.unit(await here.job(), held=30, commodity=CORE_HOUR)
        assert await here.start(unit) == []
        of = Hold(unit.hold.attempt, "default", CORE_HOUR, 30, unit.job.number)
        draft = post(of, "gz", [charge("core_hour", 1, 1, 20)], Terms())
        await here.store.post(here.epoch, [draft], NOW_MS)
        (kept,) = (await accounts.budgets(NOW_MS))["default"]
        # Another zone: all of it is counted anew, from the ledger.
        await accounts.set_budgets(here.epoch, budget, -480, NOW_MS)
        (counted,) = (await accounts.budgets(NOW_MS))["default"]
        return kept.charged_micro, counted.charged_micro

    assert desk(scene) == (20, 20)
