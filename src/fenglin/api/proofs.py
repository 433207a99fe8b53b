"""Routes of checkpoints and proofs of the ledger."""

from __future__ import annotations

import msgspec
from litestar import Response, get, post

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.errors import InputError
from fenglin.wire.proof_views import CheckpointView, ConsistencyView, ProofAsk

_LEDGER = ["ledger"]


@get(
    "/v1/ledger/checkpoint",
    opt=needs("read", query.CHECKPOINT),
    tags=_LEDGER,
    operation_id="checkpoint",
    summary="Get a signed checkpoint of the ledger",
)
async def checkpoint(request: Asked) -> CheckpointView:
    """Return what the hub last signed; `fresh=true` signs what the ledger is now."""
    fresh = query_of(request).text("fresh") == "true"
    return await desk_of(request).hub.books.proofs.checkpoint(request.user, fresh=fresh)


@get(
    "/v1/ledger/consistency",
    opt=needs("read", query.CONSISTENCY),
    tags=_LEDGER,
    operation_id="consistency",
    summary="Prove that the ledger only grew",
)
async def consistency(request: Asked) -> ConsistencyView:
    """Return the hashes that lead from an earlier checkpoint to a later one."""
    asked = query_of(request)
    return await desk_of(request).hub.books.proofs.consistency(
        asked.integer("old"), asked.integer("new")
    )


@post(
    "/v1/ledger/proof",
    opt=needs("read"),
    status_code=200,
    tags=_LEDGER,
    operation_id="proveEntries",
    summary="Prove an account's entries",
)
async def prove(request: Asked) -> Response[bytes]:
    """Return one file with which the account's entries can be verified without this hub."""
    asked = read_body(await inlet_of(request).read(), ProofAsk)
    account = asked.account or request.user.account
    if not account:
        raise InputError("the account is missing", where="account", hint="name one")
    if asked.to_ms and asked.to_ms < asked.from_ms:
        raise InputError("the period ends before it begins", where="to_ms")
    file = await desk_of(request).hub.books.proofs.prove(
        account, asked.from_ms, asked.to_ms, asked.earlier, request.user
    )
    return Response(msgspec.json.encode(file), media_type="application/json")


ROUTES = (checkpoint, consistency, prove)
