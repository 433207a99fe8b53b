"""A pool in virtual time.

Each moment goes as in a hub's cycle, and through the same code: what arrived and what ended is
folded into one change (`engine.fold`), the change is believed (`engine.pool`), the planner plans
on a snapshot of that, the applier turns the plan into commitments (`engine.applier`), and the
machines start them. Only the outside is made up: the clock, and how long tasks take.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fenglin.engine import applier
from fenglin.engine.fold import Fold
from fenglin.engine.pool import Pool
from fenglin.engine.status import SiteStatus
from fenglin.model.job import JobSpec
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState
from fenglin.planner import plan
from fenglin.ports.driver import Observation, Presence
from fenglin.ports.store import JobRecord
from fenglin.quantities.resources import DIMENSIONS
from fenglin.quantities.taskset import TaskSet
from fenglin.simulator.events import EventQueue
from fenglin.simulator.pool.machines import Machines
from fenglin.simulator.pool.outcome import Sample
from fenglin.simulator.pool.register import ZERO_MS, Register

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fenglin.model.allocation import TaskEnd
    from fenglin.model.plan import Plan
    from fenglin.model.site import Queue, Site
    from fenglin.planner.policy import Policy
    from fenglin.ports.store import AllocationRecord, Change
    from fenglin.simulator.pool.outcome import Sink
    from fenglin.simulator.workload import WorkJob, Workload
    from fenglin.snapshot.snapshot import Snapshot

    Watch = Callable[[Snapshot, Plan], None]

HUB = "simulated"
# More money than any run can spend, for accounts that are given none.
PLENTY_MICRO = 10**17
# Among events of one moment: ends free room before arrivals ask for it.
_END, _ARRIVAL, _WAKE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run is given besides its workload.

    Attributes:
        sites: The pool.
        policy: How it is planned.
        queues: Admission lines; unknown ones get weight 1 and no quota.
        balances_micro: Money by account; accounts that are not named have plenty.
        cycle_ms: Plans are made at multiples of this only; 0 for at every moment at which
            something happened.
        until_ms: Stop then, from the workload's zero; 0 for when all is done.
    """

    sites: tuple[Site, ...]
    policy: Policy
    queues: tuple[Queue, ...] = ()
    balances_micro: dict[str, int] = field(default_factory=dict)
    cycle_ms: int = 0
    until_ms: int = 0


@dataclass(slots=True)
class Tally:
    """What a run counts about itself.

    Attributes:
        cycles: Plans made.
        starts: Allocations committed.
        evictions: Allocations stopped for other jobs.
        task_ends: Tasks ended.
        most_live: Most jobs in the pool at once.
        last_ms: Moment of the last event, from the workload's zero.
    """

    cycles: int = 0
    starts: int = 0
    evictions: int = 0
    task_ends: int = 0
    most_live: int = 0
    last_ms: int = 0


