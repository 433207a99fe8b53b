"""Planning a kept cycle again: the plan must come out the same, byte for byte."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fenglin.intake.policies import load_term
from fenglin.model.ids import parse_job_id
from fenglin.planner.planning import plan
from fenglin.planner.policy import equip
from fenglin.planner.receipt import Explainer
from fenglin.planner.record import CycleRecord, plan_bytes, read_record
from fenglin.planner.relax import bounds
from fenglin.planner.terms import BUILT_IN

if TYPE_CHECKING:
    from fenglin.model.plan import Plan, Receipt
    from fenglin.planner.policy import Policy


@dataclass(frozen=True, slots=True)
class Replayed:
    """A cycle that was planned again.

    Attributes:
        record: As it was kept.
        plan: As it came out now.
        same: Whether the two are the same, byte for byte.
        seconds: How long planning took.
    """

    record: CycleRecord
    plan: Plan
    same: bool
    seconds: float


def replay(data: bytes) -> Replayed:
    """Plan a kept cycle, as `planner.record` wrote it, again.

    Raises:
        DamageError: the bytes are no such record.
        InputError: the policy weighs a term that is not installed.
    """
    record = read_record(data)
    policy = equipped(record.policy)
    begun_s = time.perf_counter()
    made = plan(record.snapshot, policy)
    seconds = time.perf_counter() - begun_s
    return Replayed(record, made, plan_bytes(made) == plan_bytes(record.plan), seconds)


def receipt_of(data: bytes, job: str) -> Receipt:
    """Return why a kept cycle placed a job as it did, or why it waited.

    Raises:
        DamageError: the bytes are no such record.
        InputError: the job's id cannot be read, or a term is not installed.
        NotFoundError: the job had no waiting tasks then.
    """
    record = read_record(data)
    explainer = Explainer(record.snapshot, equipped(record.policy), record.plan)
    return explainer.receipt(parse_job_id(job))


def equipped(policy: Policy) -> Policy:
    """Return a policy read from data with the terms of installed packages that it weighs.

    Raises:
        InputError: a term is not installed.
    """
    foreign = [name for name, _ in policy.weights if name not in BUILT_IN]
    return equip(policy, {name: load_term(name) for name in foreign}) if foreign else policy


def figures_of(data: bytes, *, linear: bool = False) -> dict[str, Any]:
    """Return what a kept cycle was about, by name.

    Args:
        data: As `planner.record` wrote it.
        linear: Whether the bound by linear programming is worked out too.

    Raises:
        DamageError: the bytes are no such record.
        UnavailableError: HiGHS is wanted and not installed.
    """
    record = read_record(data)
    snapshot, made = record.snapshot, record.plan
    bound = made.bound_slots
    if linear:
        bound = bounds(snapshot, equipped(record.policy)).slots
    return {
        "index": made.index,
        "now_ms": snapshot.now_ms,
        "policy": made.policy,
        "sites": len(snapshot.sites),
        "nodes": len(snapshot.node_names),
        "jobs": len(snapshot.job_number),
        "pending_tasks": int(snapshot.job_pending.sum()),
        "live_slots": int(snapshot.share_slots.sum()),
        "started_jobs": len({start.job for start in made.starts}),
        "started_tasks": sum(start.tasks for start in made.starts),
        "filled_slots": made.filled_slots,
        "bound_slots": bound,
        "gap": 1 - made.filled_slots / bound if bound else 0.0,
        "reservations": len(made.reservations),
        "evictions": len(made.evictions),
        "waiting": waiting_by_reason(made),
    }


def waiting_by_reason(made: Plan) -> dict[str, int]:
    """Return how many jobs of a plan wait for each reason, by its name."""
    count: dict[str, int] = {}
    for reason in made.reasons:
        if reason is not None:
            count[str(reason)] = count.get(str(reason), 0) + 1
    return dict(sorted(count.items()))
