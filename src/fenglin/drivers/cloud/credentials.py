"""Answers about the hub's own credentials of EC2: short ones, soon, from whoever gives them.

The machine's metadata service, a container's endpoint and the services that lend roles (STS, SSO)
tell some kilobytes. Amazon's library would read whatever comes, as long as something does.
"""

from __future__ import annotations

import importlib
import io
import time
from functools import partial
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from fenglin.drivers.cloud.provider import refused
from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    import socket

    from _typeshed import WriteableBuffer

# Of one answer with its headers.
MOST_BYTES = 2**20
WITHIN_S = 20.0


def session_of(region: str, profile: str, where: str) -> Any:  # noqa: ANN401 - boto3's own type
    """Return a session of boto3 whose every answer about credentials is bounded.

    Args:
        region: Of its clients.
        profile: Name of a profile of the machine; empty for the usual one.
        where: Which site, for errors.
    """
    bare = importlib.import_module("botocore.session").get_session()
    session = importlib.import_module("boto3").session.Session(
        botocore_session=bare, region_name=region, profile_name=profile or None
    )
    resolve, connect = bare._create_credential_resolver, bare.create_client  # noqa: SLF001 - as below

    def resolver() -> Any:  # noqa: ANN401
        chain = resolve()
        for method, name in (("iam-role", "_role_fetcher"), ("container-role", "_fetcher")):
            fetcher = getattr(chain.get_provider(method), name)
            fetcher._session = ShortSession(fetcher._session, where)  # noqa: SLF001
        return chain

    def create(service_name: str, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        client = connect(service_name, *given, **named)
        if service_name != "ec2":
            ours = client._endpoint  # noqa: SLF001
            ours.http_session = ShortSession(ours.http_session, where)
        return client

    # The library takes no session for these, and makes the chain only when its region is known.
    bare.lazy_register_component("credential_provider", resolver)
    bare.create_client = create
    # With `defaults_mode = auto` it asks the machine where it is.
    factory = bare._get_internal_component("smart_defaults_factory")  # noqa: SLF001
    asker = factory._imds_region_provider._get_fetcher()  # noqa: SLF001
    asker._session = ShortSession(asker._session, where)  # noqa: SLF001
    return session


class ShortSession:
    """Sends what botocore sends, by its own session, and bounds the answers."""

    def __init__(self, session: Any, where: str) -> None:  # noqa: ANN401 - botocore's own type
        """Take the session, with all its certificates, proxies and times."""
        self._session = session
        pools = session._pool_classes_by_scheme  # noqa: SLF001 - also of pools behind proxies
        for scheme, pool in list(pools.items()):
            pools[scheme] = partial(_pool, pool, where)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever botocore has
        """Return what is no part of sending."""
        return getattr(self._session, name)

    def send(self, request: Any) -> Any:  # noqa: ANN401 - botocore's own types
        """Return a whole answer.

        Raises:
            DriverError: the answer is too long, or takes too long.
        """
        try:
            return self._session.send(request)
        except importlib.import_module("botocore.exceptions").HTTPClientError as error:
            cause = error.kwargs.get("error")
            # Else it would be asked once more, by some modes of retries.
            raise cause if isinstance(cause, DriverError) else error from None


def _pool(kind: Any, where: str, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - urllib3's own
    """Return a pool of connections whose answers are bounded from their first byte."""
    pool = kind(*given, **named)
    own = {"response_class": partial(_Answer, where)}
    pool.ConnectionCls = type("Connection", (kind.ConnectionCls,), own)
    return pool


class _Answer(HTTPResponse):
    """An answer that is read through a `_Gauge`."""

    def __init__(self, where: str, sock: socket.socket, *given: Any, **named: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *given, **named)
        self.fp = io.BufferedReader(_Gauge(self.fp.detach(), where))


class _Gauge(io.RawIOBase):
    """Bytes of a connection, up to a number and a moment.

    The moment is looked at whenever some have come; when none come, the connection's own time ends.
    """

    def __init__(self, raw: io.RawIOBase, where: str) -> None:
        super().__init__()
        self._raw = raw
        self._where = where
        self._left_bytes = MOST_BYTES
        self._end_s = time.monotonic() + WITHIN_S

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        taken = self._raw.readinto(buffer)
        self._left_bytes -= taken or 0
        if self._left_bytes < 0:
            raise self._refused(f"is longer than {MOST_BYTES} bytes")
        if time.monotonic() > self._end_s:
            raise self._refused(f"takes longer than {WITHIN_S:g} s")
        return taken

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _refused(self, why: str) -> DriverError:
        return refused(
            f"the answer about the hub's own credentials {why}, and was given up",
            self._where, Reason.START_FAILED,
            "who gives credentials on this machine? see docs/how-to/add-a-cloud.md",
        )  # fmt: skip
