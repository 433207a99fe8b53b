"""What one task's end means for the job: done, try again, or failed for good."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.model.states import JobState

if TYPE_CHECKING:
    from fenglin.model.allocation import TaskEnd
    from fenglin.model.job import Retries
    from fenglin.quantities.taskset import TaskSet

# A task lost through no fault of its own is tried again this often even when the user asked
# for no retries: a rebooted node must not fail a job.
SITE_FAULT_TRIES = 5
BACKOFF_FIRST_MS = 250
BACKOFF_MOST_MS = 60_000


class Verdict(StrEnum):
    """What becomes of a task that ended."""

    SUCCEEDED = "succeeded"
    AGAIN = "again"
    FAILED = "failed"
    CANCELLED = "cancelled"


def judge(end: TaskEnd, retries: Retries, tries: int, *, cancelling: bool) -> Verdict:
    """Return what the end means.

    Args:
        end: How it ended.
        retries: The job's rule.
        tries: How often the task has failed before this end.
        cancelling: Whether the job is being cancelled.
    """
    if end.reason is None:
        return Verdict.SUCCEEDED
    if cancelling or end.reason is Reason.CANCELLED:
        return Verdict.CANCELLED
    if end.reason in SITE_FAULTS:
        limit = max(retries.limit, SITE_FAULT_TRIES)
        return Verdict.AGAIN if tries < limit else Verdict.FAILED
    if tries >= retries.limit or not end.reason.transient:
        return Verdict.FAILED
    if retries.reasons and end.reason not in retries.reasons:
        return Verdict.FAILED
    by_code = end.reason is Reason.EXIT_CODE and bool(retries.exit_codes)
    if by_code and end.exit_code not in retries.exit_codes:
        return Verdict.FAILED
    return Verdict.AGAIN


def backoff_ms(end: TaskEnd, tries: int) -> int:
    """Return how long the job waits before the task's next try.

    The first failure of a payload is retried at once, so that sporadic failures do not slow an
    array down; later ones, and all faults of a site, wait twice as long each time.
    """
    site_fault = end.reason in SITE_FAULTS
    if tries <= 1 and not site_fault:
        return 0
    return min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS << min(tries, 16))


def job_state(
    *,
    pending: TaskSet,
    succeeded: TaskSet,
    failed: TaskSet,
    cancelled: TaskSet,
    live: int,
    cancelling: bool,
) -> JobState:
    """Return the state of a job whose tasks stand so.

    Args:
        pending: Tasks that are neither started nor ended.
        succeeded: Tasks that ended well.
        failed: Tasks that failed for good.
        cancelled: Tasks that were cancelled.
        live: Allocations that have not ended; the job lasts as long as they do.
        cancelling: Whether the user asked for its end.
    """
    if pending or live:
        if cancelling:
            return JobState.CANCELLING
        started = live or succeeded or failed
        return JobState.RUNNING if started else JobState.PENDING
    if cancelling or (cancelled and not failed):
        return JobState.CANCELLED
    return JobState.FAILED if failed else JobState.SUCCEEDED
