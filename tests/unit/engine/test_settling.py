"""Who may settle which month, when, and what a month's report is made of."""

import asyncio
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from fenglin.engine.books.settling import SettleDesk
from fenglin.engine.foresight import Kept
from fenglin.errors import ConflictError, DeniedError, InputError, NotFoundError
from fenglin.ledger.entry import Leg
from fenglin.ledger.report import UsageSum
from fenglin.ledger.settlement import Settlement
from fenglin.ledger.settlement_check import ThreeWay
from fenglin.ledger.settlement_deal import Deal
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.ports.hub import Principal
from fenglin.ports.settling import Due, Settled
from fenglin.quantities.period import Period
from fenglin.quantities.resources import Resources
from fenglin.wire.account_views import MoneyMove
from fenglin.wire.inventory_views import InventoryReport

ADMIN = Principal("ada", frozenset({"admin"}))
AUDITOR = Principal("aud", frozenset({"read", "audit"}))
PROVIDER = Principal("pat", frozenset({"provider"}), party="gz")
TENANT = Principal("rhea", frozenset({"read"}), account="lab")
EVERYBODY = Principal("ann", frozenset({"read", "write"}))
NOVEMBER = Period(2026, 11)
HOUR = 3_600_000
NOW_MS = NOVEMBER.from_ms + 10 * HOUR


def settlement(provider):
    return Settlement(
        provider=provider,
        period="2026-11",
        offset_min=480,
        commodity="CNY",
        deal=Deal(provider=provider),
        entries=1,
        input_hash="",
        items=(),
        charged_micro=5,
        adjusted_micro=0,
        provider_micro=5,
        payable_micro=0,
        remainder_micro=5,
        taxes=(),
        fee_micro=0,
        short_micro=0,
    )


class Settlings:
    """Has two providers' months."""

    def __init__(self, closed=0):
        self.closed, self.posted = closed, []

    async def month(self, period, deals):
        assert str(period) == "2026-11"
        assert deals == {"gz": ()}
        return tuple(Settled(settlement(name)) for name in ("cloud", "gz")), self.closed

    async def post(self, epoch, made, who, now_ms):
        self.posted.append((epoch, [one.provider for one in made], who, now_ms))
        return tuple(Settled(one, 9, who) for one in made)

    async def dues(self):
        return (Due("cloud", "CNY", 3), Due("gz", "CNY", 9, 7, 5))

    async def pay(self, epoch, draft, now_ms):
        self.posted.append((epoch, draft.key, draft.legs, draft.memo, now_ms))
        return SimpleNamespace(seq=4, key=draft.key, time_ms=now_ms)

    async def check(self, period):
        return ThreeWay(period=str(period), ok=True, rows=(), charges=(), faults=())

    async def usage(self, period):
        assert str(period) == "2026-11"
        return (
            UsageSum(account="lab", site="east", flavor="std", attempts=1, tasks=2, wall_ms=HOUR,
                     core_ms=4_000 * HOUR, card_ms=0, cpu_ms=9),
            UsageSum(account="lab", site="gone", flavor="std", attempts=1, tasks=1, wall_ms=1,
                     core_ms=1, card_ms=0, cpu_ms=0),
            UsageSum(account="ann", site="toy", flavor="std", attempts=1, tasks=1, wall_ms=1,
                     core_ms=500, card_ms=0, cpu_ms=0),
        )  # fmt: skip


def site(name, driver):
    flavor = Flavor("std", ComputeClass.AI, Resources(2_000, 2**30, 0, 1_000), accelerator="A100")
    nodes = tuple(Node(f"n{n}", "std") for n in range(3))
    return Site(name, "gz", driver, flavors=(flavor,), nodes=nodes)


POOL = SimpleNamespace(
    epoch=4,
    hub="h1",
    sites={name: SimpleNamespace(site=site(name, driver)) for name, driver in
           (("toy", "mock"), ("east", "local"))},
    foresight=SimpleNamespace(kept=lambda: Kept(3, 10, 20)),
)  # fmt: skip


async def inventory(period):
    return InventoryReport(
        period=period, snapshot=None, facilities=(), totals=[], changes=[], opened=[], settled=[],
        unsettled=[], steps={},
    )  # fmt: skip


def ask(method, *words, settlings=None, principal=ADMIN):
    clock = SimpleNamespace(now_ms=lambda: NOW_MS)
    desk = SettleDesk(settlings or Settlings(), clock, POOL, {"gz": ()}, inventory, 480)
    return asyncio.run(getattr(desk, method)(*words, principal))


def test_a_preview_of_all_or_of_one():
    month = ask("month", "2026-11", "")
    assert (month.zone, month.closed, [one.entry for one in month.items]) == ("+08:00", 0, [0, 0])
    assert [one.settlement.provider for one in ask("month", "2026-11", "gz").items] == ["gz"]


