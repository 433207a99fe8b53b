"""The outermost layer: limits, errors and headers for every request, and the fast lane.

Litestar routes, validates and documents; that halves how many small requests one worker
answers (figures: docs/reference/http-api.md). So the three operations that clients call
thousands of times a second are answered here, before Litestar, by the very functions its
routes call. A test holds both ways to the same answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.api import operations
from fenglin.api.answers import encode, failure_of
from fenglin.api.bodies import ClientGoneError, Inlet, Outlet
from fenglin.api.caller import HEADERS, INLET
from fenglin.api.query import read_query
from fenglin.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from fenglin.api.bodies import Receive, Send
    from fenglin.api.desk import Desk

    Scope = dict[str, Any]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]
    Handler = Callable[[Scope, Mapping[bytes, bytes], Inlet], Awaitable[tuple[int, bytes]]]

JOBS = "/v1/jobs"
JOB_PREFIX = JOBS + "/"
BLOB_PREFIX = "/v1/blobs/"
AGENT_PREFIX = "/v1/agent/"
AGENT_FILES = "/artifacts/"
PRICE_FILE = "/v1/prices:import"
MAX_PRICE_FILE_BYTES = 256 * 2**20
# Goes to the disk piece by piece; a million lines of a cloud's bill are half of it.
METERING_FILE = "/v1/metering:import"
MAX_METERING_FILE_BYTES = 2**30

# Requests with two of these mean one thing to a proxy and another to us.
_SINGLE = frozenset(
    {b"authorization", b"content-length", b"content-encoding", b"host", b"idempotency-key"}
)

_log = structlog.get_logger("fenglin.api")


class Door:
    """The ASGI application that a server runs.

    Args:
        desk: The hub and the rules about callers.
        inner: Litestar's application, which has all routes.
        max_body_bytes: Most bytes of a document.
        max_blob_bytes: Most bytes of an uploaded file.
        fast_lane: False sends everything through Litestar.
    """

    def __init__(
        self,
        desk: Desk,
        inner: App,
        *,
        max_body_bytes: int,
        max_blob_bytes: int,
        fast_lane: bool = True,
    ) -> None:
        self.desk = desk
        self._inner = inner
        self._max_body_bytes = max_body_bytes
        self._max_blob_bytes = max_blob_bytes
        self._fast: dict[tuple[str, str], Handler] = {}
        self._fast_show = fast_lane
        if fast_lane:
            self._fast = {
                ("POST", JOBS): self._submit,
                ("GET", JOBS): self._list,
            }

    def begin_stop(self) -> None:
        """End long polls and followed logs, so that a server can stop soon."""
        self.desk.begin_stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; never raises, whatever happens."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        outlet = Outlet(send)
        inlet: Inlet | None = None
        try:
            headers = _headers(scope)
            path: str = scope["path"]
            inlet = Inlet(receive, headers, self._most_bytes(path))
            handler = self._handler(scope["method"], path)
            if handler is None:
                scope[INLET], scope[HEADERS] = inlet, headers
                await self._inner(scope, inlet.receive, outlet.send)
            else:
                await outlet.json(*await handler(scope, headers, inlet))
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            # The server stops and has waited long enough. The answer needs no waiting.
            await _answer(UnavailableError("the hub is stopping"), scope, inlet, outlet)
            raise
        except Exception as error:  # noqa: BLE001 - the last place where anything can be said
            await _answer(error, scope, inlet, outlet)

    def _most_bytes(self, path: str) -> int:
        """Return how large the body of a request may be."""
        if path.startswith(BLOB_PREFIX) or (path.startswith(AGENT_PREFIX) and AGENT_FILES in path):
            return self._max_blob_bytes
        if path == METERING_FILE:
            return MAX_METERING_FILE_BYTES
        return MAX_PRICE_FILE_BYTES if path == PRICE_FILE else self._max_body_bytes

    def _handler(self, method: str, path: str) -> Handler | None:
        handler = self._fast.get((method, path))
        if (
            handler is None
            and self._fast_show
            and method == "GET"
            and path.startswith(JOB_PREFIX)
            and "/" not in path[len(JOB_PREFIX) :]
            and len(path) > len(JOB_PREFIX)
        ):
            return self._show
        return handler

    async def _submit(
        self, scope: Scope, headers: Mapping[bytes, bytes], inlet: Inlet
    ) -> tuple[int, bytes]:
        who = await self.desk.admit(headers, "write")
        self.desk.begin_act(who, "submit", JOBS)
        read_query(scope["query_string"], ())
        body = await inlet.read()
        key = headers.get(b"idempotency-key")
        return 201, encode(await operations.submit(self.desk, who, key, body))

    async def _list(
        self, scope: Scope, headers: Mapping[bytes, bytes], _inlet: Inlet
    ) -> tuple[int, bytes]:
        who = await self.desk.admit(headers, "read")
        query = operations.jobs_query(scope["query_string"])
        return 200, encode(await operations.list_jobs(self.desk, who, query))

    async def _show(
        self, scope: Scope, headers: Mapping[bytes, bytes], _inlet: Inlet
    ) -> tuple[int, bytes]:
        who = await self.desk.admit(headers, "read")
        read_query(scope["query_string"], ())
        job = scope["path"][len(JOB_PREFIX) :]
        return 200, encode(await operations.show_job(self.desk, who, job))


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers by name.

    Raises:
        InputError: one that decides about the request comes twice.
    """
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    headers = dict(pairs)
    if len(headers) != len(pairs):
        seen: set[bytes] = set()
        for name, _ in pairs:
            if name in seen and name in _SINGLE:
                raise InputError(
                    f"the header {name.decode('latin-1')} comes twice", hint="send it once"
                )
            seen.add(name)
    return headers


async def _answer(error: Exception, scope: Scope, inlet: Inlet | None, outlet: Outlet) -> None:
    """Say what went wrong; in the middle of an answer only its abrupt end can say it."""
    place = f"{scope['method']} {scope['path'][:200]}"
    if outlet.started:
        cause = _root(error)
        if not isinstance(cause, ClientGoneError):
            _log.warning("answer cut short", place=place, error=repr(cause))
        return
    unread = inlet is None or not inlet.ended
    announced = any(
        name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
    )
    await outlet.failure(failure_of(error, place=place), close=unread and announced)


def _root(error: BaseException) -> BaseException:
    """Return what went wrong first; Litestar wraps what happens in streams."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error.__cause__ is not None:
            error = error.__cause__
        else:
            return error
