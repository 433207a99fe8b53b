"""Routes of tokens."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath

from fenglin.api import query
from fenglin.api.caller import ANY, Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.model.role import Scope
from fenglin.wire.token_views import RotateAsk, TokenAsk, TokenList, TokenView

_TOKENS = ["tokens"]


@get(
    "/v1/tokens",
    opt=needs(Scope.TENANT, query.TOKENS),
    tags=_TOKENS,
    operation_id="listTokens",
    summary="List tokens",
)
async def list_tokens(request: Asked) -> TokenList:
    """List tokens by number; an account's administrator sees its own account's."""
    asked = query_of(request)
    return await desk_of(request).hub.identity.page(
        request.user, after=asked.integer("after"), limit=asked.integer("limit")
    )


@get(
    "/v1/tokens/own",
    opt=needs(ANY),
    tags=_TOKENS,
    operation_id="readOwnToken",
    summary="Show who asks",
)
async def own_token(request: Asked) -> TokenView:
    """Show the caller's own token: role, account, scopes and end."""
    return await desk_of(request).hub.identity.own(request.user)


@post(
    "/v1/tokens",
    opt=needs(Scope.TENANT),
    tags=_TOKENS,
    operation_id="makeToken",
    summary="Make a token known",
)
async def make_token(request: Asked) -> TokenView:
    """Make a token known by the hash of its text, which the hub never sees before it is used."""
    ask = read_body(await inlet_of(request).read(), TokenAsk)
    return await desk_of(request).hub.identity.make(ask, request.user)


@post(
    "/v1/tokens/{token:str}/rotate",
    opt=needs(ANY),
    status_code=200,
    tags=_TOKENS,
    operation_id="rotateToken",
    summary="Replace a token",
)
async def rotate_token(request: Asked, token: FromPath[str]) -> TokenView:
    """Make a token like this one known; this one goes on working for `grace_ms`."""
    ask = read_body(await inlet_of(request).read(), RotateAsk)
    return await desk_of(request).hub.identity.rotate(token, ask, request.user)


@post(
    "/v1/tokens/{token:str}/revoke",
    opt=needs(ANY),
    status_code=200,
    tags=_TOKENS,
    operation_id="revokeToken",
    summary="Revoke a token",
)
async def revoke_token(request: Asked, token: FromPath[str]) -> TokenView:
    """Refuse a token from now on; open streams end within five seconds."""
    return await desk_of(request).hub.identity.revoke(token, request.user)


ROUTES = (list_tokens, own_token, make_token, rotate_token, revoke_token)
