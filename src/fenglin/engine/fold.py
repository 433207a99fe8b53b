"""News into a change: what observations, answers and wishes mean for jobs, slots and money.

Nothing here does IO. A `Fold` works on copies of the pool's records and collects one `Change`
that the store writes in one transaction; the pool itself is untouched until that commit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from fenglin.catalog.prices import billed_ms, rate_usage
from fenglin.engine.books.metering_energy import energy_at_settlement
from fenglin.engine.dependencies import doomed
from fenglin.engine.parts import can_end, refusal
from fenglin.ledger.metering.energy_note import energy_details
from fenglin.ledger.posting import Charge, Hold, Terms, post, void
from fenglin.lifecycle.moves import check_attempt_move, check_job_move
from fenglin.lifecycle.verdict import Verdict, backoff_ms, job_state, judge
from fenglin.model.allocation import Share, TaskEnd, Usage
from fenglin.model.hours import is_hours
from fenglin.model.ids import attempt_key
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.driver import Observation, Presence
from fenglin.ports.store import AllocationRecord, Change, Event, JobRecord
from fenglin.quantities.durations import MAX_DURATION_MS
from fenglin.quantities.money import format_money
from fenglin.quantities.sizes import MAX_BYTES
from fenglin.quantities.taskset import EMPTY, TaskSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.engine.pool import Pool
    from fenglin.ports.acting import Act

# Ends reported one by one in a job's story; beyond that only their number is told.
MOST_ENDS_TOLD = 5
# A site's clock may be ahead of ours; beyond this it tells no time at all.
MOST_AHEAD_MS = 86_400_000
# Why an attempt never left the hub: no fault of its site.
UNSTAGED = frozenset({Reason.STAGING_FAILED, Reason.SECRET_UNAVAILABLE})


class Fold:
    """Collects one change from the news of one cycle."""

    def __init__(self, pool: Pool, now_ms: int) -> None:
        """Start with no news."""
        self._pool = pool
        self._now_ms = now_ms
        self._jobs: dict[int, JobRecord] = {}
        self._allocations: dict[int, AllocationRecord] = {}
        self.change = Change(epoch=pool.epoch, now_ms=now_ms)
        # The job that is being handled: to be set aside if that raises.
        self.at = 0

    def finish(self) -> Change:
        """Return the change, each touched job judged as a whole."""
        for number in sorted(self._jobs):
            self.at = number
            self._judge_job(self._jobs[number])
        # A parent's end dooms or frees its children, which may be parents themselves.
        self._settle_children()
        self.change.jobs = [self._jobs[number] for number in sorted(self._jobs)]
        self.change.allocations = [
            self._allocations[number] for number in sorted(self._allocations)
        ]
        return self.change

    def observed(self, news: Observation, allocation: int) -> None:
        """Take in what a site says of one attempt."""
        record = self._allocation(allocation)
        if record is None:
            return
        job = self._job(record.job)
        for end in news.ends:
            self._task_ended(job, record, end)
        # A site that cannot tell has no cursor to give.
        record.cursor = news.cursor or record.cursor
        if news.first_start_ms and not record.started_ms:
            record.started_ms = _moment_ms(news.first_start_ms, self._now_ms)
            job.started_ms = job.started_ms or record.started_ms
        if news.presence is Presence.ENDED:
            self._attempt_ended(job, record, news.reason)
        elif news.presence is Presence.RUNNING:
            if record.state in (AttemptState.INTENT, AttemptState.UNKNOWN):
                self._move(record, AttemptState.RUNNING)
            self._shrink(record)

    def start_answered(self, allocation: int) -> None:
        """Take in that a site has accepted an attempt."""
        record = self._allocation(allocation)
        if record is not None and record.state in (AttemptState.INTENT, AttemptState.UNKNOWN):
            self._move(record, AttemptState.RUNNING)

    def start_unclear(self, allocation: int) -> None:
        """Take in that a start may or may not have happened: its key must be looked up."""
        record = self._allocation(allocation)
        if record is not None and record.state is AttemptState.INTENT:
            self._move(record, AttemptState.UNKNOWN)

    def never_seen(self, allocation: int) -> None:
        """Take in that a site knows nothing of an attempt that it has accepted."""
        record = self._allocation(allocation)
        if record is not None and record.state is AttemptState.RUNNING and not record.cursor:
            self._move(record, AttemptState.UNKNOWN)

    def not_there(self, allocation: int) -> None:
        """Take in that a complete listing does not hold an attempt whose start was unclear."""
        record = self._allocation(allocation)
        if record is not None and record.state is AttemptState.UNKNOWN:
            self._move(record, AttemptState.INTENT)

    def attempt_lost(self, allocation: int, reason: Reason, why: str) -> None:
        """End an attempt that a site refused or has lost; its open tasks wait again."""
        record = self._allocation(allocation)
        if record is not None:
            job = self._job(record.job)
            self._tell(job, "attempt_lost", f"a{record.number} at {record.site}: {why}")
            if reason in UNSTAGED and not job.cancelling:
                self._unstaged(job, record, reason, why)
            self._attempt_ended(job, record, reason)

    def cancel(
        self, number: int, actor: str, act: Act | None = None, tasks: TaskSet | None = None
    ) -> None:
        """Take in the user's wish that a job end, or some of its tasks."""
        if number not in self._pool.jobs:
            return
        job = self._job(number)
        if job.cancelling:
            return
        if tasks is not None:
            self._cancel_tasks(job, tasks, actor)
            if act is not None:
                self.change.acts.append(act)
            return
        job.cancelling = True
        job.cancelled |= job.pending
        job.pending = TaskSet()
        self._tell(job, "cancel_asked", "cancel was asked for", actor)
        if act is not None:
            self.change.acts.append(act)
        for live in self._pool.live(number):
            record = self._allocation(live.number)
            if record is not None and record.reason is Reason.PREEMPTED:
                # Now it is the user's wish, and what was done is paid for.
                record.reason = None
            if record is not None and record.state is not AttemptState.STOPPING:
                self._move(record, AttemptState.STOPPING)

    def _cancel_tasks(self, job: JobRecord, tasks: TaskSet, actor: str) -> None:
        """Cancel what waits at once; what runs is noted until its site says that it has ended."""
        waiting = job.pending & tasks
        job.pending -= waiting
        job.cancelled |= waiting
        running, kept = EMPTY, EMPTY
        sites: set[str] = set()
        for live in self._pool.live(job.number):
            record = self._allocation(live.number)
            wanted = EMPTY if record is None else (record.remaining & tasks) - job.unwanted
            if record is None or not wanted:
                continue
            if not can_end(self._pool, record, job.unwanted | wanted):
                kept |= wanted
                sites.add(record.site)
                continue
            running |= wanted
            job.unwanted |= wanted
            if not record.remaining - job.unwanted and record.state is not AttemptState.STOPPING:
                self._move(record, AttemptState.STOPPING)
        if waiting or running:
            what = f"cancel was asked for tasks {waiting | running}"
            told = f"{what}: {len(waiting)} waited, {len(running)} run"
            self._tell(job, "cancel_asked", told, actor)
        if kept:
            self._tell(job, "cancel_refused", refusal(kept, sorted(sites)), actor)

    def added(self, jobs: Sequence[JobRecord]) -> None:
        """Take in new jobs, whose parents may have ended before they came."""
        for job in jobs:
            if job.spec.after and job.number in self._pool.jobs:
                self._doom(job.number)

    def _task_ended(self, job: JobRecord, record: AllocationRecord, end: TaskEnd) -> None:
        if end.index not in record.remaining:
            return
        one = TaskSet.span(end.index, end.index + 1)
        alone = end.index in job.unwanted
        unwanted = job.cancelling or alone
        job.unwanted -= one
        preempted = record.reason is Reason.PREEMPTED and not unwanted
        if preempted and end.reason is Reason.CANCELLED:
            # Interrupted: it waits again when the attempt has ended. No try of its own has
            # failed, and nobody pays for work that was taken away.
            return
        end = _sane(end)
        if alone and end.reason is Reason.CANCELLED and not end.wall_ms:
            # It never began, so there is nothing to pay for, not even a least charge.
            record.failed |= one
            job.cancelled |= one
            return
        tries = job.tries.get(end.index, 0)
        verdict = judge(end, job.spec.retries, tries, cancelling=unwanted)
        record.usage += Usage(
            tasks=1,
            wall_ms=end.wall_ms,
            billed_ms=billed_ms(record.price, end.wall_ms),
            cpu_ms=end.cpu_ms,
            peak_memory_bytes=end.peak_memory_bytes,
        )
        if verdict is Verdict.SUCCEEDED:
            record.succeeded |= one
            job.succeeded |= one
            job.learned_tasks += 1
            # Never 0, which would say that nothing is known.
            job.learned_ms += max(1, end.wall_ms * record.speed_milli // 1_000)
            return
        record.failed |= one
        if verdict is Verdict.CANCELLED:
            job.cancelled |= one
            return
        tries += 1
        job.tries = {**job.tries, end.index: tries}
        reason = end.reason or Reason.EXIT_CODE
        self.change.tries.append((job.number, end.index, tries, reason, end.exit_code))
        if verdict is Verdict.AGAIN:
            job.pending |= one
            job.retry_at_ms = max(job.retry_at_ms, self._now_ms + backoff_ms(end, tries))
            outcome = f"try {tries} failed, will be tried again"
        else:
            job.failed |= one
            outcome = "failed for good"
            job.reason, job.detail = reason, f"task {end.index}: {_how(end)}"
        told = sum(e.job == job.number and e.kind == "task_failed" for e in self.change.events)
        if told < MOST_ENDS_TOLD:
            self._tell(
                job, "task_failed", f"task {end.index} at {record.site}: {_how(end)}; {outcome}"
            )

    def _unstaged(self, job: JobRecord, record: AllocationRecord, reason: Reason, why: str) -> None:
        """Count a try when inputs or secrets are not to be had; fail the tasks after the last one.

        The first task stands for all: they are the job's. Nothing ran, so nothing is billed.
        """
        left = record.remaining - job.unwanted
        if not left:
            return
        end = TaskEnd(next(iter(left)), self._now_ms, 0, 0, reason)
        tries = job.tries.get(end.index, 0)
        verdict = judge(end, job.spec.retries, tries, cancelling=False)
        job.tries = {**job.tries, end.index: tries + 1}
        self.change.tries.append((job.number, end.index, tries + 1, reason, 0))
        if verdict is Verdict.AGAIN:
            job.retry_at_ms = max(job.retry_at_ms, self._now_ms + backoff_ms(end, tries + 1))
        else:
            record.failed |= left
            job.failed |= left
            job.reason, job.detail = reason, why

    def _attempt_ended(
        self, job: JobRecord, record: AllocationRecord, reason: Reason | None
    ) -> None:
        left = record.remaining
        if left:
            unwanted = left if job.cancelling else left & job.unwanted
            job.cancelled |= unwanted
            job.pending |= left - unwanted
            job.unwanted -= unwanted
        self._move(record, AttemptState.ENDED)
        record.ended_ms = self._now_ms
        # An eviction was noted as the reason when it was decided.
        record.reason = record.reason or reason
        if record.reason is Reason.PREEMPTED and left and not job.cancelling:
            job.reason, job.detail = record.reason, f"a{record.number} was stopped for another job"
        self._release(record, record.shares)
        record.shares = ()
        self._settle(job, record)
        self._tell(
            job,
            "allocation_ended",
            f"a{record.number} at {record.site}: {len(record.succeeded)} succeeded,"
            f" {len(record.failed)} did not, {len(left)} not run,"
            f" cost {format_money(record.cost_micro, record.price.currency)}",
        )

    def _settle(self, job: JobRecord, record: AllocationRecord) -> None:
        """Post what was used, give the rest of the hold back, and close the usage record."""
        key = attempt_key(self._pool.hub, record.number, record.attempt)
        hold = Hold(key, job.spec.account, record.price.currency, record.held_micro, record.job)
        self.change.usage.append((key, replace(record)))
        if record.usage.tasks == 0:
            self.change.postings.append(void(hold))
            return
        lines = rate_usage(record.price, record.resources.times(record.nodes), record.usage)
        charges = [
            Charge(line.item, line.quantity, line.per, line.price_micro, line.amount_micro)
            for line in lines
        ]
        record.cost_micro = sum(line.amount_micro for line in charges)
        if not is_hours(record.price.currency):
            job.cost_micro += record.cost_micro
        status = self._pool.sites.get(record.site)
        provider = status.site.provider if status else record.site
        terms = Terms(record.site, record.flavor, record.price.name)
        energy = energy_details(energy_at_settlement(status.site if status else None, record))
        self.change.postings.append(post(hold, provider, charges, terms=terms, details=energy))

    def _shrink(self, record: AllocationRecord) -> None:
        """Give back slots for which no task is left.

        Not where tasks sit on cards: which card the last task runs on is not known here, so an
        allocation's cards come back together.
        """
        spare = record.slots - max(1, len(record.remaining))
        on_cards = any(share.cards for share in record.shares)
        if record.nodes > 1 or on_cards or spare <= 0:
            return
        kept: list[Share] = []
        for share in reversed(record.shares):
            cut = min(spare, share.slots)
            spare -= cut
            if cut:
                self._release(record, (Share(share.node, cut),))
            if share.slots > cut:
                kept.append(Share(share.node, share.slots - cut))
        record.shares = tuple(reversed(kept))

    def _release(self, record: AllocationRecord, shares: tuple[Share, ...]) -> None:
        for share in shares:
            amounts = record.resources.times(share.slots)
            self.change.released.append((record.site, share.node, amounts))

    def _settle_children(self) -> None:
        """Cancel tasks that wait for what can no longer happen, through all generations."""
        frontier = sorted(self._jobs)
        while frontier:
            children = sorted({c for n in frontier for c in self._pool.children.get(n, ())})
            frontier = [c for c in children if c in self._pool.jobs and self._doom(c)]

    def _doom(self, child: int) -> bool:
        """Cancel a child's doomed tasks; return whether there were any."""
        self.at = child
        lost = doomed(self._jobs.get(child) or self._pool.jobs[child], self._parent)
        if not lost:
            return False
        job = self._job(child)
        job.pending -= lost
        job.cancelled |= lost
        job.reason = Reason.DEPENDENCY_FAILED
        job.detail = "a job that it waits for did not end as asked"
        self._tell(job, "dependency_failed", f"{len(lost)} tasks cannot start any more")
        self._judge_job(job)
        return True

    def _judge_job(self, job: JobRecord) -> None:
        live = sum(
            self._allocations.get(record.number, record).state is not AttemptState.ENDED
            for record in self._pool.live(job.number)
        )
        state = job_state(
            pending=job.pending,
            succeeded=job.succeeded,
            failed=job.failed,
            cancelled=job.cancelled,
            live=live,
            cancelling=job.cancelling,
        )
        if state is job.state:
            return
        check_job_move(job.state, state)
        job.state = state
        if state.terminal:
            job.ended_ms = self._now_ms
            if state is JobState.SUCCEEDED:
                job.reason, job.detail = None, ""
            elif state is JobState.CANCELLED and job.reason in (None, Reason.PREEMPTED):
                job.reason = Reason.CANCELLED
            self._tell(job, state, f"the job {state}")

    def _move(self, record: AllocationRecord, state: AttemptState) -> None:
        check_attempt_move(record.state, state)
        record.state = state

    def _tell(self, job: JobRecord, kind: str, text: str, actor: str = "") -> None:
        self.change.events.append(Event(job.number, kind, text, actor))

    def _parent(self, number: int) -> JobRecord | None:
        return self._jobs.get(number) or self._pool.parent(number)

    def _job(self, number: int) -> JobRecord:
        """Return this fold's copy of a job, one version on."""
        self.at = number
        if number not in self._jobs:
            job = self._pool.jobs[number]
            self._jobs[number] = replace(job, version=job.version + 1)
        return self._jobs[number]

    def _allocation(self, number: int) -> AllocationRecord | None:
        """Return this fold's copy of a live allocation; None when it has ended."""
        if number not in self._allocations:
            if number not in self._pool.allocations:
                return None
            self._allocations[number] = replace(self._pool.allocations[number])
        record = self._allocations[number]
        self.at = record.job
        return None if record.state is AttemptState.ENDED else record


def _sane(end: TaskEnd) -> TaskEnd:
    """Return the end with figures that can be billed and stored, whatever a site has said."""
    return structs.replace(
        end,
        wall_ms=min(max(0, end.wall_ms), MAX_DURATION_MS),
        cpu_ms=min(max(0, end.cpu_ms), MAX_DURATION_MS),
        peak_memory_bytes=min(max(0, end.peak_memory_bytes), MAX_BYTES),
        exit_code=end.exit_code if abs(end.exit_code) < 2**31 else -1,
    )


def _moment_ms(said_ms: int, now_ms: int) -> int:
    """Return a moment that a site has told; now for one that no wrong clock explains."""
    return said_ms if 0 < said_ms <= now_ms + MOST_AHEAD_MS else now_ms


def _how(end: TaskEnd) -> str:
    """Return how a task ended, in words."""
    reason = end.reason or Reason.EXIT_CODE
    if reason is Reason.EXIT_CODE:
        return f"exit code {end.exit_code}"
    if reason is Reason.SIGNAL:
        return f"signal {end.exit_code - 128}"
    return str(reason).replace("_", " ")
