"""Calls for settlements and reports, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call
from fenglin.ledger.settlement_check import ThreeWay
from fenglin.wire.account_views import MoneyMove
from fenglin.wire.settling_views import (
    DueList,
    MonthReport,
    ProviderPaid,
    SettleAsk,
    SettledMonth,
)

_JSON = (("Content-Type", "application/json"),)
# A busy month has a million entries.
_EXTRA_S = 120.0


def settlements(period: str, provider: str = "") -> Call[SettledMonth]:
    """Show what of a month's charges (`YYYY-MM`) is whose; of all providers, or of one."""
    query = urlencode({"period": period} | ({"provider": provider} if provider else {}))
    return Call("GET", f"{API}/settlements?{query}", SettledMonth, extra_s=_EXTRA_S)


def settle(period: str, provider: str = "") -> Call[SettledMonth]:
    """Post a closed month's settlements; a second time posts nothing."""
    body = msgspec.json.encode(SettleAsk(period=period, provider=provider))
    return Call("POST", f"{API}/settlements", SettledMonth, _JSON, body, extra_s=_EXTRA_S)


def providers() -> Call[DueList]:
    """Show what providers are owed."""
    return Call("GET", f"{API}/providers", DueList)


def pay_provider(provider: str, move: MoneyMove) -> Call[ProviderPaid]:
    """Enter money that went out to a provider."""
    path = f"{API}/providers/{quote(provider, safe='')}/pay"
    return Call("POST", path, ProviderPaid, _JSON, msgspec.json.encode(move))


def check_settlements(period: str) -> Call[ThreeWay]:
    """Reconcile a month: what tenants paid is what providers, hub and taxes got."""
    query = urlencode({"period": period})
    return Call("GET", f"{API}/settlements:check?{query}", ThreeWay, extra_s=_EXTRA_S)


def month_report(period: str) -> Call[MonthReport]:
    """Get a month's operation report."""
    query = urlencode({"period": period})
    return Call("GET", f"{API}/reports/month?{query}", MonthReport, extra_s=_EXTRA_S)
