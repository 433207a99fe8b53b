"""The operations that are called most, free of any framework.

`fenglin.api.door` calls them straight from ASGI, the Litestar routes through Litestar. See
the door for why there are two ways.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fenglin.api.query import JOBS, Query, read_query
from fenglin.errors import InputError
from fenglin.intake.native import decode_json
from fenglin.model.ids import parse_job_id
from fenglin.wire.views import JobView, Page, Submitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.api.desk import Desk
    from fenglin.ports.hub import Principal

T = TypeVar("T")

MAX_KEY = 200
# From this size on a document is read on a thread, so that the control loop is not kept
# waiting for it. Smaller ones are read sooner than a thread answers.
THREAD_BYTES = 256 * 2**10


def idempotency_key(value: bytes | None) -> str:
    """Return the key of an `Idempotency-Key` header; empty when there is none.

    Raises:
        InputError: the key is empty, too long or not plain text.
    """
    if value is None:
        return ""
    key = value.decode("latin-1")
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise InputError(
            "the idempotency key is not usable",
            where="header Idempotency-Key",
            hint=f"1 to {MAX_KEY} printable ASCII characters, such as a UUID",
        )
    return key


async def decode(reader: Callable[[bytes, int], T], body: bytes, now_ms: int) -> T:
    """Read a document with the intake's `reader`.

    Raises:
        InputError: it is not a valid document.
    """
    try:
        if len(body) < THREAD_BYTES:
            return reader(body, now_ms)
        return await asyncio.to_thread(reader, body, now_ms)
    except RecursionError:
        raise InputError("the document is nested too deeply", where="request body") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"the body is not JSON: {error}", where="request body") from None


async def submit(desk: Desk, who: Principal, key: bytes | None, body: bytes) -> Submitted:
    """Store one job durably."""
    name = idempotency_key(key)
    spec = await decode(decode_json, body, desk.now_ms())
    return (await desk.hub.submit((spec,), who, name, body))[0]


async def list_jobs(desk: Desk, who: Principal, query: Query) -> Page[JobView]:
    """List jobs."""
    return await desk.hub.jobs(query.listing(), who)


async def show_job(desk: Desk, who: Principal, job: str) -> JobView:
    """Return one job."""
    view = await desk.hub.job(parse_job_id(job), who)
    return await desk.hub.books.metering.with_energy(view)


def jobs_query(raw: bytes) -> Query:
    """Read the query of `GET /v1/jobs`."""
    return read_query(raw, JOBS)
