"""What the hub answers. Times are Unix milliseconds (0: not yet), money is micro-units."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

from fenglin.model.energy import Energy
from fenglin.model.plan import Receipt

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True):
    """One page of a listing.

    Attributes:
        items: In the order asked for.
        next: Cursor of the next page; empty on the last.
        total: Rows that match over all pages; -1 when it was not counted.
    """

    items: list[T]
    next: str = ""
    total: int = -1


class Submitted(Struct, frozen=True):
    """Answer to a submit, given only after the job is durable.

    Attributes:
        id: Public job id.
        state: State at that moment.
        repeated: True when this idempotency key had already made this job.
    """

    id: str
    state: str
    repeated: bool = False


class TaskCounts(Struct, frozen=True):
    """Tasks of a job by state."""

    pending: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class TaskSets(Struct, frozen=True):
    """Which tasks of a job are in which state, as sets such as `0-4,7`; running: placed."""

    pending: str = ""
    running: str = ""
    succeeded: str = ""
    failed: str = ""
    cancelled: str = ""


class AllocationView(Struct, frozen=True):
    """A committed set of tasks on one site.

    Attributes:
        id: Public id `a12`.
        site: Site name.
        flavor: Flavor name.
        tasks: Task set such as `0-99`.
        slots: Tasks that may run at once.
        nodes: Names of its nodes.
        state: State of its latest attempt.
        attempt: Number of its latest attempt.
        started_ms: First task's start.
        ended_ms: End of the attempt.
        succeeded: Tasks that succeeded.
        failed: Tasks that failed.
        expected_finish_ms: Promise made when it was committed.
        held_micro: Money reserved.
        cost_micro: Money posted.
        reason: Why it ended early; empty otherwise.
        wall_ms: Sum over its ended tasks of their runtimes.
        ended: Which of its tasks have ended, such as `0-4`; the rest run or wait for a slot.
        energy: What it took, graded; None before its end, in listings, and where unknown.
        currency: Of both amounts: of money, or hours such as `CORE-HOUR`.
    """

    id: str
    site: str
    flavor: str
    tasks: str
    slots: int
    nodes: list[str]
    state: str
    attempt: int
    started_ms: int
    ended_ms: int
    succeeded: int
    failed: int
    expected_finish_ms: int
    held_micro: int
    cost_micro: int
    reason: str = ""
    wall_ms: int = 0
    ended: str = ""
    currency: str = "CNY"
    energy: Energy | None = None


class JobView(Struct, frozen=True):
    """A job.

    Attributes:
        id: Public id `j12`.
        name, queue, account, priority: As submitted.
        state: See `model.states.JobState`.
        reason: Why it waits, is held or failed; empty otherwise.
        detail: The evidence behind the reason, in words.
        task_count: Size of the array.
        tasks: Tasks by state.
        submitted_ms, started_ms, ended_ms: Moments.
        expected_finish_ms: Latest expectation.
        held_micro: Money reserved now.
        cost_micro: Money posted so far.
        currency: Of both.
        user: Whose token submitted it.
        labels, allocations, task_sets: Only in `show`, in listings with `detail`, in `watch`.
        spec: The canonical job document; only there too.
    """

    id: str
    name: str
    queue: str
    account: str
    priority: int
    state: str
    reason: str
    detail: str
    task_count: int
    tasks: TaskCounts
    submitted_ms: int
    started_ms: int
    ended_ms: int
    expected_finish_ms: int
    held_micro: int
    cost_micro: int
    currency: str = "CNY"
    labels: dict[str, str] = {}
    allocations: list[AllocationView] = []
    spec: dict[str, object] = {}
    user: str = ""
    task_sets: TaskSets = TaskSets()


class Changed(Struct, frozen=True):
    """Jobs that have changed since a watch was last asked.

    Attributes:
        items: Each as it is now, in the order of the changes; empty when the time was over.
        next: Where to go on watching.
        reset: The hub does not know that place (any more): list the jobs, then go on from `next`.
    """

    items: list[JobView]
    next: str
    reset: bool = False


class EventView(Struct, frozen=True):
    """One line of a job's story."""

    seq: int
    time_ms: int
    kind: str
    text: str


class PromiseView(Struct, frozen=True):
    """How well the starts that this hub promised to waiting jobs were kept.

    Attributes:
        jobs: How many promises it is taken from; 0 when none has come due yet.
        half_ms: Half of them were off by at most this, late or early.
        most_ms: Nine of ten were off by at most this.
    """

    jobs: int = 0
    half_ms: int = 0
    most_ms: int = 0


class Explanation(Struct, frozen=True):
    """Why a job is where it is: its receipt and its story.

    Attributes:
        job: Public id.
        state: State now.
        receipt: Newest receipt; None for a job that was never planned.
        decisions: Receipts of the cycles that started tasks of it, oldest first (at most 100).
        story: Events that led here, oldest first (at most 200).
        promises: How far to trust an expected start.
    """

    job: str
    state: str
    receipt: Receipt | None
    decisions: list[Receipt] = []
    story: list[EventView] = []
    promises: PromiseView = PromiseView()


class DryRun(Struct, frozen=True):
    """What a submit would do now, without doing it.

    Attributes:
        receipt: Options, scores, reasons, expected start and finish. `job` is 0.
        price_micro: Expected price of the whole job.
        currency: Of it.
    """

    receipt: Receipt
    price_micro: int
    currency: str = "CNY"


