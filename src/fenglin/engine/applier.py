"""The plan into commitments: each start with its hold, its receipt and its line in the story.

An eviction is committed as the wish that the attempt end, before its site is asked: a hub that
dies in between asks again after its restart, as for a cancelled job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fenglin.engine.dependencies import eligible
from fenglin.ledger.posting import hold
from fenglin.lifecycle.moves import check_attempt_move, check_job_move
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key, job_id
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.planner import Explainer
from fenglin.ports.store import AllocationRecord, Change, Event, JobRecord, StartUnit
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fenglin.engine.pool import Pool
    from fenglin.model.plan import Eviction, Plan, Receipt, Start
    from fenglin.model.site import Flavor, Price
    from fenglin.planner.policy import Policy
    from fenglin.snapshot.snapshot import Snapshot


# A receipt on a large pool takes some ten milliseconds: a mass start must not wait for all.
MOST_RECEIPTS = 32
# Whoever submits waits for the commit that is under way.
MOST_STARTS = 100


def commitments(
    pool: Pool,
    snapshot: Snapshot,
    policy: Policy,
    plan: Plan,
    now_ms: int,
    *,
    receipts: Mapping[int, Receipt] | None = None,
) -> Change:
    """Return the change that commits the plan, re-checked against the pool as it is.

    An eviction or a start that no longer holds (a job ended or is being cancelled, its tasks
    are gone) is left out; whatever slips through here is refused by the store's own checks.
    Receipts are stored with the starts; without any given they are made here.
    """
    receipts = receipts_of(snapshot, policy, plan) if receipts is None else receipts
    change = Change(epoch=pool.epoch, now_ms=now_ms)
    for eviction in plan.evictions:
        _evict(pool, eviction, change)
    # A price may change while a plan is made: what it was planned and held by is what holds.
    sites = {site.name: site for site in snapshot.sites}
    jobs: dict[int, JobRecord] = {}
    explained: set[int] = set()
    for start in plan.starts:
        job = jobs.get(start.job) or pool.jobs.get(start.job)
        if job is None or job.cancelling or job.state.terminal:
            continue
        tasks = eligible(job, pool.parent).first(start.tasks)
        if not tasks or start.site not in pool.sites:
            continue
        flavor = sites[start.site].flavor(start.flavor)
        price = flavor.price_for(_tariff(snapshot, start.job))
        record = _allocation(pool, job, start, flavor, price, now_ms)
        record.tasks = tasks
        job = jobs[start.job] = _started(job, record)
        key = attempt_key(pool.hub, record.number, record.attempt)
        receipt = None if start.job in explained else receipts.get(start.job)
        explained.add(start.job)
        change.starts.append(
            StartUnit(
                job=job,
                allocation=record,
                hold=hold(
                    job.spec.account,
                    record.held_micro,
                    key,
                    job=job.number,
                    commodity=record.price.currency,
                    details=(("site", record.site), ("flavor", record.flavor)),
                ),
                receipt=receipt,
                event=Event(
                    job.number,
                    "committed",
                    f"a{record.number}: {len(tasks)} tasks ({tasks}) to"
                    f" {record.site}/{record.flavor}, {record.slots} at once, hold"
                    f" {format_money(record.held_micro, record.price.currency)},"
                    f" plan {plan.index}",
                ),
            )
        )
    return change


def receipts_of(snapshot: Snapshot, policy: Policy, plan: Plan) -> dict[int, Receipt]:
    """Return the receipts of the first jobs that start, by number.

    Those of a mass start can be worked out from the kept cycle.
    """
    jobs = list(dict.fromkeys(start.job for start in plan.starts))[:MOST_RECEIPTS]
    explainer = Explainer(snapshot, policy, plan) if jobs else None
    return {job: explainer.receipt(job) for job in jobs} if explainer else {}


def portions(change: Change) -> Iterator[Change]:
    """Yield a plan's commitments in parts, stops first, so that submits can come in between."""
    for at in range(0, max(1, len(change.starts)), MOST_STARTS):
        part = change.starts[at : at + MOST_STARTS]
        yield (
            replace(change, starts=part)
            if not at
            else Change(change.epoch, change.now_ms, starts=part)
        )


def _evict(pool: Pool, eviction: Eviction, change: Change) -> None:
    """Wish an attempt's end for another job's sake, if both are still as the plan saw them."""
    record = pool.allocations.get(eviction.allocation)
    served = pool.jobs.get(eviction.for_job)
    if record is None or record.state is AttemptState.STOPPING:
        return
    if served is None or served.cancelling or not served.pending:
        return
    if not pool.jobs[record.job].spec.preemptible:
        return
    check_attempt_move(record.state, AttemptState.STOPPING)
    change.allocations.append(replace(record, state=AttemptState.STOPPING, reason=Reason.PREEMPTED))
    label, for_job = f"a{record.number} at {record.site}", job_id(served.number)
    left = len(record.remaining)
    change.events += [
        Event(
            record.job, "preempted", f"{label}: preempted for {for_job}, {left} tasks wait again"
        ),
        Event(served.number, "making_room", f"{label} is stopped to make room"),
    ]


def _tariff(snapshot: Snapshot, job: int) -> str:
    """Return by which tariff a job was planned: its own, or that of its account's hours."""
    row = int(snapshot.job_number.searchsorted(job))
    return snapshot.shapes[int(snapshot.job_shape[row])].tariff


def _allocation(
    pool: Pool, job: JobRecord, start: Start, flavor: Flavor, price: Price, now_ms: int
) -> AllocationRecord:
    number = pool.next_allocation
    # Numbers of refused starts are never used again.
    pool.next_allocation += 1
    return AllocationRecord(
        number=number,
        job=job.number,
        site=start.site,
        flavor=start.flavor,
        shares=start.shares,
        resources=job.spec.resources,
        nodes=job.spec.nodes,
        tasks=job.pending,
        price=price,
        speed_milli=flavor.speed_milli,
        created_ms=now_ms,
        finish_ms=start.finish_ms,
        held_micro=start.hold_micro,
        usage=Usage(),
    )


def _started(job: JobRecord, record: AllocationRecord) -> JobRecord:
    """Return the job with these tasks running, one version on."""
    check_job_move(job.state, JobState.RUNNING)
    return replace(
        job,
        version=job.version + 1,
        state=JobState.RUNNING,
        pending=job.pending - record.tasks,
        reason=None,
        detail="",
    )
