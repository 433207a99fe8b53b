"""What every route shares: the hub, who asks, and how many may be kept waiting."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from fenglin.api.bodies import ClientGoneError
from fenglin.errors import DeniedError, UnavailableError
from fenglin.ports.acting import ACTING, Act
from fenglin.ports.hub import Principal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
    from typing import Any

    from fenglin.ports.hub import Hub

T = TypeVar("T")

MAX_TOKEN_BYTES = 4096
MAX_WAITERS = 256
NOBODY = Principal(name="anonymous", scopes=frozenset({"read", "write", "admin"}))

_LOG_IN = "send `Authorization: Bearer TOKEN`; the command line takes it from FENGLIN_TOKEN"


def unix_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Desk:
    """The hub, and the door's own few rules about callers.

    Args:
        hub: The hub.
        require_auth: False lets anybody in who can connect, as an administrator. Only for a
            hub that listens on loopback; web pages are kept out even then.
        now_ms: Unix time in milliseconds, for the dates in job documents.
        max_waiters: How many long polls and followed logs may be open at once.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        require_auth: bool,
        now_ms: Callable[[], int] = unix_ms,
        max_waiters: int = MAX_WAITERS,
    ) -> None:
        self.hub = hub
        self.now_ms = now_ms
        self._require_auth = require_auth
        self._free_waiters = max_waiters
        self._stopping = asyncio.Event()

    async def admit(self, headers: Mapping[bytes, bytes], scope: str) -> Principal:
        """Return who asks, if they may.

        Args:
            headers: Lower-case names; the query is never looked at, since it ends up in logs.
            scope: Of `model.role.Scope`, or `any` for whoever has a token.

        Raises:
            DeniedError: 401 when the token is missing or unknown, 403 when it does not reach.
        """
        if not self._require_auth:
            _refuse_web_pages(headers)
            return NOBODY
        principal = await self.hub.authenticate(_bearer(headers.get(b"authorization")))
        if scope != "any" and not principal.may(scope):
            raise DeniedError(
                f"this needs the scope {scope}",
                hint=f"the token has: {', '.join(sorted(principal.scopes)) or 'none'}",
            )
        return principal

    def begin_act(self, who: Principal, what: str, path: str) -> None:
        """Say, for the audit trail, whose request this task serves from here on."""
        ACTING.set(Act(self.now_ms(), who.name, who.token, who.account, what, path[:200]))

    @contextlib.contextmanager
    def waiter(self) -> Iterator[None]:
        """Count a request that stays open on purpose.

        Raises:
            UnavailableError: too many are open already, or the hub is stopping.
        """
        if self._stopping.is_set():
            raise _stopping()
        if self._free_waiters <= 0:
            raise UnavailableError(
                "too many waiting requests are open", hint="ask again later, or poll the job"
            )
        self._free_waiters -= 1
        try:
            yield
        finally:
            self._free_waiters += 1

    async def unless_stopped(self, work: Coroutine[Any, Any, T], gone: Awaitable[None]) -> T:
        """Return what the work returns, but give up at once when nobody needs it any more.

        Args:
            work: What may take long.
            gone: Ends when the client has gone.

        Raises:
            UnavailableError: the hub is stopping.
            ClientGoneError: the client has gone.
        """
        task = asyncio.ensure_future(work)
        ends = (asyncio.ensure_future(self._stopping.wait()), asyncio.ensure_future(gone))
        try:
            await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ClientGoneError if ends[1].done() else _stopping()
        finally:
            for other in (task, *ends):
                other.cancel()
            await asyncio.gather(task, *ends, return_exceptions=True)

    def begin_stop(self) -> None:
        """End all long polls and followed logs, and begin no new ones."""
        self._stopping.set()


def _stopping() -> UnavailableError:
    return UnavailableError("the hub is stopping", hint="ask again when it is back")


def _bearer(value: bytes | None) -> str:
    """Return the token of an `Authorization` header."""
    if value is None:
        raise _unknown("this needs a token")
    kind, _, token = value.partition(b" ")
    token = token.strip(b" ")
    if kind.lower() != b"bearer" or not token or len(token) > MAX_TOKEN_BYTES:
        raise _unknown("the Authorization header holds no bearer token")
    try:
        return token.decode("ascii")
    except UnicodeDecodeError:
        raise _unknown("the token holds characters that no token has") from None


def _unknown(what: str) -> DeniedError:
    return DeniedError(what, hint=_LOG_IN, http_status=HTTPStatus.UNAUTHORIZED)


def _refuse_web_pages(headers: Mapping[bytes, bytes]) -> None:
    """Keep web pages from using an open hub on this machine through the user's browser.

    A page elsewhere may post to a loopback address (browsers then add `Origin`), or point its
    own name at that address (DNS rebinding; the `Host` is then a name). Neither is a person's
    own program.
    """
    if b"origin" in headers or headers.get(b"sec-fetch-site", b"none") != b"none":
        raise DeniedError(
            "a hub without authentication does not serve web pages",
            hint="start the hub with authentication",
        )
    host = headers.get(b"host", b"localhost").decode("latin-1")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        raise DeniedError(
            "a hub without authentication is reached by address only",
            hint="use http://127.0.0.1:PORT, or start the hub with authentication",
        ) from None
