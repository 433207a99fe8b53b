"""A job's receipt, made when somebody asks: nothing of it costs the cycle anything.

The cycle's own functions are asked again, with the pool as it stood at the job's turn: the
snapshot less what the plan gave to the jobs ahead of it. (Under fair turns two jobs may be
served alternately; the receipt shows the turn as if those ahead had been served first.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fenglin.errors import NotFoundError
from fenglin.model.ids import job_id
from fenglin.model.plan import Option, Plan, Receipt, Start
from fenglin.model.reason import Reason
from fenglin.planner.advice import Situation, advise
from fenglin.planner.draft import Draft
from fenglin.planner.feasible import Refusal, out_of_service, refuse
from fenglin.planner.forecast import Outlook
from fenglin.planner.policy import Policy
from fenglin.planner.rank import Figures, Scored, best_first, score, terms_of
from fenglin.planner.runtime import Runtime, runtime_of
from fenglin.planner.tail import Held, finish_in
from fenglin.planner.view import FlavorView
from fenglin.planner.waiting import BUSY, why_busy
from fenglin.planner.words import amount_of, count_of
from fenglin.quantities.durations import format_duration
from fenglin.quantities.money import format_money
from fenglin.snapshot.snapshot import I64, Shape, Snapshot


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
    if job_number not in plan.order:
        raise NotFoundError(
            f"job {job_id(job_number)} had no waiting tasks at index {snapshot.index}",
            hint="its receipt was kept when its last tasks were placed",
        )
    return _Inquiry(snapshot, policy, plan, job_number).receipt()


@dataclass(slots=True)
class _Turn:
    """The pool at the job's turn."""

    draft: Draft
    room_before: list[int]


