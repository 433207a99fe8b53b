"""The availability profile: what will be free on each node when, by promised ends and bookings.

All nodes of a flavor are worked on at once. A change of what is free is an event (node, time,
amounts): what runs gives back when it ends, a booking takes when it begins and gives back when it
ends. Sorted by node and time, the running sums are each node's free amounts from event to event;
where all of them suffice is a run, and a task may begin in it as long as it also ends in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fenglin.model.job import Topology
from fenglin.planner.runtime import FOREVER
from fenglin.planner.view import FlavorView
from fenglin.snapshot.cards import rooms
from fenglin.snapshot.snapshot import I64, Bool, Shape, Snapshot

Vector = tuple[int, ...]


class Window(NamedTuple):
    """When a task may first begin on a flavor.

    Attributes:
        start_ms: Unix time.
        nodes: [n] which of the flavor's nodes have room from then on for long enough.
    """

    start_ms: int
    nodes: Bool


class _Booking(NamedTuple):
    """What is booked on each of some nodes, from when and until when."""

    nodes: tuple[int, ...]
    need: Vector
    begin_ms: int
    end_ms: int


class _Table(NamedTuple):
    """The events of some nodes, in order of node and time.

    Attributes:
        node: [E] position among the nodes; each node's first event is what is free now.
        time: [E] Unix time.
        level: [E, D] free from this event until the node's next.
        heads: [n] each node's first event.
        same: [E - 1] whether an event and the next belong to one node.
    """

    node: I64
    time: I64
    level: I64
    heads: I64
    same: Bool


class Horizon:
    """Free amounts of all nodes over time."""

    def __init__(self, snapshot: Snapshot, free: I64 | None = None) -> None:
        """Take what is free now ([N, D], the snapshot's unless given) and what runs.

        A promise that is overdue by x is trusted to be kept within another x, as in
        `tail.wait_for`; what has not been given back is not free now, whatever was promised.
        """
        self._snapshot = snapshot
        self._base: I64 = np.array(snapshot.node_free if free is None else free, np.int64)
        wait = np.maximum(1, np.abs(snapshot.share_end_ms - snapshot.now_ms))
        self._node: I64 = snapshot.share_node.astype(np.int64)
        self._time: I64 = snapshot.now_ms + wait
        self._delta: I64 = snapshot.share_need * snapshot.share_slots[:, None]
        self._bookings: list[_Booking] = []
        # The events of all bookings; None when they are to be gathered.
        self._booked: tuple[I64, I64, I64] | None = None
        self._tables: dict[int, _Table] = {}
        # What was unbooked last, with the table of its flavor before that.
        self._lifted: tuple[_Booking, _Table | None] | None = None

    def occupy(self, node: I64, amounts: I64, end_ms: I64) -> None:
        """Take amounts [E, D] on nodes [E] now, to be given back at `end_ms` [E]."""
        np.subtract.at(self._base, node, amounts)
        self._extend(node, np.maximum(end_ms, self._snapshot.now_ms + 1), amounts)
        self._changed(node)

    def book(self, nodes: Sequence[int], need: Vector, begin_ms: int, end_ms: int) -> None:
        """Take the need on each of the nodes, of one flavor, from `begin_ms` to `end_ms`."""
        booking = _Booking(tuple(nodes), need, begin_ms, end_ms)
        self._bookings.append(booking)
        self._booked, lifted = None, self._lifted
        self._changed(nodes)
        if lifted is not None and lifted[0] == booking and lifted[1] is not None:
            self._tables[int(self._snapshot.node_flavor[booking.nodes[0]])] = lifted[1]

    def unbook(self, nodes: Sequence[int], need: Vector, begin_ms: int, end_ms: int) -> None:
        """Take a booking out again."""
        booking = _Booking(tuple(nodes), need, begin_ms, end_ms)
        self._bookings.remove(booking)
        self._booked = None
        table = self._tables.get(int(self._snapshot.node_flavor[booking.nodes[0]]))
        self._changed(nodes)
        self._lifted = booking, table

    def keep(self, job_number: int, until_ms: int) -> None:
        """Let what the job holds now be given back no earlier than `until_ms`."""
        first = int(np.searchsorted(self._snapshot.share_job, job_number, side="left"))
        stop = int(np.searchsorted(self._snapshot.share_job, job_number, side="right"))
        time = self._time[first:stop]
        late = np.flatnonzero(time < until_ms)
        if len(late):
            time[late] = until_ms
            self._changed(self._node[first:stop][late])

    def earliest(
        self, shape: Shape, view: FlavorView, span_ms: int, *, later: bool = False
    ) -> Window | None:
        """Return when one task (gang) of that length may first begin on the flavor.

        Args:
            shape: Its shape; that the flavor can hold it is taken for granted.
            view: The flavor.
            span_ms: How long it takes; FOREVER for a task that nobody may rely on to end.
            later: Whether it is known not to fit now. Sums of cards may say otherwise: what is
                free of them may lie in parts that no task can use.

        Returns:
            None when the known ends never leave room.
        """
        table = self._table(view)
        fits: Bool = np.array(self._snapshot.node_up[view.first : view.stop][table.node])
        for dimension, need in enumerate(shape.resources.values()):
            if need:
                fits &= table.level[:, dimension] >= need
        milli = shape.resources.accelerator_milli
        if later and shape.nodes == 1:
            fits[table.heads] = False
        elif later and milli:
            cards = self._snapshot.node_cards[view.first : view.stop]
            fits[table.heads] &= rooms(cards, milli) > 0
        node, first, last = _runs(table, fits, span_ms)
        if not len(node):
            return None
        if shape.nodes == 1:
            start_ms = int(first.min())
        else:
            group = np.zeros(len(node), np.int64)
            if shape.topology is Topology.BLOCK:
                group = self._snapshot.node_block[view.first : view.stop][node].astype(np.int64)
            found = _first_with(shape.nodes, group, first, last)
            if found is None:
                return None
            start_ms, inside = found
            node, first, last = node[inside], first[inside], last[inside]
        ready = np.zeros(view.stop - view.first, np.bool_)
        ready[node[(first <= start_ms) & (start_ms <= last)]] = True
        return Window(start_ms, ready)

    def when(self, nodes: I64, need: Vector, span_ms: int, since_ms: int) -> int:
        """Return from when on, at the earliest, all of these nodes have room for so long.

        Args:
            nodes: [M] node rows, rising.
            need: What is needed on each of them.
            span_ms: For how long.
            since_ms: Not before this; FOREVER is returned where they never have.
        """
        table = self._laid_out(nodes)
        fits: Bool = np.ones(len(table.node), np.bool_)
        for dimension, amount in enumerate(need):
            if amount:
                fits &= table.level[:, dimension] >= amount
        node, first, last = _runs(table, fits, span_ms)
        first = np.maximum(first, since_ms)
        some = first <= last
        node, first, last = node[some], first[some], last[some]
        if not len(node):
            return FOREVER
        found = _first_with(len(nodes), np.zeros(len(node), np.int64), first, last)
        return FOREVER if found is None else found[0]

    def levels(self, nodes: I64, begins: I64) -> I64:
        """Return [M, W + 1, D]: what is free right after now and right after each of the dates.

        Args:
            nodes: [M] node rows, rising.
            begins: [M, W] dates, rising in each row.
        """
        place, time, delta = self._of(nodes)
        answer = np.repeat(self._base[nodes][:, None, :], begins.shape[1] + 1, axis=1)
        for at in range(begins.shape[1]):
            past = time <= begins[place, at]
            np.add.at(answer[:, at + 1], place[past], delta[past])
        return answer

    def events(self, view: FlavorView) -> int:
        """Return how many events one look at the flavor goes through."""
        return len(self._table(view).node)

    def _table(self, view: FlavorView) -> _Table:
        table = self._tables.get(view.row)
        if table is not None:
            return table
        table = self._laid_out(np.arange(view.first, view.stop))
        self._tables[view.row] = table
        return table

    def _laid_out(self, nodes: I64) -> _Table:
        """Return the events of these nodes, rising, in order."""
        count = len(nodes)
        place, time, delta = self._of(nodes)
        delta = np.concatenate((self._base[nodes], delta))
        node = np.concatenate((np.arange(count), place))
        time = np.concatenate((np.full(count, self._snapshot.now_ms), time))
        # What is given back at a moment may be taken at the same moment.
        takes = np.asarray((delta < 0).any(axis=1), np.bool_)
        takes[:count] = False
        order = np.lexsort((takes, time, node))
        node, time = node[order], time[order]
        sums = np.cumsum(delta[order], axis=0)
        heads = np.flatnonzero(np.concatenate(([True], node[1:] != node[:-1])))[:count]
        before = sums[heads] - delta[order][heads]
        level = sums - before[node]
        return _Table(node, time, level, heads, node[1:] == node[:-1])

    def _of(self, nodes: I64) -> tuple[I64, I64, I64]:
        """Return the events of these nodes: position among them, time, amounts."""
        place_of = np.full(len(self._base), -1, np.int64)
        place_of[nodes] = np.arange(len(nodes))
        parts: list[tuple[I64, I64, I64]] = []
        for node, time, delta in self._events():
            place = place_of[node]
            mine = np.flatnonzero(place >= 0)
            parts.append((place[mine], time[mine], delta[mine]))
        running, booked = parts
        return (
            np.concatenate((running[0], booked[0])),
            np.concatenate((running[1], booked[1])),
            np.concatenate((running[2], booked[2])),
        )

    def _events(self) -> tuple[tuple[I64, I64, I64], tuple[I64, I64, I64]]:
        """Return the events of what runs, and those of all bookings."""
        if self._booked is None:
            rows: list[tuple[int, int, Vector]] = []
            for nodes, need, begin_ms, end_ms in self._bookings:
                taken = tuple(-amount for amount in need)
                rows += [(node, begin_ms, taken) for node in nodes]
                rows += [(node, end_ms, need) for node in nodes if end_ms < FOREVER]
            node, time, delta = zip(*rows, strict=True) if rows else ((), (), ())
            amounts = np.array(delta, np.int64).reshape(len(rows), self._base.shape[1])
            self._booked = np.array(node, np.int64), np.array(time, np.int64), amounts
        return (self._node, self._time, self._delta), self._booked

    def _extend(self, node: I64, time: I64, delta: I64) -> None:
        self._node = np.concatenate((self._node, node))
        self._time = np.concatenate((self._time, time))
        self._delta = np.concatenate((self._delta, delta))

    def _changed(self, nodes: Sequence[int] | I64) -> None:
        """Forget the tables of the flavors that have these nodes."""
        if not len(nodes):
            return
        self._lifted = None
        flavors = self._snapshot.node_flavor[np.asarray(nodes, np.int64)]
        for flavor_row in np.unique(flavors).tolist():
            self._tables.pop(flavor_row, None)


def _runs(table: _Table, fits: Bool, span_ms: int) -> tuple[I64, I64, I64]:
    """Return the runs in which a task has room for long enough: node, first and last start."""
    joined = fits[1:] & fits[:-1] & table.same
    begins = fits.copy()
    begins[1:] &= ~joined
    ends = fits.copy()
    ends[:-1] &= ~joined
    until = np.full(len(fits), FOREVER, np.int64)
    until[:-1] = np.where(table.same, table.time[1:], FOREVER)
    first, stop = table.time[begins], until[ends]
    last = np.where(stop < FOREVER, stop - span_ms, FOREVER)
    enough = last >= first
    return table.node[begins][enough], first[enough], last[enough]


def _first_with(nodes: int, group: I64, first: I64, last: I64) -> tuple[int, Bool] | None:
    """Return the earliest time at which `nodes` runs of one group are open, and its runs.

    A sweep over openings and closings by group and time; closings come first, so that the count
    of open runs is never too high.
    """
    closing = last < FOREVER
    groups = np.concatenate((group, group[closing]))
    times = np.concatenate((first, last[closing] + 1))
    steps = np.concatenate((np.ones(len(first), np.int64), -np.ones(int(closing.sum()), np.int64)))
    order = np.lexsort((steps, times, groups))
    groups, times = groups[order], times[order]
    sums = np.cumsum(steps[order])
    heads = np.flatnonzero(np.concatenate(([True], groups[1:] != groups[:-1])))
    before = np.repeat(sums[heads] - steps[order][heads], np.diff(np.append(heads, len(groups))))
    enough = np.flatnonzero(sums - before >= nodes)
    if not len(enough):
        return None
    best = enough[np.lexsort((groups[enough], times[enough]))[0]]
    return int(times[best]), np.asarray(group == groups[best], np.bool_)
