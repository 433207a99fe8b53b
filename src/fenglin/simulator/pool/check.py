"""What must hold of every plan, whoever made it; `Checks.watch` is given to a `World`.

The checks are written from the definitions, not from the planner's code: they count again what
each node holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fenglin.errors import DamageError
from fenglin.fairness import quota

if TYPE_CHECKING:
    from fenglin.model.plan import Plan, Start
    from fenglin.planner.policy import Policy
    from fenglin.snapshot.snapshot import I64, Shape, Snapshot


class Checks:
    """Checks each cycle's plan, and reservations from one cycle to the next.

    Attributes:
        cycles: How many plans were checked.
    """

    def __init__(self, policy: Policy) -> None:
        """Take the policy by whose promises the plans are judged."""
        self.cycles = 0
        self._policy = policy

    def watch(self, snapshot: Snapshot, plan: Plan) -> None:
        """Check one cycle.

        Raises:
            DamageError: something that must hold does not.
        """
        self.cycles += 1
        _no_overallocation(snapshot, plan)
        for start in plan.starts:
            _whole_gangs(_shape_of(snapshot, start.job), start)
        _tasks_exist(snapshot, plan)
        _no_eviction_of_equals(snapshot, plan)
        _bound_holds(plan)


def _shape_of(snapshot: Snapshot, job: int) -> Shape:
    row = int(np.searchsorted(snapshot.job_number, job))
    return snapshot.shapes[int(snapshot.job_shape[row])]


def _node_rows(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    return {
        (snapshot.sites[snapshot.flavor_site[flavor]].name, name): row
        for row, (flavor, name) in enumerate(
            zip(snapshot.node_flavor.tolist(), snapshot.node_names, strict=True)
        )
    }


def _no_overallocation(snapshot: Snapshot, plan: Plan) -> None:
    """No node holds more than it has, and none out of service is given work."""
    if not plan.starts:
        return
    row_of = _node_rows(snapshot)
    free: I64 = snapshot.node_free.copy()
    for start in plan.starts:
        need = np.array(_shape_of(snapshot, start.job).resources.values(), np.int64)
        for share in start.shares:
            row = row_of[start.site, share.node]
            if not snapshot.node_up[row]:
                raise _broken(plan, f"j{start.job} starts on {share.node}, which is not in service")
            free[row] -= need * share.slots
    over = (free < np.minimum(snapshot.node_free, 0)).any(axis=1)
    if over.any():
        name = snapshot.node_names[int(np.flatnonzero(over)[0])]
        raise _broken(plan, f"node {name} is given more than it has")


def _whole_gangs(shape: Shape, start: Start) -> None:
    """A gang starts whole, one slot on each of its distinct nodes."""
    if shape.nodes == 1:
        return
    nodes = {share.node for share in start.shares}
    if len(nodes) != shape.nodes or any(share.slots != 1 for share in start.shares):
        raise DamageError(
            f"j{start.job} needs {shape.nodes} nodes at once and starts on {len(nodes)}",
            where="plan",
        )


def _tasks_exist(snapshot: Snapshot, plan: Plan) -> None:
    """No job starts more tasks than wait, nor more at once than it allows itself."""
    tasks: dict[int, int] = {}
    slots: dict[int, int] = {}
    for start in plan.starts:
        tasks[start.job] = tasks.get(start.job, 0) + start.tasks
        at_once = sum(share.slots for share in start.shares)
        slots[start.job] = slots.get(start.job, 0) + at_once
    for job, count in tasks.items():
        row = int(np.searchsorted(snapshot.job_number, job))
        if count > snapshot.job_pending[row]:
            raise _broken(plan, f"j{job} starts {count} of {snapshot.job_pending[row]} tasks")
        limit = int(snapshot.job_concurrency[row])
        at_once = slots[job] // snapshot.shapes[int(snapshot.job_shape[row])].nodes
        if limit and at_once + int(snapshot.job_active[row]) > limit:
            raise _broken(plan, f"j{job} runs more than {limit} tasks at once")


def _no_eviction_of_equals(snapshot: Snapshot, plan: Plan) -> None:
    """Who is evicted agreed to it, and has a lower priority or more than its queue is due."""
    for eviction in plan.evictions:
        mine = np.flatnonzero(snapshot.share_allocation == eviction.allocation)
        row = int(np.searchsorted(snapshot.job_number, eviction.for_job))
        if not len(mine) or not snapshot.share_preemptible[mine].all():
            raise _broken(plan, f"a{eviction.allocation} may not be evicted")
        victim_queue = int(snapshot.share_queue[mine[0]])
        lower = snapshot.share_priority[mine[0]] < snapshot.job_priority[row]
        used = snapshot.queue_used.tolist()
        lent = any(quota.borrowed(snapshot.queues, used, victim_queue))
        if not lower and not (lent and victim_queue != snapshot.job_queue[row]):
            raise _broken(plan, f"a{eviction.allocation} is evicted for no reason that counts")


def _bound_holds(plan: Plan) -> None:
    """No plan fills more than its own bound."""
    if plan.filled_slots > plan.bound_slots:
        raise _broken(plan, f"{plan.filled_slots} slots filled, the bound is {plan.bound_slots}")


def _broken(plan: Plan, what: str) -> DamageError:
    return DamageError(what, where=f"plan at index {plan.index}", hint="this is a fault of ours")
