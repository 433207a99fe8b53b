"""The hub as a Python object: one method per call of its HTTP door."""

from __future__ import annotations

import os
import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, Self, TypeVar, overload

from fenglin.client import requests, steps
from fenglin.client.settings import load_settings
from fenglin.client.transport import Transport
from fenglin.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from fenglin.client.requests import Call, Filter
    from fenglin.client.retry import Retry
    from fenglin.client.settings import Settings
    from fenglin.client.steps import Steps
    from fenglin.wire.views import EventView, JobView, Page

T = TypeVar("T")
P = ParamSpec("P")
Row = TypeVar("Row")
LOG_PAUSE_S = 0.2


class LogPiece(NamedTuple):
    """A piece of one task's output.

    Attributes:
        data: Raw bytes.
        next_offset: Where to read on.
        complete: Whether the task has ended and nothing follows.
    """

    data: bytes
    next_offset: int
    complete: bool

    @classmethod
    def read(cls, data: bytes, headers: Mapping[str, str], offset: int) -> LogPiece:
        """Read a piece with the headers that tell where it ends."""
        after = headers.get(requests.NEXT_OFFSET.lower(), "")
        following = int(after) if after.isascii() and after.isdigit() else offset + len(data)
        complete = headers.get(requests.COMPLETE.lower(), "").lower() in ("true", "1")
        return cls(data, following, complete)


