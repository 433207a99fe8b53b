"""Carries calls over one kept-alive connection of the standard library's HTTP client."""

from __future__ import annotations

import http.client
import secrets
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlsplit

from fenglin import __version__
from fenglin.client.failures import connection_lost, error_from, too_slow, unreachable
from fenglin.client.retry import Retry
from fenglin.errors import FenglinError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fenglin.client.requests import Call

T = TypeVar("T")
Result = TypeVar("Result")
CHUNK_BYTES = 1 << 16
TOO_MANY = 429
_LOST = (OSError, http.client.HTTPException)


class Answer(NamedTuple):
    """A good answer, read to its end."""

    body: bytes
    headers: http.client.HTTPMessage


class _ConnectFailedError(Exception):
    """No connection could be made; nothing was sent."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Transport:
    """One hub, reached. Not for use by two threads at once; make one per thread.

    Args:
        hub: URL such as `http://127.0.0.1:8642`.
        token: Bearer token; empty for none.
        timeout_s: Longest silence of the hub, beyond what a call allows it.
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
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.hub = hub.rstrip("/")
        self.timeout_s = timeout_s
        self.sleep = sleep
        self._token = token
        self._retry = retry or Retry()
        self._connection: http.client.HTTPConnection | None = None
        self._met = False
        self._secure, self._host, self._port, self._prefix = _parse(self.hub)

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
            return Answer(response.read(), response.headers)

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
        failed = slow = 0
        while True:
            retry_after = ""
            try:
                response = self._once(call)
                if response.status < 300:
                    done = use(response)
                    self._met = True
                    return done
                problem: FenglinError = self._refusal(call, response)
                retry_after = response.headers.get("Retry-After", "")
                self._met = True
            except _ConnectFailedError as error:
                problem = unreachable(self.hub, error.cause)
                if not self._met:  # a hub that never was there will not appear by waiting
                    raise problem from error.cause
            except TimeoutError as error:
                problem = too_slow(self.hub, self.timeout_s + call.extra_s)
                slow += 1
                self.close()
                if slow > 1:
                    raise problem from error
            except _LOST as error:
                self.close()
                problem = connection_lost(self.hub, error)
                if _speaks_no_http(error):
                    raise problem from error
            failed += 1
            if not _may_pass(problem) or failed >= self._retry.tries:
                raise problem
            dice = secrets.randbelow(1 << 20) / (1 << 20)
            self.sleep(self._retry.pause_s(failed, dice, retry_after))

    def _once(self, call: Call[T]) -> http.client.HTTPResponse:
        """Send the request once and return the answer's head."""
        connection = self._connect(self.timeout_s + call.extra_s)
        headers = {
            "Accept": "*/*",
            "User-Agent": f"fenglin/{__version__}",
            **({"Authorization": f"Bearer {self._token}"} if self._token else {}),
            **dict(call.headers),
        }
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
        target = self._prefix + call.path
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
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            connection = kind(self._host, self._port)
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

    def _refusal(self, call: Call[T], response: http.client.HTTPResponse) -> FenglinError:
        """Read an error answer."""
        body = response.read(1 << 20)
        if not response.isclosed():
            self.close()
        return error_from(response.status, body, f"{call.method} {self.hub}{call.path}")


def _open(path: Path) -> BinaryIO:
    """Open a file to upload.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _may_pass(problem: FenglinError) -> bool:
    """Return whether a later try may succeed."""
    return isinstance(problem, UnavailableError) or problem.http_status == TOO_MANY


def _speaks_no_http(error: Exception) -> bool:
    """Return whether something answered that is no HTTP server (an empty line is a lost one)."""
    return isinstance(error, http.client.BadStatusLine) and not isinstance(error, ConnectionError)


def _parse(hub: str) -> tuple[bool, str, int | None, str]:
    """Return (secure, host, port, path prefix) of a hub's URL."""
    try:
        url = urlsplit(hub)
        host, port = url.hostname, url.port
        if url.scheme in ("http", "https") and host and not url.query and not url.fragment:
            return url.scheme == "https", host, port, url.path
    except ValueError:
        pass  # a port that is no number: the same remedy
    raise InputError(
        f"{hub[:200]!r} is not the URL of a hub",
        hint="write for example http://127.0.0.1:8642, in FENGLIN_HUB or --hub",
    )
