"""The hub as a Python object for programs with an event loop; see `Client` for the methods."""

from __future__ import annotations

import asyncio
import os
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, overload

from fenglin.client import requests, steps
from fenglin.client.aiotransport import AsyncTransport
from fenglin.client.client import LOG_PAUSE_S, LogPiece
from fenglin.client.settings import load_settings
from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from fenglin.client.requests import Call, Filter
    from fenglin.client.retry import Retry
    from fenglin.client.settings import Settings
    from fenglin.client.steps import Steps
    from fenglin.wire.views import EventView, JobView, Page

T = TypeVar("T")
P = ParamSpec("P")
Row = TypeVar("Row")


class _Awaited(Generic[P, T]):
    """Makes steps a method that is awaited."""

    def __init__(self, make: Callable[P, Steps[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, kind: type[AsyncClient]) -> Callable[P, Steps[T]]: ...

    @overload
    def __get__(
        self, client: AsyncClient, kind: type[AsyncClient]
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(
        self, client: AsyncClient | None, kind: type[AsyncClient]
    ) -> Callable[P, Coroutine[Any, Any, T]] | Callable[P, Steps[T]]:
        make = self._make
        if client is None:
            return make

        @wraps(make)
        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await client.carry(make(*args, **kwargs))

        return method


class AsyncClient:
    """A typed client of one hub; as many calls at once as are awaited, on one event loop.

    Args:
        transport: Carries the calls.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    @classmethod
    def connect(
        cls,
        settings: Settings | None = None,
        *,
        timeout_s: float = 30.0,
        deadline_s: float | None = None,
        retry: Retry | None = None,
    ) -> AsyncClient:
        """Return a client; opens no connection yet. See `Client.connect`.

        Raises:
            InputError: the settings cannot be understood.
        """
        at = settings or load_settings(os.environ, Path.home())
        return cls(
            AsyncTransport(
                at.hub, at.token, timeout_s=timeout_s, deadline_s=deadline_s, retry=retry
            )
        )

    @property
    def hub(self) -> str:
        """URL of the hub."""
        return self._transport.hub

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.close()

    async def carry(self, todo: Steps[T]) -> T:
        """Carry out steps of `fenglin.client.steps` and return what they come to."""
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                call = todo.throw(error) if error is not None else todo.send(answer)
            except StopIteration as end:
                found: T = end.value
                return found
            answer = error = None
            try:
                answer = await self._answer(call)
            except Exception as problem:  # noqa: BLE001 - the steps decide what it means
                error = problem

    async def _answer(self, call: Call[Any]) -> object:
        answer = await self._transport.send(call)
        if call.answer is requests.Raw:
            return answer
        return requests.decode(call, answer.body, self.hub)

    async def call(self, call: Call[T]) -> T:
        """Carry one call of `fenglin.client.requests` and return its decoded answer."""
        return await self.carry(steps.call(call))

    async def pages(
        self, listing: Callable[[Filter], Call[Page[Row]]], cut: Filter, most: int | None = None
    ) -> Page[Row]:
        """Return the rows of as many pages as needed, as one page; see `steps.pages`."""
        return await self.carry(steps.pages(listing, cut, most))

    submit = _Awaited(steps.submit)
    submit_batch = _Awaited(steps.submit_batch)
    dry_run = _Awaited(steps.dry_run)
    jobs = _Awaited(steps.jobs)
    job = _Awaited(steps.job)
    watch = _Awaited(steps.watch)
    explain = _Awaited(steps.explain)
    events = _Awaited(steps.events)
    cancel = _Awaited(steps.cancel)
    artifacts = _Awaited(steps.artifacts)
    has_blob = _Awaited(steps.has_blob)
    missing_blobs = _Awaited(steps.missing_blobs)
    put_blob = _Awaited(steps.put_blob)
    sites = _Awaited(steps.sites)
    site = _Awaited(steps.site)
    drain = _Awaited(steps.drain)
    resume = _Awaited(steps.resume)
    nodes = _Awaited(steps.nodes)
    queues = _Awaited(steps.queues)
    plans = _Awaited(steps.plans)
    overview = _Awaited(steps.overview)
    ledger_verify = _Awaited(steps.ledger_verify)
    ledger_statement = _Awaited(steps.ledger_statement)

    async def wait(
        self,
        job_id: str,
        timeout_s: float | None = None,
        *,
        step_s: float = requests.WAIT_STEP_S,
        seen: Callable[[JobView], None] | None = None,
    ) -> JobView:
        """Return the job when it has ended or the time is over; see `Client.wait`."""
        clock_s = asyncio.get_running_loop().time
        return await self.carry(steps.wait(job_id, timeout_s, step_s, seen, clock_s))

    async def follow_events(self, job_id: str, after: int = 0) -> AsyncIterator[EventView]:
        """Yield the job's story after a sequence number, as it goes on, until the job's end."""
        story = steps.Story(job_id, after)
        while not story.over:
            for event in await self.carry(story.more()):
                yield event

    async def read_log(
        self, job_id: str, task: int, offset: int = 0, limit: int = 1 << 20
    ) -> LogPiece:
        """Return a piece of one task's output."""
        call = requests.logs(job_id, task, offset, limit, follow=False)
        answer = await self._transport.send(call)
        return LogPiece.read(answer.body, answer.headers, offset)

    async def log(self, job_id: str, task: int) -> AsyncIterator[bytes]:
        """Yield one task's output as far as it goes now."""
        offset = 0
        while True:
            piece = await self.read_log(job_id, task, offset)
            yield piece.data
            if piece.complete or piece.next_offset <= offset:
                return
            offset = piece.next_offset

    async def follow_log(self, job_id: str, task: int) -> AsyncIterator[bytes]:
        """Yield one task's output as it comes, until the task has ended.

        A stream that breaks is taken up again where it broke; nothing is lost or repeated.
        """
        offset = 0
        while True:
            try:
                call = requests.logs(job_id, task, offset, 0, follow=True)
                async with self._transport.stream(call) as pieces:
                    async for data in pieces:
                        offset += len(data)
                        yield data
            except UnavailableError:
                # read_log finds out whether the hub is there at all
                await self._transport.sleep(LOG_PAUSE_S)
            piece = await self.read_log(job_id, task, offset)
            yield piece.data
            offset = piece.next_offset
            if piece.complete:
                return
            if not piece.data:
                await self._transport.sleep(LOG_PAUSE_S)

    def artifact(self, job_id: str, path: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream one kept file: `async with client.artifact(…) as pieces`."""
        return self._transport.stream(requests.artifact(job_id, path))

    def blob(self, sha256: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream an uploaded file."""
        return self._transport.stream(requests.get_blob(sha256))

    async def plan_record(self, index: str) -> bytes:
        """Return a kept cycle, or with `now` what would be planned now."""
        return (await self._transport.send(requests.plan_record(index))).body

    def ledger_export(self, form: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream the ledger as `csv`, `jsonl` or `beancount`."""
        return self._transport.stream(requests.ledger_export(form))
