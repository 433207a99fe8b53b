"""Cancelling some tasks of a job: which wait, which run, and which cannot be ended alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import ConflictError, InputError, UnavailableError
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.driver import Capability
from fenglin.quantities.taskset import EMPTY, TaskSet

if TYPE_CHECKING:
    from fenglin.engine.pool import Pool
    from fenglin.ports.store import AllocationRecord
    from fenglin.wire.views import JobView


def check_tasks(view: JobView, tasks: TaskSet | None) -> None:
    """Refuse tasks that a job does not have; None means the whole job.

    Raises:
        InputError: there are none, or one is beyond the job's last.
    """
    if tasks is None:
        return
    beyond = tasks - TaskSet.span(0, view.task_count)
    if beyond or not tasks:
        what = f"{view.id} has no task {beyond.first(1)}" if beyond else "no task is named"
        raise InputError(what, where="tasks", hint=f"its tasks are 0 to {view.task_count - 1}")


def can_end(pool: Pool, record: AllocationRecord, unwanted: TaskSet) -> bool:
    """Return whether the unwanted tasks of an allocation can be ended.

    All that are left can be ended anywhere, as a whole; some of them only where the site can.
    """
    if record.state is AttemptState.STOPPING or not record.remaining - unwanted:
        return True
    status = pool.sites.get(record.site)
    return status is not None and Capability.STOP_TASKS in (status.site.capabilities or ())


def to_end(pool: Pool, record: AllocationRecord) -> TaskSet:
    """Return the tasks that a site must be told to end while the attempt goes on."""
    job = pool.jobs[record.job]
    if not job.unwanted or record.state is not AttemptState.RUNNING:
        return EMPTY
    return job.unwanted & record.remaining


def check_heard(pool: Pool, number: int, view: JobView, tasks: TaskSet | None) -> None:
    """Say what goes on after a cancel that is durable, and why.

    Args:
        pool: As it is after the cancel.
        number: Of the job.
        view: The job after the cancel.
        tasks: Those that were to end; None for the whole job.

    Raises:
        UnavailableError: the job was not known yet to those who cancel.
        ConflictError: tasks run at a site that cannot end them alone.
    """
    if (state := JobState(view.state)).terminal or state is JobState.CANCELLING:
        return
    job = pool.jobs.get(number)
    if tasks is None or job is None:
        raise UnavailableError(f"{view.id} is being stored at this moment", hint="cancel it again")
    left = EMPTY
    sites: set[str] = set()
    for record in pool.live(number):
        going = (record.remaining & tasks) - job.unwanted
        left |= going
        if going:
            sites.add(record.site)
    if left:
        raise ConflictError(
            f"{refusal(left, sorted(sites))}; all others that were named end",
            where=view.id,
            hint="cancel the whole job, or let them end by themselves",
        )


def refusal(tasks: TaskSet, sites: list[str]) -> str:
    """Return in words why tasks go on."""
    where = ", ".join(sites)
    return f"{Reason.CAPABILITY_MISSING}: {where} cannot end single tasks, so {tasks} go on"
