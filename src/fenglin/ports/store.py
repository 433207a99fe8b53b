"""The store contract: what the loop writes and reads. Each method is one whole transaction.

The engine is the only writer of everything but submits. It computes a `Change` from what it
knows, hands it over, and believes it only after the commit; the store checks the epoch, the
version of every row that is changed, the capacity of every node and the balance of every
account inside that transaction, so that a wrong belief cannot become a wrong state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fenglin.model.states import AttemptState, JobState
from fenglin.ports.quarantine import Ward
from fenglin.quantities.taskset import EMPTY, TaskSet

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from fenglin.ledger.entry import Draft, Entry
    from fenglin.model.allocation import Share, Usage
    from fenglin.model.job import JobSpec
    from fenglin.model.plan import Receipt
    from fenglin.model.reason import Reason
    from fenglin.model.site import Price, Site
    from fenglin.ports.acting import Act
    from fenglin.ports.hub import Listing
    from fenglin.quantities.resources import Resources
    from fenglin.wire.views import (
        EventView,
        JobView,
        LedgerCheck,
        Page,
        Statement,
        Submitted,
    )


@dataclass(slots=True)
class JobRecord:
    """A job as stored; `version` rises with each change.

    Attributes:
        number: Its id.
        spec: As submitted.
        version: For compare-and-set.
        state: Of the job.
        reason: Why it waits, is held, or ended badly.
        detail: Evidence in words.
        submitted_ms, started_ms, ended_ms: Moments; 0 for not yet.
        pending, succeeded, failed, cancelled: Tasks by state; the rest run.
        learned_tasks: How many ended tasks are behind `learned_ms`.
        learned_ms: Sum of their runtimes, scaled to speed 1.
        retry_at_ms: No start before this; 0 for none.
        cancelling: Whether the user asked for its end.
        unwanted: Tasks that run, whose end the user asked for one by one.
        cost_micro: Posted so far.
        tries: Task index → failed tries, for tasks that have failed.
        actor: Who submitted it; empty for unknown.
    """

    number: int
    spec: JobSpec
    submitted_ms: int
    pending: TaskSet
    version: int = 0
    state: JobState = JobState.PENDING
    reason: Reason | None = None
    detail: str = ""
    started_ms: int = 0
    ended_ms: int = 0
    succeeded: TaskSet = EMPTY
    failed: TaskSet = EMPTY
    cancelled: TaskSet = EMPTY
    learned_tasks: int = 0
    learned_ms: int = 0
    retry_at_ms: int = 0
    cancelling: bool = False
    unwanted: TaskSet = EMPTY
    cost_micro: int = 0
    tries: dict[int, int] = field(default_factory=dict)
    actor: str = ""


@dataclass(slots=True)
class AllocationRecord:
    """A committed set of tasks on one site and its latest attempt.

    Attributes:
        number: Its id.
        job: Number of the job.
        site, flavor: Where.
        shares: Slots still held per node.
        resources: Needs of one slot.
        nodes: Nodes per task.
        tasks: All its tasks.
        price: Frozen at the commit.
        speed_milli: Of the flavor, frozen at the commit.
        created_ms: Commit.
        finish_ms: Promise made at the commit.
        held_micro: Money reserved.
        attempt: Number of the latest attempt, from 1.
        state: Of that attempt.
        cursor: Driver's position up to which ends are counted.
        succeeded, failed: Ended tasks; failed includes those that were tried again elsewhere.
        started_ms, ended_ms: Of the attempt.
        usage: Sum over ended tasks.
        cost_micro: Posted.
        reason: Why it ended before all its tasks did.
    """

    number: int
    job: int
    site: str
    flavor: str
    shares: tuple[Share, ...]
    resources: Resources
    nodes: int
    tasks: TaskSet
    price: Price
    speed_milli: int
    created_ms: int
    finish_ms: int
    held_micro: int
    usage: Usage
    attempt: int = 1
    state: AttemptState = AttemptState.INTENT
    cursor: str = ""
    succeeded: TaskSet = EMPTY
    failed: TaskSet = EMPTY
    started_ms: int = 0
    ended_ms: int = 0
    cost_micro: int = 0
    reason: Reason | None = None

    @property
    def slots(self) -> int:
        """Return the slots still held over all nodes; a gang holds one per node."""
        return sum(share.slots for share in self.shares)

    @property
    def remaining(self) -> TaskSet:
        """Return the tasks that have not ended in this allocation."""
        return self.tasks - self.succeeded - self.failed


@dataclass(slots=True)
class Event:
    """One line of a job's story. `actor` is empty when the hub acted by itself."""

    job: int
    kind: str
    text: str
    actor: str = ""


@dataclass(slots=True)
class StartUnit:
    """A start and all that belongs to it: committed together or refused alone.

    Attributes:
        job: The job with these tasks running, one version on.
        allocation: The new row.
        hold: Of its money; None when nothing is held.
        receipt: Why here; None when another start of the cycle carries the job's.
        event: Its line in the job's story.
    """

    job: JobRecord
    allocation: AllocationRecord
    hold: Draft | None
    receipt: Receipt | None
    event: Event | None = None


