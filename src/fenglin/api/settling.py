"""Routes of settlements, their reconciliation, and the report of a month."""

from __future__ import annotations

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from fenglin.api import query
from fenglin.api.caller import ANY, Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.wire.account_views import MoneyMove
from fenglin.wire.settling_views import DueList, ProviderPaid, SettleAsk, SettledMonth

_TAGS = ["settlement"]
_JSON = "application/json"


@get(
    "/v1/settlements",
    opt=needs(ANY, query.SETTLEMENTS),
    tags=_TAGS,
    operation_id="listSettlements",
    summary="Show what of a month's charges is whose",
)
async def settlements(request: Asked) -> SettledMonth:
    """Return settlements of a month, as posted or as they would be; a provider sees its own."""
    asked = query_of(request)
    return await desk_of(request).hub.books.settling.month(
        asked.text("period"), asked.text("provider"), request.user
    )


@post(
    "/v1/settlements",
    opt=needs("admin"),
    status_code=200,
    tags=_TAGS,
    operation_id="settle",
    summary="Post a closed month's settlements",
)
async def settle(request: Asked) -> SettledMonth:
    """Enter a closed month's settlements in the ledger; a second time enters nothing."""
    asked = read_body(await inlet_of(request).read(), SettleAsk)
    return await desk_of(request).hub.books.settling.post(
        asked.period, asked.provider, request.user
    )


@get(
    "/v1/settlements:check",
    opt=needs("audit", query.PERIOD),
    tags=_TAGS,
    operation_id="checkSettlements",
    summary="Reconcile a month in three ways",
)
async def check(request: Asked) -> Response[bytes]:
    """Return whether tenants' charges are what providers, hub, taxes and vouchers make."""
    asked = query_of(request)
    found = await desk_of(request).hub.books.settling.check(asked.text("period"), request.user)
    return Response(msgspec.json.encode(found), media_type=_JSON)


@get(
    "/v1/reports/month",
    opt=needs("audit", query.PERIOD),
    tags=_TAGS,
    operation_id="monthReport",
    summary="Get the operation report of a month",
)
async def month_report(request: Asked) -> Response[bytes]:
    """Return inventory, usage, load, promises kept, settlements and their reconciliation."""
    asked = query_of(request)
    made = await desk_of(request).hub.books.settling.report(asked.text("period"), request.user)
    return Response(msgspec.json.encode(made), media_type=_JSON)


@get(
    "/v1/providers",
    opt=needs(ANY),
    tags=_TAGS,
    operation_id="listProviders",
    summary="Show what providers are owed",
)
async def providers(request: Asked) -> DueList:
    """Return what each provider has earned, was paid and may be paid; a provider sees its own."""
    return await desk_of(request).hub.books.settling.dues(request.user)


@post(
    "/v1/providers/{provider:str}/pay",
    opt=needs("admin"),
    status_code=200,
    tags=_TAGS,
    operation_id="payProvider",
    summary="Enter money that went out to a provider",
)
async def pay_provider(request: Asked, provider: FromPath[str]) -> ProviderPaid:
    """Enter money that went out, at most what is payable; the same key again enters nothing."""
    move = read_body(await inlet_of(request).read(), MoneyMove)
    return await desk_of(request).hub.books.settling.pay(provider, move, request.user)


ROUTES = (settlements, settle, check, month_report, providers, pay_provider)
