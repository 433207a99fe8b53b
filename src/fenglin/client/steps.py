"""What a client can do, without IO: each operation as steps that somebody else carries out.

A step is a `Call`, answered with what it decodes to (for bytes with the answer itself). `Client`
carries steps out by blocking, `AsyncClient` by awaiting; there is no second description.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fenglin.client import requests
from fenglin.errors import NotFoundError
from fenglin.model.states import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from fenglin.client.requests import Call, Filter, Query
    from fenglin.wire.views import (
        ArtifactView,
        BlobView,
        Changed,
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
Steps = Generator["Call[Any]", Any, T]
TERMINAL_STATES = frozenset(state.value for state in JobState if state.terminal)
PAGE_ROWS = 1_000


def call(one: Call[T]) -> Steps[T]:
    """Carry one call of `fenglin.client.requests` and return its decoded answer."""
    answer: T = yield one
    return answer


def pages(
    listing: Callable[[Filter], Call[Page[Row]]], cut: Filter, most: int | None = None
) -> Steps[Page[Row]]:
    """Return the rows of as many pages as needed, as one page.

    Args:
        listing: `requests.jobs`, `sites`, `nodes` or `queues`.
        cut: Filter, order and start; its limit is replaced.
        most: Most rows; None for all.
    """
    rows: list[Row] = []
    while True:
        left = PAGE_ROWS if most is None else min(PAGE_ROWS, most - len(rows))
        page = yield from call(listing(replace(cut, limit=left)))
        rows.extend(page.items)
        if not page.next or not page.items or len(rows) == most:
            return msgspec.structs.replace(page, items=rows)
        cut = replace(cut, cursor=page.next)


def submit(document: Mapping[str, object], *, key: str = "") -> Steps[Submitted]:
    """Store a job; `key` names the submission, and a fresh one is made when it is empty."""
    return call(requests.submit(document, key or new_key()))


def submit_batch(
    documents: Sequence[Mapping[str, object]], *, key: str = ""
) -> Steps[list[Submitted]]:
    """Store many jobs, all or none."""
    return (yield from call(requests.submit_batch(documents, key or new_key()))).items


def dry_run(document: Mapping[str, object]) -> Steps[DryRun]:
    """Return what a submit would do now."""
    return call(requests.dry_run(document))


def jobs(cut: Filter, most: int | None = None) -> Steps[Page[JobView]]:
    """List jobs, at most `most` of them."""
    return pages(requests.jobs, cut, most)


def watch(after: str = "", filters: Query = (), timeout_s: float = 50.0) -> Steps[Changed]:
    """Return jobs that have changed since `after`, as soon as there are any; see `requests`."""
    return call(requests.watch(after, filters, timeout_s))


def job(job_id: str) -> Steps[JobView]:
    """Return one job with its allocations."""
    return call(requests.job(job_id))


def explain(job_id: str) -> Steps[Explanation]:
    """Return why the job is where it is."""
    return call(requests.explain(job_id))


def events(job_id: str, after: int = 0, limit: int = 100) -> Steps[list[EventView]]:
    """Return the job's story after a sequence number."""
    return (yield from call(requests.events(job_id, after, limit))).items


def cancel(job_id: str, tasks: str = "") -> Steps[JobView]:
    """Ask for the job's end, or only for that of some `tasks`, such as 3-5,9."""
    return call(requests.cancel(job_id, tasks))


def artifacts(job_id: str) -> Steps[list[ArtifactView]]:
    """List the job's kept files."""
    return (yield from call(requests.artifacts(job_id))).items


def has_blob(sha256: str) -> Steps[bool]:
    """Return whether the hub has a file of this content."""
    try:
        yield from call(requests.has_blob(sha256))
    except NotFoundError:
        return False
    return True


def missing_blobs(sha256s: Sequence[str]) -> Steps[list[str]]:
    """Return those content addresses of which the hub has no file."""
    missing: list[str] = []
    for start in range(0, len(sha256s), requests.MAX_ADDRESSES):
        some = sha256s[start : start + requests.MAX_ADDRESSES]
        missing += (yield from call(requests.missing_blobs(some))).sha256
    return missing


def put_blob(sha256: str, content: bytes | Path) -> Steps[BlobView]:
    """Upload a file under its content address."""
    return call(requests.put_blob(sha256, content))


def sites(cut: Filter, most: int | None = None) -> Steps[Page[SiteView]]:
    """List sites."""
    return pages(requests.sites, cut, most)


def site(name: str) -> Steps[SiteView]:
    """Return one site with its flavors."""
    return call(requests.site(name))


def drain(name: str, reason: str) -> Steps[SiteView]:
    """Let no new work start at a site."""
    return call(requests.drain(name, reason))


def resume(name: str) -> Steps[SiteView]:
    """Let work start there again."""
    return call(requests.resume(name))


def nodes(cut: Filter, most: int | None = None) -> Steps[Page[NodeView]]:
    """List nodes."""
    return pages(requests.nodes, cut, most)


def queues(cut: Filter, most: int | None = None) -> Steps[Page[QueueView]]:
    """List queues."""
    return pages(requests.queues, cut, most)


def plans(cut: Filter, most: int | None = None) -> Steps[Page[PlanView]]:
    """List kept cycles, newest first."""
    return pages(requests.plans, cut, most)


def overview() -> Steps[Overview]:
    """Return the pool at a glance."""
    return call(requests.overview())


def ledger_verify() -> Steps[LedgerCheck]:
    """Check the whole ledger."""
    return call(requests.ledger_verify())


def ledger_statement(account: str = "", from_ms: int = 0, to_ms: int = 0) -> Steps[Statement]:
    """Return the statement of an account, of the token's own when it is empty."""
    return call(requests.ledger_statement(account, from_ms, to_ms))


def wait(
    job_id: str,
    timeout_s: float | None,
    step_s: float,
    seen: Callable[[JobView], None] | None,
    clock_s: Callable[[], float],
) -> Steps[JobView]:
    """Return the job when it has ended or the time is over; see `Client.wait`."""
    end_s = None if timeout_s is None else clock_s() + timeout_s
    while True:
        left_s = step_s if end_s is None else min(step_s, max(0.0, end_s - clock_s()))
        found = yield from call(requests.wait(job_id, left_s))
        if seen is not None:
            seen(found)
        if found.state in TERMINAL_STATES or (end_s is not None and clock_s() >= end_s):
            return found


class Story:
    """Follows a job's events: asks for the next ones, waiting until there are some.

    Args:
        job_id: Public id.
        after: Only events after this sequence number.
    """

    def __init__(self, job_id: str, after: int = 0) -> None:
        self._job_id = job_id
        self._after = after
        self._place = ""
        self.over = False

    def more(self) -> Steps[list[EventView]]:
        """Return events that follow; none when `over`, or when nothing has come for a while."""
        if not self._place:
            self._place = (yield from watch("", self._filter)).next
            yield from job(self._job_id)  # a job that is not there is said, and not waited for
        # The state is read before the events: an end seen here has its events written.
        ended = (yield from job(self._job_id)).state in TERMINAL_STATES
        found = yield from events(self._job_id, self._after, PAGE_ROWS)
        if found:
            self._after = found[-1].seq
        elif ended:
            self.over = True
        else:
            self._place = (yield from watch(self._place, self._filter)).next
        return found

    @property
    def _filter(self) -> Query:
        return (("id", self._job_id),)


def new_key() -> str:
    """Return an idempotency key that no other submission has."""
    return secrets.token_hex(16)
