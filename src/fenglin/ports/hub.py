"""What the door may ask of the hub. `api` knows this Protocol and nothing behind it.

Every method checks the principal; a foreign object answers as a missing one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from fenglin.model.job import JobSpec
    from fenglin.ports.agent import AgentDesk
    from fenglin.ports.audit import AuditDesk
    from fenglin.ports.books import Books
    from fenglin.ports.driver import LogChunk
    from fenglin.ports.identity import TokenDesk
    from fenglin.ports.login import LoginDesk
    from fenglin.ports.safety import SafetyDesk
    from fenglin.ports.vault import SecretDesk
    from fenglin.quantities.taskset import TaskSet
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


class Principal(Struct, frozen=True):
    """Who asks.

    Attributes:
        name: For the audit record.
        scopes: Of `model.role.Scope`; `admin` includes all others.
        account: The only account it may use and see; empty for all.
        role: Of `model.role.Role`.
        party: Provider or site that it speaks for; empty for none.
        token: Number of its token; 0 for none.
    """

    name: str
    scopes: frozenset[str]
    account: str = ""
    role: str = ""
    party: str = ""
    token: int = 0

    def may(self, scope: str) -> bool:
        """Return whether the scope is covered."""
        return scope in self.scopes or "admin" in self.scopes


class Listing(Struct, frozen=True):
    """How a listing is cut, sorted and filtered; the store does all three.

    Attributes:
        limit: Rows per page, 1…1000.
        cursor: From the previous page; empty for the first.
        sort: Field name, `-` in front for falling order; empty for the natural order.
        filters: (field, value) pairs that must all hold; a repeated field means any of its
            values. `name` matches a part of the name; `label` takes `key=value`.
        detail: Of jobs: with labels, document, allocations and task sets, as one alone shows.
    """

    limit: int = 100
    cursor: str = ""
    sort: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    detail: bool = False


class Health(Struct, frozen=True):
    """Whether the hub can serve, what hinders it, and what waits for an operator meanwhile."""

    ready: bool
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Hub(Protocol):
    """The hub as the door sees it. All failures are `FenglinError`s."""

    async def authenticate(self, token: str) -> Principal:
        """Return who holds this token; raises DeniedError (401)."""
        ...

    async def submit(
        self, specs: Sequence[JobSpec], principal: Principal, idempotency_key: str, body: bytes
    ) -> Sequence[Submitted]:
        """Store jobs durably, all or none; the same key and body give the same jobs again."""
        ...

    async def dry_run(self, spec: JobSpec, principal: Principal) -> DryRun:
        """Plan the job against the present snapshot without storing it."""
        ...

    async def jobs(self, listing: Listing, principal: Principal) -> Page[JobView]:
        """List jobs, newest first unless sorted otherwise.

        Filters: id, state, queue, account, name, label. Sorts: id, name, priority, state,
        submitted_ms.
        """
        ...

    async def job(self, number: int, principal: Principal) -> JobView:
        """Return one job with its allocations and spec."""
        ...

    async def explain(self, number: int, principal: Principal) -> Explanation:
        """Return why the job is where it is."""
        ...

    async def events(
        self, number: int, after_seq: int, limit: int, principal: Principal
    ) -> Sequence[EventView]:
        """Return the job's story after a sequence number."""
        ...

    async def cancel(
        self, number: int, principal: Principal, tasks: TaskSet | None = None
    ) -> JobView:
        """Ask for the job's end, or that of some tasks, durably; idempotent.

        What has ended already is no error.

        Raises:
            InputError: it has no such task.
            ConflictError: tasks run at a site that cannot end them alone; the others end.
        """
        ...

    async def wait(self, number: int, timeout_s: float, principal: Principal) -> JobView:
        """Return when the job has ended or the time is over, whichever is first."""
        ...

    async def watch(
        self, after: str, filters: Sequence[tuple[str, str]], timeout_s: float, principal: Principal
    ) -> Changed:
        """Return jobs that changed after a place, as soon as there are any.

        Args:
            after: `next` of the answer before; empty to learn where to begin, at once.
            filters: As of a `Listing`, by `id` and `label`.
            timeout_s: Longest wait for a change.
            principal: Who asks.
        """
        ...

    async def read_log(
        self, number: int, task: int, offset: int, limit: int, principal: Principal
    ) -> LogChunk:
        """Return a piece of one task's output (of its newest attempt)."""
        ...

    async def wait_log(self, number: int, timeout_s: float) -> None:
        """Return when there may be new output of the job, or the time is over."""
        ...

    async def artifacts(self, number: int, principal: Principal) -> Sequence[ArtifactView]:
        """List kept files."""
        ...

    async def artifact(self, number: int, path: str, principal: Principal) -> Path:
        """Return the local path of one kept file, never outside the job's folder."""
        ...

    async def has_blob(self, sha256: str, principal: Principal) -> BlobView:
        """Return the uploaded file's size, or raise NotFoundError."""
        ...

    async def missing_blobs(self, sha256s: Sequence[str], principal: Principal) -> Sequence[str]:
        """Return those content addresses, in their order, of which the hub has no file."""
        ...

    async def put_blob(
        self, sha256: str, chunks: AsyncIterator[bytes], principal: Principal
    ) -> BlobView:
        """Store a file under its content address; refuses another content."""
        ...

    async def sites(self, listing: Listing, principal: Principal) -> Page[SiteView]:
        """List sites. Filters: state, provider, driver, class."""
        ...

    async def site(self, name: str, principal: Principal) -> SiteView:
        """Return one site with its flavors."""
        ...

    async def set_site(
        self, name: str, principal: Principal, *, drained: bool, reason: str
    ) -> SiteView:
        """Drain or resume a site, durably (admin)."""
        ...

    async def nodes(self, listing: Listing, principal: Principal) -> Page[NodeView]:
        """List nodes. Filters: site, flavor, up."""
        ...

    async def queues(self, listing: Listing, principal: Principal) -> Page[QueueView]:
        """List queues."""
        ...

    async def overview(self, principal: Principal) -> Overview:
        """Return the pool at a glance."""
        ...

    async def plans(self, listing: Listing, principal: Principal) -> Page[PlanView]:
        """List kept cycles, newest first."""

    async def plan_record(self, index: int | None, principal: Principal) -> bytes:
        """Return a kept cycle, or for None what would be planned now.

        Raises:
            NotFoundError: it is not kept.
        """

    async def ledger_verify(self, principal: Principal) -> LedgerCheck:
        """Check the whole ledger in constant memory."""
        ...

    async def ledger_statement(
        self, account: str, from_ms: int, to_ms: int, principal: Principal
    ) -> Statement:
        """Return an account's statement; `to_ms` 0 means now."""
        ...

    def ledger_export(self, form: str, principal: Principal) -> AsyncIterator[bytes]:
        """Stream the ledger as `csv`, `jsonl` or `beancount`."""
        ...

    @property
    def books(self) -> Books:
        """Return the rooms of the books."""
        ...

    @property
    def identity(self) -> TokenDesk:
        """Return the room of tokens."""
        ...

    @property
    def secrets(self) -> SecretDesk:
        """Return the room of secrets."""
        ...

    @property
    def login(self) -> LoginDesk:
        """Return the room of logging in."""
        ...

    @property
    def agents(self) -> AgentDesk:
        """Return the room of sites that dial in."""
        ...

    @property
    def safety(self) -> SafetyDesk:
        """Return the room of what is set aside or held back."""
        ...

    @property
    def audit(self) -> AuditDesk:
        """Return the room of the audit trail."""
        ...

    def health(self) -> Health:
        """Return whether the hub can serve; reads memory only."""
        ...

    def metrics(self) -> bytes:
        """Return the Prometheus exposition."""
        ...
