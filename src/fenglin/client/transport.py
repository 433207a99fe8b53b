"""Carries calls over one kept-alive connection of the standard library's HTTP client."""

from __future__ import annotations

import http.client
import secrets
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar

from fenglin.client.address import Address, headers_of
from fenglin.client.exchange import Exchange
from fenglin.client.failures import connection_lost, too_slow
from fenglin.client.retry import Retry
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fenglin.client.requests import Call

T = TypeVar("T")
Result = TypeVar("Result")
CHUNK_BYTES = 1 << 16
_LOST = (OSError, http.client.HTTPException)


class Answer(NamedTuple):
    """A good answer, read to its end; names of headers are in lower case."""

    body: bytes
    headers: dict[str, str]


class _ConnectFailedError(Exception):
    """No connection could be made; nothing was sent."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        bare = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bare.settimeout(self.timeout)
            bare.connect(self._path)
        except OSError:
            bare.close()
            raise
        self.sock = bare


class Transport:
    """One hub, reached. Not for use by two threads at once; make one per thread.

    Args:
        hub: URL such as `http://127.0.0.1:8642` or `unix:///run/fenglin/hub.sock`.
        token: Bearer token; empty for none.
        timeout_s: Longest silence of the hub, beyond what a call allows it.
        deadline_s: Longest time for one call with all its tries; None for no limit.
        retry: When to try again.
        sleep: Replaces `time.sleep` in tests.

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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.hub = hub.rstrip("/")
        self.timeout_s = timeout_s
        self.sleep = sleep
        self.deadline_s = deadline_s
        self._token = token
        self._retry = retry or Retry()
        self._connection: http.client.HTTPConnection | None = None
        self._met = False
        self._address = Address.parse(self.hub)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, call: Call[T]) -> Answer:
        """Carry a call and read the answer to its end.

        Raises:
            FenglinError: as `failures` tells.
        """

        def read(response: http.client.HTTPResponse) -> Answer:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.read(), headers)

        return self._repeat(call, read)

    @contextmanager
    def stream(self, call: Call[T]) -> Iterator[Iterator[bytes]]:
        """Carry a call and yield its answer piece by piece, as it arrives.

        Only the start is tried again: a stream that breaks later raises UnavailableError.
        """
        response = self._repeat(call, lambda response: response)
        try:
            yield self._pieces(response)
        finally:
            # An answer left half read would be taken for the start of the next one.
            if not response.isclosed():
                self.close()

    def _pieces(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """Yield what has come, without waiting for a full chunk."""
        try:
            while piece := response.read1(CHUNK_BYTES):
                yield piece
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        except TimeoutError as error:
            self.close()
            raise too_slow(self.hub, self.timeout_s) from error
        except _LOST as error:
            self.close()
            raise connection_lost(self.hub, error) from error

    def _repeat(self, call: Call[T], use: Callable[[http.client.HTTPResponse], Result]) -> Result:
        """Try until it is done, or until trying again is no longer of use."""
        exchange = Exchange(
            call,
            self.hub,
            self._retry,
            (self.timeout_s, self.deadline_s),
            met=self._met,
            dice=_dice,
            clock_s=time.monotonic,
        )
        while True:
            try:
                response = self._once(call, exchange.timeout_s)
                if response.status < 300:
                    done = use(response)
                    self._met = True
                    return done
                body = response.read(1 << 20)
                if not response.isclosed():
                    self.close()
                self._met = True
                retry_after = response.headers.get("Retry-After", "")
                pause_s = exchange.refused(response.status, body, retry_after)
            except _ConnectFailedError as error:
                pause_s = exchange.unreachable(error.cause)
            except TimeoutError as error:
                self.close()
                pause_s = exchange.silent(error)
            except _LOST as error:
                self.close()
                pause_s = exchange.lost(error, strange=_speaks_no_http(error))
            self.sleep(pause_s)

    def _once(self, call: Call[T], timeout_s: float) -> http.client.HTTPResponse:
        """Send the request once and return the answer's head."""
        connection = self._connect(timeout_s)
        headers = headers_of(call, self._token)
        try:
            self._write(connection, call, headers)
        except (BrokenPipeError, ConnectionResetError):
            # The hub may have refused early, say for size, without reading all of the body.
            try:
                return connection.getresponse()
            except (OSError, http.client.HTTPException):
                pass
            raise
        return connection.getresponse()

    def _write(
        self, connection: http.client.HTTPConnection, call: Call[T], headers: dict[str, str]
    ) -> None:
        """Write head and body; a file is opened anew for each try."""
        target = self._address.prefix + call.path
        if not isinstance(call.body, Path):
            connection.request(call.method, target, body=call.body, headers=headers)
            return
        with _open(call.body) as file:
            size = file.seek(0, 2)
            file.seek(0)
            connection.request(
                call.method, target, body=file, headers={**headers, "Content-Length": str(size)}
            )

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        """Return the open connection, or a new one."""
        connection = self._connection
        if connection is None:
            connection = self._new_connection()
        connection.timeout = timeout_s
        if connection.sock is None:
            try:
                connection.connect()
            except OSError as error:
                raise _ConnectFailedError(error) from error
        else:
            connection.sock.settimeout(timeout_s)
        self._connection = connection
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not yet open."""
        at = self._address
        if at.socket:
            return _UnixConnection(at.socket)
        kind = http.client.HTTPSConnection if at.secure else http.client.HTTPConnection
        return kind(at.host, at.port)


def _dice() -> float:
    return secrets.randbelow(1 << 20) / (1 << 20)


def _open(path: Path) -> BinaryIO:
    """Open a file to upload.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _speaks_no_http(error: Exception) -> bool:
    """Return whether something answered that is no HTTP server (an empty line is a lost one)."""
    return isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError)
