"""A plan carried out again, in columns: the pool at any job's turn, and what comes after.

Built once for a plan; from then on each turn is a few sums over arrays.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fenglin.model.plan import Plan, Reservation, Start
from fenglin.planner.draft import Draft
from fenglin.planner.horizon import Horizon
from fenglin.planner.lent import Lent
from fenglin.planner.pack import Pool
from fenglin.planner.policy import Backfill
from fenglin.planner.runtime import FOREVER, runtime_of
from fenglin.planner.tail import Held, finish_in
from fenglin.quantities.resources import Resources
from fenglin.snapshot.cards import FULL_MILLI
from fenglin.snapshot.snapshot import I64, Shape


class Turn(NamedTuple):
    """What a job found in its turn, as if those ahead of it had been served first.

    Attributes:
        free: What was free, whoever it was kept for.
        open: The same, less what is kept for ever for the reservations of those ahead.
        lent: What of that was free until they begin; None without such reservations.
        ahead: Those reservations, and what had been promised to jobs behind.
        account_left_micro: Money of its account.
        queue_used: [Q][D] what queues held.
    """

    free: Pool
    open: Pool
    lent: Lent | None
    ahead: list[tuple[Reservation, I64]]
    account_left_micro: int
    queue_used: list[list[int]]


class Aftermath:
    """All turns of one plan."""

    def __init__(self, draft: Draft, plan: Plan) -> None:
        """Lay the plan's starts out in columns. From the draft nothing was granted."""
        self.draft = draft
        self.plan = plan
        self.places = {number: place for place, number in enumerate(plan.order)}
        self.starts_of: dict[int, list[Start]] = {}
        for start in plan.starts:
            self.starts_of.setdefault(start.job, []).append(start)
        snapshot = draft.snapshot
        rows = np.searchsorted(snapshot.job_number, [start.job for start in plan.starts])
        self._start_row: I64 = np.asarray(rows, np.int64)
        self._start_place: I64 = self._place_of([start.job for start in plan.starts])
        self._start_hold: I64 = np.array([start.hold_micro for start in plan.starts], np.int64)
        self._node_row = {
            (snapshot.sites[site].name, name): row
            for row, (site, name) in enumerate(
                zip(
                    snapshot.flavor_site[snapshot.node_flavor].tolist(),
                    snapshot.node_names,
                    strict=True,
                )
            )
        }
        self._lay_out()
        # What was promised before is ahead of everybody, in the place that it has now.
        promised: set[int] = set()
        if draft.policy.backfill is Backfill.CONSERVATIVE:
            promised.update(snapshot.held_job.tolist())
        self._reserved = sorted(
            (
                (
                    -1 if booking.job in promised else self.places[booking.job],
                    booking,
                    self._rows(booking),
                )
                for booking in plan.reservations
            ),
            key=lambda entry: entry[0],
        )
        self._flow_ends: dict[int, int] = {}
        started = np.zeros(len(snapshot.job_number), np.int64)
        np.add.at(started, rows, [start.tasks for start in plan.starts])
        left = (snapshot.job_pending > started) & ((snapshot.job_active > 0) | (started > 0))
        flowing = np.flatnonzero(left)
        self._flowing = flowing.tolist()
        self._flow_place: list[int] = self._place_of(snapshot.job_number[flowing].tolist()).tolist()

    def turn(self, number: int) -> Turn:
        """Return what a job found in its turn."""
        draft, snapshot = self.draft, self.draft.snapshot
        place, row = self.places[number], int(np.searchsorted(snapshot.job_number, number))
        stop = int(np.searchsorted(self._place, place, side="left"))
        free: I64 = snapshot.node_free.copy()
        np.subtract.at(free, self._node[:stop], self._amounts[:stop])
        cards: I64 = snapshot.node_cards.copy()
        taken = int(np.searchsorted(self._card_place, place, side="left"))
        at = self._card_node[:taken], self._card[:taken]
        np.subtract.at(cards, at, self._card_milli[:taken])
        begun = self._start_place < place
        mine = begun & (snapshot.job_account[self._start_row] == snapshot.job_account[row])
        used = snapshot.queue_used.copy()
        queues = snapshot.job_queue[self._share_row[:stop]]
        np.add.at(used, queues, self._amounts[:stop])
        pools = [
            Pool(snapshot, draft.flavors, draft.possible, free=free, cards=cards) for _ in range(2)
        ]
        for pool in pools:
            self._take_licences(pool, np.flatnonzero(begun).tolist())
        ahead = [
            (booking, rows)
            for at_, booking, rows in self._reserved
            if at_ < place and booking.job != number
        ]
        lent = self._lend(pools[1], number, stop, ahead) if ahead else None
        left = int(snapshot.account_available_micro[snapshot.job_account[row]])
        left -= int(self._start_hold[mine].sum())
        return Turn(pools[0], pools[1], lent, ahead, left, used.tolist())

    def horizon(self, number: int) -> Horizon:
        """Return what is free when, once the whole plan is carried out, to those behind the job.

        Reservations of the jobs ahead are booked; a job ahead that has more tasks keeps what it
        holds until they are done.
        """
        horizon = self._profile(number, len(self._node))
        for place, booking, rows in self._reserved:
            if place < self.places[number] and booking.job != number:
                self._book(horizon, booking, rows)
        return horizon

    def reservation(self, number: int) -> Reservation | None:
        """Return the job's own reservation."""
        found = (b for b in self.plan.reservations if b.job == number)
        return next(found, None)

    def _lay_out(self) -> None:
        """Make one row of each share, and one of each card."""
        snapshot = self.draft.snapshot
        needs = np.array([shape.resources.values() for shape in snapshot.shapes], np.int64)
        shares = [
            (at, start.site, s) for at, start in enumerate(self.plan.starts) for s in start.shares
        ]
        nodes = [self._node_row[site, share.node] for _, site, share in shares]
        slots = [share.slots for _, _, share in shares]
        owner = [at for at, _, _ in shares]
        seats = [
            (node, card, at)
            for node, (at, _, share) in zip(nodes, shares, strict=True)
            for card in share.cards
        ]
        card_node, card, card_owner = zip(*seats, strict=True) if seats else ((), (), ())
        ends = np.array([start.finish_ms for start in self.plan.starts], np.int64)
        of = np.array(owner, np.int64)
        self._node = np.array(nodes, np.int64)
        self._place = self._start_place[of]
        self._share_row = self._start_row[of]
        shapes = snapshot.job_shape[self._share_row]
        self._amounts: I64 = (
            needs.reshape(-1, snapshot.node_free.shape[1])[shapes]
            * (np.array(slots, np.int64)[:, None])
        )
        self._end_ms = ends[of]
        by = np.array(card_owner, np.int64)
        self._card_node, self._card = np.array(card_node, np.int64), np.array(card, np.int64)
        self._card_place = self._start_place[by]
        milli = needs.reshape(-1, snapshot.node_free.shape[1])[:, -1]
        self._card_milli = np.minimum(FULL_MILLI, milli[snapshot.job_shape[self._start_row[by]]])

    def _place_of(self, numbers: list[int]) -> I64:
        return np.array([self.places[number] for number in numbers], np.int64)

    def _rows(self, booking: Reservation) -> I64:
        rows = [self._node_row[booking.site, share.node] for share in booking.shares]
        return np.array(sorted(rows), np.int64)

    def _take_licences(self, pool: Pool, starts: list[int]) -> None:
        """Take the licences of the starts from the pool."""
        snapshot = self.draft.snapshot
        if not snapshot.licence_names:
            return
        for at in starts:
            start = self.plan.starts[at]
            shape = snapshot.shapes[int(snapshot.job_shape[self._start_row[at]])]
            if shape.licences:
                node = self._node_row[start.site, start.shares[0].node]
                tasks = sum(share.slots for share in start.shares) // shape.nodes
                taken = tuple((name, count * tasks) for name, count in shape.licences)
                flavor_row = int(snapshot.node_flavor[node])
                pool.take_exactly(Shape(Resources(), licences=taken), flavor_row, [(node, 1)])

    def _profile(self, number: int, stop: int) -> Horizon:
        """Return the profile after the first shares, with what jobs ahead keep for themselves."""
        snapshot, place = self.draft.snapshot, self.places[number]
        horizon = Horizon(snapshot)
        ends = self._end_ms[:stop].copy()
        for row, at in zip(self._flowing, self._flow_place, strict=True):
            if at < place:
                until_ms = self._flow_end(row)
                horizon.keep(int(snapshot.job_number[row]), until_ms)
                mine = self._share_row[:stop] == row
                ends[mine] = np.maximum(ends[mine], until_ms)
        horizon.occupy(self._node[:stop], self._amounts[:stop], ends)
        return horizon

    def _flow_end(self, row: int) -> int:
        """Return when a job that holds slots has done all its tasks."""
        if row not in self._flow_ends:
            draft, snapshot = self.draft, self.draft.snapshot
            held = draft.live(row, runtime_of(snapshot, row, draft.policy))
            left = draft.pending(row)
            nodes = draft.shape_of(row).nodes
            for start in self.starts_of.get(int(snapshot.job_number[row]), ()):
                slots = sum(share.slots for share in start.shares) // nodes
                held.append(Held(start.finish_ms - snapshot.now_ms, start.task_ms, slots))
                left -= start.tasks
            self._flow_ends[row] = snapshot.now_ms + finish_in(held, left)
        return self._flow_ends[row]

    def _book(self, horizon: Horizon, booking: Reservation, rows: I64) -> None:
        row = int(np.searchsorted(self.draft.snapshot.job_number, booking.job))
        need = self.draft.shape_of(row).resources.values()
        horizon.book(rows.tolist(), need, booking.start_ms, booking.finish_ms)

    def _lend(
        self, pool: Pool, number: int, stop: int, ahead: list[tuple[Reservation, I64]]
    ) -> Lent:
        """Return what is lent on the nodes booked by those ahead; the pool keeps the rest."""
        horizon = self._profile(number, stop)
        begins: dict[int, list[int]] = {}
        for booking, rows in ahead:
            self._book(horizon, booking, rows)
            for row in rows.tolist():
                begins.setdefault(row, []).append(booking.start_ms)
        nodes = np.array(sorted(begins), np.int64)
        width = max(map(len, begins.values()))
        dates = np.array(
            [
                sorted(begins[row]) + [FOREVER] * (width - len(begins[row]))
                for row in nodes.tolist()
            ],
            np.int64,
        )
        lent = Lent(pool, self.draft.snapshot.node_flavor)
        lent.renew(nodes, dates, horizon.levels(nodes, dates))
        return lent
