"""Routes of the price book."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.wire.price_views import PriceAsk, PricesAdded, PriceView
from fenglin.wire.views import Page

_PRICES = ["prices"]


@get(
    "/v1/prices",
    opt=needs("read", query.PRICES),
    tags=_PRICES,
    operation_id="listPrices",
    summary="List prices",
)
async def list_prices(request: Asked) -> Page[PriceView]:
    """Return a page of the versions in force, or with `every=true` of all that ever were."""
    asked = query_of(request)
    return await desk_of(request).hub.books.prices.prices(
        asked.listing(), every=asked.flag("every")
    )


@get(
    "/v1/prices/{price:str}",
    opt=needs("read"),
    tags=_PRICES,
    operation_id="showPrice",
    summary="Show a version of a price",
)
async def show_price(request: Asked, price: FromPath[str]) -> PriceView:
    """Return one version, in force or not."""
    return await desk_of(request).hub.books.prices.price(price)


@post(
    "/v1/prices",
    opt=needs("admin"),
    status_code=201,
    tags=_PRICES,
    operation_id="addPrice",
    summary="Add a price",
)
async def add_price(request: Asked) -> PricesAdded:
    """Add one item, or supersede a version; repeating is harmless."""
    asked = read_body(await inlet_of(request).read(), PriceAsk)
    return await desk_of(request).hub.books.prices.add(asked, request.user)


@post(
    "/v1/prices:import",
    opt=needs("admin", query.PRICE_FILE),
    status_code=201,
    tags=_PRICES,
    operation_id="importPrices",
    summary="Import a price list",
)
async def import_prices(request: Asked) -> PricesAdded:
    """Add all prices of a CSV file, or none of them; repeating is harmless."""
    asked = query_of(request)
    return await desk_of(request).hub.books.prices.load(
        await inlet_of(request).read(),
        request.user,
        form=asked.text("format"),
        source=asked.text("source"),
        provider=asked.text("provider"),
        supersede=asked.flag("supersede"),
    )


ROUTES = (list_prices, show_price, add_price, import_prices)