@pytest.mark.parametrize(
    ("method", "words"),
    [("month", ("2026-11", "")), ("post", ("2026-11", "")), ("check", ("2026-11",)),
     ("report", ("2026-11",))],
)  # fmt: skip
def test_who_may_not_sees_and_settles_nothing(method, words):
    settlings = Settlings(closed=7)
    denied = [TENANT, EVERYBODY]
    if method != "month":
        denied.append(PROVIDER)
    if method == "post":
        denied.append(AUDITOR)
    for principal in denied:
        with pytest.raises(DeniedError):
            ask(method, *words, settlings=settlings, principal=principal)
    assert settlings.posted == []


def test_a_provider_sees_its_own_and_an_auditor_all():
    for provider in ("", "gz"):
        seen = ask("month", "2026-11", provider, principal=PROVIDER).items
        assert [one.settlement.provider for one in seen] == ["gz"]
    with pytest.raises(NotFoundError) as caught:
        ask("month", "2026-11", "cloud", principal=PROVIDER)
    with pytest.raises(NotFoundError) as none:
        ask("month", "2026-11", "nobody", principal=PROVIDER)
    # What is another's answers as what is not there.
    assert str(caught.value).replace("cloud", "nobody") == str(none.value)
    assert len(ask("month", "2026-11", "", principal=AUDITOR).items) == 2
    assert ask("check", "2026-11", principal=AUDITOR).ok


@pytest.mark.parametrize(
    ("period", "provider", "error"),
    [("2026-13", "", InputError), ("", "", InputError), ("2026-12", "", NotFoundError),
     ("2026-11", "nobody", NotFoundError)],
)  # fmt: skip
def test_what_is_not_there(period, provider, error):
    settlings = Settlings(closed=7)
    for method in ("month", "post"):
        with pytest.raises(error):
            ask(method, period, provider, settlings=settlings)
    assert settlings.posted == []


def test_an_open_month_is_not_posted_and_the_way_is_told():
    settlings = Settlings()
    with pytest.raises(ConflictError) as caught:
        ask("post", "2026-11", "", settlings=settlings)
    assert "fenglin ledger close --period 2026-11" in caught.value.hint
    assert settlings.posted == []


def test_a_closed_month_is_posted_by_the_leader():
    settlings = Settlings(closed=7)
    month = ask("post", "2026-11", "gz", settlings=settlings)
    assert settlings.posted == [(4, ["gz"], "ada", NOW_MS)]
    assert [(one.entry, one.posted_by) for one in month.items] == [(9, "ada")]


def test_a_report_tells_how_much_each_figure_is_worth():
    made = ask("report", "2026-11")
    assert [(row.site, row.nodes, row.cpu_milli, row.card_model, row.grade)
            for row in made.inventory] == [
        ("east", 3, 6_000, "A100", "declared"), ("toy", 3, 6_000, "A100", "simulated"),
    ]  # fmt: skip
    assert [(row.account, row.provider, row.site, row.grade) for row in made.usage] == [
        ("ann", "gz", "toy", "simulated"),
        ("lab", "", "gone", "live"),
        ("lab", "gz", "east", "live"),
    ]  # fmt: skip
    # Ten hours of the month are over: 6 cores offer 60 core-hours, of which 4 were held.
    east, toy = made.load
    assert (east.core_ms, east.core_most_ms) == (4_000 * HOUR, 60_000 * HOUR)
    assert (east.card_most_ms, east.grade, toy.core_ms) == (30_000 * HOUR, "live", 500)
    assert made.declared.period == "2026-11"
    assert (made.promises.jobs, made.hub, made.three_way.ok) == (3, "h1", True)
    assert [one.settlement.provider for one in made.settlements] == ["cloud", "gz"]


def test_dues_are_for_the_operator_auditors_and_each_providers_own():
    for who, expected in ((ADMIN, ["cloud", "gz"]), (AUDITOR, ["cloud", "gz"]), (PROVIDER, ["gz"])):
        found = ask("dues", principal=who).items
        assert [one.provider for one in found] == expected
        assert (found[-1].due_micro, found[-1].payable_micro) == (9, 2)
    with pytest.raises(DeniedError):
        ask("dues", principal=TENANT)


def test_only_the_operator_pays_and_only_who_is_known():
    settlings = Settlings()
    move = MoneyMove(amount_micro=2, key="bank-1", memo="March")
    for who in (AUDITOR, PROVIDER, TENANT):
        with pytest.raises(DeniedError):
            ask("pay", "gz", move, settlings=settlings, principal=who)
    with pytest.raises(NotFoundError):
        ask("pay", "sz", move, settlings=settlings)
    for wrong in (replace(move, key=""), replace(move, key="a\n"), replace(move, amount_micro=0)):
        with pytest.raises(InputError):
            ask("pay", "gz", wrong, settlings=settlings)
    assert settlings.posted == []
    paid = ask("pay", "gz", move, settlings=settlings)
    legs = (Leg("provider:gz:due", "CNY", -2), Leg("hub:bank", "CNY", 2))
    assert settlings.posted == [(POOL.epoch, "pay:bank-1", legs, "March", NOW_MS)]
    assert (paid.entry, paid.key, paid.due.provider) == (4, "pay:bank-1", "gz")
