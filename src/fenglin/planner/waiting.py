"""Why jobs wait: one typed reason for every job that has tasks left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fenglin.model.plan import Start
from fenglin.model.reason import Reason
from fenglin.model.states import SiteState
from fenglin.planner.draft import Draft
from fenglin.planner.pack import Pool
from fenglin.snapshot.snapshot import I64, Bool, Shape

BUSY = (Reason.CPU_BUSY, Reason.MEMORY_BUSY, Reason.DISK_BUSY, Reason.ACCELERATOR_BUSY)
_CODES: tuple[Reason | None, ...] = (None, *Reason)
_CODE = {reason: code for code, reason in enumerate(_CODES)}


def reasons(
    draft: Draft, eligible: Bool, starts: Sequence[Start], room: Sequence[int]
) -> list[Reason | None]:
    """Return per job row why tasks of it are left waiting; None when none are.

    Args:
        draft: After all granting.
        eligible: [J] as `order.may_start` said.
        starts: What the plan starts.
        room: Per shape, tasks that fit before anything was granted.
    """
    snapshot = draft.snapshot
    started = np.zeros(len(snapshot.job_number), np.int64)
    numbers = np.fromiter((start.job for start in starts), np.int64, len(starts))
    tasks = np.fromiter((start.tasks for start in starts), np.int64, len(starts))
    np.add.at(started, np.searchsorted(snapshot.job_number, numbers), tasks)
    left = snapshot.job_pending - started
    code = np.zeros(len(left), np.int64)
    code[snapshot.job_blocked > 0] = _CODE[Reason.DEPENDENCY_PENDING]
    waits = left > 0
    mine = waits & eligible
    # By shape, for jobs of which some tasks start and for those of which none do.
    some, none = np.zeros((2, len(snapshot.shapes)), np.int64)
    for shape_row in np.unique(snapshot.job_shape[mine]).tolist():
        if draft.book.keeps_room(shape_row):
            some[shape_row] = none[shape_row] = _CODE[Reason.RESERVED_FOR_OTHERS]
            continue
        some[shape_row] = none[shape_row] = _CODE[why_no_room(draft, shape_row)]
        if room[shape_row] > 0:
            none[shape_row] = _CODE[Reason.BEHIND_OTHERS]
    shape = snapshot.job_shape[mine]
    code[mine] = np.where(started[mine] > 0, some[shape], none[shape])
    for row, reason in draft.book.busy.items():
        behind = reason is not Reason.RESERVED_FOR_OTHERS and room[snapshot.job_shape[row]] > 0
        code[row] = _CODE[Reason.BEHIND_OTHERS if behind else reason]
    _put(code, draft.refused, waits)
    limit = snapshot.job_concurrency
    slots = snapshot.job_active.copy()
    for row, grant in draft.long_way.items():
        slots[row] += grant.slots
    code[waits & (limit > 0) & (slots >= limit)] = _CODE[Reason.CONCURRENCY_LIMIT]
    code[waits & (snapshot.job_not_before_ms > snapshot.now_ms)] = _CODE[Reason.NOT_BEFORE]
    return [_CODES[at] for at in code.tolist()]


def _put(code: I64, refused: Mapping[int, Reason], waits: Bool) -> None:
    """Write the refusals noted while granting."""
    for row, reason in refused.items():
        if waits[row]:
            code[row] = _CODE[reason]


def why_no_room(draft: Draft, shape_row: int) -> Reason:
    """Return why no more tasks of a shape can start now, as the draft stands."""
    can_hold = np.flatnonzero(draft.possible[shape_row])
    if not len(can_hold):
        return Reason.NO_SITE_CAN_HOLD
    shape = draft.snapshot.shapes[shape_row]
    views = [draft.flavors[row] for row in can_hold.tolist()]
    if not any(view.up_nodes >= shape.nodes for view in views):
        states = [view.site.state for view in views]
        if SiteState.ACTIVE in states:
            return Reason.NODE_DOWN
        return Reason.SITE_DOWN if SiteState.DOWN in states else Reason.SITE_DRAINED
    return why_busy(draft.pool, shape, shape_row, draft.pool.usable(shape_row), can_hold.tolist())


def why_busy(
    pool: Pool, shape: Shape, shape_row: int, usable: Bool, flavor_rows: Sequence[int]
) -> Reason:
    """Return what is short on the usable nodes of these flavors: what stops most of them.

    Where single nodes do have room, the gang or the licences are what is missing.
    """
    if any(pool.some_node_fits(shape_row, row) for row in flavor_rows):
        return Reason.GANG_WAITS if shape.nodes > 1 else Reason.LICENCE_BUSY
    short = [
        np.count_nonzero(pool.free_for(shape, dimension)[usable] < need) if need else 0
        for dimension, need in enumerate(shape.resources.values())
    ]
    return BUSY[short.index(max(short))]
