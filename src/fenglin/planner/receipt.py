"""A job's receipt, made when somebody asks: nothing of it costs the cycle anything.

The cycle's own functions are asked again, with the pool as it stood at the job's turn: the
snapshot less what the plan gave to the jobs ahead of it. (Under fair turns two jobs may be
served alternately; the receipt shows the turn as if those ahead had been served first.)
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fenglin.errors import NotFoundError
from fenglin.model.ids import job_id
from fenglin.model.plan import Option, Plan, Receipt
from fenglin.model.reason import Reason
from fenglin.planner.advice import Situation, advise
from fenglin.planner.aftermath import Aftermath
from fenglin.planner.draft import Draft
from fenglin.planner.feasible import Refusal, out_of_service, refuse
from fenglin.planner.horizon import Horizon
from fenglin.planner.instead import Wait, instead
from fenglin.planner.lent import tasks_in
from fenglin.planner.policy import Policy
from fenglin.planner.rank import Figures, Scored, best_first, score, terms_of
from fenglin.planner.runtime import FOREVER, Runtime, runtime_of
from fenglin.planner.tail import Held, finish_in
from fenglin.planner.view import FlavorView
from fenglin.planner.waiting import BUSY, why_busy
from fenglin.planner.words import amount_of, count_of
from fenglin.quantities.durations import format_duration
from fenglin.quantities.money import format_money
from fenglin.snapshot.snapshot import Shape, Snapshot


def explain(snapshot: Snapshot, policy: Policy, plan: Plan, job_number: int) -> Receipt:
    """Return why the plan placed the job as it did, or why it waits.

    Args:
        snapshot: What was planned.
        policy: With which it was planned.
        plan: `plan(snapshot, policy)`.
        job_number: One of the snapshot's jobs.

    Raises:
        NotFoundError: the snapshot has no such job waiting.
    """
    return Explainer(snapshot, policy, plan).receipt(job_number)


class Explainer:
    """Answers for the jobs of one plan; what they have in common is worked out once."""

    def __init__(self, snapshot: Snapshot, policy: Policy, plan: Plan) -> None:
        """Take `plan(snapshot, policy)` and what it was made from."""
        draft = Draft(snapshot, policy)
        draft.let_go()
        self._aftermath = Aftermath(draft, plan)

    def receipt(self, job_number: int) -> Receipt:
        """Return why the plan placed the job as it did, or why it waits.

        Raises:
            NotFoundError: the snapshot has no such job waiting.
        """
        if not self._aftermath.knows(job_number):
            index = self._aftermath.plan.index
            raise NotFoundError(
                f"job {job_id(job_number)} had no waiting tasks at index {index}",
                hint="its receipt was kept when its last tasks were placed",
            )
        return _Inquiry(self._aftermath, job_number).receipt()


class _Inquiry:
    """Everything that is worked out for one receipt."""

    def __init__(self, aftermath: Aftermath, number: int) -> None:
        self.aftermath = aftermath
        self.draft = aftermath.draft
        self.snapshot = self.draft.snapshot
        self.policy = self.draft.policy
        self.number = number
        self.place = aftermath.place(number)
        self.row = int(np.searchsorted(self.snapshot.job_number, number))
        self.shape_row = int(self.snapshot.job_shape[self.row])
        self.shape: Shape = self.snapshot.shapes[self.shape_row]
        self.runtime: Runtime = runtime_of(self.snapshot, self.row, self.policy)
        self.pending = int(self.snapshot.job_pending[self.row])
        # What its options are reckoned for: what may start or, failing that, what is to come.
        self.tasks = self.pending or int(self.snapshot.job_blocked[self.row])
        self.present = self.draft.present(self.row)
        self.own = aftermath.starts_of(number)
        self.started = sum(start.tasks for start in self.own)
        self.reason = aftermath.plan.reasons[self.place]
        self.reservation = aftermath.reservation(number)
        self.turn = aftermath.turn(number)

    def receipt(self) -> Receipt:
        """Put the receipt together."""
        left = self.pending - self.started
        waiting = left + int(self.snapshot.job_blocked[self.row])
        options = self._options()
        start_ms = self._start_ms(options)
        return Receipt(
            job=self.number,
            index=self.snapshot.index,
            policy=self.policy.name,
            started=self.started,
            waiting=waiting,
            reason=self.reason,
            position=self.place + 1,
            start_ms=start_ms,
            finish_ms=self._finish_ms(options, left, waiting),
            options=options,
            change=self._change(options, start_ms),
        )

    @cached_property
    def _horizon(self) -> Horizon:
        return self.aftermath.horizon(self.number)

    def _options(self) -> tuple[Option, ...]:
        """Return every flavor: the possible best first, then the refused by name."""
        figures: list[Figures] = []
        refused: list[Option] = []
        for view in self.draft.flavors:
            refusal = refuse(self.shape, view)
            if refusal is not None:
                refused.append(
                    Option(view.site.name, view.flavor.name, refusal.reason, refusal.evidence)
                )
            elif (slots := self._slots(view)) > 0:
                figures.append(self._figures(view, slots))
            else:
                refused.append(self._not_now(view))
        ranked = best_first(score(figures, self.policy), self.number)
        return (
            *(self._possible(scored) for scored in ranked),
            *sorted(refused, key=lambda option: (option.site, option.flavor)),
        )

    def _slots(self, view: FlavorView) -> int:
        """Return how many tasks could start there at the job's turn."""
        turn = self.turn
        slots = turn.open.slots(self.shape_row, view.row)
        if turn.lent is not None and not self.shape.licences:
            until_ms = self.snapshot.now_ms + self._figures(view, 1).moved.time_ms
            until_ms = min(FOREVER, until_ms + self.runtime.limit_on(view.flavor))
            up = self.snapshot.node_up
            nodes, counts = turn.lent.counts_everywhere(self.shape, view, up, until_ms)
            slots = max(slots, tasks_in(self.shape, counts, self.snapshot.node_block[nodes]))
        # What it was given counts, however the turns of others came between.
        return max(slots, min(1, self._given(view)))

    def _given(self, view: FlavorView) -> int:
        """Return the tasks that the plan starts there."""
        place = (view.site.name, view.flavor.name)
        return sum(start.tasks for start in self.own if (start.site, start.flavor) == place)

    def _figures(self, view: FlavorView, slots: int) -> Figures:
        return self.draft.figures(
            view, self.shape_row, self.runtime, self.tasks, slots, self.present
        )

    def _possible(self, scored: Scored) -> Option:
        """Describe an option that had room at the job's turn."""
        figures = scored.figures
        view = figures.view
        given = self._given(view)
        refusal = None if given else self._declined(figures)
        return Option(
            view.site.name,
            view.flavor.name,
            reason=refusal.reason if refusal else None,
            evidence=refusal.evidence if refusal else "",
            slots=figures.slots,
            tasks=given,
            score=scored.score,
            terms=terms_of(scored, self.policy),
            start_ms=self.snapshot.now_ms if self.pending else 0,
            finish_ms=self.snapshot.now_ms + figures.finish_ms if self.pending else 0,
            price_micro=figures.price_micro,
        )

    def _declined(self, figures: Figures) -> Refusal | None:
        """Return why an option with room was left alone, if the option is the cause."""
        left = self.turn.account_left_micro
        if figures.hold_micro > left:
            currency = figures.currency
            return Refusal(
                Reason.BUDGET_EXHAUSTED,
                f"holds {format_money(figures.hold_micro, currency)} per task, "
                f"the account has {format_money(left, currency)} left",
            )
        if self.reason is Reason.BETTER_ELSEWHERE:
            sooner = format_duration(finish_in(self._held(), self.pending))
            return Refusal(
                Reason.BETTER_ELSEWHERE,
                f"a task takes {format_duration(figures.task_ms)} here; the slots the job holds "
                f"finish its {count_of(self.pending, 'task')} in {sooner}",
            )
        return None

    def _not_now(self, view: FlavorView) -> Option:
        """Describe an option that could hold the job but has no room or is out of service."""
        refusal = out_of_service(self.shape, view) or self._busy(view)
        start_ms = 0
        if refusal.reason not in (Reason.SITE_DRAINED, Reason.SITE_DOWN, Reason.NODE_DOWN):
            start_ms = self._date(view)
        idle = self.turn.free.slots_when_idle(self.shape_row, view.row)
        figures = self._figures(view, idle)
        return Option(
            view.site.name,
            view.flavor.name,
            refusal.reason,
            refusal.evidence,
            start_ms=start_ms,
            finish_ms=start_ms + figures.finish_ms if start_ms else 0,
            price_micro=figures.price_micro,
        )

    def _date(self, view: FlavorView) -> int:
        """Return when its next task may begin there: as reserved, or behind those reserved."""
        mine = self.reservation
        if mine is not None and (mine.site, mine.flavor) == (view.site.name, view.flavor.name):
            return mine.start_ms
        limit_ms = self.runtime.limit_on(view.flavor)
        window = self._horizon.earliest(self.shape, view, limit_ms, later=True)
        return 0 if window is None else window.start_ms

    def _kept(self, view: FlavorView, slots: int) -> Refusal:
        """Say for whom room is kept, and until when."""
        firsts = [
            (booking.start_ms, booking.job)
            for booking, rows in self.turn.ahead
            if view.first <= rows[0] < view.stop
        ]
        are = "slot is free, but kept" if slots == 1 else "slots are free, but kept"
        if not firsts:
            return Refusal(Reason.RESERVED_FOR_OTHERS, f"{slots} {are} for jobs ahead")
        begin_ms, job = min(firsts)
        wait = format_duration(max(0, begin_ms - self.snapshot.now_ms))
        return Refusal(
            Reason.RESERVED_FOR_OTHERS, f"{slots} {are} for {job_id(job)}, which starts in {wait}"
        )

    def _busy(self, view: FlavorView) -> Refusal:
        """Return what is short on the flavor's nodes."""
        kept = self.turn.free.slots(self.shape_row, view.row) if self.turn.ahead else 0
        if kept:
            return self._kept(view, kept)
        before = self.draft.pool.slots(self.shape_row, view.row)
        if before:
            were = "slot was" if before == 1 else "slots were"
            return Refusal(Reason.BEHIND_OTHERS, f"{before} {were} free; jobs ahead took them")
        pool = self.turn.free
        mine = np.zeros(len(self.snapshot.node_flavor), np.bool_)
        mine[view.first : view.stop] = self.snapshot.node_up[view.first : view.stop]
        reason = why_busy(pool, self.shape, self.shape_row, mine, [view.row])
        if reason is Reason.GANG_WAITS:
            fits = pool.nodes_that_fit(self.shape_row, view.row)
            return Refusal(reason, f"needs {self.shape.nodes} nodes at once, {fits} have room")
        if reason is Reason.LICENCE_BUSY:
            names = ", ".join(name for name, _ in self.shape.licences)
            return Refusal(reason, f"all of {names} are in use")
        dimension = BUSY.index(reason)
        most = max(0, int(pool.free_for(self.shape, dimension)[mine].max()))
        need = self.shape.resources.values()[dimension]
        return Refusal(
            reason,
            f"needs {amount_of(dimension, need)}, at most {amount_of(dimension, most)} free "
            "on any node",
        )

    def _held(self) -> list[Held]:
        """Return the slots the job holds once the plan is carried out."""
        held = self.draft.live(self.row, self.runtime)
        for start in self.own:
            slots = sum(share.slots for share in start.shares) // self.shape.nodes
            held.append(Held(start.finish_ms - self.snapshot.now_ms, start.task_ms, slots))
        return held

    def _start_ms(self, options: tuple[Option, ...]) -> int:
        """Return when the next task is expected to start; 0 for unknown."""
        if self.started:
            return self.snapshot.now_ms
        if self.reservation is not None:
            return self.reservation.start_ms
        if self.reason is Reason.NOT_BEFORE:
            return int(self.snapshot.job_not_before_ms[self.row])
        if self.reason in (Reason.DEPENDENCY_PENDING, Reason.BUDGET_EXHAUSTED, Reason.QUEUE_QUOTA):
            return 0
        if self.reason in (Reason.CONCURRENCY_LIMIT, Reason.BETTER_ELSEWHERE):
            held = self._held()
            return self.snapshot.now_ms + min(part.free_in_ms for part in held) if held else 0
        return min((o.start_ms for o in options if o.start_ms), default=0)

    def _finish_ms(self, options: tuple[Option, ...], left: int, waiting: int) -> int:
        """Return when the whole job is expected to finish; 0 for unknown."""
        if waiting > left:
            return 0
        held = self._held()
        if held:
            return self.snapshot.now_ms + finish_in(held, left)
        if self.reason in (Reason.NOT_BEFORE, Reason.BUDGET_EXHAUSTED, Reason.QUEUE_QUOTA):
            return 0
        return min((o.finish_ms for o in options if o.finish_ms), default=0)

    def _change(self, options: tuple[Option, ...], start_ms: int) -> str:
        """Return what would let it start now, in words."""
        if self.started or self.reason is None:
            return ""
        draft = self.draft
        wait = Wait(draft, self.turn, self.row, self.shape, self.runtime, self.tasks, options)
        return advise(
            Situation(
                snapshot=self.snapshot,
                row=self.row,
                shape=self.shape,
                reason=self.reason,
                options=options,
                start_ms=start_ms,
                flavors=draft.flavors,
                account_left_micro=self.turn.account_left_micro,
                hold_micro=tuple(
                    draft.figures(v, self.shape_row, self.runtime, 1, 1).hold_micro
                    for v in draft.flavors
                ),
                queue_used=self.turn.queue_used,
                instead=lambda: instead(wait),
            )
        )
