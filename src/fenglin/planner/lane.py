"""The fast lane: jobs of one single task each, placed by the ten thousand.

Most of what a long queue holds is simple: one task on one node, no licences, nothing running
yet. Such jobs need no thought beyond "the best option with room that the account can pay", so a
short loop over columns serves them in their order, with the very options that `Draft` would rank
for them. Whatever is not simple, finds no room or is refused is left to the long way, which comes
to the same (a property test compares the plans byte for byte).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fenglin.model.allocation import Share
from fenglin.model.plan import Start
from fenglin.planner import lane_kernels
from fenglin.planner.backfill.twins import Kernel, compiled
from fenglin.planner.horizon_kernels import compiled_profile
from fenglin.planner.lane_kernels import (
    FULL_MILLI,
    LIMITED,
    STOPPED,
    UNKNOWN,
    Given,
    Jobs,
    Kinds,
    Room,
)
from fenglin.planner.policy import Packing
from fenglin.planner.rank import Scored
from fenglin.planner.runtime import Runtime, runtime_of
from fenglin.planner.tail import Held
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.snapshot import I64, Bool

if TYPE_CHECKING:
    from fenglin.planner.draft import Draft
    from fenglin.planner.order import Line

# One bit for each card of a node.
_MOST_CARDS = 62
_FIRST_STEP = 16
_STEP_GROWTH = 4
_NO_LIMIT = 2**62

Rooms: TypeAlias = Callable[[Sequence[Sequence[int]]], Sequence[Sequence[int]]]
_LEAST = 64
_NOTHING: I64 = np.zeros(0, np.int64)


def first_room(room: Room, shape: int, node: int, stop: int) -> int:
    """Return what the loop of `lane_kernels` does, many nodes at a time."""
    free, cards = np.asarray(room.free), np.asarray(room.cards)
    up, need = np.asarray(room.up), np.asarray(room.need)[shape]
    step = _FIRST_STEP
    if lane_kernels.first_room(room, shape, node, min(node + 1, stop)) == node:
        return node
    while node < stop:
        end = min(stop, node + step)
        fits = (up[node:end] != 0) & (free[:3, node:end] >= need[:3, None]).all(axis=0)
        if need[3]:
            large = np.count_nonzero(cards[node:end] >= min(need[3], FULL_MILLI), axis=1)
            fits &= large * FULL_MILLI >= need[3]
        at = int(fits.argmax())
        if fits[at]:
            return node + at
        node, step = end, step * _STEP_GROWTH
    return stop


@cache
def plain_loop() -> Kernel:
    """Return the loop as it stands, but for the search of a node, which is `first_room` here."""
    own = {**vars(lane_kernels), "first_room": first_room}
    own["choose"] = FunctionType(lane_kernels.choose.__code__, own)
    return FunctionType(lane_kernels.serve.__code__, own)


@cache
def compiled_loop() -> Kernel | None:
    """Return the compiled loop, ready to run; None when there is no Numba.

    Compiling takes seconds, and loading from the disk's cache a part of one: whoever must not
    wait plans without it until it is there.
    """
    twins = compiled(lane_kernels.KERNELS)
    if twins is None or compiled_profile() is None:
        return None
    one, table = np.zeros(1, np.int64), np.zeros((1, 1), np.int64)
    twins["serve"](
        Jobs(one, one, one),
        Kinds(one, one, table, one, one, one),
        Room(table, one, table, table, one, table, one, one, table, one, one),
        Given(one, one, one, one),
        _NOTHING,
        0,
        0,
    )
    return twins["serve"]


class Lane:
    """The simple jobs of one cycle and what they are given."""

    def __init__(self, draft: Draft, loop: Kernel | None = None) -> None:
        """Note nothing yet: all is laid out when the first line is served.

        Args:
            draft: The plan in the making.
            loop: The compiled loop, of `compiled_loop`; None for the plain one.
        """
        self._draft = draft
        self._loop = loop
        self._table: _Table | None = None
        self._stuck: set[tuple[int, int, int]] = set()
        self._line: Line | None = None
        self._rows: I64 = _NOTHING
        # How many tasks were given so far.
        self.count = 0
        self._settled = 0

    def serve(self, line: Line, rooms: Rooms | None = None) -> bool:
        """Serve the simple jobs at the head of a line; return whether the line went on.

        Args:
            line: Whose turn it is.
            rooms: Says, for lists of the dimensions that tasks need, how much more of each the
                queue may take in this turn; None for all there is.
        """
        draft = self._draft
        if draft.policy.pack is not Packing.FIRST:
            return False
        if self._table is None:
            self._table = _Table(draft)
        table, mark = self._table, self._mark(line)
        if mark[0] < 0 or mark in self._stuck or not self._open(line):
            return False
        if self._line is not line:
            self._line, self._rows = line, np.array(line.jobs, np.int64)
        room = self._room(line, rooms)
        at, before, why = line.at, self.count, UNKNOWN
        while why == UNKNOWN:
            at, self.count, why = self._run(room, at)
            if why == UNKNOWN:
                table.learn(line.jobs[at])
        moved = at > line.at
        line.at = at
        if why == STOPPED or (why == LIMITED and rooms is None):
            self._stuck.add(self._mark(line))
        self._book(before, room)
        return moved

    def settle(self) -> None:
        """Write what was given into the draft's own grants, for whoever looks at them."""
        from fenglin.planner.draft import Grant, Piece  # noqa: PLC0415 - a draft makes its lane

        if self._table is None or self._settled == self.count:
            return
        table, now = self._table, slice(self._settled, self.count)
        self._settled = self.count
        draft = self._draft
        for row, number, node, bits in zip(
            *(column[now].tolist() for column in table.given), strict=True
        ):
            order, option = table.order_of[number], table.options[number]
            piece = Piece(option, [(node, 1)], {node: _cards_of(bits)} if bits else {})
            shape_row = draft.job_shape[row]
            draft.adopt(
                Grant(
                    row,
                    shape_row,
                    draft.needs[shape_row],
                    table.runtimes[order],
                    table.rankings[order],
                    [Held(0, option.figures.task_ms, 1)],
                    [piece],
                    1,
                )
            )

    def taken(self, since: int) -> tuple[I64, I64, I64]:
        """Return what was given after the first `since`: nodes, [n, D] amounts, expected ends."""
        if self._table is None or since == self.count:
            return _NOTHING, np.zeros((0, len(DIMENSIONS)), np.int64), _NOTHING
        table, draft = self._table, self._draft
        given = table.given
        shapes = draft.snapshot.job_shape[given.job[since : self.count]]
        spans = np.array([scored.figures.task_ms for scored in table.options], np.int64)
        ends = draft.snapshot.now_ms + spans[given.option[since : self.count]]
        return given.node[since : self.count].copy(), table.room.need[shapes], ends

    def starts(self) -> dict[int, Start]:
        """Return the start of each job that was given something, by its row."""
        if self._table is None or not self.count:
            return {}
        table, snapshot = self._table, self._draft.snapshot
        rows, options, nodes, bits = (column[: self.count] for column in table.given)
        figures = [scored.figures for scored in table.options]
        parts = [
            (f.view.site.name, f.view.flavor.name, f.task_ms, snapshot.now_ms + f.task_ms)
            for f in figures
        ]
        holds = [f.hold_micro for f in figures]
        # One tuple of shares for all jobs on the same node and cards: the garbage collector
        # would go through one for each job.
        order = np.lexsort((bits, nodes))
        ranked = np.stack((nodes[order], bits[order]))
        begins = np.concatenate(([True], (ranked[:, 1:] != ranked[:, :-1]).any(axis=0)))
        place = np.zeros(len(order), np.int64)
        place[order] = np.cumsum(begins) - 1
        names = snapshot.node_names
        shares = [
            (Share(names[node], 1, _cards_of(cards)),)
            for node, cards in zip(*ranked[:, begins].tolist(), strict=True)
        ]
        found: dict[int, Start] = {}
        for row, number, option, at in zip(
            rows.tolist(),
            snapshot.job_number[rows].tolist(),
            options.tolist(),
            place.tolist(),
            strict=True,
        ):
            site, flavor, task_ms, finish_ms = parts[option]
            found[row] = Start(
                number, site, flavor, shares[at], 1, task_ms, finish_ms, holds[option]
            )
        return found

    def _mark(self, line: Line) -> tuple[int, int, int]:
        """Return by what jobs are alike in whether anything is left for them."""
        assert self._table is not None  # noqa: S101 - laid out before any line is served
        draft, head = self._draft, line.jobs[line.at]
        return int(self._table.jobs.kind[head]), draft.job_account[head], draft.job_queue[head]

    def _open(self, line: Line) -> bool:
        """Return whether simple jobs of the line may be served without asking for more."""
        draft, head = self._draft, line.jobs[line.at]
        if line.queue < 0 and any(queue.quota is not None for queue in draft.snapshot.queues):
            return False
        return not draft.book.strict(draft.shape_of(head))

    def _room(self, line: Line, rooms: Rooms | None) -> Room:
        """Return what is left now: for the line's queue, of each account, of each node."""
        assert self._table is not None  # noqa: S101 - laid out before any line is served
        draft = self._draft
        left = draft.queue_room(line.jobs[line.at])
        queue = np.full((len(self._table.wants), len(DIMENSIONS)), _NO_LIMIT, np.int64)
        if rooms is not None:
            np.minimum(queue, rooms(self._table.wants), out=queue)
        if left is not None:
            np.minimum(queue, np.maximum(0, left), out=queue)
        closed = np.zeros(len(draft.snapshot.shapes), np.int64)
        closed[list(draft.closed_shapes)] = 1
        return self._table.room._replace(
            closed=closed,
            queue=queue,
            taken=np.zeros(len(DIMENSIONS), np.int64),
            money=np.array(draft.account_left, np.int64),
        )

    def _run(self, room: Room, at: int) -> tuple[int, int, int]:
        """Run the loop, compiled or plain."""
        assert self._table is not None  # noqa: S101 - laid out before any line is served
        columns = (self._table.jobs, self._table.kinds, room, self._table.given)
        if self._loop is not None:
            at, count, why = self._loop(*columns, self._rows, at, self.count)
        else:
            views = (type(part)(*map(_view, part)) for part in columns)
            at, count, why = plain_loop()(*views, _view(self._rows), at, self.count)
        return int(at), int(count), int(why)

    def _book(self, before: int, room: Room) -> None:
        """Tell the draft what was given: to queues and accounts, in which turn, on which nodes."""
        assert self._table is not None  # noqa: S101 - laid out before any line is served
        if before == self.count:
            return
        draft, given = self._draft, self._table.given
        rows = given.job[before : self.count]
        snapshot = draft.snapshot
        queues = snapshot.job_queue[rows]
        for queue in np.unique(queues).tolist():
            shapes = snapshot.job_shape[rows[queues == queue]]
            tasks = np.bincount(shapes, minlength=len(snapshot.shapes))
            for dimension, more in enumerate((tasks @ self._table.room.need).tolist()):
                draft.queue_used[queue][dimension] += more
        for account in np.unique(snapshot.job_account[rows]).tolist():
            draft.account_left[account] = int(room.money[account])
        draft.turn[rows] = np.arange(draft.served, draft.served + len(rows))
        draft.served += len(rows)
        draft.pool.touch(given.node[before : self.count])


