"""A plan carried out again, in columns: the pool at any job's turn, and what comes after.

Built once for a plan; from then on each turn is a few sums over arrays.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import chain
from operator import attrgetter
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
from fenglin.snapshot.snapshot import I64, Bool, Shape


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
        snapshot, starts = draft.snapshot, plan.starts
        order = np.array(plan.order, np.int64)
        # [J] place in the order by job row.
        self._place_of: I64 = np.full(len(snapshot.job_number), -1, np.int64)
        self._place_of[np.searchsorted(snapshot.job_number, order)] = np.arange(len(order))
        # Starts come in the order of their jobs. Columns, as a list for each of them would cost
        # a long collection of garbage.
        rows = np.searchsorted(snapshot.job_number, _column("job", starts))
        self._start_row: I64 = np.asarray(rows, np.int64)
        self._start_place: I64 = self._place_of[self._start_row]
        self._start_hold = _column("hold_micro", starts)
        self._node_row: dict[str, dict[str, int]] = {site.name: {} for site in snapshot.sites}
        by_site = [self._node_row[site.name] for site in snapshot.sites]
        sites = snapshot.flavor_site[snapshot.node_flavor].tolist()
        for row, (site, name) in enumerate(zip(sites, snapshot.node_names, strict=True)):
            by_site[site][name] = row
        self._lay_out()
        # What was promised before is ahead of everybody, in the place that it has now.
        promised: set[int] = set()
        if draft.policy.backfill is Backfill.CONSERVATIVE:
            promised.update(snapshot.held_job.tolist())
        self._reserved = sorted(
            (
                (
                    -1 if booking.job in promised else self.place(booking.job),
                    booking,
                    self._rows(booking),
                )
                for booking in plan.reservations
            ),
            key=lambda entry: entry[0],
        )
        self._flow_ends: dict[int, int] = {}
        # The last profile, and what lay ahead of those it is for.
        self._behind: tuple[tuple[int, ...], Horizon] | None = None
        # The last turn, likewise.
        self._found: tuple[tuple[int, ...], Turn] | None = None
        started = np.zeros(len(snapshot.job_number), np.int64)
        np.add.at(started, self._start_row, _column("tasks", starts))
        left = (snapshot.job_pending > started) & ((snapshot.job_active > 0) | (started > 0))
        flowing = np.flatnonzero(left)
        self._flowing = flowing.tolist()
        self._flow_place: list[int] = self._place_of[flowing].tolist()

    def knows(self, number: int) -> bool:
        """Return whether the plan's order has the job."""
        return bool(self._places(number))

    def place(self, number: int) -> int:
        """Return the place of a job in the planning order, from 0."""
        return self._places(number)[0]

    def _places(self, number: int) -> list[int]:
        numbers = self.draft.snapshot.job_number
        at = int(np.searchsorted(numbers, number))
        known = at < len(numbers) and numbers[at] == number and self._place_of[at] >= 0
        return [int(self._place_of[at])] if known else []

    def starts_of(self, number: int) -> Sequence[Start]:
        """Return the starts of a job."""
        first, stop = self._span(self._start_place, self.place(number))
        return self.plan.starts[first:stop]

    @staticmethod
    def _span(places: I64, place: int) -> tuple[int, int]:
        """Return where a place begins and ends in a rising column of them."""
        first, stop = np.searchsorted(places, (place, place + 1)).tolist()
        return first, stop

    def turn(self, number: int) -> Turn:
        """Return what a job found in its turn; jobs that found the same share it: only look."""
        snapshot = self.draft.snapshot
        place, row = self.place(number), int(np.searchsorted(snapshot.job_number, number))
        begun = self._start_place < place
        mine = begun & (snapshot.job_account[self._start_row] == snapshot.job_account[row])
        left = int(snapshot.account_available_micro[snapshot.job_account[row]])
        left -= int(self._start_hold[mine].sum())
        ahead = self._ahead(number, place)
        # All starts of those ahead are the same where their number is: they come in order.
        key = int(begun.sum()), self._flows_ahead(place), *(booking.job for booking, _ in ahead)
        if self._found is None or self._found[0] != key:
            self._found = key, self._turn(number, begun, ahead)
        return self._found[1]._replace(account_left_micro=left)

    def _turn(self, number: int, begun: Bool, ahead: list[tuple[Reservation, I64]]) -> Turn:
        """Return what was found once some starts were made, less the money."""
        draft, snapshot = self.draft, self.draft.snapshot
        place = self.place(number)
        stop = int(np.searchsorted(self._place, place, side="left"))
        free: I64 = snapshot.node_free.copy()
        np.subtract.at(free, self._node[:stop], self._amounts[:stop])
        cards: I64 = snapshot.node_cards.copy()
        taken = int(np.searchsorted(self._card_place, place, side="left"))
        at = self._card_node[:taken], self._card[:taken]
        np.subtract.at(cards, at, self._card_milli[:taken])
        used = snapshot.queue_used.copy()
        queues = snapshot.job_queue[self._share_row[:stop]]
        np.add.at(used, queues, self._amounts[:stop])
        pools = [
            Pool(snapshot, draft.flavors, draft.possible, free=free, cards=cards) for _ in range(2)
        ]
        for pool in pools:
            self._take_licences(pool, np.flatnonzero(begun).tolist())
        lent = self._lend(pools[1], number, stop, ahead) if ahead else None
        return Turn(pools[0], pools[1], lent, ahead, 0, used.tolist())

    def horizon(self, number: int) -> Horizon:
        """Return what is free when, once the whole plan is carried out, to those behind the job.

        Reservations of the jobs ahead are booked; a job ahead that has more tasks keeps what it
        holds until they are done. Jobs that have the same of both ahead share it: only look.
        """
        place = self.place(number)
        ahead = self._ahead(number, place)
        key = self._flows_ahead(place), *(booking.job for booking, _ in ahead)
        if self._behind is None or self._behind[0] != key:
            horizon = self._profile(number, len(self._node))
            for booking, rows in ahead:
                self._book(horizon, booking, rows)
            self._behind = key, horizon
        return self._behind[1]

    def _flows_ahead(self, place: int) -> int:
        """Return how many jobs that hold slots and have more tasks are ahead of a place."""
        return sum(at < place for at in self._flow_place)

    def _ahead(self, number: int, place: int) -> list[tuple[Reservation, I64]]:
        """Return the reservations of the jobs ahead of one at that place, and their nodes."""
        return [
            (booking, rows)
            for at, booking, rows in self._reserved
            if at < place and booking.job != number
        ]

    def reservation(self, number: int) -> Reservation | None:
        """Return the job's own reservation."""
        found = (b for b in self.plan.reservations if b.job == number)
        return next(found, None)

    def _lay_out(self) -> None:
        """Make one row of each share, and one of each card."""
        snapshot = self.draft.snapshot
        needs = np.array([shape.resources.values() for shape in snapshot.shapes], np.int64)
        needs = needs.reshape(-1, snapshot.node_free.shape[1])
        starts, where = self.plan.starts, self._node_row
        each = list(map(attrgetter("shares"), starts))
        shares = list(chain.from_iterable(each))
        of = np.repeat(np.arange(len(starts)), _sizes(each))
        nodes = [where[start.site][share.node] for start in starts for share in start.shares]
        self._node = np.array(nodes, np.int64)
        self._place = self._start_place[of]
        self._share_row = self._start_row[of]
        self._amounts: I64 = (
            needs[snapshot.job_shape[self._share_row]] * _column("slots", shares)[:, None]
        )
        self._end_ms = _column("finish_ms", starts)[of]
        cards = list(map(attrgetter("cards"), shares))
        self._card_node = np.repeat(self._node, _sizes(cards))
        self._card = np.array(list(chain.from_iterable(cards)), np.int64)
        by = np.repeat(of, _sizes(cards))
        self._card_place = self._start_place[by]
        milli = needs[snapshot.job_shape[self._start_row[by]], -1]
        self._card_milli = np.minimum(FULL_MILLI, milli)

    def _rows(self, booking: Reservation) -> I64:
        rows = [self._node_row[booking.site][share.node] for share in booking.shares]
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
                node = self._node_row[start.site][start.shares[0].node]
                tasks = sum(share.slots for share in start.shares) // shape.nodes
                taken = tuple((name, count * tasks) for name, count in shape.licences)
                flavor_row = int(snapshot.node_flavor[node])
                pool.take_exactly(Shape(Resources(), licences=taken), flavor_row, [(node, 1)])

    def _profile(self, number: int, stop: int) -> Horizon:
        """Return the profile after the first shares, with what jobs ahead keep for themselves."""
        snapshot, place = self.draft.snapshot, self.place(number)
        horizon = Horizon(snapshot)
        ends = self._end_ms[:stop].copy()
        for row, at in zip(self._flowing, self._flow_place, strict=True):
            if at < place:
                until_ms = self._flow_end(row)
                horizon.keep(int(snapshot.job_number[row]), until_ms)
                mine = slice(*self._span(self._place[:stop], at))
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
            for start in self.starts_of(int(snapshot.job_number[row])):
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


def _column(name: str, of: Sequence[object]) -> I64:
    """Return a whole number of each of many things."""
    return np.fromiter(map(attrgetter(name), of), np.int64, len(of))


def _sizes(of: Sequence[Sized]) -> I64:
    """Return the length of each of many things."""
    return np.fromiter(map(len, of), np.int64, len(of))
