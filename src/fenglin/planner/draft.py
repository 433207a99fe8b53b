"""The plan in the making: what was granted so far and what is left to grant from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fenglin.catalog.network import NOTHING_MOVED
from fenglin.fairness import quota
from fenglin.model.reason import Reason
from fenglin.planner.backfill.twins import Kernel
from fenglin.planner.feasible import possible
from fenglin.planner.horizon_kernels import compiled_profile
from fenglin.planner.lane import Lane
from fenglin.planner.pack import Pool
from fenglin.planner.policy import Policy
from fenglin.planner.rank import Figures, Scored, best_first, finish_alone_ms, score
from fenglin.planner.reserve import Book
from fenglin.planner.runtime import (
    FOREVER,
    Runtime,
    hold_per_task_micro,
    limits_of,
    price_of_tasks_micro,
    runtime_of,
)
from fenglin.planner.scene import Scene
from fenglin.planner.tail import Held, wait_for
from fenglin.planner.view import FlavorView, flavor_views
from fenglin.snapshot.snapshot import I64, Bool, Shape, Snapshot

NEVER = 2**62

Vector = tuple[int, ...]


@dataclass(slots=True)
class Piece:
    """Slots granted to a job on one flavor in one step.

    Attributes:
        option: The option they belong to.
        shares: (node row, slots), by node row.
        cards: By node row: the cards of its slots, as in `Share`.
        until_ms: By when its tasks must have ended; FOREVER for no limit.
    """

    option: Scored
    shares: list[tuple[int, int]]
    cards: dict[int, tuple[int, ...]] = field(default_factory=dict)
    until_ms: int = FOREVER


@dataclass(slots=True)
class Grant:
    """What one job has been granted, and what it holds already.

    Attributes:
        row: Job row.
        shape_row: Row of its shape.
        need: What one task takes over all its nodes.
        runtime: What is known of its runtime.
        options: Possible options that had room when it was first served, best first.
        held: Slots it holds: live ones and those granted here.
        pieces: Granted slots, in the order granted.
        slots: Tasks that start at once through them.
    """

    row: int
    shape_row: int
    need: Vector
    runtime: Runtime
    options: list[Scored]
    held: list[Held]
    pieces: list[Piece] = field(default_factory=list)
    slots: int = 0


class Draft:
    """Working state of one planning cycle; nothing outside sees it."""

    def __init__(self, snapshot: Snapshot, policy: Policy, loop: Kernel | None = None) -> None:
        """Copy what changes while planning; the snapshot itself stays as it is.

        Args:
            snapshot: The world.
            policy: What is wanted of it.
            loop: The compiled loop of the fast lane; None for the plain one.
        """
        self.snapshot = snapshot
        self.policy = policy
        # The profile's compiled loops; None for NumPy.
        self.loops = compiled_profile() if loop is not None else None
        self.flavors: tuple[FlavorView, ...] = flavor_views(snapshot)
        self.possible: Bool = possible(snapshot, self.flavors)
        self.pool = Pool(snapshot, self.flavors, self.possible, packing=policy.pack)
        self._scene = Scene(snapshot, self.flavors, self.possible)
        self.needs: list[Vector] = [
            shape.resources.times(shape.nodes).values() for shape in snapshot.shapes
        ]
        self.pool_total: Vector = tuple(snapshot.node_capacity.sum(axis=0).tolist())
        self.queue_used: list[list[int]] = snapshot.queue_used.tolist()
        self._quotas = quota.Quotas(snapshot.queues, self.queue_used)
        self.account_left: list[int] = snapshot.account_available_micro.tolist()
        self.lane = Lane(self, loop)
        # How many jobs have been served, by the long way or the fast lane.
        self.served = 0
        # Grants of jobs that went the long way; of the others when somebody asked for them.
        self.long_way: dict[int, Grant] = {}
        # All pieces granted the long way in order, and the grants whose job holds live slots.
        self.placed: list[tuple[Grant, Piece]] = []
        self.flowing: list[Grant] = []
        self.turn: I64 = np.full(len(snapshot.job_number), NEVER, np.int64)
        # Why a job was passed over, where it is not simply that its shape has no room.
        self.refused: dict[int, Reason] = {}
        self.closed_shapes: set[int] = set()
        self.closed_quotas: set[tuple[int, int]] = set()
        self.closed_accounts: set[tuple[int, int, Runtime]] = set()
        self.patient_until_ms = NEVER
        self._figures: dict[tuple[int, int, Runtime, int, int, tuple[int, ...]], Figures] = {}
        self._scores: dict[tuple[int, ...], list[Scored]] = {}
        self._holds: dict[tuple[int, int, Runtime], int] = {}
        self._scored: dict[tuple[int, Runtime, int, tuple[int, ...]], list[Scored]] = {}
        self._columns = {
            name: getattr(snapshot, f"job_{name}").tolist()
            for name in ("shape", "queue", "account", "pending", "concurrency", "active", "number")
        }
        self.job_shape: list[int] = self._columns["shape"]
        self.job_queue: list[int] = self._columns["queue"]
        self.job_account: list[int] = self._columns["account"]
        self.job_active: list[int] = self._columns["active"]
        self.book = Book(self)

    def let_go(self) -> None:
        """Part from the rooms that point back here; nothing more can be granted.

        With them a draft would lie in memory until the next full collection of garbage, and one
        of 100,000 jobs takes some 10 MB.
        """
        del self.lane, self.book

    def shape_of(self, row: int) -> Shape:
        """Return the shape of a job."""
        return self.snapshot.shapes[self.job_shape[row]]

    def wanted(self, row: int) -> int:
        """Return how many more tasks of the job may start now, by its own limits alone."""
        grant = self.long_way.get(row)
        granted = grant.slots if grant else 0
        most: int = self._columns["pending"][row] - granted
        limit: int = self._columns["concurrency"][row]
        if limit:
            most = min(most, limit - self._columns["active"][row] - granted)
        return max(0, most)

    def pending(self, row: int) -> int:
        """Return the tasks of the job that no parent holds back."""
        count: int = self._columns["pending"][row]
        return count

    def quota_tasks(self, row: int) -> int:
        """Return how many more tasks the quotas above the job admit, its queue's and all above."""
        room = self.queue_room(row)
        return NEVER if room is None else quota.tasks_in(room, self.needs[self.job_shape[row]])

    def queue_room(self, row: int) -> Vector | None:
        """Return how much more those quotas admit; None for no limit."""
        return self._quotas.room(self.job_queue[row])

    def open(self, row: int) -> Grant:
        """Return the job's grant, made on its first turn."""
        grant = self.long_way.get(row)
        if grant is None:
            shape_row = self.job_shape[row]
            runtime = runtime_of(self.snapshot, row, self.policy)
            grant = Grant(
                row,
                shape_row,
                self.needs[shape_row],
                runtime,
                self.ranked(row, runtime),
                self.live(row, runtime),
            )
            self.turn[row] = self.served
            self.served += 1
            self.long_way[row] = grant
            if grant.held:
                self.flowing.append(grant)
        return grant

    @property
    def grants(self) -> dict[int, Grant]:
        """Return all grants by job row."""
        self.lane.settle()
        return self.long_way

    def adopt(self, grant: Grant) -> None:
        """Write down a grant that the fast lane has made and booked."""
        self.long_way[grant.row] = grant

    def ranked(self, row: int, runtime: Runtime) -> list[Scored]:
        """Return the options with room for a job, best first."""
        scored = self._score(row, self.job_shape[row], runtime)
        return best_first(scored, self._columns["number"][row])

    def forget_options(self) -> None:
        """Look anew, from now on, which options have room: something was given back."""
        self._scored.clear()

    def charge(self, grant: Grant, piece: Piece, tasks: int) -> None:
        """Book granted slots: to the job, its queue and, one task per slot, its account."""
        figures = piece.option.figures
        grant.pieces.append(piece)
        self.placed.append((grant, piece))
        grant.slots += tasks
        grant.held.append(Held(0, figures.task_ms, tasks))
        used = self.queue_used[self.job_queue[grant.row]]
        for dimension, need in enumerate(grant.need):
            used[dimension] += need * tasks
        self.account_left[self.job_account[grant.row]] -= figures.hold_micro * tasks

    @cached_property
    def _running(self) -> frozenset[int]:
        """Return the numbers of the jobs that hold something."""
        return frozenset(self.snapshot.share_job.tolist())

    @cached_property
    def limits(self) -> tuple[list[int], list[int]]:
        """Return per job what it may be trusted with; see `runtime.limits_of`."""
        return limits_of(self.snapshot)

    def live(self, row: int, runtime: Runtime) -> list[Held]:
        """Return the slots that the job's live allocations hold, by flavor and end."""
        snapshot = self.snapshot
        if self._columns["number"][row] not in self._running:
            return []
        number = self._columns["number"][row]
        first = int(np.searchsorted(snapshot.share_job, number, side="left"))
        stop = int(np.searchsorted(snapshot.share_job, number, side="right"))
        nodes = self.shape_of(row).nodes
        slots: dict[tuple[int, int], int] = {}
        for at in range(first, stop):
            flavor = int(snapshot.node_flavor[snapshot.share_node[at]])
            key = (flavor, int(snapshot.share_end_ms[at]))
            slots[key] = slots.get(key, 0) + int(snapshot.share_slots[at])
        return [
            Held(
                wait_for(end_ms, snapshot.now_ms),
                runtime.on(self.flavors[flavor].flavor),
                max(1, count // nodes),
            )
            for (flavor, end_ms), count in sorted(slots.items())
        ]

    def _score(self, row: int, shape_row: int, runtime: Runtime) -> list[Scored]:
        """Return the scored options with room; jobs alike in every figure share them."""
        pending = self.pending(row)
        present = self.present(row)
        key = (shape_row, runtime, pending, present)
        if key not in self._scored:
            options = [
                self.figures(view, shape_row, runtime, pending, slots, present)
                for view in self.flavors
                if (slots := self.pool.slots(shape_row, view.row, max(1, pending))) > 0
            ]
            self._scored[key] = self.scored(options)
        return self._scored[key]

    def present(self, row: int) -> tuple[int, ...]:
        """Return the site rows that have the data of the job because it runs there already."""
        if not self.shape_of(row).data:
            return ()
        snapshot, number = self.snapshot, self._columns["number"][row]
        first, stop = np.searchsorted(snapshot.share_job, (number, number + 1)).tolist()
        flavors = snapshot.node_flavor[snapshot.share_node[first:stop]]
        return tuple(np.unique(snapshot.flavor_site[flavors]).tolist())

    def figures(
        self,
        view: FlavorView,
        shape_row: int,
        runtime: Runtime,
        tasks: int,
        slots: int,
        present: tuple[int, ...] = (),
    ) -> Figures:
        """Reckon one option for `tasks` waiting tasks; sites of `present` have their data."""
        key = (view.row, shape_row, runtime, tasks, slots, present)
        found = self._figures.get(key)
        if found is None:
            if slots > 1 and tasks == 1:
                # One task takes one slot, however many there are.
                found = self.figures(view, shape_row, runtime, 1, 1, present)._replace(slots=slots)
            else:
                found = self._reckon(view, shape_row, runtime, tasks, slots, present)
            self._figures[key] = found
        return found

    def scored(self, options: Sequence[Figures]) -> list[Scored]:
        """Return `score` of options that `figures` gave: of the same ones the same."""
        key = tuple(map(id, options))
        found = self._scores.get(key)
        if found is None:
            found = self._scores[key] = score(options, self.policy)
        return found

    def hold_micro(self, view: FlavorView, shape_row: int, runtime: Runtime) -> int:
        """Return the money to reserve for one task; see `runtime.hold_per_task_micro`."""
        key = (view.row, shape_row, runtime)
        hold = self._holds.get(key)
        if hold is None:
            shape = self.snapshot.shapes[shape_row]
            hold = hold_per_task_micro(view.flavor, shape, runtime, self.policy)
            self._holds[key] = hold
        return hold

    def _reckon(
        self,
        view: FlavorView,
        shape_row: int,
        runtime: Runtime,
        tasks: int,
        slots: int,
        present: tuple[int, ...],
    ) -> Figures:
        shape = self.snapshot.shapes[shape_row]
        paid_ms = runtime.on(view.flavor)
        # What the site loses between two tasks takes time, but nobody pays for it.
        task_ms = paid_ms + view.site.turn_ms
        moved = NOTHING_MOVED
        if shape.data and view.site_row not in present:
            moved = self._scene.moved(shape_row, view)
        return Figures(
            view,
            slots,
            task_ms,
            moved.time_ms + finish_alone_ms(tasks, slots, task_ms),
            price_of_tasks_micro(view.flavor, shape, paid_ms, tasks),
            view.flavor.price_for(shape.tariff).currency,
            self.hold_micro(view, shape_row, runtime),
            shape,
            shape_row,
            tasks,
            moved,
            self._scene,
        )
