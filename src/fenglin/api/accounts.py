"""Routes of accounts, and of the closing of months."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from fenglin.api.caller import Asked, desk_of, inlet_of, needs
from fenglin.api.reading import read_body
from fenglin.wire.account_views import (
    AccountList,
    AccountView,
    CloseAsk,
    MoneyMove,
    MoneyMoved,
    PeriodClosed,
)

_ACCOUNTS = ["accounts"]


@get(
    "/v1/accounts",
    opt=needs("read"),
    tags=_ACCOUNTS,
    operation_id="listAccounts",
    summary="List accounts",
)
async def list_accounts(request: Asked) -> AccountList:
    """List accounts with what they have and how they stand; a tenant sees its own."""
    return await desk_of(request).hub.books.accounts.list(request.user)


@get(
    "/v1/accounts/{account:str}",
    opt=needs("read"),
    tags=_ACCOUNTS,
    operation_id="readAccount",
    summary="Show an account",
)
async def read_account(request: Asked, account: FromPath[str]) -> AccountView:
    """Show what an account has and how it stands."""
    return await desk_of(request).hub.books.accounts.show(account, request.user)


@post(
    "/v1/accounts/{account:str}/deposit",
    opt=needs("admin"),
    status_code=200,
    tags=_ACCOUNTS,
    operation_id="deposit",
    summary="Enter money that came in",
)
async def deposit(request: Asked, account: FromPath[str]) -> MoneyMoved:
    """Enter a tenant's money that came in; the same key again enters nothing."""
    move = read_body(await inlet_of(request).read(), MoneyMove)
    return await desk_of(request).hub.books.accounts.deposit(account, move, request.user)


@post(
    "/v1/accounts/{account:str}/refund",
    opt=needs("admin"),
    status_code=200,
    tags=_ACCOUNTS,
    operation_id="refund",
    summary="Enter money that went back",
)
async def refund(request: Asked, account: FromPath[str]) -> MoneyMoved:
    """Enter money that went back to a tenant; at most what is available."""
    move = read_body(await inlet_of(request).read(), MoneyMove)
    return await desk_of(request).hub.books.accounts.refund(account, move, request.user)


@post(
    "/v1/ledger/close",
    opt=needs("admin"),
    status_code=200,
    tags=["ledger"],
    operation_id="closePeriod",
    summary="Close a month",
)
async def close(request: Asked) -> PeriodClosed:
    """Close a month that is over; nothing can be entered into it any more."""
    asked = read_body(await inlet_of(request).read(), CloseAsk)
    return await desk_of(request).hub.books.accounts.close(asked.period, request.user)


ROUTES = (list_accounts, read_account, deposit, refund, close)
