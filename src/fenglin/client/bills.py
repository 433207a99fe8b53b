"""Calls for bills, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import urlencode

from fenglin.client.requests import API, Call
from fenglin.ledger.bill import Bill


def bill(account: str, period: str) -> Call[Bill]:
    """Get an account's bill of a month (`YYYY-MM`); an empty account is the caller's own."""
    query = {"period": period} | ({"account": account} if account else {})
    return Call("GET", f"{API}/ledger/bill?{urlencode(query)}", Bill, extra_s=60.0)