class _Table:
    """What the loop works on, laid out once for a cycle."""

    def __init__(self, draft: Draft) -> None:
        """Sort the jobs into kinds; what they choose from is learned when first needed."""
        self._draft = draft
        snapshot, pool = draft.snapshot, draft.pool
        count = len(snapshot.job_number)
        kind, first = _kinds(draft)
        providers = len({site.provider for site in snapshot.sites})
        self.jobs = Jobs(
            kind=kind,
            account=snapshot.job_account.astype(np.int64),
            turn=snapshot.job_number.copy(),
        )
        self.kinds = Kinds(
            shape=snapshot.job_shape[first].astype(np.int64),
            providers=np.zeros(len(first), np.int64),
            order=np.full((len(first), max(1, providers)), -1, np.int64),
            first=np.zeros(_LEAST, np.int64),
            flavor=np.zeros(_LEAST, np.int64),
            hold=np.zeros(_LEAST, np.int64),
        )
        needs = [shape.resources.values() for shape in snapshot.shapes]
        named = [tuple(d for d, amount in enumerate(need) if amount) for need in needs]
        # The lists of dimensions in which tasks need something.
        self.wants: list[tuple[int, ...]] = sorted(dict.fromkeys(named))
        wants = np.array([self.wants.index(one) for one in named], np.int64)
        self.room = Room(
            need=np.array(needs, np.int64).reshape(len(needs), len(DIMENSIONS)),
            closed=_NOTHING,
            free=pool.free,
            cards=pool.cards,
            up=snapshot.node_up.astype(np.int64),
            cursor=pool.cursor,
            stop=np.array([view.stop for view in draft.flavors], np.int64),
            wants=wants,
            queue=_NOTHING,
            taken=_NOTHING,
            money=_NOTHING,
        )
        self.given = Given(*(np.zeros(count, np.int64) for _ in Given._fields))
        # By order of options: the runtime of its jobs, and the options.
        self.runtimes: list[Runtime] = []
        self.rankings: list[list[Scored]] = []
        # By number of option: the option, and its order.
        self.options: list[Scored] = []
        self.order_of: list[int] = []

    def learn(self, row: int) -> None:
        """Rank the options of a job, for all jobs of its kind and turn."""
        draft, kind = self._draft, int(self.jobs.kind[row])
        runtime = runtime_of(draft.snapshot, row, draft.policy)
        ranking = draft.ranked(row, runtime)
        names = {scored.figures.view.site.provider for scored in ranking}
        self.kinds.providers[kind] = max(1, len(names))
        if len({scored.score for scored in ranking}) == len(ranking):
            self.kinds.order[kind] = len(self.rankings)
        else:
            turn = int(self.jobs.turn[row]) % max(1, len(names))
            self.kinds.order[kind, turn] = len(self.rankings)
        self.order_of += [len(self.rankings)] * len(ranking)
        self.runtimes.append(runtime)
        self.rankings.append(ranking)
        begin = len(self.options)
        self.options += ranking
        self.kinds = self.kinds._replace(
            first=_longer(self.kinds.first, len(self.rankings) + 1),
            flavor=_longer(self.kinds.flavor, len(self.options)),
            hold=_longer(self.kinds.hold, len(self.options)),
        )
        self.kinds.first[len(self.rankings)] = len(self.options)
        for at, scored in enumerate(ranking, begin):
            self.kinds.flavor[at] = scored.figures.view.row
            self.kinds.hold[at] = scored.figures.hold_micro


