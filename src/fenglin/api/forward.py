"""The door of a hub that waits for its turn: it hands requests to the hub that leads.

Any hub of one database may be asked, then. While nobody leads, what the database alone can
answer is answered here; everything else is to be asked again in a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httptools

from fenglin.api.answers import failure_of
from fenglin.api.bodies import Outlet
from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fenglin.api.bodies import Message, Receive, Send
    from fenglin.api.door import Door

    App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

CONNECT_WITHIN_S = 3.0
CHUNK_BYTES = 2**16
# What concerns one connection and not the request.
_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"host",
    }
)  # fmt: skip
# A request goes from hand to hand once: two hubs that take each other for the leader stop there.
_PASSED = b"x-fenglin-passed-on"
# What is asked of this process and of no other.
_OWN_PATHS = ("/healthz", "/readyz", "/metrics")


class Switch:
    """An ASGI application whose inner one changes when this hub comes to lead."""

    def __init__(self, inner: WaitingDoor) -> None:
        """Begin as a hub that waits."""
        self._inner: WaitingDoor | Door = inner

    def lead(self, door: Door) -> None:
        """Serve by oneself from the next request on."""
        self._inner = door

    def begin_stop(self) -> None:
        """End what is held open, so that a server can stop soon."""
        self._inner.begin_stop()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._inner(scope, receive, send)


class WaitingDoor:
    """The ASGI application of a hub that waits.

    Args:
        leader: Tells the address of the hub that leads; empty for none.
        quiet: Answers from the database alone.
    """

    def __init__(self, leader: Callable[[], Awaitable[str]], quiet: Door) -> None:
        self._leader = leader
        self._quiet = quiet
        self._open: set[asyncio.Task[None]] = set()

    def begin_stop(self) -> None:
        """End what is held open, so that a server can stop soon."""
        self._quiet.begin_stop()
        self.drop()

    def drop(self) -> None:
        """End the requests that were handed on: who has them leads no more, and may be asleep."""
        for task in self._open:
            task.cancel()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Hand one request to the leader, or answer it from the database."""
        if scope["type"] != "http" or scope["path"] in _OWN_PATHS:
            await self._quiet(scope, receive, send)
            return
        passed = any(name == _PASSED for name, _ in scope["headers"])
        try:
            address = "" if passed else await self._leader()
        except UnavailableError:
            address = ""
        if not address:
            await self._quiet(scope, receive, send)
            return
        outlet = _Outlet(send)
        try:
            await self._pass_on(address, scope, receive, outlet)
        except (OSError, httptools.HttpParserError, EOFError) as error:
            if outlet.started:
                # In the middle of an answer only its abrupt end can say it.
                raise
            place = f"{scope['method']} {scope['path'][:200]}"
            gone = UnavailableError(
                f"the hub that leads does not answer: {type(error).__name__} {error}".rstrip(),
                where=address,
                hint="ask again; another takes its place soon",
            )
            await Outlet(send).failure(failure_of(gone, place=place), close=True)

    async def _pass_on(
        self, address: str, scope: dict[str, Any], receive: Receive, outlet: _Outlet
    ) -> None:
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        async with asyncio.timeout(CONNECT_WITHIN_S):
            reader, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or (443 if secure else 80),
                ssl=ssl.create_default_context() if secure else None,
            )
        try:
            sending = asyncio.create_task(_send(writer, parts.netloc, scope, receive))
            answering = asyncio.create_task(_answer(reader, scope["method"], outlet))
            self._open.add(answering)
            try:
                # The sender goes on until the client hangs up, unless the answer ends first.
                await asyncio.wait([sending, answering], return_when=asyncio.FIRST_COMPLETED)
                if answering.cancelled():
                    raise EOFError("it leads no more")
                if answering.done():
                    answering.result()
                elif sending.exception() is not None:
                    await answering
            finally:
                self._open.discard(answering)
                for task in (sending, answering):
                    task.cancel()
                await asyncio.gather(sending, answering, return_exceptions=True)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class _Outlet:
    """The way back, which knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        await self._send(message)


async def _send(
    writer: asyncio.StreamWriter, host: str, scope: dict[str, Any], receive: Receive
) -> None:
    """Write the request; return when the client has hung up."""
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    headers = [(name, value) for name, value in scope["headers"] if name not in _HOP]
    chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    if chunked:
        headers.append((b"transfer-encoding", b"chunked"))
    headers += [(b"host", host.encode()), (b"connection", b"close"), (_PASSED, b"1")]
    lines = [scope["method"].encode() + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in headers]
    writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
    more = True
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not more:
            continue
        piece: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if chunked:
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if not more:
                writer.write(b"0\r\n\r\n")
        else:
            writer.write(piece)
        await writer.drain()


class _Reply:
    """What the parser of an answer has found since it was last asked."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.begun = False
        self.ended = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in _HOP:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.ended = True


async def _answer(reader: asyncio.StreamReader, method: str, send: _Outlet) -> None:
    """Pass the answer on, piece by piece."""
    reply = _Reply()
    parser = httptools.HttpResponseParser(reply)
    while not reply.ended:
        data = await reader.read(CHUNK_BYTES)
        if not data:
            break
        parser.feed_data(data)
        if reply.begun and not send.started:
            status = parser.get_status_code()
            await send({"type": "http.response.start", "status": status, "headers": reply.headers})
        for piece in reply.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        reply.pieces.clear()
    # The answer to HEAD announces a body that does not come.
    if not reply.ended and not (reply.begun and method == "HEAD"):
        raise EOFError("its answer was cut short")
    await send({"type": "http.response.body", "body": b"", "more_body": False})
