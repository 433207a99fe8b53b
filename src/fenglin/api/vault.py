"""Routes of secrets: values come in, and never go out."""

from __future__ import annotations

from litestar import delete, get, put
from litestar.params import FromPath

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.model.role import Scope
from fenglin.wire.secret_views import SecretAsk, SecretList, SecretView

_SECRETS = ["secrets"]


@get(
    "/v1/secrets",
    opt=needs(Scope.READ, query.SECRETS),
    tags=_SECRETS,
    operation_id="listSecrets",
    summary="List secrets",
)
async def list_secrets(request: Asked) -> SecretList:
    """List secrets by account and name: version, when and by whom they were set; no values."""
    account = query_of(request).text("account")
    return await desk_of(request).hub.secrets.list(account, request.user)


@put(
    "/v1/secrets/{name:str}",
    opt=needs(Scope.WRITE, query.SECRETS),
    status_code=200,
    tags=_SECRETS,
    operation_id="setSecret",
    summary="Set a secret",
)
async def set_secret(request: Asked, name: FromPath[str]) -> SecretView:
    """Keep a value, sealed; an earlier one of this name is replaced for attempts to come."""
    ask = read_body(await inlet_of(request).read(), SecretAsk)
    account = query_of(request).text("account")
    return await desk_of(request).hub.secrets.put(name, account, ask, request.user)


@delete(
    "/v1/secrets/{name:str}",
    opt=needs(Scope.WRITE, query.SECRETS),
    status_code=200,
    tags=_SECRETS,
    operation_id="removeSecret",
    summary="Remove a secret",
)
async def remove_secret(request: Asked, name: FromPath[str]) -> SecretView:
    """Forget a secret; attempts that have it keep it, and jobs that name it no longer start."""
    account = query_of(request).text("account")
    return await desk_of(request).hub.secrets.remove(name, account, request.user)


ROUTES = (list_secrets, set_secret, remove_secret)
