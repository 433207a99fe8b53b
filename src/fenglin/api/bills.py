"""Routes of bills."""

from __future__ import annotations

import msgspec
from litestar import Response, get

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, needs, query_of
from fenglin.errors import InputError


@get(
    "/v1/ledger/bill",
    opt=needs("read", query.BILL),
    tags=["ledger"],
    operation_id="bill",
    summary="Get an account's bill of a month, with its proof",
)
async def bill(request: Asked) -> Response[bytes]:
    """Return every entry of the account and month, what they sum to, and their proof."""
    asked = query_of(request)
    account = asked.text("account") or request.user.account
    if not account:
        raise InputError(
            "the account is missing",
            where="query parameter account",
            hint="name one, such as account=default",
        )
    made = await desk_of(request).hub.books.bills.bill(account, asked.text("period"), request.user)
    return Response(msgspec.json.encode(made), media_type="application/json")


ROUTES = (bill,)