@dataclass(slots=True)
class Change:
    """What the engine wants written in one transaction.

    Attributes:
        epoch: Of the leader that wants it.
        now_ms: Unix time.
        starts: Each committed or refused on its own.
        jobs: New states; the row's version must be one less.
        allocations: New states of existing allocations.
        released: (site, node, amounts) given back.
        tries: (job, task index, failed tries, reason, exit code).
        usage: (attempt key, allocation) whose usage is final.
        postings: Ledger entries.
        events: Lines of stories.
        acts: Requests that led to some of this, for the audit trail.
        spent_ms: Decayed past use by queue, at `now_ms`; None to leave what is stored.
    """

    epoch: int
    now_ms: int
    starts: list[StartUnit] = field(default_factory=list)
    jobs: list[JobRecord] = field(default_factory=list)
    allocations: list[AllocationRecord] = field(default_factory=list)
    released: list[tuple[str, str, Resources]] = field(default_factory=list)
    tries: list[tuple[int, int, int, str, int]] = field(default_factory=list)
    usage: list[tuple[str, AllocationRecord]] = field(default_factory=list)
    postings: list[Draft] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    spent_ms: dict[str, int] | None = None

    def __bool__(self) -> bool:
        """Return whether there is anything to write."""
        return bool(
            self.starts
            or self.jobs
            or self.allocations
            or self.released
            or self.tries
            or self.usage
            or self.postings
            or self.events
        )


@dataclass(slots=True)
class Loaded:
    """Everything the engine must know to go on after a restart.

    Attributes:
        hub: Hub id, made once.
        epoch: The new leader's.
        jobs: Jobs that have not ended, by number.
        allocations: Allocations that have not ended, by number.
        next_allocation: First unused allocation number.
        cycle: Last used cycle index.
        drained: Site name → reason, for sites the operator has drained.
        parents: Job number → record, for ended parents of unended jobs.
        spent_ms: Decayed past use by queue, as last stored.
        spent_at_ms: When that was; 0 for never.
        past: The newest ended jobs, oldest first, to learn from.
        last_allocation: The newest that is stored; after a restore far below `next_allocation`.
        ward: Jobs that are set aside, which are in no other field.
    """

    hub: str
    epoch: int
    jobs: dict[int, JobRecord]
    allocations: dict[int, AllocationRecord]
    next_allocation: int
    cycle: int
    drained: dict[str, str]
    parents: dict[int, JobRecord]
    spent_ms: dict[str, int] = field(default_factory=dict)
    spent_at_ms: int = 0
    past: tuple[JobRecord, ...] = ()
    last_allocation: int = 0
    ward: Ward = field(default_factory=Ward)


@dataclass(slots=True)
class SubmitRequest:
    """Jobs to store, all or none.

    Attributes:
        specs: The jobs.
        spec_bytes: Each as canonical JSON.
        actor: Who submits.
        key: Idempotency key; empty for none.
        body_hash: Of the request's body, compared when the key comes again.
        now_ms: Unix time.
    """

    specs: Sequence[JobSpec]
    spec_bytes: Sequence[bytes]
    actor: str
    key: str
    body_hash: bytes
    now_ms: int


class Store(Protocol):
    """Durable state. Writes return after the commit is on disk."""

    async def load(self, sites: Sequence[Site], now_ms: int) -> Loaded:
        """Take a new epoch, make the node rows agree with `sites`, and return the state."""
        ...

    async def submit(self, request: SubmitRequest) -> tuple[list[Submitted], list[JobRecord]]:
        """Store jobs; grouped with others into one commit.

        Returns the answers, and the records that are new (none when the key came again).

        Raises:
            ConflictError: the key came with another body.
            InputError: a parent job does not exist or may not be referred to.
        """
        ...

    async def answered(self, request: SubmitRequest) -> list[Submitted] | None:
        """Return what its key was answered before; None for a new key.

        Raises:
            ConflictError: the key came with another body.
        """
        ...

    async def commit(self, change: Change) -> list[tuple[StartUnit, Reason]]:
        """Write a change; return the starts that the transaction refused, with reasons.

        Raises:
            StaleEpochError: another leader took over; nothing was written.
            ConflictError: a row was not at the expected version; nothing was written.
            UnavailableError: the disk is full or the database is away; nothing was written.
        """
        ...

    async def set_site(
        self, epoch: int, site: str, *, drained: bool, reason: str, actor: str, now_ms: int
    ) -> None:
        """Record the operator's wish for a site."""
        ...

    async def parents(self, numbers: Sequence[int]) -> dict[int, JobRecord]:
        """Return the jobs of these numbers, ended or not."""
        ...

    async def jobs(self, listing: Listing, account: str) -> Page[JobView]:
        """Return a page of jobs; `account` empty for all."""
        ...

    async def job(self, number: int, account: str) -> JobView | None:
        """Return one job with allocations and spec."""
        ...

    async def allocations_of(self, number: int) -> list[AllocationRecord]:
        """Return a job's allocations, oldest first."""
        ...

    async def events(self, number: int, after_seq: int, limit: int) -> list[EventView]:
        """Return a job's story."""
        ...

    async def receipts(self, number: int, limit: int) -> list[Receipt]:
        """Return the receipts of the cycles that started tasks of a job, oldest first."""
        ...

    async def post(self, epoch: int, drafts: Sequence[Draft], now_ms: int) -> list[Entry]:
        """Append ledger entries; one whose key is there already is returned, not repeated."""
        ...

    async def balances(self) -> dict[str, int]:
        """Return the available money of each account, micro-units."""
        ...

    async def ledger_verify(self) -> LedgerCheck:
        """Check the chain, the sums and the balances, in constant memory."""
        ...

    async def ledger_statement(self, account: str, from_ms: int, to_ms: int) -> Statement:
        """Return an account's statement for [from, to)."""
        ...

    def ledger_entries(self) -> Generator[Entry]:
        """Yield all entries in order, as one state, in constant memory.

        Runs on the caller's thread. Whoever does not read to the end closes it.
        """
        ...

    async def close(self) -> None:
        """Finish what is queued and close."""
        ...