class _Inquiry:
    """Everything that is worked out for one receipt."""

    def __init__(self, snapshot: Snapshot, policy: Policy, plan: Plan, number: int) -> None:
        self.snapshot = snapshot
        self.policy = policy
        self.plan = plan
        self.number = number
        self.place = plan.order.index(number)
        self.row = int(np.searchsorted(snapshot.job_number, number))
        self.shape_row = int(snapshot.job_shape[self.row])
        self.shape: Shape = snapshot.shapes[self.shape_row]
        self.runtime: Runtime = runtime_of(snapshot, self.row, policy)
        self.pending = int(snapshot.job_pending[self.row])
        # What its options are reckoned for: what may start or, failing that, what is to come.
        self.tasks = self.pending or int(snapshot.job_blocked[self.row])
        self.own = [start for start in plan.starts if start.job == number]
        self.started = sum(start.tasks for start in self.own)
        self.reason = plan.reasons[self.place]
        self.turn = self._turn()

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

    def _turn(self) -> _Turn:
        """Carry out the starts of the jobs ahead on a fresh draft."""
        draft = Draft(self.snapshot, self.policy)
        flavors = range(len(draft.flavors))
        room_before = [draft.pool.slots(self.shape_row, row) for row in flavors]
        ahead = set(self.plan.order[: self.place])
        for start, nodes in self._placed:
            if start.job in ahead:
                row = int(np.searchsorted(self.snapshot.job_number, start.job))
                slots = [share.slots for share in start.shares]
                shares = list(zip(nodes, slots, strict=True))
                flavor_row = int(self.snapshot.node_flavor[nodes[0]])
                cards = [share.cards for share in start.shares]
                draft.pool.take_exactly(draft.shape_of(row), flavor_row, shares, cards)
                draft.account_left[draft.job_account[row]] -= start.hold_micro
                used = draft.queue_used[draft.job_queue[row]]
                for dimension, need in enumerate(draft.shape_of(row).resources.values()):
                    used[dimension] += need * sum(slots)
        return _Turn(draft, room_before)

    @cached_property
    def _placed(self) -> list[tuple[Start, list[int]]]:
        """All starts with the node rows of their shares."""
        snapshot = self.snapshot
        row_of = {
            (int(snapshot.flavor_site[flavor]), name): row
            for row, (flavor, name) in enumerate(
                zip(snapshot.node_flavor.tolist(), snapshot.node_names, strict=True)
            )
        }
        site_row = {site.name: row for row, site in enumerate(snapshot.sites)}
        return [
            (start, [row_of[site_row[start.site], share.node] for share in start.shares])
            for start in self.plan.starts
        ]

    @cached_property
    def _outlook(self) -> Outlook:
        """The pool after the whole plan, and when what runs is expected to end."""
        free: I64 = self.snapshot.node_free.copy()
        for start, nodes in self._placed:
            row = int(np.searchsorted(self.snapshot.job_number, start.job))
            shape = self.snapshot.shapes[int(self.snapshot.job_shape[row])]
            slots = np.array([share.slots for share in start.shares], np.int64)
            free[nodes] -= slots[:, None] * np.array(shape.resources.values(), np.int64)
        return Outlook(self.snapshot, free, self._placed)

    def _options(self) -> tuple[Option, ...]:
        """Return every flavor: the possible best first, then the refused by name."""
        draft = self.turn.draft
        figures: list[Figures] = []
        refused: list[Option] = []
        for view in draft.flavors:
            refusal = refuse(self.shape, view)
            if refusal is None and draft.pool.slots(self.shape_row, view.row) > 0:
                figures.append(self._figures(view))
            elif refusal is None:
                refused.append(self._not_now(view))
            else:
                refused.append(
                    Option(view.site.name, view.flavor.name, refusal.reason, refusal.evidence)
                )
        ranked = best_first(score(figures, self.policy), self.number)
        return (
            *(self._possible(scored) for scored in ranked),
            *sorted(refused, key=lambda option: (option.site, option.flavor)),
        )

    def _figures(self, view: FlavorView) -> Figures:
        draft = self.turn.draft
        slots = draft.pool.slots(self.shape_row, view.row)
        present = draft.present(self.row)
        return draft.figures(view, self.shape_row, self.runtime, self.tasks, slots, present)

    def _possible(self, scored: Scored) -> Option:
        """Describe an option that had room at the job's turn."""
        figures = scored.figures
        view = figures.view
        given = sum(
            start.tasks
            for start in self.own
            if (start.site, start.flavor) == (view.site.name, view.flavor.name)
        )
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
        draft = self.turn.draft
        left = draft.account_left[draft.job_account[self.row]]
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
            start_ms = self._outlook.start_ms(self.shape, view)
        idle = self.turn.draft.pool.slots_when_idle(self.shape_row, view.row)
        draft = self.turn.draft
        present = draft.present(self.row)
        figures = draft.figures(view, self.shape_row, self.runtime, self.tasks, idle, present)
        return Option(
            view.site.name,
            view.flavor.name,
            refusal.reason,
            refusal.evidence,
            start_ms=start_ms,
            finish_ms=start_ms + figures.finish_ms if start_ms else 0,
            price_micro=figures.price_micro,
        )

    def _busy(self, view: FlavorView) -> Refusal:
        """Return what is short on the flavor's nodes."""
        before = self.turn.room_before[view.row]
        if before:
            were = "slot was" if before == 1 else "slots were"
            return Refusal(Reason.BEHIND_OTHERS, f"{before} {were} free; jobs ahead took them")
        pool = self.turn.draft.pool
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
        held = self.turn.draft.live(self.row, self.runtime)
        for start in self.own:
            slots = sum(share.slots for share in start.shares) // self.shape.nodes
            held.append(Held(start.finish_ms - self.snapshot.now_ms, start.task_ms, slots))
        return held

    def _start_ms(self, options: tuple[Option, ...]) -> int:
        """Return when the next task is expected to start; 0 for unknown."""
        if self.started:
            return self.snapshot.now_ms
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
        draft = self.turn.draft
        return advise(
            Situation(
                snapshot=self.snapshot,
                row=self.row,
                shape=self.shape,
                reason=self.reason,
                options=options,
                start_ms=start_ms,
                flavors=draft.flavors,
                account_left_micro=draft.account_left[draft.job_account[self.row]],
                hold_micro=tuple(
                    draft.figures(v, self.shape_row, self.runtime, 1, 1).hold_micro
                    for v in draft.flavors
                ),
                queue_used=draft.queue_used,
            )
        )
