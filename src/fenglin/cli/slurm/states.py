"""Slurm's words for states and reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.model.reason import Reason
from fenglin.model.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

# The first ten are ours; the others are taken in filters and never occur.
SHORT = {
    "PENDING": "PD", "RUNNING": "R", "COMPLETING": "CG", "COMPLETED": "CD", "CANCELLED": "CA",
    "FAILED": "F", "TIMEOUT": "TO", "NODE_FAIL": "NF", "PREEMPTED": "PR", "OUT_OF_MEMORY": "OOM",
    "SUSPENDED": "S", "BOOT_FAIL": "BF", "DEADLINE": "DL", "CONFIGURING": "CF", "RESIZING": "RS",
    "RESV_DEL_HOLD": "RD", "REQUEUED": "RQ", "REQUEUE_FED": "RF", "REQUEUE_HOLD": "RH",
    "REVOKED": "RV", "SIGNALING": "SI", "SPECIAL_EXIT": "SE", "STAGE_OUT": "SO", "STOPPED": "ST",
}  # fmt: skip
LIVE = frozenset({"PENDING", "RUNNING", "COMPLETING"})
ORDER = tuple(SHORT)
_LONG = {code: name for name, code in SHORT.items()}
_FAILURES = {
    Reason.TIMEOUT: "TIMEOUT",
    Reason.MEMORY_EXCEEDED: "OUT_OF_MEMORY",
    Reason.NODE_DOWN: "NODE_FAIL",
    Reason.NODE_REBOOTED: "NODE_FAIL",
    Reason.RUNNER_LOST: "NODE_FAIL",
    Reason.SITE_LOST: "NODE_FAIL",
    Reason.PREEMPTED: "PREEMPTED",
    Reason.CANCELLED: "CANCELLED",
}
_REASONS = {
    Reason.CPU_BUSY: "Resources",
    Reason.MEMORY_BUSY: "Resources",
    Reason.DISK_BUSY: "Resources",
    Reason.ACCELERATOR_BUSY: "Resources",
    Reason.GANG_WAITS: "Resources",
    Reason.WAITS_FOR_EVICTION: "Resources",
    Reason.LICENCE_BUSY: "Licenses",
    Reason.BEHIND_OTHERS: "Priority",
    Reason.RESERVED_FOR_OTHERS: "Priority",
    Reason.DEPENDENCY_PENDING: "Dependency",
    Reason.DEPENDENCY_FAILED: "DependencyNeverSatisfied",
    Reason.NOT_BEFORE: "BeginTime",
    Reason.QUARANTINED: "JobHeldAdmin",
    Reason.SECRET_KEY_MISSING: "JobHeldAdmin",
    Reason.CONCURRENCY_LIMIT: "JobArrayTaskLimit",
    Reason.SITE_DOWN: "ReqNodeNotAvail",
    Reason.SITE_DRAINED: "ReqNodeNotAvail",
    Reason.NODE_DOWN: "ReqNodeNotAvail",
    Reason.EXIT_CODE: "NonZeroExitCode",
    Reason.TIMEOUT: "TimeLimit",
    Reason.MEMORY_EXCEEDED: "OutOfMemory",
    Reason.START_FAILED: "JobLaunchFailure",
    Reason.STAGING_FAILED: "JobLaunchFailure",
    Reason.SECRET_UNAVAILABLE: "JobLaunchFailure",
    Reason.NODE_REBOOTED: "NodeDown",
    Reason.RUNNER_LOST: "NodeDown",
    Reason.SITE_LOST: "NodeDown",
    Reason.NO_SITE_CAN_HOLD: "BadConstraints",
    Reason.LABEL_DIFFERS: "BadConstraints",
}


def reason_word(reason: str) -> str:
    """Return Slurm's word for one of our reasons, ours where it has none, `None` for none."""
    return _REASONS.get(Reason(reason), reason) if reason in set(Reason) else reason or "None"


def ended_state(state: str, reason: str) -> str:
    """Return the state of a job that has ended."""
    if state == JobState.SUCCEEDED:
        return "COMPLETED"
    if state == JobState.CANCELLED:
        return "CANCELLED"
    return _FAILURES.get(Reason(reason), "FAILED") if reason in set(Reason) else "FAILED"


def job_states(states: Iterable[str]) -> list[str]:
    """Return the states of our jobs among which those of Slurm's are."""
    wanted = set(states)
    found: list[str] = []
    if "PENDING" in wanted:
        found += [JobState.PENDING, JobState.HELD]
    if wanted:  # an array that runs has tasks in any state
        found.append(JobState.RUNNING)
    if "COMPLETING" in wanted:
        found.append(JobState.CANCELLING)
    if "COMPLETED" in wanted:
        found.append(JobState.SUCCEEDED)
    if "CANCELLED" in wanted:
        found.append(JobState.CANCELLED)
    if wanted & {"FAILED", *_FAILURES.values()}:
        found.append(JobState.FAILED)
    return found


def parse_states(words: Iterable[str]) -> frozenset[str]:
    """Return the full names of states given by name or code; `all` is all of them.

    Raises:
        InputError: a word is no state.
    """
    found: set[str] = set()
    for word in words:
        name = word.upper()
        if name == "ALL":
            found.update(SHORT)
        elif name in SHORT or name in _LONG:
            found.add(_LONG.get(name, name))
        else:
            hint = "valid are " + ",".join(SHORT)
            raise InputError(f"Invalid job state specified: {word[:64]}", hint=hint)
    return frozenset(found)