class World:
    """One run of one workload on one pool."""

    def __init__(
        self, setting: Setting, workload: Workload, sink: Sink, *, watch: Watch | None = None
    ) -> None:
        """Set up a pool at rest. `watch` sees every snapshot with its plan."""
        self.tally = Tally()
        self.pool = Pool(
            hub=HUB,
            epoch=1,
            sites={site.name: SiteStatus(site, down="") for site in setting.sites},
            queues=setting.queues,
            jobs={},
            allocations={},
            ended_parents={},
            balances=dict(setting.balances_micro),
            next_allocation=1,
            cycle=0,
        )
        self.pool.remember_use(setting.policy.decay_ms, ZERO_MS)
        self._setting = setting
        self._sink = sink
        self._watch = watch
        self._register = Register(setting.sites, sink)
        self._machines = Machines()
        self._jobs: Iterator[WorkJob] = workload.jobs()
        self._coming: WorkJob | None = None
        self._events: EventQueue[tuple[int, int]] = EventQueue(ZERO_MS)
        self._wake_ms = 0
        self._planned_ms = 0
        self._total = _capacity(setting.sites)
        self._used = np.zeros(len(DIMENSIONS))
        self._reported = self._used.copy()
        self._waiting_tasks = 0

    def run(self) -> Tally:
        """Run to the end and return what was counted."""
        self._expect_next()
        until_ms = ZERO_MS + self._setting.until_ms if self._setting.until_ms else 0
        while self._events and not 0 < until_ms < self._events.peek().time:
            self._moment()
        for number in sorted(self._register.lives):
            self._register.job_ended(self.pool.jobs[number], self._events.now, "waiting")
        self._sink.close()
        return self.tally

    def _moment(self) -> None:
        """Let everything happen that happens at one time, then plan if that may help."""
        now_ms = self._events.peek().time
        ends: dict[int, list[TaskEnd]] = {}
        arrived: list[JobRecord] = []
        may_start = False
        while self._events and self._events.peek().time == now_ms:
            event = self._events.pop()
            if event.priority == _END:
                self._end(*event.what, now_ms, ends)
            elif event.priority == _ARRIVAL:
                arrived.append(self._arrive(now_ms))
            else:
                may_start = True
        fold = Fold(self.pool, now_ms)
        for number, ended in ends.items():
            may_start |= self._observe(fold, number, tuple(ended))
        self._believe(fold.finish())
        self.pool.add_jobs(arrived)
        self.tally.last_ms = now_ms - ZERO_MS
        self.tally.most_live = max(self.tally.most_live, len(self._register.lives))
        if (may_start or arrived) and self.pool.pending_rows():
            self._plan_or_wait(now_ms)
        if ends and self._planned_ms < now_ms:
            self._report_rest(now_ms)

    def _expect_next(self) -> None:
        """Put the workload's next job among the events; one at a time is known."""
        self._coming = next(self._jobs, None)
        if self._coming is not None:
            at_ms = max(self._events.now, ZERO_MS + self._coming.submitted_ms)
            self._events.push(at_ms, _ARRIVAL, (self._coming.number, 0))

    def _arrive(self, now_ms: int) -> JobRecord:
        """Take the expected job in, as the hub's admission does."""
        work = self._coming
        assert work is not None  # noqa: S101 - an arrival is expected together with its job
        self._register.arrived(work)
        self.pool.balances.setdefault(work.account, PLENTY_MICRO)
        self._expect_next()
        tasks = TaskSet.span(0, work.tasks)
        return JobRecord(work.number, _spec(work), now_ms, tasks, actor=work.user)

    def _end(self, number: int, task: int, now_ms: int, ends: dict[int, list[TaskEnd]]) -> None:
        """Let a task end, and its slot go on with the next."""
        end, following = self._machines.end(number, task, now_ms)
        for at_ms, index in following:
            self._events.push(at_ms, _END, (number, index))
        if end is not None:
            self.tally.task_ends += 1
            ends.setdefault(number, []).append(end)

    def _observe(self, fold: Fold, number: int, ends: tuple[TaskEnd, ...]) -> bool:
        """Tell the fold of ended tasks; return whether that frees a slot."""
        over = number not in self._machines.attempts
        record = self.pool.allocations[number]
        self._register.worked(record, sum(end.wall_ms for end in ends))
        presence = Presence.ENDED if over else Presence.RUNNING
        fold.observed(Observation("", presence, ends), number)
        return over or len(record.remaining) - len(ends) < record.slots

    def _believe(self, change: Change) -> None:
        """Adopt a change, and report what it ended."""
        for _, _, amounts in change.released:
            self._used -= np.array(amounts.values())
        ended = self.pool.adopt(change)
        for record in change.allocations:
            if record.state is AttemptState.ENDED:
                account = self._register.lives[record.job].work.account
                self.pool.balances[account] += record.held_micro - record.cost_micro
                self._register.run_ended(record)
        for job in ended:
            self._register.job_ended(job, self._events.now, str(job.state))

    def _plan_or_wait(self, now_ms: int) -> None:
        """Plan now, or at the next moment at which the setting allows it."""
        cycle_ms = self._setting.cycle_ms
        if not cycle_ms or (now_ms % cycle_ms == 0 and now_ms > self._planned_ms):
            self._plan(now_ms)
        else:
            self._wake_at((now_ms // cycle_ms + 1) * cycle_ms)

    def _wake_at(self, at_ms: int) -> None:
        """Look again at that moment, unless there is a look before it anyway."""
        if not self._events.now < self._wake_ms <= at_ms:
            self._wake_ms = at_ms
            self._events.push(at_ms, _WAKE, (0, 0))

    def _plan(self, now_ms: int) -> None:
        """Make a plan and carry it out."""
        pool, policy = self.pool, self._setting.policy
        self._planned_ms = now_ms
        pool.cycle += 1
        self.tally.cycles += 1
        snapshot = pool.snapshot(now_ms)
        made = plan(snapshot, policy)
        pool.promised(made, policy)
        if self._watch is not None:
            self._watch(snapshot, made)
        change = applier.commitments(pool, snapshot, policy, made, now_ms, receipts={})
        self._believe(change)
        self._start([unit.allocation for unit in change.starts], now_ms)
        self._register.promised(made)
        self._stop([r for r in change.allocations if r.state is AttemptState.STOPPING], now_ms)
        self._refuse_hopeless(made, now_ms)
        if made.next_ms:
            self._wake_at(max(made.next_ms, now_ms + 1))
        self._report_sample(snapshot, made)

    def _start(self, records: Sequence[AllocationRecord], now_ms: int) -> None:
        """Let the machines start allocations; every site answers at once."""
        fold = Fold(self.pool, now_ms)
        for record in records:
            work = self._register.lives[record.job].work
            self.tally.starts += 1
            self._register.started(record)
            self.pool.balances[work.account] -= record.held_micro
            self._used += np.array(record.resources.times(record.slots).values())
            for at_ms, task in self._machines.start(record, work, now_ms):
                self._events.push(at_ms, _END, (record.number, task))
            seen = Observation("", Presence.RUNNING, first_start_ms=now_ms)
            fold.observed(seen, record.number)
        self._believe(fold.finish())

    def _stop(self, records: Sequence[AllocationRecord], now_ms: int) -> None:
        """Stop what is evicted; its tasks wait again, and a new plan follows at once."""
        if not records:
            return
        fold = Fold(self.pool, now_ms)
        for record in records:
            attempt = self._machines.stop(record.number, now_ms)
            ran_ms = sum(now_ms - at_ms for at_ms in attempt.since_ms.values())
            self._register.worked(record, ran_ms)
            self._register.evicted(record, attempt.lost_ms)
            self.tally.evictions += 1
            seen = Observation("", Presence.ENDED, reason=Reason.PREEMPTED)
            fold.observed(seen, record.number)
        self._believe(fold.finish())
        self._events.push(now_ms, _WAKE, (0, 0))

    def _refuse_hopeless(self, made: Plan, now_ms: int) -> None:
        """Take jobs out that no site can ever hold: a hub's user would be told so at once."""
        fold = Fold(self.pool, now_ms)
        for number, reason in zip(made.order, made.reasons, strict=True):
            if reason is Reason.NO_SITE_CAN_HOLD:
                self._register.lives[number].refused = True
                fold.cancel(number, HUB)
        self._believe(fold.finish())

    def _report_sample(self, snapshot: Snapshot, made: Plan) -> None:
        started = sum(start.tasks for start in made.starts)
        self._waiting_tasks = int(snapshot.job_pending.sum()) - started
        self._report(snapshot.now_ms)

    def _report_rest(self, now_ms: int) -> None:
        """Report what ends freed where no plan follows: the pool is not full until the next one."""
        if not np.array_equal(self._used, self._reported):
            if not self.pool.pending_rows():
                self._waiting_tasks = 0
            self._report(now_ms)

    def _report(self, now_ms: int) -> None:
        self._reported = self._used.copy()
        part = self._used / np.maximum(self._total, 1)
        self._sink.sample(
            Sample(
                at_ms=now_ms - ZERO_MS,
                waiting_jobs=self.pool.pending_rows(),
                waiting_tasks=self._waiting_tasks,
                running=len(self.pool.allocations),
                used=tuple(part.tolist()),
            )
        )


def _capacity(sites: Sequence[Site]) -> NDArray[np.float64]:
    """Return what the whole pool holds, [D]."""
    total = np.zeros(len(DIMENSIONS))
    for site in sites:
        for node in site.nodes:
            total += np.array(site.flavor(node.flavor).node.values())
    return total


def _spec(work: WorkJob) -> JobSpec:
    """Return the job as a user would have submitted it."""
    shape = work.shape
    return JobSpec(
        name=work.name or "job",
        queue=work.queue,
        account=work.account,
        priority=work.priority,
        tasks=work.tasks,
        resources=shape.resources,
        accelerator=shape.accelerator,
        licences=shape.licences,
        nodes=shape.nodes,
        command=("true",),
        estimate_ms=work.estimate_ms,
        timeout_ms=work.timeout_ms,
        deadline_ms=ZERO_MS + work.deadline_ms if work.deadline_ms else 0,
        compute_class=shape.compute_class,
        sites=shape.sites,
        regions=shape.regions,
        require=shape.require,
        topology=shape.topology,
        near=shape.near,
        latency_ms=shape.latency_ms,
        data=shape.data,
        preemptible=work.preemptible,
        checkpoint_ms=work.checkpoint_ms,
    )
