"""What a Litestar route knows of its request: who asks, the checked query, the body.

A guard on the whole application admits callers, so that a route which forgets to say what it
needs is closed, not open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.handlers.base import BaseRouteHandler

from fenglin.api.query import Params, Query, read_query
from fenglin.model.role import Scope
from fenglin.ports.hub import Principal

if TYPE_CHECKING:
    from fenglin.api.bodies import Inlet
    from fenglin.api.desk import Desk

Asked = Request[Principal, Any, State]

DESK = "desk"
INLET = "fenglin.inlet"
HEADERS = "fenglin.headers"
_QUERY = "fenglin.query"
_SAFE = frozenset({"GET", "HEAD"})

ANY = "any"
OPEN = "open"


def needs(scope: str, query: Params = ()) -> dict[str, Any]:
    """Return the `opt` of a route: its scope (`any` token, `open` for none) and its query."""
    return {"scope": scope, "query": query}


async def admit(connection: ASGIConnection[Any, Any, Any, State], route: BaseRouteHandler) -> None:
    """Guard of every route: authenticates, authorises, and checks the query.

    Raises:
        DeniedError: the caller may not do this.
        InputError: the query is not what the route takes.
        NotFoundException: the route names no scope, such as one that Litestar added.
        MethodNotAllowedException: Litestar would answer OPTIONS by itself, for all to see.
    """
    scope = route.opt.get("scope")
    held = cast("dict[str, Any]", connection.scope)
    if scope == ANY or scope in tuple(Scope):
        desk: Desk = connection.app.state[DESK]
        held["user"] = await desk.admit(held[HEADERS], scope)
        if held["method"] not in _SAFE:
            desk.begin_act(held["user"], _name(route), held["path"])
    elif held["method"] == "OPTIONS":
        raise MethodNotAllowedException
    elif scope != OPEN:
        raise NotFoundException
    held[_QUERY] = read_query(held["query_string"], route.opt.get("query", ()))


def _name(route: BaseRouteHandler) -> str:
    """Return a route's operation, as the API's document names it."""
    return str(getattr(route, "operation_id", ""))


def desk_of(request: Asked) -> Desk:
    """Return the desk."""
    desk: Desk = request.app.state[DESK]
    return desk


def query_of(request: Asked) -> Query:
    """Return the checked query."""
    query: Query = cast("dict[str, Any]", request.scope)[_QUERY]
    return query


def inlet_of(request: Asked) -> Inlet:
    """Return the body's reader."""
    inlet: Inlet = cast("dict[str, Any]", request.scope)[INLET]
    return inlet


def headers_of(request: Asked) -> dict[bytes, bytes]:
    """Return the headers by lower-case name."""
    headers: dict[bytes, bytes] = cast("dict[str, Any]", request.scope)[HEADERS]
    return headers


def key_of(request: Asked) -> bytes | None:
    """Return the idempotency key; None when there is none."""
    return headers_of(request).get(b"idempotency-key")
