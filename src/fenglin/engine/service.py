"""The hub's face: what `api` asks is answered here, from the store and the pool."""

# ruff: noqa: ARG002 - the contract hands every method its principal; some show to all alike

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from fenglin.engine import sights
from fenglin.engine.books.exports import export_forms, export_pieces
from fenglin.engine.changes import Changes, Pick
from fenglin.engine.dependencies import bring_parents
from fenglin.engine.finishing import to_its_end
from fenglin.engine.news import CancelAsked, JobsAdded
from fenglin.engine.parts import check_heard, check_tasks
from fenglin.engine.receipts import Receipts
from fenglin.engine.safety import check_not_aside, notes
from fenglin.engine.threads import working_for
from fenglin.errors import DeniedError, FenglinError, InputError, NotFoundError
from fenglin.model.ids import attempt_key, job_id
from fenglin.model.states import JobState
from fenglin.ports.acting import ACTING
from fenglin.ports.crashpoint import crash_point
from fenglin.ports.driver import LogChunk
from fenglin.ports.hub import Health, Listing
from fenglin.ports.store import SubmitRequest
from fenglin.wire.views import ArtifactView, Changed, DryRun, Explanation, PromiseView

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from fenglin.engine.admission import Admission
    from fenglin.engine.agents import Agents
    from fenglin.engine.audit import AuditDesk
    from fenglin.engine.blobs import Blobs
    from fenglin.engine.identity import TokenDesk
    from fenglin.engine.login import LoginDesk
    from fenglin.engine.loop import Loop
    from fenglin.engine.meters import Meters
    from fenglin.engine.safety import SafetyDesk
    from fenglin.engine.tokens import Tokens
    from fenglin.engine.vault import Vault
    from fenglin.model.job import JobSpec
    from fenglin.planner.policy import Policy
    from fenglin.ports.books import Books
    from fenglin.ports.clock import Clock
    from fenglin.ports.cycles import Cycles
    from fenglin.ports.driver import Driver
    from fenglin.ports.hub import Principal
    from fenglin.ports.staging import Staging
    from fenglin.ports.store import AllocationRecord, JobRecord, Store
    from fenglin.quantities.taskset import TaskSet
    from fenglin.wire.views import (
        BlobView,
        EventView,
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

MOST_RECEIPTS = 100
MOST_EVENTS = 200
# Each comes with its document, and other requests wait meanwhile.
MOST_WATCHED = 200
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the hub's face speaks for."""

    loop: Loop
    store: Store
    policy: Policy
    clock: Clock
    drivers: Mapping[str, Driver]
    staging: Staging
    blobs: Blobs
    admission: Admission
    tokens: Tokens
    meters: Meters
    version: str
    books: Books
    identity: TokenDesk
    login: LoginDesk
    audit: AuditDesk
    safety: SafetyDesk
    agents: Agents
    secrets: Vault
    cycles: Cycles | None = None


class HubService:
    """Implements `ports.hub.Hub` over the loop of this process."""

    def __init__(self, rooms: Rooms) -> None:
        """Take the rooms that `bootstrap` has built."""
        self._loop = rooms.loop
        self._pool = rooms.loop.pool
        self._store = rooms.store
        self._pool.policy = rooms.policy
        self._clock = rooms.clock
        self._drivers = rooms.drivers
        self._staging = rooms.staging
        self._blobs = rooms.blobs
        self._admission = rooms.admission
        self._tokens = rooms.tokens
        self._meters = rooms.meters
        self._version = rooms.version
        self._cycles = rooms.cycles
        self.books = rooms.books
        self.identity = rooms.identity
        self.login = rooms.login
        self.safety = rooms.safety
        self.audit = rooms.audit
        self.secrets = rooms.secrets
        self.agents = rooms.agents
        self._waiters: dict[int, set[asyncio.Future[None]]] = {}
        self._changed = asyncio.Event()
        self._changes = Changes(rooms.loop.pool.epoch)
        self._storing: set[asyncio.Task[Sequence[Submitted]]] = set()
        self._receipts = Receipts(rooms.loop, rooms.policy, rooms.clock)

    async def authenticate(self, token: str) -> Principal:
        """See `ports.hub.Hub`."""
        return await self._tokens.holder(token)

    async def submit(
        self, specs: Sequence[JobSpec], principal: Principal, idempotency_key: str, body: bytes
    ) -> Sequence[Submitted]:
        """See `ports.hub.Hub`."""
        for spec in specs:
            self._may_use(principal, spec.account)
        request = SubmitRequest(
            specs=specs,
            spec_bytes=[_ENCODER.encode(spec) for spec in specs],
            actor=principal.name,
            key=idempotency_key,
            body_hash=hashlib.sha256(body).digest() if idempotency_key else b"",
            now_ms=self._clock.now_ms(),
        )
        try:
            for spec in specs:
                self._admission.check(spec)
            await self._blobs.check(specs, principal)
            await self.secrets.check(specs)
        except FenglinError:
            # Whoever missed the answer learns it, whatever has been taken away since (J2).
            again = await self._store.answered(request) if idempotency_key else None
            if again is None:
                raise
            return again
        # A caller that goes away must not leave jobs that are durable and yet unknown here.
        return await to_its_end(self._take_in(request), self._storing)

    async def _take_in(self, request: SubmitRequest) -> Sequence[Submitted]:
        answers, records = await self._store.submit(request)
        crash_point("c1")
        if records:
            await bring_parents(self._pool, self._store, records)
            self._pool.add_jobs(records)
            self.changed(records, [])
            self._meters.submitted(len(records))
            self._loop.tell(JobsAdded(records))
        return answers

    async def dry_run(self, spec: JobSpec, principal: Principal) -> DryRun:
        """See `ports.hub.Hub`."""
        self._may_use(principal, spec.account)
        self._admission.check(spec)
        await self._blobs.check([spec], principal)
        await self.secrets.check([spec])
        now_ms = self._clock.now_ms()
        receipt = structs.replace(self._admission.receipt(spec, now_ms), job=0)
        return DryRun(receipt, sights.price_of(receipt), self._admission.paid_in(spec, now_ms))

    async def jobs(self, listing: Listing, principal: Principal) -> Page[JobView]:
        """See `ports.hub.Hub`."""
        page = await self._store.jobs(listing, principal.account)
        last = self._loop.last
        if listing.detail and last is not None:
            items = sights.with_reasons(page.items, last.plan, self._pool.held_back)
            return structs.replace(page, items=items)
        return page

    async def job(self, number: int, principal: Principal) -> JobView:
        """See `ports.hub.Hub`."""
        view = await self._store.job(number, principal.account)
        if view is None:
            raise NotFoundError(f"there is no job {job_id(number)}")
        held = self._pool.held_back(number)
        if held is not None:
            view = sights.with_held(view, held)
        elif number in self._pool.jobs:
            view = await self._receipts.with_outlook(view, number)
        return view

    async def explain(self, number: int, principal: Principal) -> Explanation:
        """See `ports.hub.Hub`."""
        view = await self.job(number, principal)
        return Explanation(
            job=view.id,
            state=view.state,
            receipt=await self._receipts.of(number) or await self._receipts.early(number),
            decisions=await self._store.receipts(number, MOST_RECEIPTS),
            story=await self._store.events(number, 0, MOST_EVENTS),
            promises=PromiseView(*self._pool.foresight.kept()),
        )

    async def events(
        self, number: int, after_seq: int, limit: int, principal: Principal
    ) -> Sequence[EventView]:
        """See `ports.hub.Hub`."""
        await self.job(number, principal)
        return await self._store.events(number, after_seq, limit)

    async def cancel(
        self, number: int, principal: Principal, tasks: TaskSet | None = None
    ) -> JobView:
        """See `ports.hub.Hub`."""
        view = await self.job(number, principal)
        check_tasks(view, tasks)
        if not JobState(view.state).terminal:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._loop.tell(CancelAsked(number, principal.name, done, ACTING.get(), tasks))
            await done
            view = await self.job(number, principal)
            check_not_aside(self._pool, number)
            check_heard(self._pool, number, view, tasks)
        return view

    async def wait(self, number: int, timeout_s: float, principal: Principal) -> JobView:
        """See `ports.hub.Hub`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Before the look, so that an end that comes between the two is heard.
        self._waiters.setdefault(number, set()).add(future)
        try:
            view = await self.job(number, principal)
            if JobState(view.state).terminal:
                return view
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            pass
        finally:
            waiting = self._waiters.get(number, set())
            waiting.discard(future)
            if not waiting:
                self._waiters.pop(number, None)
        return await self.job(number, principal)

    async def watch(
        self, after: str, filters: Sequence[tuple[str, str]], timeout_s: float, principal: Principal
    ) -> Changed:
        """See `ports.hub.Hub`."""
        pick = Pick.of(filters, principal.account, MOST_WATCHED)
        news = await self._changes.wait(after, pick, timeout_s)
        if not news.numbers:
            return Changed([], news.place, news.reset)
        order = {job_id(number): at for at, number in enumerate(news.numbers)}
        ids = tuple(("id", one) for one in order)
        page = await self.jobs(Listing(limit=MOST_WATCHED, filters=ids, detail=True), principal)
        return Changed(sorted(page.items, key=lambda view: order[view.id]), news.place)

    async def read_log(
        self, number: int, task: int, offset: int, limit: int, principal: Principal
    ) -> LogChunk:
        """See `ports.hub.Hub`."""
        view = await self.job(number, principal)
        if task >= view.task_count:
            raise NotFoundError(f"{view.id} has no task {task}", hint=f"0 to {view.task_count - 1}")
        over = JobState(view.state).terminal
        record = await self._holder_of(number, task)
        if record is None or record.site not in self._drivers:
            return LogChunk(b"", offset, over)
        key = attempt_key(self._pool.hub, record.number, record.attempt)
        with working_for(record.site):
            chunk = await self._drivers[record.site].read_log(key, task, offset, limit)
        return structs.replace(chunk, complete=chunk.complete or (over and not chunk.data))

    async def wait_log(self, number: int, timeout_s: float) -> None:
        """See `ports.hub.Hub`."""
        changed = self._changed
        try:
            async with asyncio.timeout(timeout_s):
                await changed.wait()
        except TimeoutError:
            return

    async def artifacts(self, number: int, principal: Principal) -> Sequence[ArtifactView]:
        """See `ports.hub.Hub`."""
        view = await self.job(number, principal)
        found = await asyncio.to_thread(self._staging.list_artifacts, view.id)
        return [ArtifactView(*row) for row in found]

    async def artifact(self, number: int, path: str, principal: Principal) -> Path:
        """See `ports.hub.Hub`."""
        view = await self.job(number, principal)
        return self._staging.artifact_path(view.id, path)

    async def has_blob(self, sha256: str, principal: Principal) -> BlobView:
        """See `ports.hub.Hub`."""
        return await self._blobs.has(sha256, principal)

    async def missing_blobs(self, sha256s: Sequence[str], principal: Principal) -> Sequence[str]:
        """See `ports.hub.Hub`."""
        return await self._blobs.missing(sha256s, principal)

    async def put_blob(
        self, sha256: str, chunks: AsyncIterator[bytes], principal: Principal
    ) -> BlobView:
        """See `ports.hub.Hub`."""
        return await self._blobs.put(sha256, chunks, principal)

    async def sites(self, listing: Listing, principal: Principal) -> Page[SiteView]:
        """See `ports.hub.Hub`."""
        return sights.page(sights.sites(self._pool), listing, sights.SITE_FILTERS)

    async def site(self, name: str, principal: Principal) -> SiteView:
        """See `ports.hub.Hub`."""
        for view in sights.sites(self._pool, flavors=True):
            if view.name == name:
                return view
        raise NotFoundError(f"there is no site {name!r}")

    async def set_site(
        self, name: str, principal: Principal, *, drained: bool, reason: str
    ) -> SiteView:
        """See `ports.hub.Hub`."""
        status = self._pool.sites.get(name)
        if status is None:
            raise NotFoundError(f"there is no site {name!r}")
        await self._store.set_site(
            self._pool.epoch,
            name,
            drained=drained,
            reason=reason,
            actor=principal.name,
            now_ms=self._clock.now_ms(),
        )
        status.drained = (reason or f"drained by {principal.name}") if drained else None
        self._loop.replan()
        return await self.site(name, principal)

    async def nodes(self, listing: Listing, principal: Principal) -> Page[NodeView]:
        """See `ports.hub.Hub`."""
        return sights.page(sights.nodes(self._pool), listing, sights.NODE_FILTERS)

    async def queues(self, listing: Listing, principal: Principal) -> Page[QueueView]:
        """See `ports.hub.Hub`."""
        return sights.page(sights.queues(self._pool), listing, sights.QUEUE_FILTERS)

    async def overview(self, principal: Principal) -> Overview:
        """See `ports.hub.Hub`."""
        return sights.overview(
            self._pool, self._clock.now_ms(), self._version, self._meters.cycle_ms,
            leader=self._loop.alive,
        )  # fmt: skip

    async def plans(self, listing: Listing, principal: Principal) -> Page[PlanView]:
        """See `ports.hub.Hub`."""
        entries = self._cycles.entries() if self._cycles is not None else []
        return sights.page(entries, listing, ())

    async def plan_record(self, index: int | None, principal: Principal) -> bytes:
        """See `ports.hub.Hub`."""
        if index is None:
            return await self._receipts.record_of_now()
        if self._cycles is None:
            raise NotFoundError("this hub keeps no cycles", hint="see keep_cycles in [hub]")
        return await asyncio.to_thread(self._cycles.read, index)

    async def ledger_verify(self, principal: Principal) -> LedgerCheck:
        """See `ports.hub.Hub`."""
        return await self._store.ledger_verify()

    async def ledger_statement(
        self, account: str, from_ms: int, to_ms: int, principal: Principal
    ) -> Statement:
        """See `ports.hub.Hub`."""
        self._may_use(principal, account)
        if account not in self._pool.balances:
            raise NotFoundError(f"there is no account {account!r}")
        return await self._store.ledger_statement(
            account, from_ms, to_ms or self._clock.now_ms() + 1
        )

    async def ledger_export(self, form: str, principal: Principal) -> AsyncIterator[bytes]:
        """See `ports.hub.Hub`."""
        if principal.account:
            raise DeniedError("only an admin may export the whole ledger")
        forms = export_forms(self.books.bills.offset_min)
        if form not in forms:
            raise InputError(
                f"unknown form {form!r}", where="format", hint=f"one of {', '.join(forms)}"
            )
        # A thread of its own, from first to last: the reading transaction stays on it, and what
        # is asked of it is done in order, so that the closing comes after the last reading.
        thread = ThreadPoolExecutor(1, "fenglin-export")
        loop = asyncio.get_running_loop()
        entries = self._store.ledger_entries()
        pieces = export_pieces(forms[form](entries))
        try:
            while (piece := await loop.run_in_executor(thread, next, pieces, None)) is not None:
                yield piece
        finally:
            thread.submit(entries.close)
            thread.shutdown(wait=False)

    def health(self) -> Health:
        """See `ports.hub.Hub`."""
        leads = "" if self._loop.alive else "another hub leads"
        problems = tuple(filter(None, (self._loop.problem, leads, *self.books.problems)))
        return Health(not problems, problems, notes(self._pool))

    def metrics(self) -> bytes:
        """See `ports.hub.Hub`."""
        self._meters.without_key(len(self._pool.keyless.withheld))
        return self._meters.expose(len(self._pool.jobs), self._pool.epoch)

    def changed(self, changed: list[JobRecord], ended: list[JobRecord]) -> None:
        """Wake those who wait for or watch these jobs; called by the loop after each commit."""
        for job in ended:
            for future in self._waiters.pop(job.number, ()):
                if not future.done():
                    future.set_result(None)
        self._changes.note(changed)
        self._changed.set()
        self._changed = asyncio.Event()

    def _may_use(self, principal: Principal, account: str) -> None:
        if principal.account and principal.account != account:
            # Exactly what an unknown account answers (S1).
            raise InputError(f"account {account!r} does not exist", where="account")

    async def _holder_of(self, number: int, task: int) -> AllocationRecord | None:
        """Return the newest allocation that holds a task."""
        held = [r for r in await self._store.allocations_of(number) if task in r.tasks]
        return held[-1] if held else None
