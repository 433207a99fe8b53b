"""The sans-IO core: every call of `/v1/` as a value, and what its answer means.

A call holds the method, the path, the query, the body and the type of its answer. Whoever
carries it (see `fenglin.client.transport`) needs to know nothing about jobs or sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from fenglin.errors import FenglinError
from fenglin.wire.views import (
    Addresses,
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

T = TypeVar("T")
Query = tuple[tuple[str, str], ...]

API = "/v1"
IDEMPOTENCY_KEY = "Idempotency-Key"
NEXT_OFFSET = "Fenglin-Next-Offset"
COMPLETE = "Fenglin-Complete"
MAX_WAIT_S = 60
WAIT_STEP_S = 50
MAX_ADDRESSES = 10_000


class Items(msgspec.Struct, Generic[T], frozen=True):
    """An answer that is a list and nothing more."""

    items: list[T]


class Raw(msgspec.Struct, frozen=True):
    """Marks a call whose answer is bytes, not JSON."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the type of its answer.

    Every call of this door may be repeated without harm: reads and PUTs by nature, the other
    verbs by contract, and submits because they carry an Idempotency-Key.

    Attributes:
        method: HTTP verb.
        path: Path with query, already quoted.
        answer: Type to decode a good answer into; `Raw` for bytes.
        headers: Beyond those that every call has.
        body: Bytes to send, or the file whose content is sent.
        extra_s: Seconds that the hub may take on purpose, on top of the usual timeout.
    """

    method: str
    path: str
    answer: type[T]
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Path | None = None
    extra_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Filter:
    """How a listing is cut; the hub filters, sorts and pages.

    Attributes:
        fields: (name, value) pairs; a repeated name means any of its values.
        sort: Field, with `-` in front for falling order; empty for the natural order.
        limit: Rows of one page, 1…1000.
        cursor: `next` of the previous page; empty for the first.
        detail: Of jobs: each with document, allocations and task sets, as one alone shows.
    """

    fields: Query = ()
    sort: str = ""
    limit: int = 100
    cursor: str = ""
    detail: bool = False

    def query(self) -> Query:
        """Return the query's pairs, empty ones left out."""
        tail = (
            ("sort", self.sort),
            ("detail", "true" if self.detail else ""),
            ("limit", str(self.limit)),
            ("cursor", self.cursor),
        )
        return tuple((name, value) for name, value in (*self.fields, *tail) if value)


def _path(*parts: str, query: Iterable[tuple[str, str]] = ()) -> str:
    """Join quoted parts below `/v1`, so that no id can change the route."""
    path = "/".join((API, *(quote(part, safe="") for part in parts)))
    tail = urlencode(tuple(query))
    return f"{path}?{tail}" if tail else path


def _json(method: str, path: str, answer: type[T], value: object, **more: str) -> Call[T]:
    """Make a call with a JSON body."""
    headers = (("Content-Type", "application/json"), *more.items())
    return Call(method, path, answer, headers=headers, body=msgspec.json.encode(value))


def submit(document: Mapping[str, object], key: str) -> Call[Submitted]:
    """Submit one native document under an idempotency key."""
    return _json("POST", _path("jobs"), Submitted, document, **{IDEMPOTENCY_KEY: key})


def submit_batch(documents: Sequence[Mapping[str, object]], key: str) -> Call[Items[Submitted]]:
    """Submit many documents, all or none, under one idempotency key."""
    path = API + "/jobs:batch"
    return _json("POST", path, Items[Submitted], list(documents), **{IDEMPOTENCY_KEY: key})


def dry_run(document: Mapping[str, object]) -> Call[DryRun]:
    """Ask what a submit would do now."""
    return _json("POST", _path("plan"), DryRun, document)


def jobs(cut: Filter) -> Call[Page[JobView]]:
    """List jobs."""
    return Call("GET", _path("jobs", query=cut.query()), Page[JobView])


def watch(after: str, filters: Query, timeout_s: float) -> Call[Changed]:
    """Read which jobs have changed since `after`, or wait `timeout_s` (at most 60) for it.

    Args:
        after: `next` of the answer before; empty to learn where to begin.
        filters: By `id` and `label` (`key=value`); a repeated one means any of its values.
        timeout_s: Longest wait.
    """
    step_s = min(max(timeout_s, 0.0), MAX_WAIT_S)
    pairs = (("after", after), *filters, ("timeout_s", f"{step_s:g}"))
    query = tuple((name, value) for name, value in pairs if value)
    return Call("GET", f"{API}/jobs:watch?{urlencode(query)}", Changed, extra_s=step_s)


def job(job_id: str) -> Call[JobView]:
    """Read one job."""
    return Call("GET", _path("jobs", job_id), JobView)


def explain(job_id: str) -> Call[Explanation]:
    """Read why a job is where it is."""
    return Call("GET", _path("jobs", job_id, "explain"), Explanation)


def events(job_id: str, after: int, limit: int) -> Call[Items[EventView]]:
    """Read a job's story after a sequence number."""
    query = (("after", str(after)), ("limit", str(limit)))
    return Call("GET", _path("jobs", job_id, "events", query=query), Items[EventView])


