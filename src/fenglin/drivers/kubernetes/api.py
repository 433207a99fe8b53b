"""Kubernetes' HTTP interface: calls, listings page by page, watches and logs.

Lightkube reads the kubeconfig (certificates, tokens, exec plugins, service accounts) and makes the
HTTP client; what is said over it stands here. Its errors become ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx2
import msgspec
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError
from msgspec import Struct

from fenglin.errors import DriverError, InputError
from fenglin.remote.answers import lines, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

    from lightkube.config.kubeconfig import SingleConfig

T = TypeVar("T")
TIMEOUT_S = 15.0
CONNECT_WITHIN_S = 5.0
LAST_S = 2.0
PAGE = 2_000
WATCH_FOR_S = 240
MERGE = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class ApiError(DriverError):
    """The API server has answered with an error.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, what: str, status: int, *, where: str, hint: str = "") -> None:
        """Take what it said; only 5xx and 408 leave open whether there was an effect."""
        unknown = status >= 500 or status == 408
        super().__init__(what, where=where, hint=hint, effect_unknown=unknown)
        self.status = status


class _ListMeta(Struct, rename={"next_token": "continue", "resource_version": "resourceVersion"}):
    resource_version: str = ""
    next_token: str = ""


class _Page(Struct, Generic[T]):
    metadata: _ListMeta
    items: list[T] | None = None


class _Status(Struct):
    message: str = ""


class _Event(Struct):
    type: str
    object: msgspec.Raw


def read_config(path: str, context: str, where: str) -> SingleConfig:
    """Return how a cluster is reached.

    Args:
        path: Kubeconfig file; empty for the service account of the pod we run in.
        context: Its context; empty for the current one.
        where: Name of the site's block, for errors.

    Raises:
        InputError: the file is missing or wrong, or we run in no pod.
    """
    try:
        config = KubeConfig.from_file(path) if path else KubeConfig.from_service_account()
        found = config.get(context or None)
    except (ConfigError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"no cluster is told there: {error}",
            where=f"{where}.kubeconfig",
            hint="the path of a kubeconfig file; without one the hub must run in the cluster",
        ) from error
    if found is None or found.user is None:
        raise InputError("the context has no user", where=f"{where}.kubeconfig")
    return found


