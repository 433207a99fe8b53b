"""Reservations: who waits at the head holds future capacity that nobody behind may delay.

Asked when a job finds no room in its turn. Over all flavors the option that can begin first is
booked in the profile (`horizon.py`), on named nodes; what is free there until then is lent to
tasks that end in time (`lent.py`).

- `easy`: the first blocked job of each flavor. A job may reserve only on a flavor on which
  nobody ahead of it has; with one flavor that is the EASY of D. Lifka, "The ANL/IBM SP Scheduling
  System", JSSPP 1995, and each of several sites has a head of its own. Made anew in each cycle:
  as long as work ends as promised, the same nodes are still there at the same time, because
  nothing was started that would not leave them.
- `conservative`: every blocked job, up to the policy's number. After D. Feitelson and A. Weil,
  "Utilization and predictability in scheduling the IBM SP2 with backfilling", IPPS 1998. What
  the last plan booked is kept (`promises.py`): a reservation never moves back.

One task (gang) of a job is booked, and none for a job that holds slots already: those come back
to it, being ahead, one after the other. In the profile they are therefore given back only when
all its tasks are done, so that a date behind an array is an honest one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import structs

from fenglin.model.allocation import Share
from fenglin.model.job import Topology
from fenglin.model.plan import Reservation
from fenglin.model.reason import Reason
from fenglin.planner.horizon import Horizon, Window
from fenglin.planner.lent import Lent, tasks_in
from fenglin.planner.licences import KeptLicences
from fenglin.planner.policy import Backfill
from fenglin.planner.promises import Place, book, dates, standing
from fenglin.planner.rank import best_first
from fenglin.planner.runtime import FOREVER
from fenglin.planner.spans import flow_ms, span_ms
from fenglin.planner.view import FlavorView
from fenglin.snapshot.cards import assign
from fenglin.snapshot.snapshot import I64, Bool, Shape

if TYPE_CHECKING:
    from fenglin.planner.draft import Draft, Grant

# Events of the profile that the looks of one cycle may go through: bounds its cost whatever the
# policy asks for. Ten thousand nodes with as many running tasks are seen two hundred times.
MOST_EVENTS = 4_000_000


class Lot(NamedTuple):
    """Slots taken for a task that must not outstay.

    Attributes:
        shares: (node row, slots), by node row.
        cards: By node row: the cards of its slots.
        until_ms: By when its tasks must have ended; FOREVER for no limit.
    """

    shares: list[tuple[int, int]]
    cards: dict[int, tuple[int, ...]]
    until_ms: int


class _Choice(NamedTuple):
    """An option for a reservation."""

    view: FlavorView
    window: Window


class Book:
    """The reservations of one cycle."""

    def __init__(self, draft: Draft) -> None:
        """Begin with none; nothing is reckoned before a job is blocked."""
        self.reservations: list[Reservation] = []
        self._draft = draft
        policy = draft.policy
        self._most = 0 if policy.backfill is Backfill.NONE else policy.reservations
        self._easy = policy.backfill is Backfill.EASY
        # Flavors on which a job may still reserve, by nodes in service.
        self._open: I64 = np.array([view.up_nodes for view in draft.flavors], np.int64)
        self._undated: set[int] = set()
        self._effort = MOST_EVENTS
        self._horizon: Horizon | None = None
        # How many pieces, and tasks of the fast lane, the profile knows already.
        self._seen = self._in_lane = 0
        self._begins: dict[int, list[int]] = {}
        # By job row: what is booked now; and what of that the last plan had promised to jobs
        # that had no turn yet.
        self._places: dict[int, Place] = {}
        self.held: dict[int, Place] = {}
        # Why the jobs that hold reservations found no room in their turn.
        self.busy: dict[int, Reason] = {}
        self._licences = KeptLicences(draft)
        # Per shape, the shortest (work on speed 1, timeout) that was too long to be lent to.
        self._too_long: dict[int, tuple[int, int]] = {}
        # [shapes, D] what one task takes of a node.
        parts = [shape.resources.values() for shape in draft.snapshot.shapes]
        self._parts: I64 = np.array(parts, np.int64).reshape(
            len(parts), draft.snapshot.node_free.shape[1]
        )
        self.lent = Lent(draft.pool, draft.snapshot.node_flavor, draft.loops)
        # Per shape: the flavors on which a job may still reserve.
        self._open_to: dict[int, list[int]] = {}

    def strict(self, shape: Shape) -> bool:
        """Return whether a job must begin on the nodes that its reservation would name.

        So it is under `conservative`, or reservations behind it would have to move: on the first
        nodes that have room for long enough. Where nothing is booked, single tasks do so anyhow.
        """
        some = bool(self.reservations or self.held) or shape.nodes > 1
        return some and self._most > 0 and not self._easy and not shape.licences

    def may_reserve(self, shape_row: int) -> bool:
        """Return whether a job of the shape could still get a reservation."""
        if len(self.reservations) + len(self.held) >= self._most or self._effort <= 0:
            return False
        return shape_row not in self._undated and bool(self._reservable(shape_row))

    def _reservable(self, shape_row: int) -> list[int]:
        """Return the flavor rows on which a job of the shape may still reserve."""
        found = self._open_to.get(shape_row)
        if found is None:
            nodes = self._draft.snapshot.shapes[shape_row].nodes
            open_to = self._draft.possible[shape_row] & (self._open >= nodes)
            found = self._open_to[shape_row] = np.flatnonzero(open_to).tolist()
        return found

    def resume(self, eligible: Bool) -> None:
        """Book what the last plan promised, where the policy keeps promises.

        Args:
            eligible: [J] as `order.may_start` said.
        """
        draft = self._draft
        if self._easy or not self._most or not len(draft.snapshot.held_job):
            return
        places = dict(list(standing(draft, eligible).items())[: self._most])
        if not places:
            return
        self.held = book(draft, self._up_to_date(), places)
        for row, place in self.held.items():
            self._hold(row, place)
        self._renew(sorted(self._begins))

    def lift(self, row: int) -> Place | None:
        """Take out what is booked for a job whose turn it is, and return it; None for nothing."""
        place = None if self._easy else self._places.pop(row, None)
        if place is None:
            return None
        draft, shape = self._draft, self._draft.shape_of(row)
        need = shape.resources.values()
        self._up_to_date().unbook(place.nodes, need, place.start_ms, place.end_ms)
        self.lent.release(np.array(place.nodes, np.int64), need, place.start_ms, place.end_ms)
        for node in place.nodes:
            self._begins[node].remove(place.start_ms)
            if not self._begins[node]:
                del self._begins[node]
        self._licences.release(shape, place)
        if self.held.pop(row, None) is None:
            number = int(draft.snapshot.job_number[row])
            self.reservations = [one for one in self.reservations if one.job != number]
            self.busy.pop(row, None)
        # What was full may have room now.
        self._too_long.clear()
        draft.forget_options()
        return place

    def reserve(self, grant: Grant, busy: Reason, own: Place | None) -> None:
        """Book the earliest option for one task (gang) of a blocked job that may have one.

        Args:
            grant: Of the job.
            busy: Why it found no room.
            own: What was booked for it: it has that back if nothing is earlier.
        """
        draft = self._draft
        if grant.row in self._places:
            return
        horizon = self._up_to_date()
        choices = self._choices(horizon, grant) if self.may_reserve(grant.shape_row) else []
        place = self._first(grant, choices) if choices else None
        if own is not None and self._still(grant, own):
            place = own if place is None or own.start_ms <= place.start_ms else place
        if place is None:
            return
        self.busy[grant.row] = busy
        need = draft.snapshot.shapes[grant.shape_row].resources.values()
        horizon.book(place.nodes, need, place.start_ms, place.end_ms)
        self._hold(grant.row, place)
        self._renew(place.nodes)
        names = draft.snapshot.node_names
        self.reservations.append(
            Reservation(
                job=int(draft.snapshot.job_number[grant.row]),
                site=place.view.site.name,
                flavor=place.view.flavor.name,
                shares=tuple(Share(names[node], 1) for node in place.nodes),
                start_ms=place.start_ms,
                finish_ms=place.end_ms,
            )
        )
        if self._easy:
            self._open[place.view.row] = 0
            self._open_to.clear()

    def may_claim(self, shape: Shape, place: Place) -> bool:
        """Return whether the place of a job, lifted before, is free from now until its end."""
        counts = self._counts(shape, place.view, place.end_ms, everywhere=True)
        rows = np.array(place.nodes, np.int64)
        free = bool((counts[rows - place.view.first] > 0).all())
        return free and self._licences.left(shape, place.view.site_row)

    def claim(self, shape: Shape, place: Place, limit_ms: int) -> Lot:
        """Take the place, which is free, now, for a task that may take as long as `limit_ms`.

        What follows on its nodes was booked behind its expected end, so it need not fit by its
        limit, as it must elsewhere.
        """
        shares = [(node, 1) for node in place.nodes]
        bare = structs.replace(shape, licences=())
        lot = self._taken(bare, place.view, shares, place.end_ms, deep=False)
        self._licences.take(shape, place)
        until_ms = self._draft.snapshot.now_ms + limit_ms
        return lot._replace(until_ms=min(until_ms, FOREVER - 1))

    def shut(self, row: int) -> bool:
        """Return whether the job is known to get nothing; quick, for long queues."""
        shape_row = self._draft.job_shape[row]
        least = self._too_long.get(shape_row)
        if least is None or (not self._draft.job_active[row] and self.may_reserve(shape_row)):
            return False
        work, timeout = self._draft.limits[0][row], self._draft.limits[1][row]
        return timeout >= least[1] if timeout else not work or work >= least[0]

    def note_full(self, grant: Grant, *, kept: bool) -> None:
        """Shut out what needs as much for as long as this job, since nothing is left for it.

        Args:
            grant: Of the job.
            kept: Whether `keeps_room` is known to say so.
        """
        shape_row = grant.shape_row
        if not kept and not self.keeps_room(shape_row):
            self._too_long[shape_row] = (0, 0)
            # Who was promised something may yet leave room, or a reservation, to others.
            if not self.held and not self.may_reserve(shape_row):
                self._draft.closed_shapes.add(shape_row)
            return
        work, timeout = self._too_long.get(shape_row, (FOREVER, FOREVER))
        mine = grant.runtime
        if mine.timeout_ms:
            timeout = min(timeout, mine.timeout_ms)
        elif mine.known:
            work = min(work, mine.limit_ms)
        self._too_long[shape_row] = (work, timeout)

    def keeps_room(self, shape_row: int) -> bool:
        """Return whether a task of the shape would fit now, were nothing kept for others."""
        if not self.reservations and not self.held:
            return False
        draft = self._draft
        shape = draft.snapshot.shapes[shape_row]
        for flavor_row in np.flatnonzero(draft.possible[shape_row]).tolist():
            view = draft.flavors[flavor_row]
            if self._licences.some(shape, view.site_row):
                return True
            if self._some(shape, view, draft.snapshot.now_ms + 1):
                return True
        return False

    def _some(self, shape: Shape, view: FlavorView, end_ms: int) -> bool:
        """Return whether `slots` are any."""
        if shape.licences:
            return False
        if shape.nodes > 1 and shape.topology is Topology.BLOCK:
            return self.slots(shape, view, end_ms) > 0
        up = self._draft.snapshot.node_up
        everywhere = shape.nodes > 1
        return self.lent.nodes_with_room(shape, view, up, end_ms, everywhere=everywhere) >= (
            shape.nodes
        )

    def slots(
        self, shape: Shape, view: FlavorView, end_ms: int, *, everywhere: bool = False
    ) -> int:
        """Return how many tasks that end by then booked nodes can be lent to.

        Args:
            shape: Their shape.
            view: The flavor.
            end_ms: Unix time.
            everywhere: Count what nobody booked too.
        """
        if shape.licences:
            return 0
        counts = self._counts(shape, view, end_ms, everywhere=everywhere)
        blocks = self._draft.snapshot.node_block[view.first : view.stop]
        return tasks_in(shape, counts, blocks)

    def take(
        self,
        shape: Shape,
        view: FlavorView,
        count: int,
        end_ms: int,
        *,
        deep: bool,
        everywhere: bool,
    ) -> Lot:
        """Take up to `count` tasks' slots (one gang) until `end_ms` or, if deep, for longer.

        Args:
            shape: Their shape.
            view: The flavor.
            count: Most tasks.
            end_ms: By when one task has surely ended.
            deep: Whether slots could do further tasks: then as long as no booking is disturbed,
                at most for the policy's horizon.
            everywhere: Take what nobody booked too.
        """
        counts = self._counts(shape, view, end_ms, everywhere=everywhere)
        rows = np.flatnonzero(counts)
        shares: list[tuple[int, int]] = []
        if shape.nodes > 1:
            shares = [(row, 1) for row in self._gang(shape, rows + view.first)]
        else:
            for at, fits in zip(rows[:count].tolist(), counts[rows[:count]].tolist(), strict=True):
                slots = min(count, fits)
                if slots > 0:
                    shares.append((view.first + at, slots))
                    count -= slots
        return self._taken(shape, view, shares, end_ms, deep=deep)

    def _taken(
        self,
        shape: Shape,
        view: FlavorView,
        shares: list[tuple[int, int]],
        end_ms: int,
        *,
        deep: bool,
    ) -> Lot:
        """Take the chosen slots, from what is lent where a node is booked."""
        need = shape.resources
        lent = [(row, slots) for row, slots in shares if row in self._begins]
        until_ms = end_ms
        if deep:
            now_ms = self._draft.snapshot.now_ms
            until_ms = max(end_ms, now_ms + self._draft.policy.horizon_ms)
            for row, slots in lent:
                free_ms = self.lent.free_until(row, need.times(slots).values())
                until_ms = min(until_ms, free_ms)
        cards: dict[int, tuple[int, ...]] = {}
        for row, slots in shares:
            if row in self._begins:
                cards[row] = self.lent.take(row, need, slots, until_ms)
                continue
            if need.accelerator_milli:
                free: list[int] = self._draft.pool.cards[row].tolist()
                cards[row] = assign(free, need.accelerator_milli, slots)
            numbers = [cards.get(row, ())]
            self._draft.pool.take_exactly(shape, view.row, [(row, slots)], numbers)
        return Lot(shares, cards, until_ms if lent else FOREVER)

    def kept(self, row: int) -> tuple[I64, I64, I64] | None:
        """Return what is free now and kept from others on the nodes booked for a job.

        Returns:
            Node rows [M], amounts [M, D], cards [M, C]; None for a job without a reservation.
        """
        if row not in self._places:
            return None
        rows = np.array(self._places[row].nodes, np.int64)
        return (rows, *self.lent.kept(rows))

    def lend_no_more(self, row: int) -> None:
        """Keep the job's nodes from everybody from now on: it may start earlier than booked."""
        if row in self._places:
            self.lent.freeze(np.array(self._places[row].nodes, np.int64))

    def _choices(self, horizon: Horizon, grant: Grant) -> list[_Choice]:
        """Return the flavors on which the job could begin at a known date."""
        draft = self._draft
        shape = draft.snapshot.shapes[grant.shape_row]
        money = draft.account_left[draft.job_account[grant.row]]
        choices: list[_Choice] = []
        poor = 0
        open_to = self._reservable(grant.shape_row)
        for flavor_row in open_to:
            view = draft.flavors[flavor_row]
            if draft.hold_micro(view, grant.shape_row, grant.runtime) > money:
                poor += 1
                continue
            if not self._licences.left(shape, view.site_row):
                continue
            self._effort -= horizon.events(view)
            limit_ms = grant.runtime.limit_on(view.flavor)
            window = horizon.earliest(shape, view, limit_ms, later=True)
            if window is not None and window.start_ms > draft.snapshot.now_ms:
                choices.append(_Choice(view, window))
        if poor and poor == len(open_to):
            account = draft.job_account[grant.row]
            draft.closed_accounts.add((account, grant.shape_row, grant.runtime))
        elif not choices:
            self._undated.add(grant.shape_row)
        return choices

    def _first(self, grant: Grant, choices: list[_Choice]) -> Place:
        """Return the place that begins first; among equals the best by score."""
        view, window = self._choice(grant, choices)
        count = self._draft.snapshot.shapes[grant.shape_row].nodes
        nodes = view.first + np.flatnonzero(window.nodes)[:count]
        end_ms = window.start_ms + grant.runtime.on(view.flavor)
        return Place(view, tuple(nodes.tolist()), window.start_ms, end_ms)

    def _choice(self, grant: Grant, choices: list[_Choice]) -> _Choice:
        """Return the choice that begins first; among equals the best by score."""
        soonest = min(choice.window.start_ms for choice in choices)
        equals = {c.view.row: c for c in choices if c.window.start_ms == soonest}
        if len(equals) == 1:
            return next(iter(equals.values()))
        draft = self._draft
        tasks = draft.pending(grant.row)
        figures = [
            draft.figures(choice.view, grant.shape_row, grant.runtime, tasks, 1)
            for choice in equals.values()
        ]
        number = int(draft.snapshot.job_number[grant.row])
        best = best_first(draft.scored(figures), number)[0]
        return equals[best.figures.view.row]

    def _up_to_date(self) -> Horizon:
        """Return the profile with all that was granted so far."""
        draft = self._draft
        now_ms = draft.snapshot.now_ms
        if self._horizon is None:
            self._horizon = Horizon(draft.snapshot, loops=draft.loops)
        taken = [
            (node, slots, grant.shape_row, now_ms + span_ms(draft, grant, piece.until_ms))
            for grant, piece in draft.placed[self._seen :]
            for node, slots in piece.shares
        ]
        self._seen = len(draft.placed)
        if taken:
            nodes, slots, shapes, ends_ms = (
                np.array(c, np.int64) for c in zip(*taken, strict=True)
            )
            self._horizon.occupy(nodes, self._parts[shapes] * slots[:, None], ends_ms)
        self._horizon.occupy(*draft.lane.taken(self._in_lane))
        self._in_lane = draft.lane.count
        for grant in draft.flowing:
            if draft.pending(grant.row) > grant.slots:
                until_ms = now_ms + flow_ms(draft, grant)
                self._horizon.keep(int(draft.snapshot.job_number[grant.row]), until_ms)
        return self._horizon

    def _still(self, grant: Grant, own: Place) -> bool:
        """Return whether a job can pay for its place, the time of which has not passed."""
        draft = self._draft
        hold = draft.hold_micro(own.view, grant.shape_row, grant.runtime)
        paid = hold <= draft.account_left[draft.job_account[grant.row]]
        return paid and own.start_ms > draft.snapshot.now_ms

    def _hold(self, row: int, place: Place) -> None:
        """Write a booked place down, and keep its licences from others."""
        self._places[row] = place
        for node in place.nodes:
            insort(self._begins.setdefault(node, []), place.start_ms)
        self._licences.keep(self._draft.shape_of(row), place)

    def _renew(self, nodes: Sequence[int]) -> None:
        """Keep booked nodes from others, as far as others might be late."""
        assert self._horizon is not None  # noqa: S101 - it was just booked in
        rows = np.array(nodes, np.int64)
        begins = dates(self._begins, rows)
        self.lent.renew(rows, begins, self._horizon.levels(rows, begins))

    def _counts(self, shape: Shape, view: FlavorView, end_ms: int, *, everywhere: bool) -> I64:
        """Return how many parts of a task fit on each of the flavor's nodes until then."""
        up = self._draft.snapshot.node_up
        everywhere |= shape.nodes > 1
        return self.lent.counts(shape, view, up, end_ms, everywhere=everywhere)

    def _gang(self, shape: Shape, rows: I64) -> list[int]:
        """Return the first nodes that make a gang, in one block if it must; none if too few."""
        if shape.topology is Topology.BLOCK and len(rows):
            block = self._draft.snapshot.node_block[rows]
            number, count = np.unique(block, return_counts=True)
            enough: Bool = count >= shape.nodes
            rows = rows[block == number[enough][0]] if enough.any() else rows[:0]
        return rows[: shape.nodes].tolist() if len(rows) >= shape.nodes else []
