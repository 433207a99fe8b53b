"""Calls of the price book, for `Client.call`, `Client.pages` and those of `AsyncClient`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from fenglin.client.requests import API, Call
from fenglin.wire.price_views import PriceAsk, PricesAdded, PriceView
from fenglin.wire.views import Page

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.client.requests import Filter

# A million lines take a hub about a minute.
IMPORT_S = 900.0


def prices(cut: Filter) -> Call[Page[PriceView]]:
    """List versions of prices, cut by the filter."""
    return Call("GET", f"{API}/prices?{urlencode(cut.query())}", Page[PriceView])


def price(name: str) -> Call[PriceView]:
    """Show one version, such as `p7`."""
    return Call("GET", f"{API}/prices/{quote(name, safe='')}", PriceView)


def add_price(ask: PriceAsk) -> Call[PricesAdded]:
    """Add one item, or supersede a version."""
    headers = (("Content-Type", "application/json"),)
    return Call("POST", f"{API}/prices", PricesAdded, headers, msgspec.json.encode(ask))


def import_prices(
    body: Path | bytes, *, form: str, source: str, provider: str = "", supersede: bool = False
) -> Call[PricesAdded]:
    """Add all prices of a CSV file, or none of them."""
    query = urlencode(
        {
            "format": form,
            "source": source,
            "provider": provider,
            "supersede": "true" if supersede else "false",
        }
    )
    headers = (("Content-Type", "text/csv"),)
    path = f"{API}/prices:import?{query}"
    return Call("POST", path, PricesAdded, headers, body, extra_s=IMPORT_S)