def _view(column: I64) -> memoryview[int]:
    """Return the same numbers as plain Python reads and writes them fastest."""
    return column.data


def _longer(array: I64, length: int) -> I64:
    """Return the array with room for so many, doubled when it is too short."""
    if length <= len(array):
        return array
    return np.concatenate((array, np.zeros(max(length, len(array)), np.int64)))


def _kinds(draft: Draft) -> tuple[I64, I64]:
    """Return [J] the number of those jobs that a job is like, -1 if not simple; and one of each."""
    snapshot = draft.snapshot
    cards = draft.pool.cards.shape[1]
    simple_shape = np.array(
        [
            shape.nodes == 1 and not shape.licences and not shape.data
            and (cards <= _MOST_CARDS or not shape.resources.accelerator_milli)
            for shape in snapshot.shapes
        ],
        np.bool_,
    )  # fmt: skip
    kind = np.full(len(snapshot.job_number), -1, np.int64)
    simple: Bool = (snapshot.job_pending == 1) & (snapshot.job_active == 0)
    rows = np.flatnonzero(simple & simple_shape[snapshot.job_shape])
    if not len(rows):
        return kind, _NOTHING
    code, codes = snapshot.job_shape[rows].astype(np.int64), len(snapshot.shapes)
    for column in (
        snapshot.job_learned_ms,
        snapshot.job_predicted_ms,
        snapshot.job_estimate_ms,
        snapshot.job_timeout_ms,
    ):
        values, numbers = np.unique(column[rows], return_inverse=True)
        if len(values) > 1:
            _, code = np.unique(code * len(values) + numbers, return_inverse=True)
            codes = int(code.max()) + 1
    first = np.full(codes, -1, np.int64)
    first[code[::-1]] = rows[::-1]
    named = np.flatnonzero(first >= 0)
    number = np.zeros(codes, np.int64)
    number[named] = np.arange(len(named))
    kind[rows] = number[code]
    return kind, first[named]


def _cards_of(bits: int) -> tuple[int, ...]:
    """Return the numbers of the bits that are set."""
    return tuple(card for card in range(bits.bit_length()) if bits >> card & 1)
