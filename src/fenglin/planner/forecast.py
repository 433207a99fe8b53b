"""When room is expected: a simple look ahead along the promised ends of what runs.

It asks for each node when enough of what it holds will have ended, supposing that every live
share ends as promised and that nobody else takes the room first. What a share holds is reckoned
as its part of what its node has given out, by slots. So it is a first date, not a reservation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fenglin.model.plan import Start
from fenglin.planner.tail import wait_for
from fenglin.planner.view import FlavorView
from fenglin.snapshot.snapshot import I64, Shape, Snapshot


class Release(NamedTuple):
    """Slots that end on a node."""

    end_ms: int
    slots: int


class Outlook:
    """What will be free when, once a plan has been carried out."""

    def __init__(
        self, snapshot: Snapshot, free: I64, starts: Sequence[tuple[Start, list[int]]]
    ) -> None:
        """Take [N, D] free amounts after the plan, and its starts with their node rows."""
        self._snapshot = snapshot
        self._free = free
        self._releases: dict[int, list[Release]] = {}
        for node, slots, end_ms in zip(
            snapshot.share_node.tolist(),
            snapshot.share_slots.tolist(),
            snapshot.share_end_ms.tolist(),
            strict=True,
        ):
            likely_ms = snapshot.now_ms + wait_for(end_ms, snapshot.now_ms)
            self._releases.setdefault(node, []).append(Release(likely_ms, slots))
        for start, nodes in starts:
            for node, share in zip(nodes, start.shares, strict=True):
                release = Release(start.finish_ms, share.slots)
                self._releases.setdefault(node, []).append(release)

    def start_ms(self, shape: Shape, view: FlavorView) -> int:
        """Return when one task (gang) of the shape may first start there; 0 for unknown."""
        dates = sorted(
            date
            for node in range(view.first, view.stop)
            if self._snapshot.node_up[node]
            if (date := self._node_date(shape, node))
        )
        return dates[shape.nodes - 1] if len(dates) >= shape.nodes else 0

    def _node_date(self, shape: Shape, node: int) -> int:
        """Return when the task's part fits on the node; 0 when the known ends never suffice."""
        need = np.array(shape.resources.values(), np.int64)
        free = self._free[node]
        if (need <= free).all():
            return self._snapshot.now_ms
        given = self._snapshot.node_capacity[node] - free
        releases = sorted(self._releases.get(node, ()))
        total = sum(release.slots for release in releases)
        ended = 0
        for release in releases:
            ended += release.slots
            if (need <= free + given * ended // total).all():
                return release.end_ms
        return 0
