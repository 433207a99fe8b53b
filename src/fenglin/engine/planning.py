"""A plan and what is told of its starts, both made on whatever thread is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fenglin.engine.applier import receipts_of
from fenglin.planner import plan

if TYPE_CHECKING:
    from fenglin.model.plan import Plan, Receipt
    from fenglin.planner.backfill.twins import Kernel
    from fenglin.planner.policy import Policy
    from fenglin.snapshot.snapshot import Snapshot


@dataclass(slots=True)
class LastPlan:
    """What the newest plan was made from, kept to explain it.

    Attributes:
        snapshot: What it was made from.
        plan: What came of it.
        receipts: Of the first jobs that start, by number.
        jobs: All that waited.
    """

    snapshot: Snapshot
    plan: Plan
    receipts: dict[int, Receipt]
    jobs: frozenset[int]


def planned(snapshot: Snapshot, policy: Policy, loop: Kernel | None) -> LastPlan:
    """Plan, and write the receipts of what starts: with a long queue both take their time."""
    made = plan(snapshot, policy, loop=loop)
    return LastPlan(snapshot, made, receipts_of(snapshot, policy, made), frozenset(made.order))
