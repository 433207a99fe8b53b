"""The availability profile: what will be free on each node when, by promised ends and bookings.

All nodes of a flavor are worked on at once. A change of what is free is an event (node, time,
amounts): what runs gives back when it ends, a booking takes when it begins and gives back when it
ends. Sorted by node and time, the running sums are each node's free amounts from event to event;
where all of them suffice is a run, and a task may begin in it as long as it also ends in it.

Laying the events of a flavor out takes a sort of them all; after that a booking puts its two events
per node where they belong, so that one more costs no more when hundreds are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fenglin.model.job import Topology
from fenglin.planner.backfill.twins import Kernel
from fenglin.planner.horizon_kernels import Events
from fenglin.planner.runtime import FOREVER
from fenglin.planner.view import FlavorView
from fenglin.snapshot.cards import rooms
from fenglin.snapshot.snapshot import I64, Bool, Shape, Snapshot

Vector = tuple[int, ...]

# With more nodes changed at once than this, laying the events out anew is quicker.
_MOST_CHANGED = 64


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


class Horizon:
    """Free amounts of all nodes over time."""

    def __init__(
        self,
        snapshot: Snapshot,
        free: I64 | None = None,
        loops: Mapping[str, Kernel] | None = None,
    ) -> None:
        """Take what is free now ([N, D], the snapshot's unless given) and what runs.

        A promise that is overdue by x is trusted to be kept within another x, as in
        `tail.wait_for`; what has not been given back is not free now, whatever was promised.

        Args:
            snapshot: The world.
            free: What is free now.
            loops: `horizon_kernels.compiled_profile()` for the same sooner.
        """
        self._snapshot = snapshot
        self._loops = loops
        self._base: I64 = np.array(snapshot.node_free if free is None else free, np.int64)
        wait = np.maximum(1, np.abs(snapshot.share_end_ms - snapshot.now_ms))
        self._node: I64 = snapshot.share_node.astype(np.int64)
        self._time: I64 = snapshot.now_ms + wait
        self._delta: I64 = snapshot.share_need * snapshot.share_slots[:, None]
        self._bookings: list[_Booking] = []
        self._tables: dict[int, Events] = {}

    def occupy(self, node: I64, amounts: I64, end_ms: I64) -> None:
        """Take amounts [E, D] on nodes [E] now, to be given back at `end_ms` [E]."""
        if not len(node):
            return
        np.subtract.at(self._base, node, amounts)
        end_ms = np.maximum(end_ms, self._snapshot.now_ms + 1)
        self._node = np.concatenate((self._node, node))
        self._time = np.concatenate((self._time, end_ms))
        self._delta = np.concatenate((self._delta, amounts))
        if len(node) > _MOST_CHANGED:
            self._forget(node)
            return
        for row, need, end in zip(node.tolist(), amounts, end_ms.tolist(), strict=True):
            self._take([row], need, -1, end)

    def book(self, nodes: Sequence[int], need: Vector, begin_ms: int, end_ms: int) -> None:
        """Take the need on each of the nodes, of one flavor, from `begin_ms` to `end_ms`."""
        self._bookings.append(_Booking(tuple(nodes), need, begin_ms, end_ms))
        self._take(nodes, np.array(need, np.int64), begin_ms, end_ms)

    def unbook(self, nodes: Sequence[int], need: Vector, begin_ms: int, end_ms: int) -> None:
        """Take a booking out again."""
        self._bookings.remove(_Booking(tuple(nodes), need, begin_ms, end_ms))
        flavor_row, first = self._flavor_of(nodes[0])
        table = self._tables.pop(flavor_row, None)
        if table is None or len(nodes) > _MOST_CHANGED:
            return
        places = [node - first for node in nodes]
        self._tables[flavor_row] = _without(
            table, places, np.array(need, np.int64), begin_ms, end_ms
        )

    def keep(self, job_number: int, until_ms: int) -> None:
        """Let what the job holds now be given back no earlier than `until_ms`."""
        first = int(np.searchsorted(self._snapshot.share_job, job_number, side="left"))
        stop = int(np.searchsorted(self._snapshot.share_job, job_number, side="right"))
        time = self._time[first:stop]
        late = np.flatnonzero(time < until_ms)
        if len(late):
            time[late] = until_ms
            self._forget(self._node[first:stop][late])

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
        table, count = self._table(view), view.stop - view.first
        up = self._snapshot.node_up[view.first : view.stop]
        need = np.array(shape.resources.values(), np.int64)
        head_fits: Bool = np.ones(count, np.bool_)
        if later and shape.nodes == 1:
            head_fits[:] = False
        elif later and need[-1]:
            cards = self._snapshot.node_cards[view.first : view.stop]
            head_fits = rooms(cards, int(need[-1])) > 0
        ready: Bool = np.zeros(count, np.bool_)
        blocks = shape.nodes > 1 and shape.topology is Topology.BLOCK
        if self._loops is not None and not blocks:
            start_ms = self._loops["earliest"](
                table, up, head_fits, need, span_ms, shape.nodes, ready
            )
            return None if start_ms < 0 else Window(int(start_ms), ready)
        fits = _fits(table, need) & up[table.node]
        fits[table.heads[:-1]] &= head_fits
        node, first, last = _runs(table, fits, span_ms)
        group = np.zeros(len(node), np.int64)
        if blocks:
            group = self._snapshot.node_block[view.first : view.stop][node].astype(np.int64)
        if not len(node):
            return None
        if shape.nodes == 1:
            start_ms = int(first.min())
        else:
            found = _first_with(shape.nodes, group, first, last)
            if found is None:
                return None
            start_ms, inside = found
            node, first, last = node[inside], first[inside], last[inside]
        ready[node[(first <= start_ms) & (start_ms <= last)]] = True
        return Window(start_ms, ready)

    def when(self, nodes: I64, need: Vector, span_ms: int, since_ms: int) -> int:
        """Return from when on, at the earliest, all of these nodes have room for so long.

        Args:
            nodes: [M] node rows of one flavor, rising.
            need: What is needed on each of them.
            span_ms: For how long.
            since_ms: Not before this; FOREVER is returned where they never have.
        """
        table = _part(self._table_of(int(nodes[0])), nodes - self._flavor_of(int(nodes[0]))[1])
        node, first, last = _runs(table, _fits(table, np.array(need, np.int64)), span_ms)
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
        answer = np.empty((len(nodes), begins.shape[1] + 1, self._base.shape[1]), np.int64)
        for at, node in enumerate(nodes.tolist()):
            table, place = self._table_of(node), node - self._flavor_of(node)[1]
            if self._loops is not None:
                self._loops["levels"](table, place, begins[at], answer[at])
                continue
            first, stop = int(table.heads[place]), int(table.heads[place + 1])
            answer[at, 0] = table.level[first]
            past = table.time[first:stop].searchsorted(begins[at], "right")
            answer[at, 1:] = table.level[first + np.maximum(past, 1) - 1]
        return answer

    def events(self, view: FlavorView) -> int:
        """Return how many events one look at the flavor goes through."""
        return len(self._table(view).node)

    def _take(self, nodes: Sequence[int], need: I64, begin_ms: int, end_ms: int) -> None:
        """Put what a booking takes into the events of its flavor, where they are laid out.

        Args:
            nodes: Of one flavor, rising.
            need: [D] of each of them.
            begin_ms: When it begins; -1 for what is taken now.
            end_ms: When it ends; FOREVER for never.
        """
        flavor_row, first = self._flavor_of(nodes[0])
        table = self._tables.get(flavor_row)
        if table is None:
            return
        if len(nodes) > _MOST_CHANGED or 0 <= begin_ms < self._snapshot.now_ms:
            del self._tables[flavor_row]
            return
        places = [node - first for node in nodes]
        if self._loops is not None:
            self._tables[flavor_row] = self._loops["insert"](
                table, np.array(places), need, begin_ms, end_ms
            )
        else:
            self._tables[flavor_row] = _with(table, places, need, begin_ms, end_ms)

    def _flavor_of(self, node: int) -> tuple[int, int]:
        """Return the flavor row of a node, and the row of the flavor's first node."""
        flavor_row = int(self._snapshot.node_flavor[node])
        return flavor_row, int(self._firsts[flavor_row])

    @cached_property
    def _firsts(self) -> I64:
        """Return [F] the row of each flavor's first node."""
        flavors = np.arange(len(self._snapshot.flavor_site))
        return np.asarray(np.searchsorted(self._snapshot.node_flavor, flavors), np.int64)

    def _table(self, view: FlavorView) -> Events:
        table = self._tables.get(view.row)
        if table is None:
            table = self._tables[view.row] = self._laid_out(np.arange(view.first, view.stop))
        return table

    def _table_of(self, node: int) -> Events:
        """Return the events of the flavor that the node is of."""
        flavor_row, first = self._flavor_of(node)
        table = self._tables.get(flavor_row)
        if table is None:
            stop = int(np.searchsorted(self._snapshot.node_flavor, flavor_row, side="right"))
            table = self._tables[flavor_row] = self._laid_out(np.arange(first, stop))
        return table

    def _laid_out(self, nodes: I64) -> Events:
        """Return the events of these nodes, rising, in order."""
        count = len(nodes)
        place_of = np.full(len(self._base), -1, np.int64)
        place_of[nodes] = np.arange(count)
        parts = [(np.arange(count), np.full(count, self._snapshot.now_ms), self._base[nodes])]
        for node, time, delta in ((self._node, self._time, self._delta), self._booked()):
            place = place_of[node]
            mine = np.flatnonzero(place >= 0)
            parts.append((place[mine], time[mine], delta[mine]))
        node, time, delta = (np.concatenate(column) for column in zip(*parts, strict=True))
        # What is given back at a moment may be taken at the same moment.
        takes = np.asarray((delta < 0).any(axis=1), np.bool_)
        takes[:count] = False
        order = np.lexsort((takes, time, node))
        node, time = node[order], time[order]
        sums = np.cumsum(delta[order], axis=0)
        heads = np.searchsorted(node, np.arange(count + 1))
        before = sums[heads[:-1]] - delta[order][heads[:-1]]
        return Events(node, time, sums - before[node], heads)

    def _booked(self) -> tuple[I64, I64, I64]:
        """Return the events of all bookings: node, time, amounts."""
        rows: list[tuple[int, int, Vector]] = []
        for nodes, need, begin_ms, end_ms in self._bookings:
            taken = tuple(-amount for amount in need)
            rows += [(node, begin_ms, taken) for node in nodes]
            rows += [(node, end_ms, need) for node in nodes if end_ms < FOREVER]
        node, time, delta = zip(*rows, strict=True) if rows else ((), (), ())
        amounts = np.array(delta, np.int64).reshape(len(rows), self._base.shape[1])
        return np.array(node, np.int64), np.array(time, np.int64), amounts

    def _forget(self, nodes: I64) -> None:
        """Forget the tables of the flavors that have these nodes."""
        for flavor_row in np.unique(self._snapshot.node_flavor[nodes]).tolist():
            self._tables.pop(flavor_row, None)


def _slices(table: Events, places: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each of these places its node's first event and the one after its last."""
    return [(int(table.heads[at]), int(table.heads[at + 1])) for at in places]


def _fits(table: Events, need: I64) -> Bool:
    """Return [E] from which events on all that is needed is free."""
    fits: Bool = np.ones(len(table.node), np.bool_)
    for dimension in np.flatnonzero(need).tolist():
        fits &= table.level[:, dimension] >= need[dimension]
    return fits


def _part(table: Events, places: I64) -> Events:
    """Return the events of some of the nodes alone."""
    kept = np.concatenate([np.arange(*part) for part in _slices(table, places.tolist())])
    node = np.searchsorted(places, table.node[kept])
    heads = np.searchsorted(node, np.arange(len(places) + 1))
    return Events(node, table.time[kept], table.level[kept], heads)


def _with(table: Events, places: Sequence[int], need: I64, begin_ms: int, end_ms: int) -> Events:
    """Return the events with a booking more, of the nodes at these rising places."""
    at: list[int] = []
    nodes: list[int] = []
    times: list[int] = []
    rows: list[I64] = []
    level = table.level
    for place, (first, stop) in zip(places, _slices(table, places), strict=True):
        time = table.time[first:stop]
        begin = first + int(time.searchsorted(begin_ms, "right"))
        end = first + int(time.searchsorted(end_ms, "left")) if end_ms < FOREVER else stop
        last = level[end - 1].copy()
        if begin_ms >= 0:
            at.append(begin)
            times.append(begin_ms)
            rows.append(level[begin - 1] - need)
        if end_ms < FOREVER:
            at.append(end)
            times.append(end_ms)
            rows.append(last)
        nodes += [place] * (len(at) - len(nodes))
        level[begin:end] -= need
    heads = table.heads + np.searchsorted(nodes, np.arange(len(table.heads)))
    if not at:
        return table
    return Events(
        np.insert(table.node, at, nodes),
        np.insert(table.time, at, times),
        np.insert(level, at, rows, axis=0),
        heads,
    )


def _without(table: Events, places: Sequence[int], need: I64, begin_ms: int, end_ms: int) -> Events:
    """Return the events without a booking of the nodes at these rising places."""
    gone: list[int] = []
    nodes: list[int] = []
    level = table.level
    for place, (first, stop) in zip(places, _slices(table, places), strict=True):
        begin = _event(table, first + 1, stop, begin_ms, -need)
        end = stop
        if end_ms < FOREVER:
            end = _event(table, begin + 1, stop, end_ms, need)
            gone += [begin, end]
        else:
            gone.append(begin)
        nodes += [place] * (len(gone) - len(nodes))
        level[begin:end] += need
    kept = np.ones(len(table.node), np.bool_)
    kept[gone] = False
    heads = table.heads - np.searchsorted(nodes, np.arange(len(table.heads)))
    return Events(table.node[kept], table.time[kept], level[kept], heads)


def _event(table: Events, first: int, stop: int, time_ms: int, change: I64) -> int:
    """Return the event among some of a node's that changes what is free so at that time."""
    at = first + int(table.time[first:stop].searchsorted(time_ms, "left"))
    while (table.level[at] - table.level[at - 1] != change).any():
        at += 1
    return at


def _runs(table: Events, fits: Bool, span_ms: int) -> tuple[I64, I64, I64]:
    """Return the runs in which a task has room for long enough: node, first and last start."""
    same = np.ones(len(fits) - 1, np.bool_)
    same[table.heads[1:-1] - 1] = False
    joined = fits[1:] & fits[:-1] & same
    begins = fits.copy()
    begins[1:] &= ~joined
    ends = fits.copy()
    ends[:-1] &= ~joined
    until = np.full(len(fits), FOREVER, np.int64)
    until[:-1] = np.where(same, table.time[1:], FOREVER)
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
