"""Routes of logging in; open, since who comes has no token yet."""

from __future__ import annotations

from litestar import get, post

from fenglin.api.caller import OPEN, Asked, desk_of, inlet_of, needs
from fenglin.api.reading import read_body
from fenglin.wire.login_views import LoginAsk, LoginView
from fenglin.wire.token_views import TokenView

_LOGIN = ["tokens"]


@get(
    "/v1/login",
    opt=needs(OPEN),
    tags=_LOGIN,
    operation_id="readLogin",
    summary="Show where to log in",
)
async def read_login(request: Asked) -> LoginView:
    """Show the OpenID provider that this hub believes."""
    return desk_of(request).hub.login.settings()


@post(
    "/v1/login",
    opt=needs(OPEN),
    tags=_LOGIN,
    operation_id="login",
    summary="Log in",
)
async def login(request: Asked) -> TokenView:
    """Make a token known for whoever shows an ID token that was issued for it."""
    ask = read_body(await inlet_of(request).read(), LoginAsk, what="the request is no login")
    return await desk_of(request).hub.login.enter(ask)


ROUTES = (read_login, login)
