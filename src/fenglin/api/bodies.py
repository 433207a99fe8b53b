"""Request bodies and answers on their way through the door: counted, timed, never too large."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fenglin.api.answers import (
    JSON_TYPE,
    SECURITY_HEADERS,
    EncodingError,
    Failure,
    RequestTimeoutError,
    encode,
)
from fenglin.errors import InputError, LimitError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

BODY_SILENCE_S = 30.0
BODY_TOTAL_S = 120.0


class ClientGoneError(Exception):
    """The client hung up; nobody reads an answer."""


class Inlet:
    """The request's body, at most `cap_bytes` of it, from a client that keeps sending.

    Args:
        receive: The server's.
        headers: Lower-case names.
        cap_bytes: Most bytes, whether announced by Content-Length or not.

    Raises:
        LimitError: Content-Length announces more.
        EncodingError: The body is compressed; undoing that is how small bodies become large.
    """

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], cap_bytes: int) -> None:
        self._receive = receive
        self._left = self._cap = cap_bytes
        self.ended = False
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
            raise EncodingError(
                "compressed bodies are not taken",
                where="header Content-Encoding",
                hint="send the body as it is",
            )
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit():
                raise InputError("Content-Length is not a number", where="header Content-Length")
            # The text is compared by length first: int() of a huge one is work for nothing.
            if len(length) > 18 or int(length) > cap_bytes:
                raise self._too_large()

    def _too_large(self) -> LimitError:
        return LimitError(
            f"the body is larger than {self._cap} bytes",
            hint="send jobs in several batches, and large files as blobs",
        )

    async def receive(self) -> Message:
        """Pass the server's next message on, counting."""
        if self.ended:
            # All of the body is here: what is waited for now is the end of the connection.
            return await self._receive()
        try:
            async with asyncio.timeout(BODY_SILENCE_S):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeoutError(
                f"no piece of the body came for {BODY_SILENCE_S:.0f} s", hint="send it again"
            ) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise self._too_large()
            self.ended = not message.get("more_body", False)
        return message

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            LimitError: It is larger than the cap.
            RequestTimeoutError: It comes too slowly.
            ClientGoneError: The client hung up before its end.
        """
        try:
            message = await self.receive()
            if self.ended:
                body: bytes = message.get("body", b"")
                return body
            async with asyncio.timeout(BODY_TOTAL_S):
                return await self._rest(message)
        except TimeoutError:
            raise RequestTimeoutError(
                f"the body did not come within {BODY_TOTAL_S:.0f} s", hint="send less at once"
            ) from None

    async def _rest(self, message: Message) -> bytes:
        parts: list[bytes] = []
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            if self.ended:
                return b"".join(parts)
            message = await self.receive()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces as they come.

        Raises:
            LimitError: It is larger than the cap.
            RequestTimeoutError: Nothing came for a while.
            ClientGoneError: The client hung up before its end.
        """
        while not self.ended:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if piece := message.get("body", b""):
                yield piece

    async def hung_up(self) -> None:
        """Return when the client has gone."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Outlet:
    """The way back: adds the security headers to every answer, and knows whether one began."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        """Pass a message of an inner application on."""
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
        await self._send(message)

    async def json(self, status: int, body: bytes) -> None:
        """Answer with JSON text."""
        self.started = True
        length = str(len(body)).encode()
        headers = [(b"content-type", JSON_TYPE), (b"content-length", length), *SECURITY_HEADERS]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def failure(self, failure: Failure, *, close: bool) -> None:
        """Answer with an error.

        Args:
            failure: What to say.
            close: Whether to end the connection, because an unread body is still in it.
        """
        self.started = True
        body = encode(failure.view)
        headers = [
            (b"content-type", JSON_TYPE),
            (b"content-length", str(len(body)).encode()),
            *failure.headers,
            *SECURITY_HEADERS,
        ]
        if close or failure.status == HTTPStatus.REQUEST_TIMEOUT:
            headers.append((b"connection", b"close"))
        status = int(failure.status)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
