"""Shares of live allocations as columns, and what they leave of nodes, queues and licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fenglin.model.job import DEFAULT_QUEUE
from fenglin.quantities.resources import DIMENSIONS, Resources
from fenglin.snapshot.cards import FULL_MILLI, occupy
from fenglin.snapshot.places import Places
from fenglin.snapshot.snapshot import I64

Columns = dict[str, NDArray[Any]]
_CARDS = DIMENSIONS.index("accelerator_milli")
# Columns of live shares in their order, which is also the order of the rows.
_COLUMNS: tuple[tuple[str, type[np.generic]], ...] = (
    ("share_job", np.int64),
    ("share_node", np.int32),
    ("share_end_ms", np.int64),
    ("share_slots", np.int64),
    ("share_allocation", np.int64),
    ("share_nodes", np.int32),
    ("share_queue", np.int32),
    ("share_priority", np.int32),
    ("share_started_ms", np.int64),
    ("share_preemptible", np.bool_),
    ("share_checkpoint_ms", np.int64),
    ("share_stopping", np.bool_),
)
_DECISIVE = 5


class ShareRow(NamedTuple):
    """Slots that a live allocation holds on one node.

    Attributes:
        job: Job number.
        site: Site name.
        node: Node name.
        slots: Slots held there.
        end_ms: Expected end.
        resources: Need of one slot.
        queue: Queue that is charged.
        nodes: Nodes per task of the job (gang); its shares then hold one slot each.
        licences: (name, count) per task of the job.
        allocation: Number of the allocation.
        priority: Of the job.
        started_ms: When its work began; 0 for not yet.
        preemptible: Whether the job may be interrupted.
        checkpoint_ms: Most work of a task lost then; 0 for all of it.
        stopping: Whether the site was told to stop it.
        cards: As in `Share`; where nobody wrote them down, cards are taken that have room.
    """

    job: int
    site: str
    node: str
    slots: int
    end_ms: int
    resources: Resources
    queue: str = DEFAULT_QUEUE
    nodes: int = 1
    licences: tuple[tuple[str, int], ...] = ()
    allocation: int = 0
    priority: int = 0
    started_ms: int = 0
    preemptible: bool = False
    checkpoint_ms: int = 0
    stopping: bool = False
    cards: tuple[int, ...] = ()


class Live(NamedTuple):
    """What live shares come to.

    Attributes:
        columns: `share_*`, of shares on known nodes, in the order of `_COLUMNS`, then of the
            need, then of the cards.
        node_free: [N, D] capacity less what they hold.
        node_cards: [N, C] cards less what they hold.
        queue_used: [Q, D] what each queue holds, on nodes known or not.
        licence_free: [L].
        active: Per job, how many tasks it may run at once now (a gang counts once).
    """

    columns: Columns
    node_free: I64
    node_cards: I64
    queue_used: I64
    licence_free: I64
    active: dict[int, int]


def reckon(shares: Sequence[ShareRow], places: Places, queue_row: Mapping[str, int]) -> Live:
    """Return what the shares come to. A share on an unknown node holds no node."""
    by_field: dict[str, tuple[Any, ...]] = dict.fromkeys(ShareRow._fields, ())
    node = np.zeros(0, np.int64)
    if shares:
        by_field = dict(zip(ShareRow._fields, zip(*shares, strict=True), strict=True))
        row_of = places.rows()
        where = zip(by_field["site"], by_field["node"], strict=True)
        node = np.array([row_of.get(place, -1) for place in where], np.int64)
    queue = np.array([queue_row[name] for name in by_field["queue"]], np.int64)
    need = np.array([one.values() for one in by_field["resources"]], np.int64)
    need = need.reshape(len(shares), len(DIMENSIONS))
    held = need * np.array(by_field["slots"], np.int64)[:, None]
    used = np.zeros((len(queue_row), len(DIMENSIONS)), np.int64)
    np.add.at(used, queue, held)
    free = places.node_capacity.copy()
    known = np.flatnonzero(node >= 0)
    np.subtract.at(free, node[known], held[known])
    by_column = {"share_node": node, "share_queue": queue}
    table = np.stack(
        [
            by_column[name]
            if name in by_column
            else np.array(by_field[name.removeprefix("share_")], np.int64)
            for name, _ in _COLUMNS
        ],
        axis=1,
    )[known]
    tasks_on = _tasks_on_cards(by_field["cards"], places.node_cards.shape[1])[known]
    every = np.concatenate((table, need[known], tasks_on), axis=1)
    every = every[_order(every)]
    columns: Columns = {
        name: every[:, at].astype(dtype) for at, (name, dtype) in enumerate(_COLUMNS)
    }
    columns["share_need"] = every[:, len(_COLUMNS) : len(_COLUMNS) + len(DIMENSIONS)].copy()
    columns["share_cards"], left = _cards(
        columns, every[:, len(_COLUMNS) + len(DIMENSIONS) :], places
    )
    return Live(columns, free, left, used, _licence_free(places, shares), _active(shares))


def _tasks_on_cards(cards: Sequence[tuple[int, ...]], width: int) -> I64:
    """Return [R, C] how many tasks of each share sit on each card."""
    tasks = np.zeros((len(cards), width), np.int64)
    for row, numbers in enumerate(cards):
        for card in numbers:
            if card < width:
                tasks[row, card] += 1
    return tasks


def _order(table: I64) -> I64:
    """Return the rows' order by all columns. The first few nearly always decide."""
    first = table[:, :_DECISIVE]
    order = np.lexsort(first.T[::-1])
    if (first[order][1:] == first[order][:-1]).all(axis=1).any():
        order = np.lexsort(table.T[::-1])
    return order


def _cards(columns: Columns, tasks: I64, places: Places) -> tuple[I64, I64]:
    """Return [R, C] what each share holds of each card, and [N, C] what is left.

    Shares whose cards are written down come first; the others, in their order, find room.
    """
    node, need = columns["share_node"], columns["share_need"][:, _CARDS]
    held = tasks * np.minimum(need, FULL_MILLI)[:, None]
    left = places.node_cards.copy()
    np.subtract.at(left, node, held)
    np.maximum(left, 0, out=left)
    for row in np.flatnonzero((need > 0) & ~tasks.any(axis=1)).tolist():
        before = left[node[row]].copy()
        free: list[int] = before.tolist()
        occupy(free, int(need[row]), int(columns["share_slots"][row]))
        left[node[row]] = free
        held[row] = before - left[node[row]]
    return held, left


def _licence_free(places: Places, shares: Sequence[ShareRow]) -> I64:
    """Return licences less those held; a gang holds its licences once, not once per node."""
    free = places.licence_total.copy()
    names = places.licence_names
    row_of = {(places.sites[site].name, name): i for i, (site, name) in enumerate(names)}
    slots: dict[tuple[str, str, int, int, int], int] = {}
    for share in shares:
        for name, count in share.licences:
            key = (share.site, name, share.job, count, share.nodes)
            slots[key] = slots.get(key, 0) + share.slots
    for (site, name, _, count, nodes), held in slots.items():
        if (site, name) in row_of:
            free[row_of[site, name]] -= -(-held // nodes) * count
    return free


def _active(shares: Sequence[ShareRow]) -> dict[int, int]:
    """Return per job how many tasks it may run at once now (a gang counts once)."""
    slots: dict[int, int] = {}
    nodes: dict[int, int] = {}
    for share in shares:
        slots[share.job] = slots.get(share.job, 0) + share.slots
        nodes[share.job] = share.nodes
    return {job: -(-count // nodes[job]) for job, count in slots.items()}
