"""Receipts of the newest plan, made when somebody asks, each once per plan.

With a long queue one takes some ten milliseconds, so it is worked out beside the event loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import structs

from fenglin.model.plan import Receipt
from fenglin.model.reason import Reason
from fenglin.planner import Explainer, explain, plan
from fenglin.planner.record import record_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.engine.loop import Loop
    from fenglin.engine.planning import LastPlan
    from fenglin.planner.policy import Policy
    from fenglin.ports.clock import Clock
    from fenglin.snapshot.builder import JobRow
    from fenglin.snapshot.snapshot import Snapshot
    from fenglin.wire.views import JobView

# With fewer jobs in the plan a receipt takes less than changing threads.
INLINE_JOBS = 200
# What lets a job go that the planner is not shown.
_LETS_GO = {
    Reason.SECRET_KEY_MISSING: (
        "an operator puts the key back into the hub's key file, or the secret is set again"
    ),
    Reason.USER_BRAKED: (
        "a job of this user succeeds, some time passes, or an operator lets the user go"
    ),
}


@dataclass(slots=True)
class _Asked:
    """What was asked of one plan."""

    last: LastPlan
    made: dict[int, Receipt] = field(default_factory=dict)
    # An explainer learns as it goes: one thread at a time.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    explainer: Explainer | None = None

    def make(self, number: int, policy: Policy) -> Receipt:
        """Work one receipt out."""
        if self.explainer is None:
            self.explainer = Explainer(self.last.snapshot, policy, self.last.plan)
        return self.explainer.receipt(number)


class Receipts:
    """Answers why a plan placed jobs as it did, or why they wait."""

    def __init__(self, loop: Loop, policy: Policy, clock: Clock) -> None:
        """Take whose plans they are of, with which policy these are made, and the clock."""
        self._loop = loop
        self._policy = policy
        self._clock = clock
        self._asked: _Asked | None = None

    async def of(self, number: int) -> Receipt | None:
        """Return a job's receipt in the newest plan; None when that does not know the job."""
        last = self._loop.last
        if last is None:
            return None
        asked = self._asked
        if asked is None or asked.last is not last:
            asked = self._asked = _Asked(last)
        if number not in last.jobs:
            return None
        if number not in asked.made and len(last.jobs) <= INLINE_JOBS:
            asked.made[number] = asked.make(number, self._policy)
        elif number not in asked.made:
            async with asked.lock:
                if number not in asked.made:
                    asked.made[number] = await asyncio.to_thread(asked.make, number, self._policy)
        return asked.made[number]

    async def early(self, number: int) -> Receipt | None:
        """Return what the next plan will say of a job that is too new for the last one."""
        pool = self._loop.pool
        row = pool.row_of(number)
        if row is None:
            return None
        held = pool.held_back(number)
        if held is not None:
            return held_back(row, pool.cycle, self._policy, *held)
        picture = pool.picture(self._clock.now_ms())
        return await asyncio.to_thread(_early, picture, self._policy, number)

    async def with_outlook(self, view: JobView, number: int) -> JobView:
        """Say why tasks wait and when the whole job should be done."""
        receipt = await self.of(number) if view.tasks.pending else None
        if receipt is None:
            return view
        return structs.replace(
            view,
            reason=view.reason or receipt.reason or "",
            expected_finish_ms=max(view.expected_finish_ms, receipt.finish_ms),
        )

    async def record_of_now(self) -> bytes:
        """Return the record of a plan that is made for a look only."""
        picture = self._loop.pool.picture(self._clock.now_ms())
        return await asyncio.to_thread(_record_of, picture, self._policy)


def held_back(row: JobRow, index: int, policy: Policy, reason: Reason, why: str) -> Receipt:
    """Return the receipt of a job that the planner is not shown.

    Args:
        row: Of the job.
        index: Of the newest cycle.
        policy: Of the plans.
        reason: Why it is held back.
        why: The same in words.
    """
    return Receipt(
        row.number,
        index,
        policy.name,
        0,
        row.pending + row.blocked,
        reason,
        change=f"{why}: {_LETS_GO[reason]}",
    )


def _early(picture: Callable[[], Snapshot], policy: Policy, number: int) -> Receipt:
    snapshot = picture()
    return explain(snapshot, policy, plan(snapshot, policy), number)


def _record_of(picture: Callable[[], Snapshot], policy: Policy) -> bytes:
    snapshot = picture()
    return record_bytes(snapshot, policy, plan(snapshot, policy))
