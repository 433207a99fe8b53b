"""Uvicorn's HTTP protocol with the limits it lacks: slow headers, large headers, connections.

Uvicorn bounds neither how long a client may take to send its first headers nor how many they
are. Both are a few lines at the place where the bytes come in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fenglin.api.answers import encode
from fenglin.wire.views import ErrorView

if TYPE_CHECKING:
    import asyncio

MAX_CONNECTIONS = 768
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 2**10
HEADERS_S = 10.0


def _canned(status: bytes, view: ErrorView, extra: bytes = b"") -> bytes:
    body = encode(view)
    return (
        b"HTTP/1.1 "
        + status
        + b"\r\ncontent-type: application/json\r\nconnection: close\r\n"
        + extra
        + b"content-length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )


_TOO_LARGE = _canned(
    b"431 Request Header Fields Too Large",
    ErrorView(
        code="over_limit",
        what=f"more than {MAX_HEADERS} headers, or {MAX_HEADER_BYTES} bytes of them",
    ),
)
_TOO_SLOW = _canned(
    b"408 Request Timeout",
    ErrorView(code="too_slow", what=f"the headers did not come within {HEADERS_S:.0f} s"),
)
_NOT_HTTP = _canned(
    b"400 Bad Request", ErrorView(code="bad_input", what="this is not an HTTP request")
)
_TOO_MANY = _canned(
    b"503 Service Unavailable",
    ErrorView(
        code="unavailable", what="too many connections are open", hint="try again in a second"
    ),
    b"retry-after: 1\r\n",
)


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    _heading = False
    _header_bytes = 0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) >= limit:
            self._refuse(_TOO_MANY)
            return
        self._header_timer = self.loop.call_later(HEADERS_S, self._headers_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes while headers are incomplete, and give them limited time."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._heading:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(_TOO_LARGE)
            elif self._header_timer is None:
                self._header_timer = self.loop.call_later(HEADERS_S, self._headers_late)

    def on_message_begin(self) -> None:
        """Begin the headers."""
        super().on_message_begin()
        self._heading = True
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Serve the request, unless it was refused already."""
        self._heading = False
        self._disarm()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if not self.transport.is_closing():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form of all our errors."""
        del msg
        self._refuse(_NOT_HTTP)

    def _refuse(self, answer: bytes) -> None:
        self._disarm()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    def _headers_late(self) -> None:
        self._header_timer = None
        self._refuse(_TOO_SLOW)

    def _disarm(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