class _Blocking(Generic[P, T]):
    """Makes steps a method that blocks until they are done."""

    def __init__(self, make: Callable[P, Steps[T]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, client: None, kind: type[Client]) -> Callable[P, Steps[T]]: ...

    @overload
    def __get__(self, client: Client, kind: type[Client]) -> Callable[P, T]: ...

    def __get__(
        self, client: Client | None, kind: type[Client]
    ) -> Callable[P, T] | Callable[P, Steps[T]]:
        make = self._make
        if client is None:
            return make

        @wraps(make)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.carry(make(*args, **kwargs))

        return method


class Client:
    """A typed client of one hub.

    Every method raises the exceptions of `fenglin.errors`. Lost connections and 503 answers are
    tried again with backoff; submits carry an idempotency key made once per call, so that a
    repeated one cannot make a second job. Not for use by two threads at once.

    Args:
        transport: Carries the calls.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def connect(
        cls,
        settings: Settings | None = None,
        *,
        timeout_s: float = 30.0,
        deadline_s: float | None = None,
        retry: Retry | None = None,
    ) -> Client:
        """Return a client; opens no connection yet.

        Args:
            settings: Hub and token; None for those that the command line would take.
            timeout_s: Longest silence of the hub, beyond what a call allows it.
            deadline_s: Longest time for one call with all its tries; None for no limit.
            retry: When to try again.

        Raises:
            InputError: the settings cannot be understood.
        """
        at = settings or load_settings(os.environ, Path.home())
        return cls(
            Transport(at.hub, at.token, timeout_s=timeout_s, deadline_s=deadline_s, retry=retry)
        )

    @property
    def hub(self) -> str:
        """URL of the hub."""
        return self._transport.hub

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def carry(self, todo: Steps[T]) -> T:
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
                answer = self._answer(call)
            except Exception as problem:  # noqa: BLE001 - the steps decide what it means
                error = problem

    def _answer(self, call: Call[Any]) -> object:
        answer = self._transport.send(call)
        return (
            answer if call.answer is requests.Raw else requests.decode(call, answer.body, self.hub)
        )

    def call(self, call: Call[T]) -> T:
        """Carry one call of `fenglin.client.requests` and return its decoded answer."""
        return self.carry(steps.call(call))

    def pages(
        self, listing: Callable[[Filter], Call[Page[Row]]], cut: Filter, most: int | None = None
    ) -> Page[Row]:
        """Return the rows of as many pages as needed, as one page; see `steps.pages`."""
        return self.carry(steps.pages(listing, cut, most))

    submit = _Blocking(steps.submit)
    submit_batch = _Blocking(steps.submit_batch)
    dry_run = _Blocking(steps.dry_run)
    jobs = _Blocking(steps.jobs)
    job = _Blocking(steps.job)
    watch = _Blocking(steps.watch)
    explain = _Blocking(steps.explain)
    events = _Blocking(steps.events)
    cancel = _Blocking(steps.cancel)
    artifacts = _Blocking(steps.artifacts)
    has_blob = _Blocking(steps.has_blob)
    missing_blobs = _Blocking(steps.missing_blobs)
    put_blob = _Blocking(steps.put_blob)
    sites = _Blocking(steps.sites)
    site = _Blocking(steps.site)
    drain = _Blocking(steps.drain)
    resume = _Blocking(steps.resume)
    nodes = _Blocking(steps.nodes)
    queues = _Blocking(steps.queues)
    plans = _Blocking(steps.plans)
    overview = _Blocking(steps.overview)
    ledger_verify = _Blocking(steps.ledger_verify)
    ledger_statement = _Blocking(steps.ledger_statement)

    def wait(
        self,
        job_id: str,
        timeout_s: float | None = None,
        *,
        step_s: float = requests.WAIT_STEP_S,
        seen: Callable[[JobView], None] | None = None,
    ) -> JobView:
        """Return the job when it has ended or the time is over; look at its state.

        Args:
            job_id: Public id.
            timeout_s: Longest wait; None for no limit.
            step_s: Longest wait of one request, at most 60 s.
            seen: Called with the job after each step.
        """
        return self.carry(steps.wait(job_id, timeout_s, step_s, seen, time.monotonic))

    def follow_events(self, job_id: str, after: int = 0) -> Iterator[EventView]:
        """Yield the job's story after a sequence number, as it goes on, until the job's end."""
        story = steps.Story(job_id, after)
        while not story.over:
            yield from self.carry(story.more())

    def read_log(self, job_id: str, task: int, offset: int = 0, limit: int = 1 << 20) -> LogPiece:
        """Return a piece of one task's output."""
        answer = self._transport.send(requests.logs(job_id, task, offset, limit, follow=False))
        return LogPiece.read(answer.body, answer.headers, offset)

    def log(self, job_id: str, task: int) -> Iterator[bytes]:
        """Yield one task's output as far as it goes now."""
        offset = 0
        while True:
            piece = self.read_log(job_id, task, offset)
            yield piece.data
            if piece.complete or piece.next_offset <= offset:
                return
            offset = piece.next_offset

    def follow_log(self, job_id: str, task: int) -> Iterator[bytes]:
        """Yield one task's output as it comes, until the task has ended.

        A stream that breaks is taken up again where it broke; nothing is lost or repeated.
        """
        offset = 0
        while True:
            try:
                with self._transport.stream(
                    requests.logs(job_id, task, offset, 0, follow=True)
                ) as pieces:
                    for data in pieces:
                        offset += len(data)
                        yield data
            except UnavailableError:
                # read_log finds out whether the hub is there at all
                self._transport.sleep(LOG_PAUSE_S)
            piece = self.read_log(job_id, task, offset)
            yield piece.data
            offset = piece.next_offset
            if piece.complete:
                return
            if not piece.data:
                self._transport.sleep(LOG_PAUSE_S)

    def artifact(self, job_id: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream one kept file: `with client.artifact(…) as pieces`."""
        return self._transport.stream(requests.artifact(job_id, path))

    def blob(self, sha256: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream an uploaded file."""
        return self._transport.stream(requests.get_blob(sha256))

    def plan_record(self, index: str) -> bytes:
        """Return a kept cycle, or with `now` what would be planned now."""
        with self._transport.stream(requests.plan_record(index)) as pieces:
            return b"".join(pieces)

    def ledger_export(self, form: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the ledger as `csv`, `jsonl` or `beancount`."""
        return self._transport.stream(requests.ledger_export(form))
