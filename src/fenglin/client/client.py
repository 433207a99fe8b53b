"""The hub as a Python object: one method per call of its HTTP door."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from fenglin.client import requests
from fenglin.client.requests import Filter
from fenglin.client.transport import Transport
from fenglin.errors import NotFoundError, UnavailableError
from fenglin.model.states import JobState

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fenglin.client.requests import Call
    from fenglin.client.settings import Settings
    from fenglin.wire.views import (
        ArtifactView,
        BlobView,
        DryRun,
        EventView,
        Explanation,
        JobView,
        LedgerCheck,
        NodeView,
        Overview,
        Page,
        PlanView,
        QueueView,
        SiteView,
        Statement,
        Submitted,
    )

T = TypeVar("T")
Row = TypeVar("Row")
TERMINAL_STATES = frozenset(state.value for state in JobState if state.terminal)
PAGE_ROWS = 1_000


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


class Client:
    """A typed client of one hub.

    Every method raises the exceptions of `fenglin.errors`. Lost connections and 503 answers are
    tried again with backoff; submits carry an idempotency key made once per call, so that a
    repeated one cannot make a second job.

    Args:
        transport: Carries the calls.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def connect(cls, settings: Settings) -> Client:
        """Return a client for the hub and token of the settings; opens no connection yet."""
        return cls(Transport(settings.hub, settings.token))

    @property
    def hub(self) -> str:
        """URL of the hub."""
        return self._transport.hub

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def call(self, call: Call[T]) -> T:
        """Carry one call of `fenglin.client.requests` and return its decoded answer."""
        return requests.decode(call, self._transport.send(call).body, self.hub)

    def pages(
        self, listing: Callable[[Filter], Call[Page[Row]]], cut: Filter, most: int | None = None
    ) -> Page[Row]:
        """Return the rows of as many pages as needed, as one page.

        Args:
            listing: `requests.jobs`, `sites`, `nodes` or `queues`.
            cut: Filter, order and start; its limit is replaced.
            most: Most rows; None for all.
        """
        rows: list[Row] = []
        while True:
            left = PAGE_ROWS if most is None else min(PAGE_ROWS, most - len(rows))
            page = self.call(listing(replace(cut, limit=left)))
            rows.extend(page.items)
            if not page.next or not page.items or len(rows) == most:
                return msgspec.structs.replace(page, items=rows)
            cut = replace(cut, cursor=page.next)

    def submit(self, document: Mapping[str, object], *, key: str = "") -> Submitted:
        """Store a job; `key` names the submission, and a fresh one is made when it is empty."""
        return self.call(requests.submit(document, key or new_key()))

    def submit_batch(
        self, documents: Sequence[Mapping[str, object]], *, key: str = ""
    ) -> list[Submitted]:
        """Store many jobs, all or none."""
        return self.call(requests.submit_batch(documents, key or new_key())).items

    def dry_run(self, document: Mapping[str, object]) -> DryRun:
        """Return what a submit would do now."""
        return self.call(requests.dry_run(document))

    def jobs(self, cut: Filter, most: int | None = None) -> Page[JobView]:
        """List jobs, at most `most` of them."""
        return self.pages(requests.jobs, cut, most)

    def job(self, job_id: str) -> JobView:
        """Return one job with its allocations."""
        return self.call(requests.job(job_id))

    def explain(self, job_id: str) -> Explanation:
        """Return why the job is where it is."""
        return self.call(requests.explain(job_id))

    def events(self, job_id: str, after: int = 0, limit: int = 100) -> list[EventView]:
        """Return the job's story after a sequence number."""
        return self.call(requests.events(job_id, after, limit)).items

    def cancel(self, job_id: str) -> JobView:
        """Ask for the job's end."""
        return self.call(requests.cancel(job_id))

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
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = step_s if end is None else min(step_s, max(0.0, end - time.monotonic()))
            job = self.call(requests.wait(job_id, left))
            if seen is not None:
                seen(job)
            if job.state in TERMINAL_STATES or (end is not None and time.monotonic() >= end):
                return job

    def read_log(self, job_id: str, task: int, offset: int = 0, limit: int = 1 << 20) -> LogPiece:
        """Return a piece of one task's output."""
        answer = self._transport.send(requests.logs(job_id, task, offset, limit, follow=False))
        return _piece(answer.body, answer.headers, offset)

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
                self._transport.sleep(0.2)  # read_log finds out whether the hub is there at all
            piece = self.read_log(job_id, task, offset)
            yield piece.data
            offset = piece.next_offset
            if piece.complete:
                return
            if not piece.data:
                self._transport.sleep(0.2)

    def artifacts(self, job_id: str) -> list[ArtifactView]:
        """List the job's kept files."""
        return self.call(requests.artifacts(job_id)).items

    def artifact(self, job_id: str, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream one kept file: `with client.artifact(…) as pieces`."""
        return self._transport.stream(requests.artifact(job_id, path))

    def has_blob(self, sha256: str) -> bool:
        """Return whether the hub has a file of this content."""
        try:
            self._transport.send(requests.has_blob(sha256))
        except NotFoundError:
            return False
        return True

    def blob(self, sha256: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream an uploaded file."""
        return self._transport.stream(requests.get_blob(sha256))

    def put_blob(self, sha256: str, content: bytes | Path) -> BlobView:
        """Upload a file under its content address."""
        return self.call(requests.put_blob(sha256, content))

    def sites(self, cut: Filter, most: int | None = None) -> Page[SiteView]:
        """List sites."""
        return self.pages(requests.sites, cut, most)

    def site(self, name: str) -> SiteView:
        """Return one site with its flavors."""
        return self.call(requests.site(name))

    def drain(self, name: str, reason: str) -> SiteView:
        """Let no new work start at a site."""
        return self.call(requests.drain(name, reason))

    def resume(self, name: str) -> SiteView:
        """Let work start there again."""
        return self.call(requests.resume(name))

    def nodes(self, cut: Filter, most: int | None = None) -> Page[NodeView]:
        """List nodes."""
        return self.pages(requests.nodes, cut, most)

    def queues(self, cut: Filter, most: int | None = None) -> Page[QueueView]:
        """List queues."""
        return self.pages(requests.queues, cut, most)

    def plans(self, cut: Filter, most: int | None = None) -> Page[PlanView]:
        """List kept cycles, newest first."""
        return self.pages(requests.plans, cut, most)

    def plan_record(self, index: str) -> bytes:
        """Return a kept cycle, or with `now` what would be planned now."""
        with self._transport.stream(requests.plan_record(index)) as pieces:
            return b"".join(pieces)

    def overview(self) -> Overview:
        """Return the pool at a glance."""
        return self.call(requests.overview())

    def ledger_verify(self) -> LedgerCheck:
        """Check the whole ledger."""
        return self.call(requests.ledger_verify())

    def ledger_statement(self, account: str = "", from_ms: int = 0, to_ms: int = 0) -> Statement:
        """Return the statement of an account, of the token's own when it is empty."""
        return self.call(requests.ledger_statement(account, from_ms, to_ms))

    def ledger_export(self, form: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream the ledger as `csv`, `jsonl` or `beancount`."""
        return self._transport.stream(requests.ledger_export(form))


def new_key() -> str:
    """Return an idempotency key that no other submission has."""
    return secrets.token_hex(16)


def _piece(data: bytes, headers: http.client.HTTPMessage, offset: int) -> LogPiece:
    """Read a piece of output with the headers that tell where it ends."""
    after = headers.get(requests.NEXT_OFFSET, "")
    following = int(after) if after.isascii() and after.isdigit() else offset + len(data)
    complete = headers.get(requests.COMPLETE, "").lower() in ("true", "1")
    return LogPiece(data, following, complete)
