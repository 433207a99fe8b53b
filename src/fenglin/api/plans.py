"""Routes of plans: the kept cycles of the hub, each to be planned again by whoever doubts it."""

from __future__ import annotations

import re

from litestar import Response, get
from litestar.params import FromPath

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, needs, query_of
from fenglin.errors import InputError
from fenglin.wire.views import Page, PlanView

_PLANS = ["plans"]
NOW = "now"
_INDEX = re.compile(r"\d{1,15}", re.ASCII)


@get(
    "/v1/plans",
    opt=needs("admin", query.PLANS),
    tags=_PLANS,
    operation_id="listPlans",
    summary="List kept cycles",
)
async def list_plans(request: Asked) -> Page[PlanView]:
    """List the cycles that the hub has kept, newest first."""
    return await desk_of(request).hub.plans(query_of(request).listing(), request.user)


@get(
    "/v1/plans/{index:str}",
    opt=needs("admin"),
    tags=_PLANS,
    operation_id="readPlan",
    summary="Read a kept cycle",
)
async def read_plan(request: Asked, index: FromPath[str]) -> Response[bytes]:
    """Return a cycle as bytes: snapshot, policy and plan; `now` plans afresh, without effect."""
    if index != NOW and not _INDEX.fullmatch(index):
        raise InputError(
            f"{index[:80]!r} is not the index of a cycle", hint="a number from /v1/plans, or now"
        )
    number = None if index == NOW else int(index)
    data = await desk_of(request).hub.plan_record(number, request.user)
    return Response(data, media_type="application/octet-stream")


ROUTES = (list_plans, read_plan)