def cancel(job_id: str, tasks: str) -> Call[JobView]:
    """Ask for a job's end, or that of some tasks; harmless when it has ended."""
    query = (("tasks", tasks),) if tasks else ()
    return Call("POST", _path("jobs", job_id, "cancel", query=query), JobView)


def wait(job_id: str, timeout_s: float) -> Call[JobView]:
    """Read a job when it has ended, or after `timeout_s` (at most 60)."""
    step_s = min(max(timeout_s, 0.0), MAX_WAIT_S)
    query = (("timeout_s", f"{step_s:g}"),)
    return Call("GET", _path("jobs", job_id, "wait", query=query), JobView, extra_s=step_s)


def logs(job_id: str, task: int, offset: int, limit: int, *, follow: bool) -> Call[Raw]:
    """Read one task's output from a byte offset; `follow` streams until the task has ended."""
    pairs = [("task", str(task)), ("offset", str(offset))]
    pairs += [("follow", "true")] if follow else [("limit", str(limit))]
    return Call("GET", _path("jobs", job_id, "logs", query=pairs), Raw)


def artifacts(job_id: str) -> Call[Items[ArtifactView]]:
    """List a job's kept files."""
    return Call("GET", _path("jobs", job_id, "artifacts"), Items[ArtifactView])


def artifact(job_id: str, path: str) -> Call[Raw]:
    """Read one kept file."""
    return Call("GET", f"{_path('jobs', job_id, 'artifacts')}/{quote(path)}", Raw)


def has_blob(sha256: str) -> Call[Raw]:
    """Ask whether the hub has a file already (404 when not)."""
    return Call("HEAD", _path("blobs", sha256), Raw)


def missing_blobs(sha256s: Sequence[str]) -> Call[Addresses]:
    """Ask which of up to 10,000 files the hub lacks."""
    return Call(
        "POST",
        f"{API}/blobs:missing",
        Addresses,
        body=msgspec.json.encode(Addresses(list(sha256s))),
    )


def get_blob(sha256: str) -> Call[Raw]:
    """Read an uploaded file."""
    return Call("GET", _path("blobs", sha256), Raw)


def put_blob(sha256: str, content: bytes | Path) -> Call[BlobView]:
    """Upload a file under its content address."""
    headers = (("Content-Type", "application/octet-stream"),)
    return Call("PUT", _path("blobs", sha256), BlobView, headers=headers, body=content)


def sites(cut: Filter) -> Call[Page[SiteView]]:
    """List sites."""
    return Call("GET", _path("sites", query=cut.query()), Page[SiteView])


def site(name: str) -> Call[SiteView]:
    """Read one site."""
    return Call("GET", _path("sites", name), SiteView)


def drain(name: str, reason: str) -> Call[SiteView]:
    """Let no new work start at a site."""
    return _json("POST", _path("sites", name, "drain"), SiteView, {"reason": reason})


def resume(name: str) -> Call[SiteView]:
    """Let work start at a drained site again."""
    return Call("POST", _path("sites", name, "resume"), SiteView)


def nodes(cut: Filter) -> Call[Page[NodeView]]:
    """List nodes."""
    return Call("GET", _path("nodes", query=cut.query()), Page[NodeView])


def queues(cut: Filter) -> Call[Page[QueueView]]:
    """List queues."""
    return Call("GET", _path("queues", query=cut.query()), Page[QueueView])


def plans(cut: Filter) -> Call[Page[PlanView]]:
    """List kept cycles."""
    return Call("GET", _path("plans", query=cut.query()), Page[PlanView])


def plan_record(index: str) -> Call[Raw]:
    """Read a kept cycle, or with `now` what would be planned now."""
    return Call("GET", _path("plans", index), Raw)


def overview() -> Call[Overview]:
    """Read the pool at a glance."""
    return Call("GET", _path("overview"), Overview)


def ledger_verify() -> Call[LedgerCheck]:
    """Check the whole ledger; the hub reads all of it, which may take minutes."""
    return Call("GET", _path("ledger", "verify"), LedgerCheck, extra_s=600.0)


def ledger_statement(account: str, from_ms: int, to_ms: int) -> Call[Statement]:
    """Read an account's statement; times are Unix milliseconds, `to_ms` 0 means now.

    An empty account is that of the token.
    """
    pairs = (("account", account), ("from_ms", str(from_ms)), ("to_ms", str(to_ms)))
    query = tuple((name, value) for name, value in pairs if value)
    return Call("GET", _path("ledger", "statement", query=query), Statement)


def ledger_export(form: str) -> Call[Raw]:
    """Stream the ledger as `csv`, `jsonl` or `beancount`."""
    return Call("GET", _path("ledger", "export", query=(("format", form),)), Raw)


def decode(call: Call[T], body: bytes, hub: str) -> T:
    """Read a good answer.

    Raises:
        FenglinError: the body is not what this call answers, such as a page of some proxy.
    """
    try:
        return msgspec.json.decode(body, type=call.answer)
    except msgspec.DecodeError as error:
        raise FenglinError(
            f"the answer cannot be understood: {error}",
            where=f"{call.method} {hub}{call.path}",
            hint="is this address a Fenglin hub of the same version? see `fenglin version`",
        ) from error
