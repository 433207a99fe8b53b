"""Improvement: what this cycle starts is shifted and swapped until more of the pool is filled.

Asked last, for jobs that found no room. Around a node that could hold such a job's task, were it
not for what this cycle wants to start there, a few nodes are taken apart and packed again by an
exact search (`repack.py`). Of each such neighbourhood the better packing is kept, so a plan is
never worse than it was; the policy's `improve_steps` bounds the places tried, and no clock is read.

What is compared is the sum of what the started tasks are worth (`prospects.py`); what is of lower
priority than the job that waits counts a thousandth. So a started task may be moved to another
node, or another flavor if that is worth it, and a task may give way to others of its own queue and
priority, or to a higher one. The first job of each queue and priority never gives way, so nobody
starves, nor does who is ahead of another's reservation, so that none is delayed; gangs, licensed
tasks, parts of cards and what fills the time before a reservation stay where they are. On a node on
which somebody else holds a reservation there is room beside what is booked, and until then for who
has surely ended (`ground.py`). A reservation is given up when its job starts, which then never
gives way. Plans under conservative backfilling are left alone: every start has its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from fenglin.model.reason import Reason
from fenglin.planner.draft import NEVER, Draft, Grant, Piece
from fenglin.planner.ground import Ground, Kept
from fenglin.planner.policy import Backfill
from fenglin.planner.prospects import Prospects
from fenglin.planner.rank import Scored
from fenglin.planner.repack import OUT, Item, Packed, Vector, repack
from fenglin.planner.runtime import FOREVER, runtime_of
from fenglin.planner.tail import Held
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.cards import FULL_MILLI
from fenglin.snapshot.snapshot import I64, Shape

_CARDS = DIMENSIONS.index("accelerator_milli")
# A neighbourhood: so many nodes, started tasks and waiting tasks. It costs steps to look at, and
# its search may spend a part of the whole budget.
MOST_BINS = 6
MOST_UNITS = 12
MOST_WAITING = 4
STEPS_PER_LOOK = 8
SEARCH_PART = 4
LEAST_SEARCH = 40
# Among more starts than this the few places that the budget allows would not show.
MOST_SERVED = 4_000
# What a task of lower priority than the waiting one counts.
LOWER_PART = 1e-3
# Refusals that no packing heals.
_NOT_FOR_ROOM = (
    Reason.BUDGET_EXHAUSTED,
    Reason.BETTER_ELSEWHERE,
    Reason.QUEUE_QUOTA,
    Reason.WAITS_FOR_EVICTION,
)


@dataclass(slots=True)
class _Unit:
    """One task that this cycle would start, and that may be moved."""

    grant: Grant
    piece: Piece
    node: int


class _Look(NamedTuple):
    """A neighbourhood: what is packed again, and where."""

    row: int
    nodes: list[int]
    units: list[_Unit]
    waiting: list[int]
    booked: bool


class _Attempt(Protocol):
    """A way to start a task of a waiting job; with `must`, of that very job."""

    def __call__(self, row: int, *, must: bool) -> bool: ...


class Improved(NamedTuple):
    """What was changed.

    Attributes:
        changed: Rows of jobs whose starts are others now.
        gained: Rows of jobs that got further tasks.
    """

    changed: frozenset[int]
    gained: frozenset[int]


def improve(draft: Draft, order: Sequence[int]) -> Improved:
    """Improve the draft within its policy's budget.

    Args:
        draft: After all granting.
        order: Job rows that may start, in planning order.
    """
    policy = draft.policy
    case = _Improvement(draft, order, policy.improve_steps)
    if (
        policy.improve_steps > 0
        and policy.backfill is not Backfill.CONSERVATIVE
        and 0 < draft.served <= MOST_SERVED
    ):
        case.run()
    return Improved(frozenset(case.changed), frozenset(case.gained))


class _Improvement:
    """One cycle's search."""

    def __init__(self, draft: Draft, order: Sequence[int], steps: int) -> None:
        self.draft = draft
        self.order = order
        self.steps = steps
        self._per_search = max(LEAST_SEARCH, steps // SEARCH_PART)
        self.changed: set[int] = set()
        self.gained: set[int] = set()
        self.first: set[int] = set()
        self.waiting: list[int] = []
        self.holders: dict[int, list[tuple[Grant, Piece]]] = {}
        self._priority: list[int] = draft.snapshot.job_priority.tolist()
        # Kinds of jobs, or kinds within an account, of which no other need be tried.
        self._closed: set[tuple[int, ...]] = set()
        self.prospects = Prospects(draft)
        self._opened: set[int] = set()

    def run(self) -> None:
        """Try the jobs that wait, in order, until the budget is spent."""
        self.draft.lane.settle()
        simple = [_simple(shape) for shape in self.draft.snapshot.shapes]
        shape_of = self.draft.job_shape
        self.waiting = [r for r in self.order if simple[shape_of[r]] and self._may_gain(r)]
        if not self.waiting:
            return
        self._gather()
        # What got in gave its reservation up, which may free others to move: look again.
        before = -1
        while self.steps > 0 and len(self.gained) > before:
            before = len(self.gained)
            self._closed.clear()
            for row in self.waiting:
                while self.steps > 0 and self._may_gain(row):
                    if not self._with_its_own(row, self._try):
                        self._closed.add(self._kind(row))
                if self.steps <= 0:
                    break
        # The budget may have ended before all was used from where tasks were moved away.
        if self._opened:
            self._use_what_opened()

    def _use_what_opened(self) -> None:
        self._closed.clear()
        free = self.ground.free[sorted(self._opened)]
        needs = np.array(self.draft.needs, np.int64)[:, None]
        fits: list[bool] = np.any(np.all(free >= needs, axis=2), axis=1).tolist()
        for row in [row for row in self.waiting if fits[self.draft.job_shape[row]]]:
            while self._may_gain(row) and self._with_its_own(row, self._start_where_it_opened):
                pass

    def _with_its_own(self, row: int, attempt: _Attempt) -> bool:
        """Try a job, which may use what is reserved for itself, and then gives that up."""
        found = None if row in self.gained else self.draft.book.kept(row)
        if found is None:
            return attempt(row, must=False)
        kept = Kept(*found)
        begins_ms = self.ground.open(kept)
        done = attempt(row, must=True)
        if not done:
            self.ground.close(kept, begins_ms)
        return done

    def _kind(self, row: int) -> tuple[int, int, int]:
        """Return what makes two waiting jobs alike here."""
        draft = self.draft
        return draft.job_shape[row], draft.job_queue[row], self._priority[row]

    def _may_gain(self, row: int) -> bool:
        """Return whether a job with simple tasks might start another."""
        draft = self.draft
        if draft.wanted(row) <= 0 or draft.refused.get(row) in _NOT_FOR_ROOM:
            return False
        kind = self._kind(row)
        return self._closed.isdisjoint((kind, (*kind, draft.job_account[row])))

    def _gather(self) -> None:
        """List what is free and what may be moved, by node, and who is first in its queue."""
        draft = self.draft
        self.ground = Ground(draft)
        self.movable = np.zeros_like(self.ground.free)
        heads: set[tuple[int, int]] = set()
        for row in self.order:
            head = draft.job_queue[row], self._priority[row]
            if head not in heads:
                heads.add(head)
                self.first.add(row)
        self._place = {row: at for at, row in enumerate(self.order)}
        numbers = [booking.job for booking in draft.book.reservations]
        rows = np.searchsorted(draft.snapshot.job_number, numbers)
        self._reserved: set[int] = set(rows.tolist())
        nodes: list[int] = []
        needs: list[tuple[int, ...]] = []
        slots_of: list[int] = []
        # In the order of their turns: the fast lane's are written down later than they were made.
        grants = sorted(draft.grants.values(), key=lambda grant: int(draft.turn[grant.row]))
        for grant in grants:
            if not _simple(draft.snapshot.shapes[grant.shape_row]):
                continue
            for piece in grant.pieces:
                for node, slots in piece.shares if piece.until_ms >= FOREVER else ():
                    self.holders.setdefault(node, []).append((grant, piece))
                    nodes.append(node)
                    needs.append(grant.need)
                    slots_of.append(min(slots, MOST_UNITS))
        if nodes:
            amounts = np.array(needs, np.int64) * np.array(slots_of, np.int64)[:, None]
            np.add.at(self.movable, np.array(nodes, np.int64), amounts)

    def _try(self, row: int, *, must: bool) -> bool:
        """Pack one neighbourhood of a waiting job again; return whether it is better now.

        With `must` it is better only if the job itself starts.
        """
        self.steps -= STEPS_PER_LOOK
        nodes = self._nodes(row)
        if not nodes:
            return False
        booked = bool((self.ground.begins_ms[nodes] < FOREVER).any())
        look = _Look(row, nodes, self._nearby(nodes), self._waiting(row), booked)
        items = [self._unit_item(look, unit) for unit in look.units]
        items += [
            self._waiting_item(look, other, must=must and not at)
            for at, other in enumerate(look.waiting)
        ]
        place = {node: at for at, node in enumerate(nodes)}
        bins = [self.ground.free[node].copy() for node in nodes]
        now = 0.0
        for unit, item in zip(look.units, items, strict=False):
            bins[place[unit.node]] += np.array(unit.grant.need)
            now += item.values[place[unit.node]]
        later = self.ground.later[nodes].tolist() if look.booked else [()] * len(nodes)
        vectors = [(*bin_.tolist(), *rest) for bin_, rest in zip(bins, later, strict=True)]
        packed = repack(items, vectors, now, min(self.steps, self._per_search))
        self.steps -= packed.steps
        if packed.value <= now + 1e-9:
            return False
        self._carry_out(look, packed)
        return True

    def _start_where_it_opened(self, row: int, *, must: bool) -> bool:  # noqa: ARG002 - as `_try`
        """Start a task of a waiting job where others were moved away; return whether it fits."""
        draft, kind = self.draft, self._kind(row)
        need = np.array(draft.needs[draft.job_shape[row]], np.int64)
        nodes = np.array(sorted(self._opened), np.int64)
        nodes = nodes[(self.ground.free[nodes] >= need).all(axis=1)]
        if not len(nodes) or draft.quota_tasks(row) <= 0:
            self._closed.add(kind)
            return False
        fits = draft.pool.usable(draft.job_shape[row])
        fits &= (self.ground.rooms(self._ends_ms(row)) >= need).all(axis=1)
        nodes = nodes[fits[nodes]]
        money = draft.account_left[draft.job_account[row]]
        most, best = 0.0, OUT
        for node in nodes.tolist():
            option = self.prospects.of(row).get(int(draft.snapshot.node_flavor[node]))
            if option is not None and option.figures.hold_micro <= money:
                worth = self.prospects.worth(option, need.tolist())
                if worth > most:
                    most, best = worth, node
        if best == OUT:
            self._closed.add((*kind, draft.job_account[row]) if len(nodes) else kind)
            return False
        self._gain(row, best)
        return True

    def _nodes(self, row: int) -> list[int]:
        """Return the nodes to take apart: where least is missing, then where most is free."""
        draft = self.draft
        need = np.array(draft.shape_of(row).resources.values(), np.int64)
        may = draft.pool.usable(draft.job_shape[row])
        free = self.ground.rooms(self._ends_ms(row))
        reach = may & (free + self.movable >= need).all(axis=1)
        targets = np.flatnonzero(reach)
        if not len(targets):
            return []
        part = np.maximum(need, 1)
        lack = (np.maximum(0, need - free[targets]) / part).sum(axis=1)
        chosen: list[int] = targets[np.argsort(lack, kind="stable")[: MOST_BINS // 2]].tolist()
        capacity = np.maximum(draft.snapshot.node_capacity, 1)
        left = np.where(draft.snapshot.node_up, 1.0, -1.0)
        left *= (np.maximum(0, self.ground.free) / capacity).sum(axis=1)
        left[chosen] = -1.0
        others = np.argsort(-left, kind="stable")[: MOST_BINS - len(chosen)].tolist()
        return chosen + [node for node in others if left[node] >= 0]

    def _ends_ms(self, row: int) -> I64:
        """Return [N]: when a task of the job that starts now has surely ended, by node."""
        draft = self.draft
        by_flavor = np.full(len(draft.flavors), FOREVER, np.int64)
        for flavor_row, option in self.prospects.of(row).items():
            by_flavor[flavor_row] = self._end_ms(row, option)
        return np.asarray(by_flavor[draft.snapshot.node_flavor])

    def _end_ms(self, row: int, option: Scored) -> int:
        draft, figures = self.draft, option.figures
        limit_ms = runtime_of(draft.snapshot, row, draft.policy).limit_on(figures.view.flavor)
        return min(FOREVER, draft.snapshot.now_ms + figures.moved.time_ms + limit_ms)

    def _needs(self, look: _Look, row: int, need: Vector, own: int = OUT) -> tuple[Vector, ...]:
        """Return what a task needs of each node: now and, where it would be late, beside bookings.

        Who stays where it is (`own`) disturbs no booking.
        """
        if not look.booked:
            return (need,) * len(look.nodes)
        late = self.ground.late(self._ends_ms(row))[look.nodes].tolist()
        return tuple(
            (*need, *(need if at_odds and node != own else (0,) * len(need)))
            for node, at_odds in zip(look.nodes, late, strict=True)
        )

    def _nearby(self, nodes: Sequence[int]) -> list[_Unit]:
        """Return the units of these nodes, a few of each node in turn, the largest first."""
        by_node: list[list[_Unit]] = []
        for node in nodes:
            units = [
                _Unit(grant, piece, node)
                for grant, piece in self.holders.get(node, ())
                for at, slots in piece.shares
                if at == node
                for _ in range(min(slots, MOST_UNITS))
            ]
            by_node.append(
                sorted(units, key=lambda unit: self.prospects.size(unit.grant.need), reverse=True)
            )
        found: list[_Unit] = []
        for at in range(MOST_UNITS):
            found += [units[at] for units in by_node if at < len(units)]
        return found[:MOST_UNITS]

    def _waiting(self, row: int) -> list[int]:
        """Return tasks of the job, and of those like it in queue and priority, that wait.

        Only the one task where a quota or money is short.
        """
        draft = self.draft
        money = draft.account_left[draft.job_account[row]]
        quota = draft.quota_tasks(row)
        if quota < NEVER or money < self.prospects.dearest_micro(row) * MOST_WAITING:
            return [row] if quota > 0 else []
        _, queue, priority = self._kind(row)
        found = [row] * min(draft.wanted(row), MOST_WAITING)
        for other in self.waiting:
            if len(found) >= MOST_WAITING:
                break
            alike = self._kind(other)[1:] == (queue, priority)
            if alike and other != row and self._may_gain(other):
                found += [other] * min(draft.wanted(other), MOST_WAITING - len(found))
        return found

    def _unit_item(self, look: _Look, unit: _Unit) -> Item:
        draft, row = self.draft, unit.grant.row
        _, queue, priority = self._kind(look.row)
        own = self._priority[row]
        lower = own < priority
        gives_way = lower or (own == priority and draft.job_queue[row] == queue)
        part = LOWER_PART if lower else 1.0
        gives_way = gives_way and row not in self.first and not self._ahead(row, look.row)
        here = unit.piece.option.figures
        values = []
        for node in look.nodes:
            option = self.prospects.of(row).get(int(draft.snapshot.node_flavor[node]))
            if option is not None and option.figures.view.row != here.view.row:
                more = (option.figures.hold_micro - here.hold_micro) * MOST_UNITS
                if more > draft.account_left[draft.job_account[row]]:
                    option = None
            values.append(self.prospects.worth(option, unit.grant.need) * part if option else 0.0)
        needs = self._needs(look, row, unit.grant.need, unit.node)
        return Item(needs, tuple(values), not gives_way)

    def _ahead(self, row: int, served: int) -> bool:
        """Return whether a reservation stands behind a job.

        If the job gave way, it would come before the reservation in the next cycle, and delay it.
        The reservation of the job that is served is given up for its start.
        """
        standing = (r for r in self._reserved if r != served and r not in self.gained)
        return any(self._place.get(other, -1) > self._place[row] for other in standing)

    def _waiting_item(self, look: _Look, row: int, *, must: bool) -> Item:
        draft = self.draft
        need = draft.needs[draft.job_shape[row]]
        money = draft.account_left[draft.job_account[row]]
        values = []
        for node in look.nodes:
            option = self.prospects.of(row).get(int(draft.snapshot.node_flavor[node]))
            if option is not None and option.figures.hold_micro * len(look.waiting) > money:
                option = None
            values.append(self.prospects.worth(option, need) if option else 0.0)
        return Item(self._needs(look, row, need), tuple(values), must)

    def _carry_out(self, look: _Look, packed: Packed) -> None:
        """Make the draft what was found: first everything off that moves, then on again."""
        places = [OUT if at == OUT else look.nodes[at] for at in packed.bins]
        count = len(look.units)
        moved = [
            (unit, node)
            for unit, node in zip(look.units, places[:count], strict=True)
            if unit.node != node
        ]
        for unit, _ in moved:
            self.changed.add(unit.grant.row)
            self._off(unit)
        for unit, node in moved:
            if node != OUT:
                self._on(unit.grant, node)
            else:
                self.draft.refused.pop(unit.grant.row, None)
        for row, node in zip(look.waiting, places[count:], strict=True):
            if node != OUT:
                self._gain(row, node)

    def _gain(self, row: int, node: int) -> None:
        """Start one more task of a job that waited."""
        self._on(self.draft.open(row), node)
        self.gained.add(row)
        if row in self._reserved:
            # It gave its reservation up for this start: whoever takes it, delays it.
            self.first.add(row)
        self.draft.book.busy.pop(row, None)
        self.changed.add(row)

    def _off(self, unit: _Unit) -> None:
        """Take one task away from where it would start."""
        grant, piece, node = unit.grant, unit.piece, unit.node
        figures = piece.option.figures
        piece.shares = [
            (at, slots - (at == node)) for at, slots in piece.shares if slots > (at == node)
        ]
        self.ground.give_back(node, grant.need, self._cards_off(piece, node, grant.need[_CARDS]))
        self._opened.add(node)
        self._settle(grant, figures.hold_micro, -1)
        held = grant.held.index(
            next(h for h in grant.held if h[0] == 0 and h[1] == figures.task_ms)
        )
        free_in_ms, task_ms, slots = grant.held.pop(held)
        if slots > 1:
            grant.held.append(Held(free_in_ms, task_ms, slots - 1))
        self.movable[node] -= np.array(grant.need, np.int64)
        if all(at != node for at, _ in piece.shares):
            self.holders[node].remove((grant, piece))

    def _on(self, grant: Grant, node: int) -> None:
        """Start one task on a node."""
        draft = self.draft
        option = self.prospects.of(grant.row)[int(draft.snapshot.node_flavor[node])]
        end_ms = self._end_ms(grant.row, option)
        taken = self.ground.take(node, draft.shape_of(grant.row), end_ms)
        piece = Piece(option, [(node, 1)], until_ms=taken.until_ms)
        if taken.cards:
            piece.cards[node] = taken.cards
        grant.pieces.append(piece)
        grant.held.append(Held(0, option.figures.task_ms, 1))
        self._settle(grant, option.figures.hold_micro, 1)
        if piece.until_ms >= FOREVER:
            self.movable[node] += np.array(grant.need, np.int64)
            self.holders.setdefault(node, []).append((grant, piece))

    def _cards_off(self, piece: Piece, node: int, milli: int) -> tuple[int, ...]:
        """Take the cards of a node's last slot out of a piece, and return them."""
        if not milli:
            return ()
        per_task = milli // FULL_MILLI
        numbers = piece.cards[node]
        piece.cards[node] = numbers[:-per_task]
        return numbers[-per_task:]

    def _settle(self, grant: Grant, hold_micro: int, sign: int) -> None:
        """Count one task more or less: to the job, its queue and its account."""
        draft = self.draft
        grant.slots += sign
        used = draft.queue_used[draft.job_queue[grant.row]]
        for dimension, need in enumerate(grant.need):
            used[dimension] += sign * need
        draft.account_left[draft.job_account[grant.row]] -= sign * hold_micro
        draft.quota_tasks(grant.row)


def _simple(shape: Shape) -> bool:
    """Return whether tasks of the shape may be moved: alone, unlicensed, on whole cards."""
    whole = shape.resources.accelerator_milli % FULL_MILLI == 0
    return shape.nodes == 1 and not shape.licences and whole
