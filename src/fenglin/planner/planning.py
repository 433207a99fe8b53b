"""One planning cycle, told in order. Pure: the same snapshot and policy give the same plan."""

from __future__ import annotations

from fenglin.model.plan import Plan
from fenglin.planner.backfill.twins import Kernel
from fenglin.planner.bound import bound_slots, room_per_shape, wanted_per_shape
from fenglin.planner.draft import NEVER, Draft
from fenglin.planner.fill import fill
from fenglin.planner.improve import improve
from fenglin.planner.order import levels, may_start, planning_order
from fenglin.planner.policy import BALANCED, Policy
from fenglin.planner.preempt import Preemption
from fenglin.planner.rank import check_terms
from fenglin.planner.split import starts_in
from fenglin.planner.waiting import reasons
from fenglin.snapshot.snapshot import Bool, Snapshot


def plan(snapshot: Snapshot, policy: Policy = BALANCED, *, loop: Kernel | None = None) -> Plan:
    """Decide what starts now, and why the rest waits.

    Args:
        snapshot: The world.
        policy: What is wanted of it.
        loop: `lane.compiled_loop()` for the same plan sooner.

    Raises:
        InputError: the policy names an unknown term.
    """
    check_terms(policy)

    draft = Draft(snapshot, policy, loop)
    try:
        return _planned(draft)
    finally:
        draft.let_go()


def _planned(draft: Draft) -> Plan:
    """Go through the cycle with a fresh draft."""
    snapshot, policy = draft.snapshot, draft.policy

    # 1. Which jobs may start at all: parents, clock and their own limits permitting.
    eligible = may_start(snapshot)
    wanted = wanted_per_shape(snapshot, eligible)

    # 2. Which flavors can hold which shapes, and how much fits before anything is granted; then
    #    the last plan's promises are booked, where they are to be kept.
    room = room_per_shape(draft, wanted)
    draft.closed_shapes.update(
        row for row, fits in enumerate(room) if not fits and not draft.book.may_reserve(row)
    )
    draft.book.resume(eligible)

    # 3. Grant slots by priority and fair turns, each job its best options first. What a priority
    #    could not place may interrupt what runs below it, before the next one is asked.
    preemption = Preemption(draft)
    for level in levels(snapshot, eligible, policy):
        fill(draft, [level])
        preemption.serve(level)

    # 4. Shift and swap starts as long as that fills more, then put the jobs in the order in which
    #    they were served.
    order = planning_order(snapshot, draft.turn, policy)
    improved = improve(draft, order[eligible[order]].tolist())
    order = planning_order(snapshot, draft.turn, policy)

    # 5. Split each job's slots into allocations with a piece of its tasks each.
    starts = tuple(starts_in(draft, order.tolist(), improved.changed))

    started = set(snapshot.job_number[list(improved.gained)].tolist())

    # 6. Say for every job with tasks left why they wait.
    why = reasons(draft, eligible, starts, room)

    return Plan(
        index=snapshot.index,
        policy=policy.name,
        starts=starts,
        order=tuple(snapshot.job_number[order].tolist()),
        reasons=tuple(why[row] for row in order.tolist()),
        next_ms=_next_ms(snapshot, draft),
        bound_slots=bound_slots(snapshot, wanted, room),
        filled_slots=sum(share.slots for start in starts for share in start.shares),
        reservations=tuple(b for b in draft.book.reservations if b.job not in started),
        evictions=tuple(preemption.evictions),
    )


def _next_ms(snapshot: Snapshot, draft: Draft) -> int:
    """Return when time alone may allow a start: an earliest one, lost patience, a reservation."""
    early: Bool = (snapshot.job_pending > 0) & (snapshot.job_not_before_ms > snapshot.now_ms)
    first = int(snapshot.job_not_before_ms[early].min()) if early.any() else NEVER
    booked = min((booking.start_ms for booking in draft.book.reservations), default=NEVER)
    soonest = min(first, draft.patient_until_ms, booked)
    return 0 if soonest == NEVER else soonest
