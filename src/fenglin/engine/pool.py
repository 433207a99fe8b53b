"""What the engine knows: live jobs and allocations, sites, money. Only ever a copy of the store.

Every field can be rebuilt by a load. Changes are adopted after their commit, never before.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fenglin.engine.brakes import Brakes
from fenglin.engine.dependencies import eligible
from fenglin.engine.foresight import Foresight
from fenglin.engine.hours import Hours
from fenglin.engine.keyless import Keyless, Lack
from fenglin.engine.shares import Held, share_rows
from fenglin.engine.spending import Spending
from fenglin.errors import DamageError, InputError
from fenglin.model.ids import parse_job_id
from fenglin.model.reason import Reason
from fenglin.model.site import Queue, tariff_of
from fenglin.model.states import AttemptState, JobState
from fenglin.planner.policy import Backfill, Policy
from fenglin.ports.driver import STOP_GRACE_MS
from fenglin.ports.store import AllocationRecord, Change, JobRecord, Loaded, StartUnit
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape, Snapshot
from fenglin.snapshot.waiting import WaitingTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fenglin.engine.news import StartRefused
    from fenglin.engine.status import SiteStatus
    from fenglin.model.job import JobSpec
    from fenglin.model.plan import Plan, Reservation
    from fenglin.ports.quarantine import Aside, Released

MOST_SHAPES = 10_000
# Fewer rows are entered sooner one by one.
FEW_ROWS = 8


@dataclass(slots=True)
class Pool:
    """The engine's picture. `jobs` and `allocations` hold only what has not ended."""

    hub: str
    epoch: int
    sites: dict[str, SiteStatus]
    queues: tuple[Queue, ...]
    jobs: dict[int, JobRecord]
    allocations: dict[int, AllocationRecord]
    ended_parents: dict[int, JobRecord]
    # Money by account, and hours by `model.hours.purse`.
    balances: dict[str, int]
    next_allocation: int
    cycle: int
    # By which it is reckoned how much is held for a task.
    policy: Policy = field(default_factory=Policy)
    # The newest allocation that was stored when this picture was loaded.
    last_stored: int = 0
    finished_tasks: int = 0
    # Classes of users for which prices differ, by account.
    classes: Mapping[str, str] = field(default_factory=dict)
    live_of: dict[int, set[int]] = field(default_factory=dict)
    children: dict[int, set[int]] = field(default_factory=dict)
    spending: Spending | None = None
    foresight: Foresight = field(default_factory=Foresight)
    # What the last plan promised and the next one keeps; after a restart it is made anew.
    reservations: tuple[Reservation, ...] = ()
    # Jobs that are set aside, what their live allocations hold, and the numbers of those.
    aside: dict[int, Aside] = field(default_factory=dict)
    aside_numbers: set[int] = field(default_factory=set)
    _aside_held: list[AllocationRecord] = field(default_factory=list)
    # Jobs whose row could not be taken in, until the loop sets them aside.
    poison: dict[int, Exception] = field(default_factory=dict)
    brakes: Brakes = field(default_factory=Brakes)
    keyless: Keyless = field(default_factory=Keyless)
    _stored_spent_ms: dict[str, int] = field(default_factory=dict)
    _stored_spent_at_ms: int = 0
    _rows: WaitingTable = field(default_factory=WaitingTable)
    # Since when the planner has known that an allocation is to stop.
    _asked_to_stop_ms: dict[int, int] = field(default_factory=dict)
    _shapes: dict[Shape, Shape] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        loaded: Loaded,
        sites: dict[str, SiteStatus],
        queues: tuple[Queue, ...],
        balances: dict[str, int],
        classes: Mapping[str, str] | None = None,
    ) -> Pool:
        """Return the picture of what a load found; `classes` are of users, by account.

        Raises:
            DamageError: an allocation is live whose job has ended or is missing.
        """
        pool = cls(
            hub=loaded.hub,
            epoch=loaded.epoch,
            sites=sites,
            queues=queues,
            jobs={},
            allocations={},
            ended_parents=dict(loaded.parents),
            balances=balances,
            next_allocation=loaded.next_allocation,
            last_stored=loaded.last_allocation,
            cycle=loaded.cycle,
            _stored_spent_ms=loaded.spent_ms,
            _stored_spent_at_ms=loaded.spent_at_ms,
            foresight=Foresight(loaded.past),
            classes=classes or {},
            aside=dict(loaded.ward.jobs),
            aside_numbers=set(loaded.ward.numbers),
            _aside_held=list(loaded.ward.allocations),
        )
        for name, reason in loaded.drained.items():
            if name in sites:
                sites[name].drained = reason
        for record in loaded.allocations.values():
            pool.adopt_allocation(record)
        pool.add_jobs(loaded.jobs.values())
        for record in pool.allocations.values():
            if record.job not in pool.jobs:
                raise DamageError(
                    f"allocation a{record.number} is live, its job j{record.job} is not",
                    where="database",
                    hint="restore it from a backup",
                )
        return pool

    def remember_use(self, half_life_ms: int, now_ms: int) -> None:
        """Remember from now on what queues use, going on from what was stored.

        Args:
            half_life_ms: As the policy's `decay_ms`; 0 remembers nothing.
            now_ms: Unix time.
        """
        if half_life_ms <= 0:
            return
        total = [0] * len(DIMENSIONS)
        for status in self.sites.values():
            for node in status.site.nodes:
                for dimension, amount in enumerate(status.site.flavor(node.flavor).node):
                    total[dimension] += amount
        at_ms = self._stored_spent_at_ms or now_ms
        self.spending = Spending(half_life_ms, total, self._stored_spent_ms, at_ms)
        for record in self.allocations.values():
            self._hold(record, 1)
        self.spending.advance(now_ms)

    def spent_ms(self, now_ms: int) -> dict[str, int] | None:
        """Return what queues have used, as remembered now; None when nothing is."""
        if self.spending is None:
            return None
        self.spending.advance(now_ms)
        return self.spending.spent_ms()

    def add_jobs(self, records: Iterable[JobRecord]) -> None:
        """Take new or loaded jobs in."""
        touched: dict[int, JobRecord] = {}
        for job in records:
            touched[job.number] = self.jobs[job.number] = job
            try:
                for parent in job.spec.after:
                    self.children.setdefault(parse_job_id(parent.job), set()).add(job.number)
            except InputError as error:
                self.poison[job.number] = error
        kin = [self.children.get(number, ()) for number in touched] if self.children else []
        touched |= {at: self.jobs[at] for some in kin for at in some if at in self.jobs}
        rows = [row for job in touched.values() if (row := self._row(job)) is not None]
        if len(rows) >= FEW_ROWS:
            with contextlib.suppress(OverflowError, TypeError, ValueError):
                self._rows.put_all(rows)
                return
        for row in rows:
            self._put(row)

    def adopt(self, change: Change, refused: Iterable[StartUnit] = ()) -> list[JobRecord]:
        """Believe a committed change; return the jobs that it ended."""
        if self.spending is not None:
            self.spending.advance(change.now_ms)
        ended: list[JobRecord] = []
        for record in change.allocations:
            self.adopt_allocation(record)
        for job in change.jobs:
            self._adopt_job(job, ended)
        out = {id(unit) for unit in refused}
        for unit in change.starts:
            if id(unit) not in out:
                self.adopt_allocation(unit.allocation)
                self._adopt_job(unit.job, ended)
        return ended

    def adopt_allocation(self, record: AllocationRecord) -> None:
        """Believe one allocation's committed state."""
        if self.spending is not None:
            known = self.allocations.get(record.number)
            if known is not None:
                self._hold(known, -1)
            if record.state is not AttemptState.ENDED:
                self._hold(record, 1)
        live = self.live_of.setdefault(record.job, set())
        if record.state is AttemptState.ENDED:
            self.allocations.pop(record.number, None)
            self._asked_to_stop_ms.pop(record.number, None)
            live.discard(record.number)
            if not live:
                del self.live_of[record.job]
        else:
            self.allocations[record.number] = record
            live.add(record.number)

    def live(self, job: int) -> Iterator[AllocationRecord]:
        """Yield a job's live allocations, oldest first."""
        for number in sorted(self.live_of.get(job, ())):
            yield self.allocations[number]

    def parent(self, number: int) -> JobRecord | None:
        """Return a parent, ended or not; None for one that was never loaded."""
        return self.jobs.get(number) or self.ended_parents.get(number)

    def tariff(self, spec: JobSpec) -> str:
        """Return by which of a flavor's prices a job is charged."""
        return tariff_of(self.classes.get(spec.account, ""), spec.mode)

    def shape_of(self, job: JobRecord) -> Shape:
        """Return the job's shape; equal shapes are one object."""
        return self.shape(job.spec)

    def shape(self, spec: JobSpec) -> Shape:
        """Return the shape of a spec; equal shapes are one object."""
        shape = Shape.of(spec, self.classes.get(spec.account, ""))
        if len(self._shapes) >= MOST_SHAPES:
            # One object per shape only saves memory; whoever holds an old one keeps it.
            self._shapes.clear()
        return self._shapes.setdefault(shape, shape)

    def snapshot(
        self, now_ms: int, extra: Sequence[JobRow] = (), *, alone: bool = False
    ) -> Snapshot:
        """Return the planner's picture of this moment; see `picture`."""
        return self.picture(now_ms, extra, alone=alone)()

    def picture(
        self,
        now_ms: int,
        extra: Sequence[JobRow] = (),
        *,
        alone: bool = False,
        only: frozenset[int] | None = None,
    ) -> Callable[[], Snapshot]:
        """Return what builds the snapshot of this moment, on whatever thread and however late.

        Args:
            now_ms: Unix time.
            extra: Jobs that are asked about but not stored.
            alone: As if no other job waited and nothing were wrong with any site.
            only: Leave all jobs out of it but these.
        """
        rows = list(extra)
        sites = [
            status.possible() if alone else status.effective() for status in self.sites.values()
        ]
        hours = Hours(self.balances, sites, self.policy)
        # Mostly all jobs are shown, and as they are: then their columns are at hand.
        columns = None
        if not (alone or extra or only is not None or hours.in_use() or self._withholds()):
            columns = self._rows.waiting()
        elif not alone:
            keyed = self.keyless.shown([*self._rows.values(), *extra], self.jobs)
            rows = self.brakes.shown(keyed, self)
        # Their rows are made on the other thread too; here only what may change is noted.
        held = [
            Held(record, self.jobs[record.job], self._ends_ms(record, now_ms))
            for record in self.allocations.values()
        ]
        aside = list(self._aside_held)
        reservations = () if alone else self.reservations
        if only is not None:
            rows = [row for row in rows if row.number in only]
            held = [one for one in held if one.record.job in only]
            aside = [record for record in aside if record.job in only]
            reservations = ()
        build_it = partial(
            build,
            index=self.cycle,
            now_ms=now_ms,
            queues=self.queues,
            accounts=self.balances,
            spent_ms=self.spent_ms(now_ms) or {},
            reservations=reservations,
        )
        return lambda: build_it(
            sites=hours.sites(),
            jobs=columns() if columns else hours.rows(rows),
            shares=list(share_rows(held, aside)),
        )

    def _withholds(self) -> bool:
        """Return whether some row may be kept from the planner; where none is, that is noted."""
        return not (self.keyless.shows_all() and self.brakes.shows_all())

    def put_off(self, news: StartRefused) -> None:
        """Let a job wait, with all that are given the same secrets, whose key is missing."""
        record = self.allocations.get(news.allocation)
        if record is not None:
            self.keyless.put_off(self.jobs[record.job].spec, Lack(news.key, news.why))

    def held_back(self, number: int) -> tuple[Reason, str] | None:
        """Return why the newest picture did not show a job, and in words; None where it did."""
        if number in self.keyless.withheld:
            return Reason.SECRET_KEY_MISSING, self.keyless.withheld[number].why
        if number in self.brakes.withheld:
            return Reason.USER_BRAKED, "jobs of this user have failed one after another"
        return None

    def promised(self, plan: Plan, policy: Policy) -> None:
        """Remember a plan's reservations where the next plan is to keep them."""
        kept = policy.backfill is Backfill.CONSERVATIVE
        self.reservations = plan.reservations if kept else ()

    def rows(self) -> Iterable[JobRow]:
        """Return the planner's rows of the jobs with pending tasks."""
        return self._rows.values()

    def pending_rows(self) -> int:
        """Return how many jobs have pending tasks."""
        return len(self._rows)

    def row_of(self, number: int) -> JobRow | None:
        """Return the planner's row of a job; None when nothing of it is pending."""
        return self._rows.get(number)

    def job_row(self, job: JobRecord) -> JobRow:
        """Return the planner's view of a job."""
        spec = job.spec
        ready = len(eligible(job, self.parent)) if spec.after else len(job.pending)
        return JobRow(
            number=job.number,
            shape=self.shape_of(job),
            pending=ready,
            queue=spec.queue,
            account=spec.account,
            priority=spec.rank,
            submitted_ms=job.submitted_ms,
            not_before_ms=max(spec.not_before_ms, job.retry_at_ms),
            deadline_ms=spec.deadline_ms,
            blocked=len(job.pending) - ready,
            concurrency=spec.concurrency,
            tasks=spec.tasks,
            estimate_ms=spec.estimate_ms,
            learned_ms=job.learned_ms // job.learned_tasks if job.learned_tasks else 0,
            timeout_ms=spec.timeout_ms,
            predicted_ms=0 if job.learned_tasks else self.foresight.predict_ms(job),
        )

    def _adopt_job(self, job: JobRecord, ended: list[JobRecord]) -> None:
        if job.state.terminal:
            self.jobs.pop(job.number, None)
            self._rows.drop(job.number)
            for parent in job.spec.after:
                self._forget_child(parse_job_id(parent.job), job.number)
            if job.number in self.children:
                self.ended_parents[job.number] = job
            self.foresight.ended(job)
            ended.append(job)
        else:
            self.jobs[job.number] = job
            self._refresh(job)
        for child in self.children.get(job.number, ()):
            if child in self.jobs:
                self._refresh(self.jobs[child])

    def _hold(self, record: AllocationRecord, sign: int) -> None:
        """Tell the memory of use what an allocation takes or gives back."""
        if self.spending is not None:
            queue = self.jobs[record.job].spec.queue
            self.spending.hold(queue, record.resources.times(record.slots), sign)

    def _forget_child(self, parent: int, child: int) -> None:
        kin = self.children.get(parent)
        if kin is not None:
            kin.discard(child)
            if not kin:
                del self.children[parent]
                self.ended_parents.pop(parent, None)

    def _refresh(self, job: JobRecord) -> None:
        """Recompute the planner's row of one job."""
        row = self._row(job)
        if row is not None:
            self._put(row)

    def _row(self, job: JobRecord) -> JobRow | None:
        """Return the planner's row of a job; None, and it has none, for one that cannot start."""
        waits = job.state in (JobState.PENDING, JobState.RUNNING)
        if waits and job.pending and not job.cancelling and job.number not in self.poison:
            try:
                return self.job_row(job)
            except Exception as error:  # noqa: BLE001 - one bad row must not stop the others (J9)
                self.poison[job.number] = error
        self._rows.drop(job.number)
        return None

    def _put(self, row: JobRow) -> None:
        try:
            self._rows.put(row)
        except Exception as error:  # noqa: BLE001 - as above
            self.poison[row.number] = error
            self._rows.drop(row.number)

    def set_aside(self, one: Aside) -> None:
        """Take a job out of all that is decided; what its live allocations hold stays held."""
        self.aside[one.job] = one
        self.poison.pop(one.job, None)
        for record in list(self.live(one.job)):
            if self.spending is not None:
                self._hold(record, -1)
            del self.allocations[record.number]
            self.aside_numbers.add(record.number)
            self._aside_held.append(record)
        self.live_of.pop(one.job, None)
        self.jobs.pop(one.job, None)
        self._rows.drop(one.job)

    def put_back(self, number: int, found: Released | None) -> None:
        """Decide about a job again that was set aside."""
        del self.aside[number]
        self.aside_numbers -= {one.number for one in self._aside_held if one.job == number}
        self._aside_held = [one for one in self._aside_held if one.job != number]
        if found is None:
            return
        self.jobs[number] = found.job
        # Those that ended while it was aside were forgotten, unless another job waits for them.
        self.ended_parents |= {parent.number: parent for parent in found.parents}
        for record in found.allocations:
            self.aside_numbers.discard(record.number)
            self.adopt_allocation(record)
        self.add_jobs([found.job])

    def _ends_ms(self, record: AllocationRecord, now_ms: int) -> int:
        """Return when an allocation should have ended; soon, for one that was told to stop."""
        if record.state is not AttemptState.STOPPING:
            return record.finish_ms
        # After a restart it counts from the first look; the stop was then asked for again.
        if now_ms >= record.created_ms:
            self._asked_to_stop_ms.setdefault(record.number, now_ms)
        return self._asked_to_stop_ms.get(record.number, now_ms) + STOP_GRACE_MS
