"""Puts the door together: Litestar with all routes, behind the outermost layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig

from fenglin import __version__
from fenglin.api import (
    accounts,
    agents,
    audit,
    bills,
    inventory,
    jobs,
    ledger,
    login,
    metering,
    plans,
    pool,
    prices,
    proofs,
    safety,
    settling,
    tokens,
    vault,
    vouchers,
)
from fenglin.api.caller import DESK, OPEN, Asked, admit, needs
from fenglin.api.desk import MAX_WAITERS, Desk, unix_ms
from fenglin.api.door import Door
from fenglin.api.openapi import document

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.ports.hub import Hub

MAX_BODY_BYTES = 16 * 2**20
MAX_BLOB_BYTES = 16 * 2**30


def create_app(
    hub: Hub,
    *,
    require_auth: bool = True,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_blob_bytes: int = MAX_BLOB_BYTES,
    max_waiters: int = MAX_WAITERS,
    now_ms: Callable[[], int] = unix_ms,
    fast_lane: bool = True,
) -> Door:
    """Return the ASGI application that serves the hub.

    Args:
        hub: What stands behind the door.
        require_auth: False lets everybody in who can connect; see `Desk`.
        max_body_bytes: Most bytes of a document or batch.
        max_blob_bytes: Most bytes of an uploaded file.
        max_waiters: How many long polls and followed logs may be open at once.
        now_ms: Unix time in milliseconds.
        fast_lane: False sends the most called operations through Litestar too; for tests.
    """
    desk = Desk(hub, require_auth=require_auth, now_ms=now_ms, max_waiters=max_waiters)
    inner = Litestar(
        route_handlers=[
            *jobs.ROUTES,
            *pool.ROUTES,
            *plans.ROUTES,
            *ledger.ROUTES,
            *proofs.ROUTES,
            *metering.ROUTES,
            *bills.ROUTES,
            *prices.ROUTES,
            *accounts.ROUTES,
            *audit.ROUTES,
            *safety.ROUTES,
            *settling.ROUTES,
            *inventory.ROUTES,
            *vouchers.ROUTES,
            *tokens.ROUTES,
            *vault.ROUTES,
            *login.ROUTES,
            *agents.ROUTES,
            openapi_json,
        ],
        guards=[admit],
        state=State({DESK: desk}),
        exception_handlers={Exception: _pass_on},
        openapi_config=OpenAPIConfig(
            title="Fenglin", version=__version__, path="/openapi-of-litestar"
        ),
        # The door counts bodies itself, by kind of route.
        request_max_body_size=None,
        logging_config=None,
        debug=False,
    )
    return Door(
        desk,
        inner,  # type: ignore[arg-type]
        max_body_bytes=max_body_bytes,
        max_blob_bytes=max_blob_bytes,
        fast_lane=fast_lane,
    )


def _pass_on(_request: Asked, error: Exception) -> NoReturn:
    """Leave every error to the door, so that all are answered alike."""
    raise error


@get("/openapi.json", opt=needs(OPEN), include_in_schema=False)
async def openapi_json(request: Asked) -> Response[bytes]:
    """Return the OpenAPI document, made on the first request for it."""
    state: Any = request.app.state
    if "openapi" not in state:
        state["openapi"] = document(request.app)
    return Response(state["openapi"], media_type="application/json")
