"""Ray's dashboard as calls: jobs, nodes, packages, log files. The hub needs no `ray` for it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import msgspec
from msgspec import Struct

from fenglin.errors import DriverError
from fenglin.remote.answers import whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

T = TypeVar("T")
CALL_WITHIN_S = 20.0
CONNECT_WITHIN_S = 5.0
UPLOAD_WITHIN_S = 28.0
TERMINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_MOST_NODES = 10_000


class Job(Struct, frozen=True):
    """A submitted job as Ray tells of it.

    Attributes:
        submission_id: Our attempt key, for our own; empty for a driver that was not submitted.
        status: PENDING, RUNNING, or one of `TERMINAL`.
        metadata: Ours, if it is ours.
        driver_node_id: Node of its entrypoint; empty before it has one.
        error_type: Why it failed, in Ray's words.
        message: The same for people.
    """

    status: str
    submission_id: str | None = None
    metadata: dict[str, str] | None = None
    driver_node_id: str | None = None
    error_type: str | None = None
    message: str | None = None

    @property
    def over(self) -> bool:
        """Whether its entrypoint has ended, or never will begin."""
        return self.status in TERMINAL


class RayNode(Struct, frozen=True):
    """A node as Ray tells of it."""

    node_id: str
    state: str
    resources_total: dict[str, float] | None = None

    @property
    def up(self) -> bool:
        """Whether Ray uses it."""
        return self.state == "ALIVE"


class _Rows(Struct, frozen=True):
    total: int
    num_after_truncation: int
    result: list[RayNode]
    partial_failure_warning: str | None = None


class _Result(Struct, frozen=True):
    result: _Rows


class _Listed(Struct, frozen=True):
    data: _Result


class _Version(Struct, frozen=True):
    session_name: str = ""


class RefusedError(DriverError):
    """The dashboard has answered, and the answer is no.

    Attributes:
        status: Of HTTP.
        exists: Whether it says that there is such a job already.
        missing: Whether it says that there is no such thing.
    """

    def __init__(self, status: int, text: str, where: str) -> None:
        """Take what was said. A 500 may wrap a 400 of the agent that has really answered."""
        told = [line for line in text.splitlines() if line.strip(" .")]
        last = told[-1].strip() if told else f"HTTP {status}"
        client_fault = 300 <= status < 500 or "status code 400" in text or "ValueError" in text
        hint = ""
        if status in {401, 403}:
            hint = "give the cluster's token as token_file"
        super().__init__(
            f"Ray refuses: {last[:300]}", where=where, hint=hint, effect_unknown=not client_fault
        )
        self.status = status
        self.exists = "already exists" in text
        self.missing = status == 404 or "does not exist" in text


class RayApi:
    """One dashboard."""

    def __init__(self, address: str, token_file: str, ca_file: str, where: str) -> None:
        """Take how it is reached; nothing is asked before the first call."""
        self._address = address
        self._token_file = token_file
        self._ca_file = ca_file
        self._where = where
        self._client: httpx.AsyncClient | None = None

    async def session(self) -> str:
        """Return the name of the cluster's life: a head that lost its memory has another."""
        data = await self._call("GET", "/api/version")
        return self._read(data, _Version).session_name

    async def jobs(self) -> list[Job]:
        """Return all jobs, of everybody: Ray has no filter."""
        return self._read(await self._call("GET", "/api/jobs/"), list[Job])

    async def job(self, key: str) -> Job | None:
        """Return one job; None when there is none."""
        try:
            return self._read(await self._call("GET", f"/api/jobs/{key}"), Job)
        except RefusedError as error:
            if error.missing:
                return None
            raise

    async def nodes(self) -> list[RayNode]:
        """Return all nodes, dead ones too.

        Raises:
            DriverError: the listing is not complete.
        """
        params = {"limit": str(_MOST_NODES), "detail": "true"}
        rows = self._read(await self._call("GET", "/api/v0/nodes", params), _Listed).data.result
        if rows.total > rows.num_after_truncation or rows.partial_failure_warning:
            raise DriverError("Ray lists only some of its nodes", where=self._where)
        return rows.result

    async def submit(self, request: Mapping[str, object]) -> None:
        """Submit a job.

        Raises:
            RefusedError: it does not take it; `exists` when the id is taken.
            DriverError: unclear.
        """
        await self._call("POST", "/api/jobs/", body=msgspec.json.encode(request), writes=True)

    async def stop(self, key: str) -> bool:
        """Ask a job to end; return False when there is none."""
        try:
            await self._call("POST", f"/api/jobs/{key}/stop", writes=True)
        except RefusedError as error:
            if error.missing:
                return False
            raise
        return True

    async def delete(self, key: str) -> None:
        """Drop the record of a job that is over."""
        try:
            await self._call("DELETE", f"/api/jobs/{key}", writes=True)
        except RefusedError as error:
            if not error.missing:
                raise

    async def has_package(self, name: str) -> bool:
        """Return whether the cluster holds a package, which it then keeps for ten minutes."""
        try:
            await self._call("GET", f"/api/packages/gcs/{name}")
        except RefusedError as error:
            if error.missing:
                return False
            raise
        return True

    async def put_package(self, name: str, data: bytes) -> None:
        """Upload a package."""
        path = f"/api/packages/gcs/{name}"
        await self._call("PUT", path, body=data, within_s=UPLOAD_WITHIN_S)

    async def log(self, key: str, node: str, lines: int) -> AsyncGenerator[bytes, None]:
        """Yield a job's log as it is now.

        Ray could also send it as it grows. But its dashboard does not notice that such a reader
        has gone, and serves nobody any more once 100 of them have.

        Args:
            key: Of the job.
            node: Where its entrypoint runs or ran.
            lines: How many of its last ones; -1 for all.

        Raises:
            DriverError: it cannot be read.
        """
        params = {"node_id": node, "filename": f"job-driver-{key}.log", "lines": str(lines)}
        with self._translated(writes=False):
            request = self._open().stream(
                "GET", "/api/v0/logs/file", params=params, headers=self._headers()
            )
            async with request as answer:
                if answer.status_code >= 300:
                    told = await whole(answer.aiter_bytes(), self._where, effect_unknown=False)
                    text = told.decode("utf-8", "replace")
                    raise RefusedError(answer.status_code, text, self._where)
                async for data in answer.aiter_bytes():
                    yield data

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    # --- inside -----------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        writes: bool = False,
        within_s: float = CALL_WITHIN_S,
    ) -> bytes:
        """Make one call; return the answer's body."""
        with self._translated(writes=writes):
            request = self._open().stream(
                method, path, params=params, content=body, headers=self._headers(), timeout=within_s
            )
            async with request as answer:
                told = await whole(answer.aiter_bytes(), self._where, effect_unknown=writes)
        # A redirect, such as to a page of a login, did nothing and is not followed.
        if answer.status_code >= 300:
            raise RefusedError(answer.status_code, told.decode("utf-8", "replace"), self._where)
        return told

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
            timeout = httpx.Timeout(CALL_WITHIN_S, connect=CONNECT_WITHIN_S)
            self._client = httpx.AsyncClient(
                base_url=self._address,
                verify=self._verify(),
                limits=limits,
                timeout=timeout,
                trust_env=False,
            )
        return self._client

    def _verify(self) -> Any:  # noqa: ANN401 - a flag or an SSL context
        if not self._ca_file:
            return True
        return httpx.create_ssl_context(verify=self._ca_file)

    def _headers(self) -> dict[str, str]:
        """Return the token's header; it is read each time, since tokens are renewed."""
        headers = {"Content-Type": "application/json"}
        if self._token_file:
            try:
                token = Path(self._token_file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise DriverError(
                    f"cannot read the token: {error}", where=self._where, hint="see token_file"
                ) from error
            headers["Authorization"] = f"Bearer {token}"
        return headers

    @contextlib.contextmanager
    def _translated(self, *, writes: bool) -> Iterator[None]:
        """Translate errors of the library; only what was sent can have had an effect."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise self._silent(error, unknown=False) from error
        except httpx.HTTPError as error:
            raise self._silent(error, unknown=writes) from error

    def _silent(self, error: Exception, *, unknown: bool) -> DriverError:
        return DriverError(
            f"the Ray dashboard cannot be reached: {str(error) or type(error).__name__}",
            where=self._where,
            hint=f"does {self._address}/api/version answer from the hub's machine?",
            effect_unknown=unknown,
        )

    def _read(self, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            raise DriverError(
                f"an answer of Ray makes no sense: {error}",
                where=self._where,
                hint="is it a Ray dashboard?",
            ) from error
