"""Carries calls over kept-alive connections of an event loop: asyncio's streams and httptools."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httptools

from fenglin.client.address import Address, headers_of
from fenglin.client.exchange import Exchange
from fenglin.client.failures import connection_lost, too_slow
from fenglin.client.retry import Retry
from fenglin.client.transport import CHUNK_BYTES, Answer
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from fenglin.client.requests import Call

MOST_IDLE = 16
_LOST = (OSError, EOFError, httptools.HttpParserError)


class _ConnectFailedError(Exception):
    """No connection could be made; nothing was sent."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _Connection:
    """One connection, and the answer that is being read from it.

    Attributes:
        status: Of the answer.
        headers: Of the answer, names in lower case.
        spoke: Whether what came so far is HTTP.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.begin()

    def begin(self) -> None:
        """Expect another answer."""
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._headed = self._ended = self._stays = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.spoke = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, as the parser calls it."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the end of the head."""
        self._headed = True
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take the end of the answer."""
        self._ended = True
        self._stays = self._parser.should_keep_alive()

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        return (
            self._ended
            and self._stays
            and not self._reader.at_eof()
            and not self._writer.is_closing()
        )

    async def send(self, head: bytes, body: bytes | Path | None) -> None:
        """Send one request."""
        self._writer.write(head)
        if isinstance(body, bytes):
            self._writer.write(body)
        elif body is not None:
            await self._send_file(body)
        await self._writer.drain()

    async def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
                self._writer.write(piece)
                await self._writer.drain()

    async def read_head(self, *, bare: bool) -> None:
        """Read until the head is whole; `bare` when no body follows it."""
        while not self._headed:
            await self._feed()
        if bare:
            self.close()
            self._ended = True

    async def exchange(self, head: bytes, body: bytes | Path | None, *, bare: bool) -> None:
        """Send a request and read the answer's head, which may come before all is sent.

        A hub that refuses early, say for size, closes without reading the rest. What it has said
        is lost to a reader that only begins then, so reading begins first.
        """
        self.begin()
        if body is None:
            await self.send(head, None)
            await self.read_head(bare=bare)
            return
        reading = asyncio.ensure_future(self.read_head(bare=bare))
        with self._second_handle() as second:
            try:
                with suppress(ConnectionError):  # if nothing was said, the reading fails too
                    await self.send(head, body)
                await reading
            except ConnectionError:
                self._hear_out(second)
                if not self._headed:
                    raise
            finally:
                reading.cancel()

    @contextmanager
    def _second_handle(self) -> Iterator[socket.socket | None]:
        """Yield another handle of the socket; None where its bytes are sealed by TLS.

        The event loop closes its own as soon as a write fails, with all that has arrived unread.
        """
        own = self._writer.get_extra_info("socket")
        if own is None or self._writer.get_extra_info("ssl_object") is not None:
            yield None
            return
        try:
            second = socket.socket(fileno=os.dup(own.fileno()))
        except OSError:  # closed already
            yield None
            return
        with second:
            yield second

    def _hear_out(self, second: socket.socket | None) -> None:
        """Read what had arrived before the connection was reset."""
        if second is None:
            return
        second.setblocking(False)  # noqa: FBT003 - the standard library's own call
        with suppress(OSError):
            while not self._ended and (data := second.recv(CHUNK_BYTES)):
                self._parser.feed_data(data)
                self.spoke = True

    async def read_piece(self) -> bytes:
        """Return the next piece of the body; empty at its end."""
        while not self._pieces and not self._ended:
            await self._feed()
        found, self._pieces = b"".join(self._pieces), []
        return found

    async def read_all(self) -> bytes:
        """Return the rest of the body."""
        while not self._ended:
            await self._feed()
        return await self.read_piece()

    async def _feed(self) -> None:
        data = await self._reader.read(CHUNK_BYTES)
        if not data:
            raise EOFError("the hub closed it in the middle of an answer")
        self._parser.feed_data(data)
        self.spoke = True

    def close(self) -> None:
        """Close it at once."""
        with suppress(RuntimeError):  # its event loop is closed already
            self._writer.close()


class AsyncTransport:
    """One hub, reached from one event loop, by as many connections as calls are under way.

    Args:
        hub: URL such as `http://127.0.0.1:8642` or `unix:///run/fenglin/hub.sock`.
        token: Bearer token; empty for none.
        timeout_s: Longest silence of the hub, beyond what a call allows it.
        deadline_s: Longest time for one call with all its tries; None for no limit.
        retry: When to try again.
        sleep: Replaces `asyncio.sleep` in tests.
        tls: How an `https` hub is checked and what is shown to it; the system's way if left out.

    Raises:
        InputError: the URL is not one of an HTTP server.
    """

    def __init__(
        self,
        hub: str,
        token: str = "",
        *,
        timeout_s: float = 30.0,
        deadline_s: float | None = None,
        retry: Retry | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.hub = hub.rstrip("/")
        self.sleep = sleep
        self._limits = (timeout_s, deadline_s)
        self._token = token
        self._tls = tls
        self._retry = retry or Retry()
        self._address = Address.parse(self.hub)
        self._idle: list[_Connection] = []
        self._met = False

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def send(self, call: Call[Any]) -> Answer:
        """Carry a call and read the answer to its end.

        Raises:
            FenglinError: as `failures` tells.
        """

        async def read(connection: _Connection) -> Answer:
            answer = Answer(await connection.read_all(), connection.headers)
            self._give_back(connection)
            return answer

        answer: Answer = await self._repeat(call, read)
        return answer

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Carry a call and yield its answer piece by piece, as it arrives.

        Only the start is tried again: a stream that breaks later raises UnavailableError.
        """

        async def keep(connection: _Connection) -> _Connection:
            return connection

        connection = await self._repeat(call, keep)
        pieces = self._pieces(connection)
        try:
            yield pieces
        finally:
            await pieces.aclose()
            self._give_back(connection)

    async def _pieces(self, connection: _Connection) -> Any:  # noqa: ANN401 - an async generator
        silence_s = self._limits[0]
        try:
            while True:
                async with asyncio.timeout(silence_s):
                    piece = await connection.read_piece()
                if not piece:
                    return
                yield piece
        except TimeoutError as error:
            raise too_slow(self.hub, silence_s) from error
        except _LOST as error:
            raise connection_lost(self.hub, error) from error

    def _give_back(self, connection: _Connection) -> None:
        if connection.reusable and len(self._idle) < MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    async def _repeat(self, call: Call[Any], use: Callable[[_Connection], Awaitable[Any]]) -> Any:  # noqa: ANN401 - whatever `use` returns
        """Try until it is done, or until trying again is no longer of use."""
        exchange = Exchange(
            call,
            self.hub,
            self._retry,
            self._limits,
            met=self._met,
            dice=lambda: secrets.randbelow(1 << 20) / (1 << 20),
            clock_s=asyncio.get_running_loop().time,
        )
        while True:
            connection: _Connection | None = None
            done = False
            try:
                async with asyncio.timeout(exchange.timeout_s):
                    connection = await self._connect()
                    await connection.exchange(
                        self._head(call), call.body, bare=call.method == "HEAD"
                    )
                    if connection.status < 300:
                        found = await use(connection)
                        self._met = done = True
                        return found
                    body = await connection.read_all()
                    self._give_back(connection)
                    self._met = done = True
                retry_after = connection.headers.get("retry-after", "")
                pause_s = exchange.refused(connection.status, body, retry_after)
            except _ConnectFailedError as error:
                pause_s = exchange.unreachable(error.cause)
            except TimeoutError as error:
                pause_s = exchange.silent(error)
            except _LOST as error:
                strange = isinstance(error, httptools.HttpParserError)
                pause_s = exchange.lost(
                    error, strange=strange and not (connection and connection.spoke)
                )
            finally:
                if connection is not None and not done:
                    connection.close()
            await self.sleep(pause_s)

    def _head(self, call: Call[Any]) -> bytes:
        headers = {"Host": self._address.host_header, **headers_of(call, self._token)}
        if isinstance(call.body, Path):
            try:
                headers["Content-Length"] = str(call.body.stat().st_size)
            except OSError as error:
                raise InputError(
                    f"the file cannot be read: {error.strerror}", where=str(call.body)
                ) from error
        elif call.body is not None or call.method != "GET":
            headers["Content-Length"] = str(len(call.body or b""))
        lines = [f"{call.method} {self._address.prefix}{call.path} HTTP/1.1"]
        lines += (f"{name}: {value}" for name, value in headers.items())
        if any("\r" in line or "\n" in line for line in lines):
            raise InputError("a header or the path holds a line end", where=call.path[:200])
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    async def _connect(self) -> _Connection:
        """Return an idle connection that is still open, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        at = self._address
        try:
            if at.socket:
                return _Connection(*await asyncio.open_unix_connection(at.socket))
            secure = (self._tls or ssl.create_default_context()) if at.secure else None
            return _Connection(*await asyncio.open_connection(at.host, at.port, ssl=secure))
        except OSError as error:
            raise _ConnectFailedError(error) from error
