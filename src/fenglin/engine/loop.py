"""The control loop: one cycle at a time decides everything; nothing else does.

A cycle, in the words of the house:

1. observe   Watchers and effects have put what they learned into the inbox.
2. record    Fold it into a change and commit it, much of it in parts: tasks that ended, slots
             given back, money posted. Only then believe it.
3. snapshot  Take an immutable picture of what is now true.
4. plan      Ask the pure planner.
5. apply     Commit the plan's starts, each re-checked inside the transaction, each with its
             hold. What is refused there is simply not started. Evictions are committed as
             wishes that an attempt end.
6. act       Call the sites for what is committed. Their answers are the next cycle's news.

The loop sleeps until there is news or until time itself may allow a start. After a crash the
committed state is all there is, and all that is needed: see `recover`.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

import structlog

from fenglin.engine import applier
from fenglin.engine.breaker import Breakers
from fenglin.engine.compiling import PlannerLoop
from fenglin.engine.fold import Fold
from fenglin.engine.hearing import Hearing
from fenglin.engine.news import (
    CancelAsked,
    JobsAdded,
    Observed,
    SiteSeen,
    StartAnswered,
    StartRefused,
    StartUnclear,
    at_once,
)
from fenglin.engine.parts import to_end
from fenglin.engine.planning import LastPlan, planned
from fenglin.engine.quarantine import is_poison, only_job, smaller_change
from fenglin.errors import (
    ConflictError,
    DamageError,
    FenglinError,
    StaleEpochError,
    UnavailableError,
)
from fenglin.model.ids import attempt_key, job_id
from fenglin.model.states import AttemptState
from fenglin.planner.record import record_bytes
from fenglin.ports.crashpoint import crash_point

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.engine.effects import Effects
    from fenglin.engine.meters import Meters
    from fenglin.engine.news import News
    from fenglin.engine.pool import Pool
    from fenglin.engine.quarantine import Warden
    from fenglin.model.plan import Plan
    from fenglin.model.reason import Reason
    from fenglin.planner.policy import Policy
    from fenglin.ports.clock import Clock
    from fenglin.ports.cycles import Cycles
    from fenglin.ports.store import Change, JobRecord, StartUnit, Store
    from fenglin.snapshot.snapshot import Snapshot

# A cycle may use this part of one core at most, so that the door stays responsive.
REST_PER_WORK = 3.0
MOST_REST_S = 1.0
STORE_RETRY_S = 1.0
# A start that the store refused shows a wrong belief: plan again, but not in a hot circle.
REFUSED_REST_MS = 500
# The date may jump while the loop sleeps: it is looked at again after this long at the latest.
MOST_SLEEP_S = 30.0
# Beyond this many waiting jobs planning moves to a thread.
PLAN_INLINE_JOBS = 200
# New jobs alone, behind such a backlog, are worth this part of the time spent planning.
ARRIVALS_PER_PLAN = 20

_log = structlog.get_logger("fenglin.loop")


class Loop:
    """Runs cycles until it is told to stop or another hub has taken over."""

    def __init__(
        self,
        pool: Pool,
        store: Store,
        policy: Policy,
        clock: Clock,
        meters: Meters,
        cycles: Cycles | None = None,
        warden: Warden | None = None,
    ) -> None:
        """Take the rooms; `connect` must follow before `run`.

        Without `cycles` none is kept; without a warden what raises ends the hub.
        """
        self.pool = pool
        self.last: LastPlan | None = None
        self.alive = True
        self.problem = ""
        self._store = store
        self._policy = policy
        self._clock = clock
        self._meters = meters
        self._cycles = cycles
        self._warden = warden
        self._effects: Effects
        self._on_change: Callable[[list[JobRecord], list[JobRecord]], None]
        self._inbox: list[News] = []
        self._wake = asyncio.Event()
        self._breakers = Breakers(clock)
        self._hearing = Hearing(pool, self._breakers, meters, self.replan)
        self._compiled = PlannerLoop()
        self._plan_due = True
        self._next_ms = 0
        self._again_ms = 0
        self._arrivals_at_ms = 0
        self._balances_due = False
        pool.remember_use(policy.decay_ms, clock.now_ms())

    def connect(
        self, effects: Effects, on_change: Callable[[list[JobRecord], list[JobRecord]], None]
    ) -> None:
        """Take what answers to this loop.

        Args:
            effects: Calls the sites.
            on_change: Hears after each commit which jobs have changed, and which of them ended.
        """
        self._effects = effects
        self._on_change = on_change

    def tell(self, news: News) -> None:
        """Put news in the inbox; on the loop's thread only."""
        self._inbox.append(news)
        self._wake.set()

    def replan(self) -> None:
        """Ask for a new plan although there is no news, for a changed wish."""
        self._plan_due = True
        self._wake.set()

    def money_moved(self) -> None:
        """Look at the accounts again: an operator has entered money."""
        self._balances_due = True
        self.replan()

    async def run(self) -> None:
        """Run cycles for ever.

        Raises:
            StaleEpochError: another hub leads; this one must end.
        """
        while True:
            await self._sleep()
            started_ms = self._clock.monotonic_ms()
            try:
                await self._cycle()
            except StaleEpochError:
                self.alive = False
                raise
            except UnavailableError as error:
                self.problem = str(error)
                _log.error("store_unavailable", error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
                self._plan_due = True
                continue
            self.problem = ""
            spent_s = (self._clock.monotonic_ms() - started_ms) / 1_000
            self._meters.cycle(spent_s)
            await asyncio.sleep(min(MOST_REST_S, REST_PER_WORK * spent_s))

    async def _cycle(self) -> None:
        if self._warden is not None and self.pool.poison:
            await self._warden.found()
        left = len(self._inbox)
        while left > 0:
            left -= await self._record_soundly(left)
        if not self._plan_due:
            return
        self._plan_due = False
        self.pool.cycle += 1
        try:
            last = await self._make_plan()
        except Exception as error:
            if self._warden is None or not is_poison(error):
                raise
            await self._warden.unplannable(error, self._policy)
            self._plan_due = True
            return
        if last.plan.starts or last.plan.evictions:
            await self._apply(last)

    async def _record_soundly(self, most: int) -> int:
        """Record some news; fewer when a job in them is poison, which is set aside."""
        portion = at_once(self._inbox[:most])
        while True:
            fold = Fold(self.pool, self._clock.now_ms())
            try:
                await self._record(fold, self._inbox[:portion])
            except Exception as error:
                if self._warden is None or not is_poison(error):
                    raise
                portion = await self._warden.blame(self._inbox, portion, fold.at, error)
            else:
                return portion

    async def _record(self, fold: Fold, taken: list[News]) -> None:
        """Fold news into one change and commit it; on failure the inbox stands."""
        self._hearing.marks.clear()
        for news in taken:
            self._take(fold, news)
        change = fold.finish()
        fold.at = 0
        change.spent_ms = self.pool.spent_ms(change.now_ms)
        try:
            if change:
                await self._store.commit(change)
        except UnavailableError as error:
            self._refuse_cancels(error)
            raise
        del self._inbox[: len(taken)]
        if change.postings:
            crash_point("c12")
        for mark in self._hearing.marks:
            mark()
        self._believe(change, ())
        for news in taken:
            self._answer(news)

    def _take(self, fold: Fold, news: News) -> None:
        match news:
            case Observed():
                for number, seen in news.observations:
                    self._hearing.observed(fold, number, seen, news.at_ms)
            case StartAnswered():
                fold.start_answered(news.allocation)
            case StartRefused():
                self._hearing.refused(fold, news)
            case StartUnclear():
                fold.start_unclear(news.allocation)
            case SiteSeen():
                self._hearing.site_seen(news, self._clock.now_ms())
            case CancelAsked():
                fold.cancel(news.job, news.actor, news.act, news.tasks)
                self._plan_due = True
            case JobsAdded():
                self._arrived()
                fold.added(news.jobs)

    def _arrived(self) -> None:
        """Plan for new jobs at once, unless a backlog waits: behind it most would only queue."""
        if (
            self.pool.pending_rows() <= PLAN_INLINE_JOBS
            or self._clock.monotonic_ms() >= self._arrivals_at_ms
        ):
            self._plan_due = True
        else:
            self._again_ms = self._arrivals_at_ms

    def _answer(self, news: News) -> None:
        """Tell those who wait for their news to be durable."""
        if isinstance(news, Observed):
            news.taken.set()
        elif isinstance(news, CancelAsked) and not news.done.done():
            crash_point("c7")
            news.done.set_result(None)

    def _refuse_cancels(self, error: FenglinError) -> None:
        """Tell those who asked for a cancel that it is not durable; they ask again."""
        for news in [n for n in self._inbox if isinstance(n, CancelAsked)]:
            self._inbox.remove(news)
            if not news.done.done():
                news.done.set_exception(error)

    async def _make_plan(self) -> LastPlan:
        if self._balances_due:
            # An account without money has no entry in the ledger, yet it is known.
            self.pool.balances = {**self.pool.balances, **await self._store.balances()}
            self._balances_due = False
        for site, status in self.pool.sites.items():
            status.resting = self._breakers.problem(site)
        started_ms = self._clock.monotonic_ms()
        picture = self.pool.picture(self._clock.now_ms())
        waiting = self.pool.pending_rows()
        loop = self._compiled.get(waiting)
        if waiting > PLAN_INLINE_JOBS:
            snapshot = await asyncio.to_thread(picture)
            last = await asyncio.to_thread(planned, snapshot, self._policy, loop)
        else:
            last = planned(picture(), self._policy, None)
        ended_ms = self._clock.monotonic_ms()
        self._arrivals_at_ms = ended_ms + ARRIVALS_PER_PLAN * (ended_ms - started_ms)
        self.last, made = last, last.plan
        self.pool.foresight.promised(made)
        self.pool.promised(made, self._policy)
        self._keep(last.snapshot, made)
        self._next_ms = made.next_ms
        return last

    def _keep(self, snapshot: Snapshot, made: Plan) -> None:
        """Keep the cycle, to be planned again when somebody asks why."""
        if self._cycles is None:
            return
        kept = self._cycles.keep(
            snapshot.index,
            snapshot.now_ms,
            starts=len(made.starts),
            waiting=sum(reason is not None for reason in made.reasons),
            record=partial(record_bytes, snapshot, self._policy, made),
        )
        if not kept:
            self._meters.cycle_not_kept()

    async def _apply(self, last: LastPlan) -> None:
        """Commit what the plan starts and stops, then call the sites for it."""
        crash_point("c2")
        commitments = partial(
            applier.commitments, self.pool, last.snapshot, self._policy,
            now_ms=self._clock.now_ms(), receipts=last.receipts,
        )  # fmt: skip
        try:
            change = commitments(self.pool.brakes.paced(last.plan))
        except Exception as error:
            if self._warden is None:
                raise
            await self._warden.unstartable(error, last.plan, commitments)
            self._plan_due = True
            return
        for part in applier.portions(change):
            await self._commit(part)

    async def _commit(self, change: Change) -> None:
        """Commit starts and stops, part by part when one of them is poison."""
        change.spent_ms = self.pool.spent_ms(change.now_ms)
        try:
            refused = await self._store.commit(change)
        except (ConflictError, DamageError) as error:
            if self._warden is None:
                raise
            for part in smaller_change(change):
                await self._commit(part)
            if len(change.starts) + len(change.allocations) == 1:
                await self._warden.set_aside(only_job(change), "start", error)
                self._plan_due = True
            return
        crash_point("c3")
        out = {id(unit): reason for unit, reason in refused}
        self._report_refused(refused)
        self._believe(change, [unit for unit, _ in refused])
        for unit in change.starts:
            if id(unit) not in out:
                error_ms = self.pool.foresight.started(unit.job.number, change.now_ms)
                if error_ms is not None:
                    self._meters.promise(error_ms)
                self._effects.start(unit.allocation, unit.job)
                self._meters.started(unit.allocation.site, len(unit.allocation.tasks))

    def _report_refused(self, refused: list[tuple[StartUnit, Reason]]) -> None:
        for unit, reason in refused:
            _log.warning("start_refused", job=job_id(unit.job.number), reason=reason)
            self._again_ms = self._clock.monotonic_ms() + REFUSED_REST_MS

    def _believe(self, change: Change, refused: list[StartUnit] | tuple[()]) -> None:
        """Adopt a committed change and let the outside follow it.

        Nothing here waits or fails: what is committed must reach the sites.
        """
        ended = self.pool.adopt(change, refused)
        self.pool.brakes.ended(ended)
        if change.postings or change.starts:
            self._balances_due = True
        for record in change.allocations:
            key = attempt_key(self.pool.hub, record.number, record.attempt)
            if record.state is AttemptState.ENDED:
                self._breakers.present(record.number)
                self._effects.forget(record.site, key, record.number)
                self._meters.ended(record.site, record.usage)
                self.pool.finished_tasks += record.usage.tasks
            elif record.state is AttemptState.STOPPING:
                self._effects.stop(record)
            elif record.state is AttemptState.INTENT:
                self._effects.start(record, self.pool.jobs[record.job])
            elif unwanted := to_end(self.pool, record):
                self._effects.stop_tasks(record, unwanted)
        if change.allocations or change.jobs:
            crash_point("c6")
        changed = list(change.jobs)
        if change.starts:
            out = {id(unit) for unit in refused}
            changed += [unit.job for unit in change.starts if id(unit) not in out]
        if change.allocations or changed:
            self._on_change(changed, ended)

    async def _sleep(self) -> None:
        """Sleep until there is news, a wish to plan, or time alone may allow a start."""
        if self._warden is not None and self.pool.poison:
            # Found while the last cycle was believed: whoever asks is told now, not at the next.
            return
        while not self._inbox and not self._plan_due:
            self._wake.clear()
            left_ms = self._due_in_ms()
            if left_ms is not None and left_ms <= 0:
                self._plan_due = True
                self._again_ms = self._next_ms = 0
                return
            wait_s = MOST_SLEEP_S if left_ms is None else min(MOST_SLEEP_S, left_ms / 1_000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    def _due_in_ms(self) -> int | None:
        """Return in how many ms a plan may find something new by itself; None for never."""
        due = self._breakers.due_in_ms() + self.pool.brakes.due_in_ms()
        if self._next_ms:
            due.append(self._next_ms - self._clock.now_ms())
        if self._again_ms:
            due.append(self._again_ms - self._clock.monotonic_ms())
        return min(due, default=None)
