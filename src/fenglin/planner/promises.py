"""Promises: what the last plan booked, booked again before anybody's turn.

Under conservative backfilling a reservation is a promise, and no later plan may break it. So the
snapshot brings the last plan's reservations along (`Snapshot.held_*`). They go into the profile
first; then each job in its turn has its own one lifted, and starts or books the earliest place
that disturbs no other: at worst the one it had. When work ends early, reservations therefore move
to the front in the order of planning, and none ever moves back. This is the compression of
A. Mu'alem and D. Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", IEEE TPDS 2001.

What cannot be kept as it is:

- Work overstays, and a place is not free on its date: it slips to the first date at which the
  same nodes have room, and those behind it on these nodes slip with it, in the order of their
  starts.
- A node is out of service or gone, or the job may not start now or needs something else: the
  promise is void, and the job reserves anew in its turn, behind all promises that stand.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fenglin.planner.runtime import FOREVER, runtime_of
from fenglin.planner.view import FlavorView
from fenglin.snapshot.snapshot import I64, Bool

if TYPE_CHECKING:
    from fenglin.planner.draft import Draft
    from fenglin.planner.horizon import Horizon


class Place(NamedTuple):
    """Where and when one task (gang) of a job is to run.

    Attributes:
        view: The flavor.
        nodes: Rows of its nodes, rising.
        start_ms: Unix time.
        end_ms: Unix time; by the expected runtime.
    """

    view: FlavorView
    nodes: tuple[int, ...]
    start_ms: int
    end_ms: int


def standing(draft: Draft, eligible: Bool) -> dict[int, Place]:
    """Return by job row the promised places that are still meant, the first to start first.

    Args:
        draft: Before anything is granted.
        eligible: [J] as `order.may_start` said.
    """
    snapshot = draft.snapshot
    jobs = np.flatnonzero(np.diff(snapshot.held_job, prepend=-1)).tolist()
    found: list[tuple[int, int, Place]] = []
    for first, stop in pairwise([*jobs, len(snapshot.held_job)]):
        row = int(np.searchsorted(snapshot.job_number, snapshot.held_job[first]))
        nodes: I64 = snapshot.held_node[first:stop].astype(np.int64)
        flavors = snapshot.node_flavor[nodes]
        flavor = int(flavors[0])
        if (
            not eligible[row]
            or draft.job_active[row]
            or len(nodes) != draft.shape_of(row).nodes
            or not draft.possible[draft.job_shape[row], flavor]
            or (flavors != flavor).any()
            or not snapshot.node_up[nodes].all()
        ):
            continue
        view = draft.flavors[flavor]
        promised_ms = int(snapshot.held_start_ms[first])
        start_ms = max(snapshot.now_ms, promised_ms)
        end_ms = start_ms + runtime_of(snapshot, row, draft.policy).on(view.flavor)
        found.append((promised_ms, row, Place(view, tuple(nodes.tolist()), start_ms, end_ms)))
    return {row: place for _, row, place in sorted(found, key=lambda one: one[:2])}


def book(draft: Draft, horizon: Horizon, places: dict[int, Place]) -> dict[int, Place]:
    """Book the places in the profile and return them, later where they are not free in time."""
    for row, place in places.items():
        need = draft.shape_of(row).resources.values()
        horizon.book(place.nodes, need, place.start_ms, place.end_ms)
    if not _overbooked(horizon, places):
        return places
    for row, place in places.items():
        need = draft.shape_of(row).resources.values()
        horizon.unbook(place.nodes, need, place.start_ms, place.end_ms)
    kept: dict[int, Place] = {}
    for row, place in places.items():
        need = draft.shape_of(row).resources.values()
        span_ms = place.end_ms - place.start_ms
        nodes = np.array(place.nodes, np.int64)
        start_ms = horizon.when(nodes, need, span_ms, place.start_ms)
        if start_ms < FOREVER:
            kept[row] = place._replace(start_ms=start_ms, end_ms=start_ms + span_ms)
            horizon.book(place.nodes, need, start_ms, start_ms + span_ms)
    return kept


def dates(begins: dict[int, list[int]], nodes: I64) -> I64:
    """Return [M, W] the rising dates of these nodes, FOREVER where one has fewer."""
    width = max(len(begins[node]) for node in nodes.tolist())
    table = np.full((len(nodes), width), FOREVER, np.int64)
    for at, node in enumerate(nodes.tolist()):
        table[at, : len(begins[node])] = begins[node]
    return table


def _overbooked(horizon: Horizon, places: dict[int, Place]) -> bool:
    """Return whether a node lacks something when a booking begins on it; between it only gains."""
    begins: dict[int, list[int]] = {}
    for place in places.values():
        for node in place.nodes:
            begins.setdefault(node, []).append(place.start_ms)
    for starts in begins.values():
        starts.sort()
    nodes = np.array(sorted(begins), np.int64)
    table = dates(begins, nodes)
    after = horizon.levels(nodes, table)[:, 1:][table < FOREVER]
    return bool((after < 0).any())
