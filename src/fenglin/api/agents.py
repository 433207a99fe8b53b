"""Routes of sites that dial in. Each is for the site's own agent; to others the site is missing.

So a body is read only after its site was found.
"""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import unquote_to_bytes

from litestar import Response, get, post, put
from litestar.params import FromPath
from litestar.response import Stream

from fenglin.api.answers import encode
from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.query import Param, Params
from fenglin.api.reading import read_body
from fenglin.api.streams import file_answer
from fenglin.errors import InputError
from fenglin.model.job import MAX_TASKS
from fenglin.model.role import Scope
from fenglin.wire.agent_views import Answers, Hello, OrdersAsk

T = TypeVar("T")
_TAGS = ["agents"]
_FILE: Params = (
    Param("path", "Where below the task's folder; percent-encoded once more than the query is."),
    Param("executable", "Whether it gets the execute bit.", "boolean", default=False),
)


@post(
    "/v1/agent/{site:str}/hello",
    opt=needs(Scope.AGENT),
    status_code=200,
    tags=_TAGS,
    operation_id="agentHello",
    summary="Begin a session of a site's agent",
)
async def hello(request: Asked, site: FromPath[str]) -> Response[bytes]:
    """Agree on a protocol; tell the agent hub, epoch, session and what is declared of its site."""
    desk_of(request).hub.agents.mailbox(site, request.user)
    asked = read_body(await inlet_of(request).read(), Hello)
    return _json(await desk_of(request).hub.agents.hello(site, asked, request.user))


@post(
    "/v1/agent/{site:str}/orders",
    opt=needs(Scope.AGENT),
    status_code=200,
    tags=_TAGS,
    operation_id="agentOrders",
    summary="Wait for orders to a site",
)
async def orders(request: Asked, site: FromPath[str]) -> Response[bytes]:
    """Answer as soon as there are orders after `after`, or with none after 20 s."""
    desk = desk_of(request)
    desk.hub.agents.mailbox(site, request.user)
    asked = read_body(await inlet_of(request).read(), OrdersAsk)
    with desk.waiter():
        work = desk.hub.agents.orders(site, asked, request.user)
        return _json(await desk.unless_stopped(work, inlet_of(request).hung_up()))


@post(
    "/v1/agent/{site:str}/answers",
    opt=needs(Scope.AGENT),
    status_code=200,
    tags=_TAGS,
    operation_id="agentAnswers",
    summary="Answer orders",
)
async def answers(request: Asked, site: FromPath[str]) -> Response[bytes]:
    """Take answers in any order; one that nobody waits for any more is dropped."""
    desk_of(request).hub.agents.mailbox(site, request.user)
    told = read_body(await inlet_of(request).read(), Answers)
    desk_of(request).hub.agents.take(site, told, request.user)
    return _json({"taken": len(told.answers)})


@get(
    "/v1/agent/{site:str}/inputs/{key:str}/{digest:str}",
    opt=needs(Scope.AGENT),
    tags=_TAGS,
    operation_id="agentInput",
    summary="Read an input of an attempt",
)
async def read_input(
    request: Asked, site: FromPath[str], key: FromPath[str], digest: FromPath[str]
) -> Stream:
    """Return a file that the attempt's order names."""
    mailbox = desk_of(request).hub.agents.mailbox(site, request.user)
    return await file_answer(await mailbox.input(key, digest), digest)


@put(
    "/v1/agent/{site:str}/artifacts/{key:str}/{task:int}",
    opt=needs(Scope.AGENT, _FILE),
    status_code=201,
    tags=_TAGS,
    operation_id="agentArtifact",
    summary="Keep a file that a task left",
)
async def keep_artifact(
    request: Asked, site: FromPath[str], key: FromPath[str], task: FromPath[int]
) -> Response[bytes]:
    """Keep a file durably; the same again replaces it."""
    asked = query_of(request)
    if not 0 <= task < MAX_TASKS:
        raise InputError("the task is out of range", where="task")
    mailbox = desk_of(request).hub.agents.mailbox(site, request.user)
    path = unquote_to_bytes(asked.text("path")).decode(errors="surrogateescape")
    size_bytes = await mailbox.keep(
        (key, task, path), inlet_of(request).stream(), executable=bool(asked.values["executable"])
    )
    return _json({"size_bytes": size_bytes})


def _json(value: object) -> Response[bytes]:
    return Response(encode(value), media_type="application/json")


ROUTES = (hello, orders, answers, read_input, keep_artifact)
