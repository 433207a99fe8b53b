"""Routes of sites, nodes, queues and uploaded files."""

from __future__ import annotations

import re
from typing import Annotated

from litestar import get, head, post, put
from litestar.params import FromPath
from msgspec import Meta, Struct

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, inlet_of, needs, query_of
from fenglin.api.reading import read_body
from fenglin.errors import InputError, LimitError
from fenglin.wire.views import (
    Addresses,
    BlobView,
    NodeView,
    Overview,
    Page,
    QueueView,
    SiteView,
)

_POOL = ["pool"]
_BLOBS = ["blobs"]
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NAME = re.compile(r"[^\x00-\x20\x7f]{1,200}")
MAX_REASON = 500
MAX_ADDRESSES = 10_000


class DrainRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a drain.

    Attributes:
        reason: For the people who later ask why.
    """

    reason: Annotated[str, Meta(max_length=MAX_REASON)] = ""


@get(
    "/v1/sites",
    opt=needs("read", query.SITES),
    tags=_POOL,
    operation_id="listSites",
    summary="List sites",
)
async def list_sites(request: Asked) -> Page[SiteView]:
    """List the sites of the pool."""
    return await desk_of(request).hub.sites(query_of(request).listing(), request.user)


@get(
    "/v1/sites/{site:str}",
    opt=needs("read"),
    tags=_POOL,
    operation_id="showSite",
    summary="Show a site",
)
async def show_site(request: Asked, site: FromPath[str]) -> SiteView:
    """Return a site with its flavors and prices."""
    return await desk_of(request).hub.site(_site_name(site), request.user)


@post(
    "/v1/sites/{site:str}/drain",
    opt=needs("admin"),
    status_code=200,
    tags=_POOL,
    operation_id="drainSite",
    summary="Drain a site",
)
async def drain(request: Asked, site: FromPath[str]) -> SiteView:
    """Let no new work start at the site; what runs there goes on."""
    name = _site_name(site)
    body = await inlet_of(request).read()
    asked = DrainRequest()
    if body:
        asked = read_body(
            body,
            DrainRequest,
            what="the body is not a drain request",
            where="request body",
            hint='it looks like {"reason": "new memory"}',
        )
    if not asked.reason.isprintable():
        raise InputError("the reason holds characters that do not print", where="reason")
    return await desk_of(request).hub.set_site(
        name, request.user, drained=True, reason=asked.reason
    )


@post(
    "/v1/sites/{site:str}/resume",
    opt=needs("admin"),
    status_code=200,
    tags=_POOL,
    operation_id="resumeSite",
    summary="Resume a site",
)
async def resume(request: Asked, site: FromPath[str]) -> SiteView:
    """Let work start at a drained site again."""
    return await desk_of(request).hub.set_site(
        _site_name(site), request.user, drained=False, reason=""
    )


@get(
    "/v1/nodes",
    opt=needs("read", query.NODES),
    tags=_POOL,
    operation_id="listNodes",
    summary="List nodes",
)
async def list_nodes(request: Asked) -> Page[NodeView]:
    """List machines with their capacity and what is committed on them."""
    return await desk_of(request).hub.nodes(query_of(request).listing(), request.user)


@get(
    "/v1/queues",
    opt=needs("read", query.QUEUES),
    tags=_POOL,
    operation_id="listQueues",
    summary="List queues",
)
async def list_queues(request: Asked) -> Page[QueueView]:
    """List admission lines with what waits in them and what they hold."""
    return await desk_of(request).hub.queues(query_of(request).listing(), request.user)


@get(
    "/v1/overview",
    opt=needs("read"),
    tags=_POOL,
    operation_id="overview",
    summary="See the pool at a glance",
)
async def overview(request: Asked) -> Overview:
    """Return counts, sites and queues in one answer."""
    return await desk_of(request).hub.overview(request.user)


@head(
    "/v1/blobs/{sha256:str}",
    opt=needs("read"),
    tags=_BLOBS,
    operation_id="hasBlob",
    summary="Ask whether a file is there",
)
async def has_blob(request: Asked, sha256: FromPath[str]) -> None:
    """Answer 200 when the hub has the file, else 404."""
    await desk_of(request).hub.has_blob(_address(sha256), request.user)


@get(
    "/v1/blobs/{sha256:str}",
    opt=needs("read"),
    tags=_BLOBS,
    operation_id="showBlob",
    summary="Show an uploaded file's size",
)
async def show_blob(request: Asked, sha256: FromPath[str]) -> BlobView:
    """Return the size of a file that the hub has; its content is not given out."""
    return await desk_of(request).hub.has_blob(_address(sha256), request.user)


@post(
    "/v1/blobs:missing",
    opt=needs("write"),
    status_code=200,
    tags=_BLOBS,
    operation_id="missingBlobs",
    summary="Ask which files are not there",
)
async def missing_blobs(request: Asked) -> Addresses:
    """Return those of up to 10,000 content addresses of which the hub has no file."""
    asked = read_body(
        await inlet_of(request).read(),
        Addresses,
        what="the body is no list of addresses",
        where="request body",
        hint='it looks like {"sha256": ["…", "…"]}',
    ).sha256
    if len(asked) > MAX_ADDRESSES:
        raise LimitError(f"{len(asked)} addresses", hint=f"ask about {MAX_ADDRESSES} at a time")
    found = await desk_of(request).hub.missing_blobs([_address(a) for a in asked], request.user)
    return Addresses(list(found))


@put(
    "/v1/blobs/{sha256:str}",
    opt=needs("write"),
    status_code=201,
    tags=_BLOBS,
    operation_id="putBlob",
    summary="Upload a file",
)
async def put_blob(request: Asked, sha256: FromPath[str]) -> BlobView:
    """Store the body under its SHA-256; another content is refused. Repeating is harmless."""
    address = _address(sha256)
    return await desk_of(request).hub.put_blob(address, inlet_of(request).stream(), request.user)


def _site_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InputError(f"{text[:80]!r} is not a site name", hint="see GET /v1/sites")
    return text


def _address(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise InputError(f"{text[:80]!r} is not a SHA-256", hint="64 lower-case hexadecimal digits")
    return text


ROUTES = (
    list_sites,
    show_site,
    drain,
    resume,
    list_nodes,
    list_queues,
    overview,
    has_blob,
    show_blob,
    missing_blobs,
    put_blob,
)
