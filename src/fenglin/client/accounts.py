"""Calls for accounts and closed months, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from fenglin.client.requests import API, Call
from fenglin.wire.account_views import (
    AccountList,
    AccountView,
    CloseAsk,
    MoneyMove,
    MoneyMoved,
    PeriodClosed,
)

_JSON = (("Content-Type", "application/json"),)


def list_accounts() -> Call[AccountList]:
    """List accounts."""
    return Call("GET", f"{API}/accounts", AccountList)


def read_account(account: str) -> Call[AccountView]:
    """Show an account."""
    return Call("GET", _path(account), AccountView)


def deposit(account: str, move: MoneyMove) -> Call[MoneyMoved]:
    """Enter money that came in."""
    return Call("POST", f"{_path(account)}/deposit", MoneyMoved, _JSON, msgspec.json.encode(move))


def refund(account: str, move: MoneyMove) -> Call[MoneyMoved]:
    """Enter money that went back."""
    return Call("POST", f"{_path(account)}/refund", MoneyMoved, _JSON, msgspec.json.encode(move))


def close_period(period: str) -> Call[PeriodClosed]:
    """Close a month, `YYYY-MM`."""
    body = msgspec.json.encode(CloseAsk(period=period))
    return Call("POST", f"{API}/ledger/close", PeriodClosed, _JSON, body, extra_s=60.0)


def _path(account: str) -> str:
    return f"{API}/accounts/{quote(account, safe='')}"