class FlavorView(Struct, frozen=True):
    """A flavor with its amounts and prices."""

    name: str
    compute_class: str
    nodes: int
    cpu_milli: int
    memory_bytes: int
    disk_bytes: int
    accelerator_milli: int
    accelerator: str
    speed_milli: int
    core_hour_micro: int
    memory_gib_hour_micro: int
    card_hour_micro: int
    note: str = ""
    power_watts: int = 0
    labels: dict[str, str] = {}


class LinkView(Struct, frozen=True):
    """The network from a site to another one, as declared; 0 is unknown."""

    site: str
    latency_us: int
    bandwidth_mbit_s: int
    egress_gib_micro: int


class SiteView(Struct, frozen=True):
    """A site: totals over its nodes, and how it is."""

    name: str
    provider: str
    driver: str
    placement: str
    state: str
    state_reason: str
    nodes: int
    nodes_up: int
    cpu_milli: int
    cpu_used_milli: int
    memory_bytes: int
    memory_used_bytes: int
    accelerator_milli: int
    accelerator_used_milli: int
    running_tasks: int
    seen_ms: int
    classes: list[str] = []
    flavors: list[FlavorView] = []
    region: str = ""
    labels: dict[str, str] = {}
    carbon_g_kwh: int = 0
    pue_milli: int = 1_000
    links: list[LinkView] = []
    capabilities: list[str] = []


class NodeView(Struct, frozen=True):
    """A node: capacity and what is committed on it."""

    site: str
    name: str
    flavor: str
    up: bool
    cpu_milli: int
    cpu_used_milli: int
    memory_bytes: int
    memory_used_bytes: int
    disk_bytes: int
    disk_used_bytes: int
    accelerator_milli: int
    accelerator_used_milli: int


class QueueView(Struct, frozen=True):
    """A queue: what waits and what it holds."""

    name: str
    weight_milli: int
    cohort: str
    pending_jobs: int
    pending_tasks: int
    running_tasks: int
    cpu_used_milli: int
    memory_used_bytes: int
    accelerator_used_milli: int
    dominant_share: float
    parent: str = ""


class ArtifactView(Struct, frozen=True):
    """A kept file of a job."""

    path: str
    size_bytes: int
    modified_ms: int


class StatementLine(Struct, frozen=True):
    """One priced item of a bill, summed over the attempts of a job on a flavor."""

    job: str
    job_name: str
    site: str
    flavor: str
    item: str
    quantity: str
    unit: str
    price_micro: int
    amount_micro: int


class HoursStatement(Struct, frozen=True):
    """What an account used of one kind of hours in a period, in millionths of an hour.

    opening + granted - charged + adjusted = closing; never added to money or to other hours.
    """

    kind: str
    opening_micro: int
    granted_micro: int
    charged_micro: int
    adjusted_micro: int
    held_micro: int
    closing_micro: int
    lines: list[StatementLine]


class Statement(Struct, frozen=True):
    """What an account was charged in a period; `hours` are what it paid in hours.

    opening + granted + deposited - refunded + vouchers - charged + adjusted = closing
    """

    account: str
    currency: str
    from_ms: int
    to_ms: int
    opening_micro: int
    granted_micro: int
    charged_micro: int
    held_micro: int
    closing_micro: int
    lines: list[StatementLine]
    ledger_id: str
    ledger_seq: int
    ledger_hash: str
    deposited_micro: int = 0
    refunded_micro: int = 0
    vouchers_micro: int = 0
    adjusted_micro: int = 0
    hours: list[HoursStatement] = []


class LedgerCheck(Struct, frozen=True):
    """Outcome of a verification.

    Attributes:
        ok: Whether all holds.
        entries: How many entries were proven, from the first on.
        first_bad_seq: The first that is wrong; 0 for none.
        problem: What is wrong.
        head_hash: Of the last entry.
        ledger_id: Whose ledger.
        sealed: How many entries the checkpoints cover that it was held against.
    """

    ok: bool
    entries: int
    first_bad_seq: int
    problem: str
    head_hash: str
    ledger_id: str
    sealed: int = 0


class PlanView(Struct, frozen=True):
    """A cycle that the hub has kept.

    Attributes:
        index: Its number.
        now_ms: Unix time for which it was planned.
        starts: Allocations that it started.
        waiting: Jobs that it left waiting.
        size_bytes: Of what is kept.
    """

    index: int
    now_ms: int
    starts: int
    waiting: int
    size_bytes: int


class Overview(Struct, frozen=True):
    """The pool at a glance, for `top`; `notes` tell what the hub holds back."""

    hub: str
    version: str
    now_ms: int
    leader: bool
    epoch: int
    cycle: int
    cycle_ms: float
    pending_jobs: int
    running_jobs: int
    pending_tasks: int
    running_tasks: int
    finished_tasks: int
    sites: list[SiteView]
    queues: list[QueueView]
    notes: list[str] = []


class BlobView(Struct, frozen=True):
    """An uploaded file."""

    sha256: str
    size_bytes: int


class Addresses(Struct, frozen=True, forbid_unknown_fields=True):
    """Content addresses of files: those asked about, or those that the hub lacks."""

    sha256: list[str]


class ProblemView(Struct, frozen=True):
    """One thing wrong in a document; see `fenglin.errors.Problem`."""

    path: str
    what: str
    hint: str = ""
    line: int = 0
    column: int = 0


class ErrorView(Struct, frozen=True):
    """Every error's body: what, where, what to do."""

    code: str
    what: str
    where: str = ""
    hint: str = ""
    problems: list[ProblemView] = []
