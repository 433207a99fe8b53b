"""What the planner answers: starts, and for every pending job a receipt."""

from __future__ import annotations

from msgspec import Struct

from fenglin.model.allocation import Share
from fenglin.model.reason import Reason


class Start(Struct, frozen=True, omit_defaults=True, gc=False):
    """A proposed placement: the `tasks` lowest pending tasks of a job, on these shares.

    Attributes:
        job: Job number.
        site: Site name.
        flavor: Flavor name.
        shares: Slots per node, sorted by node name. For a gang (`nodes` > 1 in the shape): one
            slot on each of its nodes.
        tasks: How many tasks this allocation takes in turn over its slots.
        task_ms: Expected runtime of one task there.
        finish_ms: Unix time by which the allocation is expected to have ended.
        hold_micro: Money to reserve for it.
    """

    job: int
    site: str
    flavor: str
    shares: tuple[Share, ...]
    tasks: int
    task_ms: int
    finish_ms: int
    hold_micro: int


class Term(Struct, frozen=True):
    """One named part of an option's score; the score is the sum of weight times value.

    Attributes:
        name: Registered term, such as `finish` or `money`.
        value: Normalised to 0 (best of the options at hand) … 1 (worst).
        weight: From the policy.
        raw: The figure behind it with its unit, such as `812000 ms`.
    """

    name: str
    value: float
    weight: float
    raw: str


class Option(Struct, frozen=True, omit_defaults=True):
    """One flavor of one site, considered for one job.

    Attributes:
        site: Site name.
        flavor: Flavor name.
        reason: Why not; None when it is possible now.
        evidence: The figures behind the reason, such as `needs 64GiB, largest node has 16GiB`.
        slots: Tasks that could start there now.
        tasks: Tasks that this plan gave to it.
        score: Sum of the terms, smaller is better; 0 when refused.
        terms: The score, term by term; empty when refused for good.
        start_ms: Expected start there; 0 unknown.
        finish_ms: Expected finish of the whole job if only this option were used; 0 unknown.
        price_micro: Expected price of the job's remaining tasks there.
    """

    site: str
    flavor: str
    reason: Reason | None = None
    evidence: str = ""
    slots: int = 0
    tasks: int = 0
    score: float = 0.0
    terms: tuple[Term, ...] = ()
    start_ms: int = 0
    finish_ms: int = 0
    price_micro: int = 0


class Receipt(Struct, frozen=True, omit_defaults=True):
    """Why a job was placed as it was, or why it waits.

    Attributes:
        job: Job number.
        index: Index of the snapshot.
        policy: Name of the policy.
        started: Tasks that this plan starts.
        waiting: Pending tasks left.
        reason: Why tasks are left waiting; None when none are.
        position: 1-based place in the planning order.
        start_ms: Expected start of its next task; 0 unknown.
        finish_ms: Expected finish of the whole job; 0 unknown.
        options: Every flavor of the pool, best first, then the refused by name.
        change: What would let it start now, in words; empty when it has started.
    """

    job: int
    index: int
    policy: str
    started: int
    waiting: int
    reason: Reason | None = None
    position: int = 0
    start_ms: int = 0
    finish_ms: int = 0
    options: tuple[Option, ...] = ()
    change: str = ""


class Eviction(Struct, frozen=True, omit_defaults=True):
    """A running allocation to be stopped so that another job may start.

    Attributes:
        allocation: Number of the allocation.
        job: Whose it is.
        for_job: Job that needs the room; starts once it is free.
        site: Where.
        lost_ms: Work of its tasks that must be done again, in slot-milliseconds.
    """

    allocation: int
    job: int
    for_job: int
    site: str
    lost_ms: int = 0


class Reservation(Struct, frozen=True, omit_defaults=True):
    """Future capacity held for a job that cannot start yet.

    Attributes:
        job: Job number.
        site: Site name.
        flavor: Flavor name.
        shares: Slots per node, sorted by node name.
        start_ms: From when; by the promises of what runs now.
        finish_ms: Until when.
    """

    job: int
    site: str
    flavor: str
    shares: tuple[Share, ...]
    start_ms: int
    finish_ms: int


class Plan(Struct, frozen=True):
    """All decisions of one cycle.

    Attributes:
        index: Index of the snapshot it was made from.
        policy: Name of the policy.
        starts: In planning order.
        order: Job numbers in planning order.
        reasons: For each job of `order`, why tasks of it are left waiting; None when none are.
        next_ms: Unix time at which time alone may allow another start; 0 for never.
        bound_slots: Upper bound on the slots any plan could fill from this snapshot.
        filled_slots: Slots that this plan fills.
        reservations: For jobs that wait, in planning order.
        evictions: What is to be stopped for jobs that wait, in planning order.
    """

    index: int
    policy: str
    starts: tuple[Start, ...]
    order: tuple[int, ...]
    reasons: tuple[Reason | None, ...]
    next_ms: int = 0
    bound_slots: int = 0
    filled_slots: int = 0
    reservations: tuple[Reservation, ...] = ()
    evictions: tuple[Eviction, ...] = ()