class Api:
    """One API server, as one user."""

    def __init__(self, config: SingleConfig, where: str) -> None:
        """Take how it is reached; nothing is asked before the first call."""
        self._config = config
        self._where = where
        self._client: httpx2.AsyncClient | None = None
        self._under_way: set[asyncio.Task[tuple[int, bytes]]] = set()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        kind: str = "application/json",
    ) -> bytes:
        """Make one call; return the answer's body.

        Raises:
            ApiError: the server refuses.
            DriverError: it cannot be reached, or does not answer in time.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": kind}
        with self._translated(writes=method != "GET"):
            request = self._open().stream(
                method, path, params=dict(params or {}), content=content, headers=headers
            )
            status, told = await self._finished(self._told(request, writes=method != "GET"))
            if status >= 400:
                raise self._refused(status, told)
            return told

    async def pages(
        self, path: str, kind: type[T], selector: str = "", *, metadata: bool = False
    ) -> tuple[list[T], str]:
        """Return a complete listing and its resource version.

        Raises:
            DriverError: it is not complete.
        """
        decoder = msgspec.json.Decoder(_Page[kind])  # type: ignore[valid-type]
        items: list[T] = []
        token = ""
        while True:
            params = {"limit": str(PAGE), **({"labelSelector": selector} if selector else {})}
            params |= {"continue": token} if token else {}
            headers = {"Accept": METADATA_ONLY} if metadata else {}
            with self._translated(writes=False):
                request = self._open().stream("GET", path, params=params, headers=headers)
                status, told = await self._finished(self._told(request, writes=False))
                if status >= 400:
                    raise self._refused(status, told)
            page = decoder.decode(told)
            items += page.items or []
            token = page.metadata.next_token
            if not token:
                return items, page.metadata.resource_version

    async def watch(
        self, path: str, selector: str, version: str
    ) -> AsyncIterator[tuple[str, bytes]]:
        """Yield (type, object) of what changes after a version, until the server ends it.

        Raises:
            ApiError: with status 410, when the version is too old.
            DriverError: the line is broken.
        """
        params = {
            "watch": "1", "labelSelector": selector, "resourceVersion": version,
            "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_FOR_S),
        }  # fmt: skip
        timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_WITHIN_S, read=WATCH_FOR_S + TIMEOUT_S)
        with self._translated(writes=False):
            async with self._open().stream("GET", path, params=params, timeout=timeout) as answer:
                if answer.status_code >= 400:
                    told = await whole(answer.aiter_bytes(), self._where, effect_unknown=False)
                    raise self._refused(answer.status_code, told)
                async for line in lines(answer.aiter_bytes(), self._where):
                    if not line:
                        continue
                    event = msgspec.json.decode(line, type=_Event)
                    if event.type == "ERROR":
                        code = msgspec.json.decode(event.object, type=dict[str, Any]).get("code")
                        raise self._refused(int(code or 500), bytes(event.object))
                    yield event.type, bytes(event.object)

    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the body of an answer in pieces.

        Raises:
            ApiError: the server refuses.
            DriverError: the line is broken.
        """
        with self._translated(writes=False):
            async with self._open().stream("GET", path, params=dict(params)) as answer:
                if answer.status_code >= 400:
                    told = await whole(answer.aiter_bytes(), self._where, effect_unknown=False)
                    raise self._refused(answer.status_code, told)
                async for data in answer.aiter_bytes():
                    yield data

    async def close(self) -> None:
        """Close all connections, soon after what is still under way. Idempotent."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_S)
        for task in self._under_way:
            task.cancel()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _told(
        self, request: contextlib.AbstractAsyncContextManager[httpx2.Response], *, writes: bool
    ) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        async with request as answer:
            body = await whole(answer.aiter_bytes(), self._where, effect_unknown=writes)
            return answer.status_code, body

    async def _finished(self, request: Coroutine[Any, Any, tuple[int, bytes]]) -> tuple[int, bytes]:
        """Return a request's answer. A caller that gives up leaves it to its own time limit.

        Cut short while it connects, it would leave its socket to the collector.
        """
        task = asyncio.create_task(request)
        self._under_way.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[tuple[int, bytes]]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits is told

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            timeout = httpx2.Timeout(TIMEOUT_S, connect=CONNECT_WITHIN_S)
            try:
                self._client = AsyncClient(self._config, ConnectionParams(timeout=timeout))
            except (ConfigError, OSError, ValueError) as error:
                raise DriverError(
                    f"the kubeconfig cannot be used: {error}",
                    where=self._where,
                    hint="are its certificates there and readable?",
                ) from error
        return self._client

    def _refused(self, status: int, body: bytes) -> ApiError:
        """Return an error answer as an exception."""
        try:
            what = msgspec.json.decode(body, type=_Status).message
        except (msgspec.DecodeError, msgspec.ValidationError):
            what = body[:200].decode("utf-8", "replace")
        hint = ""
        if status in {401, 403} and "quota" not in what:
            hint = "compare the account's rights with examples/kubernetes/rbac.yaml"
        return ApiError(what or f"HTTP {status}", status, where=self._where, hint=hint)

    @contextlib.contextmanager
    def _translated(self, *, writes: bool) -> Any:  # noqa: ANN401 - a context manager of nothing
        """Translate errors of the libraries; only what was sent can have had an effect."""
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise self._silent(error, unknown=False) from error
        except httpx2.HTTPError as error:
            raise self._silent(error, unknown=writes) from error
        except ConfigError as error:
            raise DriverError(
                f"no way to log in: {error}",
                where=self._where,
                hint="try `kubectl get pods` with the same kubeconfig",
            ) from error
        except msgspec.DecodeError as error:
            raise DriverError(f"an answer makes no sense: {error}", where=self._where) from error

    def _silent(self, error: Exception, *, unknown: bool) -> DriverError:
        return DriverError(
            f"the API server cannot be reached: {str(error) or type(error).__name__}",
            where=self._where,
            hint="try `kubectl get --raw /readyz` with the same kubeconfig",
            effect_unknown=unknown,
        )
