"""Which tasks may start as far as their parents go, and which never will."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import UnavailableError
from fenglin.model.ids import parse_job_id
from fenglin.model.job import AfterCondition
from fenglin.model.states import JobState
from fenglin.quantities.taskset import EMPTY, TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.ports.store import JobRecord, Store

    ParentOf = Callable[[int], JobRecord | None]


def eligible(job: JobRecord, parent_of: ParentOf) -> TaskSet:
    """Return the pending tasks whose dependencies are met; none while a parent is unknown."""
    tasks = job.pending
    for need in job.spec.after:
        parent = parent_of(parse_job_id(need.job))
        if parent is None:
            return EMPTY
        if need.per_task:
            tasks &= _met_tasks(parent, need.condition)
        elif not _met(parent, need.condition):
            return EMPTY
    return tasks


def doomed(job: JobRecord, parent_of: ParentOf) -> TaskSet:
    """Return the pending tasks whose dependencies can never be met."""
    tasks = EMPTY
    for need in job.spec.after:
        parent = parent_of(parse_job_id(need.job))
        if parent is None:
            continue
        if need.per_task:
            ended = parent.succeeded | parent.failed | parent.cancelled
            tasks |= job.pending & (ended - _met_tasks(parent, need.condition))
        elif parent.state.terminal and not _met(parent, need.condition):
            return job.pending
    return tasks


def _met(parent: JobRecord, condition: AfterCondition) -> bool:
    """Return whether a whole-job condition holds now."""
    if not parent.state.terminal:
        return False
    if condition is AfterCondition.ANY:
        return True
    wanted = JobState.SUCCEEDED if condition is AfterCondition.OK else JobState.FAILED
    return parent.state is wanted


def _met_tasks(parent: JobRecord, condition: AfterCondition) -> TaskSet:
    """Return the parent's tasks for which a per-task condition holds now."""
    if condition is AfterCondition.OK:
        return parent.succeeded
    if condition is AfterCondition.FAIL:
        return parent.failed
    return parent.succeeded | parent.failed | parent.cancelled


async def bring_parents(pool: Pool, store: Store, records: Sequence[JobRecord]) -> None:
    """Bring parents that have ended into the pool before their children come.

    A parent that is set aside is not asked for: its row may be unreadable. Its children wait.

    Raises:
        UnavailableError: one cannot be read at this moment.
    """
    wanted = {parse_job_id(need.job) for job in records for need in job.spec.after}
    if not wanted:
        return
    own = {job.number for job in records} | pool.aside.keys()
    loaded: dict[int, JobRecord] = {}
    while missing := [n for n in wanted - own if pool.parent(n) is None and n not in loaded]:
        loaded |= await store.parents(missing)
        if not loaded.keys() >= set(missing):
            raise UnavailableError("a parent job cannot be read", hint="retry in a moment")
    for number, parent in loaded.items():
        if parent.state.terminal:
            pool.ended_parents[number] = parent
