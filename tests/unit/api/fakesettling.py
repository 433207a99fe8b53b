"""Settlements of the hub that only remembers what it was asked."""

from fenglin.ledger.settlement_check import ThreeWay
from fenglin.wire.inventory_views import InventoryReport
from fenglin.wire.settling_views import (
    DueList,
    DueView,
    MonthReport,
    ProviderPaid,
    SettledMonth,
)
from fenglin.wire.views import PromiseView

DECLARED = InventoryReport(
    period="2026-11", snapshot=None, facilities=(), totals=[], changes=[], opened=[], settled=[],
    unsettled=[], steps={},
)  # fmt: skip
THREE_WAY = ThreeWay(period="2026-11", ok=True, rows=(), charges=(), faults=())


DUE = DueView(
    provider="gz", currency="CNY", due_micro=9, settled_micro=7, paid_micro=5, payable_micro=2
)


class FakeSettling:
    """Answers for settlements."""

    def __init__(self, asked):
        self._asked = asked

    async def month(self, period, provider, principal):
        self._asked("settlements", period, provider, principal.name)
        return SettledMonth(period=period, zone="+08:00", closed=0, items=[])

    async def post(self, period, provider, principal):
        self._asked("settle", period, provider, principal.name)
        return SettledMonth(period=period, zone="+08:00", closed=7, items=[])

    async def dues(self, principal):
        self._asked("dues", principal.name)
        return DueList(items=[DUE])

    async def pay(self, provider, move, principal):
        self._asked("pay", provider, move.amount_micro, move.key, principal.name)
        return ProviderPaid(entry=9, key=f"pay:{move.key}", time_ms=5, due=DUE)

    async def check(self, period, principal):
        self._asked("check_settlements", period, principal.name)
        return THREE_WAY

    async def report(self, period, principal):
        self._asked("report", period, principal.name)
        return MonthReport(
            period=period,
            zone="+08:00",
            from_ms=1,
            to_ms=2,
            made_ms=3,
            hub="h",
            closed=0,
            inventory=(),
            declared=DECLARED,
            usage=(),
            load=(),
            promises=PromiseView(),
            settlements=[],
            three_way=THREE_WAY,
        )
