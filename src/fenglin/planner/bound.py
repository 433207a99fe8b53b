"""How far from the best: an upper bound on the slots that any plan could fill.

Three relaxations, of which the least counts; each only drops constraints, so none can be beaten:
per shape, no more than wanted and than fit into the pool alone; over all shapes, in each
dimension, no more than fit when the smallest needs go first and may be cut to pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fenglin.planner.draft import Draft
from fenglin.quantities.resources import DIMENSIONS
from fenglin.snapshot.snapshot import Bool, Snapshot


def wanted_per_shape(snapshot: Snapshot, eligible: Bool) -> list[int]:
    """Return per shape how many tasks its eligible jobs would start at once, had they room."""
    limit = np.where(
        snapshot.job_concurrency > 0,
        snapshot.job_concurrency - snapshot.job_active,
        snapshot.job_pending,
    )
    wanted = np.where(eligible, np.minimum(snapshot.job_pending, limit), 0)
    totals = np.zeros(len(snapshot.shapes), np.int64)
    np.add.at(totals, snapshot.job_shape, wanted)
    return [int(total) for total in totals]


def room_per_shape(draft: Draft, wanted: Sequence[int]) -> list[int]:
    """Return per shape how many of the wanted tasks fit before anything is granted."""
    return [draft.pool.total(row, count) if count else 0 for row, count in enumerate(wanted)]


def bound_slots(snapshot: Snapshot, wanted: Sequence[int], room: Sequence[int]) -> int:
    """Return the bound, in slots: a gang of n nodes counts n."""
    most = [
        min(want, fits) * shape.nodes
        for shape, want, fits in zip(snapshot.shapes, wanted, room, strict=True)
    ]
    bound = sum(most)
    usable = snapshot.node_free[snapshot.node_up]
    for dimension in range(len(DIMENSIONS)):
        left = int(np.maximum(usable[:, dimension], 0).sum())
        needs = [shape.resources.values()[dimension] for shape in snapshot.shapes]
        bound = min(bound, _smallest_first(left, needs, most))
    return bound


def _smallest_first(left: int, needs: Sequence[int], most: Sequence[int]) -> int:
    """Return how many slots one dimension admits: the fractional knapsack's whole part."""
    filled = 0
    for need, count in sorted(zip(needs, most, strict=True)):
        fits = min(count, left // need) if need else count
        filled += fits
        left -= fits * need
        if fits < count:
            break
    return filled
