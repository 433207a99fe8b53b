"""Preemption: which running allocations are stopped so that a job of higher rank may start.

Asked after each priority level is filled, before the lower ones are: what a level could not place
may take the room of running preemptible allocations, and what of that room is free already is
kept from the levels below. Nothing is remembered between cycles. An allocation that was told to
stop counts as room (it ends soon), so the job that it was stopped for, which is still ahead of
all lower ones, is held the same room again and stops nobody else.

Lawful victims are preemptible, do not end by themselves within the time a stop takes, and are

- of strictly lower priority, when the job's queue stays within its quota, or is the victim's own;
- in another queue, which has borrowed what the job's queue may take back (reclaim): of no higher
  priority, and such that the job's queue is served first once they have ended.

So every eviction either raises the priority of what runs without taking anything from a queue
within its quota, or gives borrowed room back to where it is served first: no two jobs can evict
each other in turns, and preemption never livelocks.

An eviction must pay: the work that the job can start at once, in slots weighted by dominant
share times their expected runtime, is at least `Policy.preempt_gain` times the work destroyed.
Destroyed is what was done since the start, or since the last checkpoint where the job makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fenglin.fairness import quota
from fenglin.fairness.decay import past_share
from fenglin.fairness.share import dominant_share
from fenglin.fairness.tree import tree_of
from fenglin.model.job import Topology
from fenglin.model.plan import Eviction
from fenglin.model.reason import Reason
from fenglin.planner.draft import Draft
from fenglin.planner.order import Line
from fenglin.planner.runtime import Runtime, hold_per_task_micro, runtime_of
from fenglin.planner.victims import F64, Ask, Found, Holdings, cheapest
from fenglin.planner.view import FlavorView
from fenglin.snapshot.snapshot import I64, Bool, Shape

# What a stop takes, between the polite signal and the final one. Who ends within that is waited
# for; a stop that is overdue by as much again is not counted on any more.
SOON_MS = 10_000
# Per cycle: evictions of a round must show their effect before the next.
MOST_EVICTIONS = 256
MOST_SEARCHES = 48
MOST_JOBS = 2_000
# Refusals that more room would not heal.
_NOT_FOR_ROOM = (Reason.BUDGET_EXHAUSTED, Reason.BETTER_ELSEWHERE)


class _Asking(NamedTuple):
    """One task of a blocked job.

    Attributes:
        row: Job row.
        shape_row: Row of its shape.
        runtime: What is known of its runtime.
        priority: Its own.
        queue: Row of its queue.
        over: Whether its queue has no quota left, so that room must be reclaimed.
        lawful: [A] which allocations may be stopped for it.
    """

    row: int
    shape_row: int
    runtime: Runtime
    priority: int
    queue: int
    over: bool
    lawful: Bool


class _Offer(NamedTuple):
    """A flavor on which the task could start after evictions."""

    view: FlavorView
    task_ms: int
    hold_micro: int
    found: Found

    def key(self) -> tuple[float, int, int, int]:
        """Return what offers are compared by: work destroyed, evictions, runtime, row."""
        return (self.found.cost, len(self.found.owners), self.task_ms, self.view.row)


class _Live:
    """The live allocations, by number."""

    def __init__(self, draft: Draft) -> None:
        snapshot = draft.snapshot
        numbers, first, owner = np.unique(
            snapshot.share_allocation, return_index=True, return_inverse=True
        )
        now_ms = snapshot.now_ms
        self.number: I64 = numbers
        self.job: I64 = snapshot.share_job[first]
        self.queue: I64 = snapshot.share_queue[first].astype(np.int64)
        self.priority: I64 = snapshot.share_priority[first].astype(np.int64)
        self.site_row: I64 = snapshot.flavor_site[
            snapshot.node_flavor[snapshot.share_node[first]]
        ].astype(np.int64)
        soon = np.abs(snapshot.share_end_ms - now_ms) <= SOON_MS
        self.may_stop: Bool = (
            snapshot.share_preemptible[first] & ~snapshot.share_stopping[first] & ~soon[first]
        )
        self.sums: I64 = snapshot.share_need * snapshot.share_slots[:, None]
        self.amounts: I64 = np.concatenate((self.sums, snapshot.share_cards), axis=1)
        self.share_owner: I64 = owner.astype(np.int64).reshape(-1)
        self.share_node: I64 = snapshot.share_node.astype(np.int64)
        self.ends_soon: Bool = soon
        self.stopping = bool((snapshot.share_stopping & soon).any())
        self.held: I64 = np.zeros((len(numbers), self.sums.shape[1]), np.int64)
        np.add.at(self.held, self.share_owner, self.sums)
        self.slot: I64 = snapshot.share_need[first]
        self.nodes: I64 = snapshot.share_nodes[first].astype(np.int64)
        self.lost_ms: I64 = self._lost_ms(draft, first)
        total = np.array(draft.pool_total, np.int64)
        part = np.where(total > 0, self.slot / np.maximum(total, 1), 0.0).max(axis=1, initial=0.0)
        self.cost: F64 = np.asarray(self.lost_ms * part, np.float64)

    def _lost_ms(self, draft: Draft, first: I64) -> I64:
        """Return per allocation slots × min(time since the start, checkpoint interval)."""
        snapshot = draft.snapshot
        slots = np.zeros(len(first), np.int64)
        np.add.at(slots, self.share_owner, snapshot.share_slots)
        begun = snapshot.share_started_ms[first]
        elapsed = np.where(begun > 0, np.maximum(0, snapshot.now_ms - begun), 0)
        saved = snapshot.share_checkpoint_ms[first]
        lost: I64 = slots * np.where(saved > 0, np.minimum(elapsed, saved), elapsed)
        return lost


class Preemption:
    """Serves one cycle, level by level; see the module's text."""

    def __init__(self, draft: Draft) -> None:
        """Look at what runs; cheap where nothing may be stopped."""
        self.evictions: list[Eviction] = []
        self._draft = draft
        snapshot = draft.snapshot
        self._active = draft.policy.preempt and bool(
            (snapshot.share_preemptible | snapshot.share_stopping).any()
        )
        if not self._active:
            return
        self._live = live = _Live(draft)
        self._stoppable = live.may_stop.copy()
        self._least = int(live.priority[live.may_stop].min(initial=2**31))
        # Room beyond what the pool calls free: what ends soon and what is evicted here.
        width = live.amounts.shape[1]
        self._extra = np.zeros((len(snapshot.node_free), width), np.int64)
        np.add.at(self._extra, live.share_node[live.ends_soon], live.amounts[live.ends_soon])
        # Queues of which something is stopped, and those of which therefore nothing else is.
        self._moving = set(snapshot.share_queue[snapshot.share_stopping].tolist())
        self._closed = {queue for queue in self._moving if self._limited(queue)}
        # What soon ends of the quotas, by queue row.
        self._freed = np.zeros_like(snapshot.queue_used)
        soon = snapshot.share_queue[live.ends_soon], live.sums[live.ends_soon]
        np.add.at(self._freed, *soon)
        self._holdings = Holdings(live.share_owner, live.share_node, live.amounts, live.cost)
        self._hopeless: set[tuple[int, int, Runtime]] = set()
        self._licences_held: dict[tuple[int, str], int] = {}
        self._searches = 0

    def serve(self, lines: Sequence[Line]) -> None:
        """Make room for what a filled level has left over.

        Args:
            lines: Of one priority; filled as far as there was room.
        """
        if not self._active or self._searches >= MOST_SEARCHES:
            return
        draft, snapshot = self._draft, self._draft.snapshot
        priority = int(snapshot.job_priority[lines[0].jobs[0]])
        if not (self._live.stopping or priority > self._least or self._may_reclaim()):
            return
        draft.lane.settle()
        # Who starves stands in the line of its queue too.
        plain = [line.jobs for line in lines if not line.starving]
        rows = np.array([row for jobs in plain for row in jobs], np.int64)
        ranks = np.lexsort(
            (snapshot.job_number[rows], snapshot.job_submitted_ms[rows], draft.turn[rows])
        )
        for row in rows[ranks[:MOST_JOBS]].tolist():
            if self._searches >= MOST_SEARCHES or len(self.evictions) >= MOST_EVICTIONS:
                return
            self._serve_job(row, priority)

    def _may_reclaim(self) -> bool:
        """Return whether a queue has borrowed what may be stopped."""
        return any(self._would_borrow(queue, ()) for queue in self._holders())

    def _serve_job(self, row: int, priority: int) -> None:
        """Make room for as many tasks of a job as pays."""
        draft = self._draft
        if draft.refused.get(row) in _NOT_FOR_ROOM:
            return
        shape_row, queue = draft.job_shape[row], draft.job_queue[row]
        key = (shape_row, queue, runtime_of(draft.snapshot, row, draft.policy))
        for _ in range(draft.wanted(row)):
            if key in self._hopeless or self._searches >= MOST_SEARCHES:
                return
            over = not self._quota_admits(queue, shape_row, self._used())
            lawful = self._lawful(shape_row, queue, priority, over=over)
            asking = _Asking(row, shape_row, key[2], priority, queue, over, lawful)
            self._searches += 1
            offer = self._best(asking)
            if offer is None or len(self.evictions) + len(offer.found.owners) > MOST_EVICTIONS:
                self._hopeless.add(key)
                return
            self._take(asking, offer)

    def _lawful(self, shape_row: int, queue: int, priority: int, *, over: bool) -> Bool:
        """Return [A]: which allocations may be stopped for a job of that queue."""
        live = self._live
        lower = live.priority < priority
        borrowing = self._would_borrow(queue, self._draft.needs[shape_row])
        lawful = lower & (live.queue == queue) if borrowing else lower
        if over and not borrowing:
            holders = [other for other in self._holders() if self._owes(other, queue, shape_row)]
            lawful = lawful | (np.isin(live.queue, holders) & (live.priority <= priority))
        return self._stoppable & lawful & ~np.isin(live.queue, list(self._closed))

    def _holders(self) -> list[int]:
        """Return the queues of which something may be stopped."""
        holders: list[int] = np.unique(self._live.queue[self._stoppable]).tolist()
        return holders

    def _owes(self, holder: int, queue: int, shape_row: int) -> bool:
        """Return whether a queue has borrowed what another needs for a task of that shape.

        Not while something of it is stopped already: whose turn comes next would be uncertain.
        """
        if holder in self._moving:
            return False
        queues = self._draft.snapshot.queues
        back = quota.reclaimable(queues, self._used(), queue, holder)
        need = self._draft.needs[shape_row]
        return any(owed and wanted for owed, wanted in zip(back, need, strict=True))

    def _best(self, asking: _Asking) -> _Offer | None:
        """Return the cheapest flavor on which evictions, if any are needed, pay."""
        draft, shape = self._draft, self._draft.snapshot.shapes[asking.shape_row]
        room = self._room(asking.row)
        need = np.array(shape.resources.values(), np.int64)
        ask = Ask(need, shape.nodes, shape.resources.accelerator_milli)
        usable = draft.pool.usable(asking.shape_row)
        weight = dominant_share(draft.needs[asking.shape_row], draft.pool_total, 1_000)
        offers: list[_Offer] = []
        for flavor_row in np.flatnonzero(draft.possible[asking.shape_row]).tolist():
            view = draft.flavors[flavor_row]
            task_ms = asking.runtime.on(view.flavor)
            hold = hold_per_task_micro(view.flavor, shape, asking.runtime, draft.policy)
            if hold > draft.account_left[draft.job_account[asking.row]]:
                continue
            if not self._licensed(shape, view.site_row):
                continue
            for nodes in self._groups(view, usable, block=shape.topology is Topology.BLOCK):
                found = self._cheapest(asking, ask, room, nodes)
                if found is not None and self._pays(weight * task_ms, found):
                    offers.append(_Offer(view, task_ms, hold, found))
        return min(offers, key=_Offer.key, default=None)

    def _cheapest(self, asking: _Asking, ask: Ask, room: I64, nodes: I64) -> Found | None:
        if not asking.over:
            return cheapest(ask, room, nodes, self._holdings, asking.lawful)

        def freed(owners: Sequence[int]) -> bool:
            return self._quota_freed(asking, owners)

        found = cheapest(ask, room, nodes, self._holdings, asking.lawful, freed)
        lawful = found is not None and self._reclaimable(asking, found, room)
        return found if lawful else None

    def _pays(self, brings: float, found: Found) -> bool:
        return brings >= self._draft.policy.preempt_gain * found.cost

    def _groups(self, view: FlavorView, usable: Bool, *, block: bool) -> list[I64]:
        """Return the groups of usable nodes of which a task takes its own: all, or by block."""
        nodes = view.first + np.flatnonzero(usable[view.first : view.stop])
        if not block or not len(nodes):
            return [nodes]
        number = self._draft.snapshot.node_block[nodes]
        return [nodes[number == one] for one in np.unique(number).tolist()]

    def _licensed(self, shape: Shape, site_row: int) -> bool:
        """Return whether the site has licences left for one task; evictions free none."""
        snapshot = self._draft.snapshot
        left = dict(zip(snapshot.licence_names, snapshot.licence_free.tolist(), strict=True))
        for grant in self._draft.grants.values() if shape.licences else ():
            other = snapshot.shapes[grant.shape_row]
            for piece in grant.pieces:
                tasks = sum(slots for _, slots in piece.shares) // other.nodes
                for name, count in other.licences:
                    left[piece.option.figures.view.site_row, name] -= count * tasks
        return all(
            left.get((site_row, name), 0) - self._licences_held.get((site_row, name), 0) >= count
            for name, count in shape.licences
        )

    def _room(self, row: int) -> I64:
        """Return [N, D + C] what is free, ends soon or is evicted, less what is held here.

        What is kept from others for the job's own reservation is its to use.
        """
        pool, snapshot = self._draft.pool, self._draft.snapshot
        width = snapshot.node_free.shape[1]
        free = np.stack([pool.free_column(dimension) for dimension in range(width)], axis=1)
        room: I64 = np.concatenate((free, pool.cards), axis=1) + self._extra
        kept = self._draft.book.kept(row)
        if kept is not None:
            room[kept[0]] += np.concatenate(kept[1:], axis=1)
        return room

    def _take(self, asking: _Asking, offer: _Offer) -> None:
        """Evict, and hold the room for the job: what of it is free is nobody else's."""
        draft, live, snapshot = self._draft, self._live, self._draft.snapshot
        for owner in offer.found.owners:
            queue = int(live.queue[owner])
            self._moving.add(queue)
            if queue != asking.queue and live.priority[owner] >= asking.priority:
                self._closed.add(queue)
            self._stoppable[owner] = False
            rows = live.share_owner == owner
            np.add.at(self._extra, live.share_node[rows], live.amounts[rows])
            self._freed[live.queue[owner]] += live.held[owner]
            self.evictions.append(
                Eviction(
                    allocation=int(live.number[owner]),
                    job=int(live.job[owner]),
                    for_job=int(snapshot.job_number[asking.row]),
                    site=snapshot.sites[int(live.site_row[owner])].name,
                    lost_ms=int(live.lost_ms[owner]),
                )
            )
        shape = snapshot.shapes[asking.shape_row]
        draft.pool.take_exactly(shape, offer.view.row, [(node, 1) for node in offer.found.nodes])
        draft.book.lend_no_more(asking.row)
        for name, count in shape.licences:
            place = (offer.view.site_row, name)
            self._licences_held[place] = self._licences_held.get(place, 0) + count
        _move(draft.queue_used[asking.queue], draft.needs[asking.shape_row], 1)
        # The draft counts what a queue has taken when it is asked about it.
        draft.quota_tasks(asking.row)
        draft.account_left[draft.job_account[asking.row]] -= offer.hold_micro
        draft.refused[asking.row] = Reason.WAITS_FOR_EVICTION
        draft.patient_until_ms = min(draft.patient_until_ms, snapshot.now_ms + SOON_MS + 1)

    def _used(self) -> list[list[int]]:
        """Return [Q][D] what queues hold once everything that is to end has ended."""
        used: list[list[int]] = (np.array(self._draft.queue_used) - self._freed).tolist()
        return used

    def _would_borrow(self, queue: int, need: Sequence[int]) -> bool:
        """Return whether a queue would hold more than its own quota with `need` on top."""
        used = self._used()
        _move(used[queue], need, 1)
        return any(quota.borrowed(self._draft.snapshot.queues, used, queue))

    def _limited(self, queue: int) -> bool:
        snapshot = self._draft.snapshot
        return quota.room(snapshot.queues, snapshot.queue_used.tolist(), queue) is not None

    def _quota_admits(self, queue: int, shape_row: int, used: Sequence[Sequence[int]]) -> bool:
        room = quota.room(self._draft.snapshot.queues, used, queue)
        return quota.tasks_in(room, self._draft.needs[shape_row]) > 0

    def _used_without(self, owners: Sequence[int]) -> list[list[int]]:
        used = self._used()
        for owner in owners:
            _move(used[int(self._live.queue[owner])], self._live.held[owner].tolist(), -1)
        return used

    def _quota_freed(self, asking: _Asking, owners: Sequence[int]) -> bool:
        """Return whether the queue's quota admits one more task once these have ended."""
        return self._quota_admits(asking.queue, asking.shape_row, self._used_without(owners))

    def _reclaimable(self, asking: _Asking, found: Found, room: I64) -> bool:
        """Return whether all that is reclaimed is owed, and the asking job is served first."""
        used = self._used_without(found.owners)
        queues = self._draft.snapshot.queues
        for owner in found.owners:
            holder = int(self._live.queue[owner])
            if holder == asking.queue or self._live.priority[owner] < asking.priority:
                continue
            back = [list(row) for row in used]
            _move(back[holder], self._live.held[owner].tolist(), 1)
            if not any(quota.reclaimable(queues, back, asking.queue, holder)):
                return False
            if not self._served_first(asking, owner, used, self._spare(asking, found, room)):
                return False
        return True

    def _spare(self, asking: _Asking, found: Found, room: I64) -> I64:
        """Return [n, D] what is left on the nodes of the answer once the task has started."""
        width = self._live.sums.shape[1]
        freed = np.isin(self._live.share_owner, found.owners)
        after = room[:, :width].copy()
        np.add.at(after, self._live.share_node[freed], self._live.sums[freed])
        need = self._draft.snapshot.shapes[asking.shape_row].resources.values()
        return np.asarray(after[list(found.nodes)] - np.array(need, np.int64))

    def _served_first(
        self, asking: _Asking, owner: int, used: Sequence[Sequence[int]], spare: I64
    ) -> bool:
        """Return whether the next cycle gives the room to the job rather than back to its holder.

        By the order of turns: the lower share first. At equal shares the holder may come first
        with one task: then there must be room, and quota, for both.
        """
        draft, live = self._draft, self._live
        if not draft.policy.fair:
            return int(draft.snapshot.job_number[asking.row]) < int(live.job[owner])
        holder = int(live.queue[owner])
        mine, theirs = self._shares(used, asking.queue, holder)
        if mine != theirs:
            return mine < theirs
        beside = [list(row) for row in used]
        _move(beside[holder], (live.slot[owner] * live.nodes[owner]).tolist(), 1)
        fits = bool((spare >= live.slot[owner]).all())
        return fits and self._quota_admits(asking.queue, asking.shape_row, beside)

    def _shares(self, used: Sequence[Sequence[int]], one: int, other: int) -> tuple[float, float]:
        """Return by what turns between two queues are decided: where their paths upward part."""
        draft, tree = self._draft, tree_of(self._draft.snapshot.queues)
        paths = list(tree.path(one)), list(tree.path(other))
        spent = draft.snapshot.queue_spent_ms.tolist()
        past = tree.totals([(past_share(ms, draft.policy.decay_ms),) for ms in spent])
        totals = tree.totals(used)
        found: list[float] = []
        for mine, theirs in (paths, paths[::-1]):
            alone = [row for row in mine if row not in theirs]
            # Whoever stands above the other takes turns with it as one more child, of weight 1.
            row, weight = (alone[-1], tree.queues[alone[-1]].weight) if alone else (mine[0], 1_000)
            use = totals[row] if alone else used[row]
            found.append(dominant_share(use, draft.pool_total, max(1, weight), past[row][0]))
        return found[0], found[1]


def _move(amounts: list[int], change: Sequence[int], sign: int) -> None:
    """Add a change to a vector in place."""
    for dimension, amount in enumerate(change):
        amounts[dimension] += sign * amount
