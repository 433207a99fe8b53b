"""The transition tables of jobs and attempts. A state that is not listed cannot be reached (J5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import DamageError
from fenglin.model.states import AttemptState, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

_J = JobState
_A = AttemptState

JOB_MOVES: Mapping[JobState, frozenset[JobState]] = {
    _J.PENDING: frozenset(
        {_J.HELD, _J.RUNNING, _J.CANCELLING, _J.SUCCEEDED, _J.FAILED, _J.CANCELLED}
    ),
    # Held is what was set aside; it comes back as it was.
    _J.HELD: frozenset({_J.PENDING, _J.RUNNING, _J.CANCELLING, _J.CANCELLED}),
    # Back to pending when every running task was lost and none has ended yet. Cancelled at once
    # when the wish comes while nothing runs, or when a parent's end takes its last tasks.
    _J.RUNNING: frozenset(
        {_J.PENDING, _J.HELD, _J.CANCELLING, _J.SUCCEEDED, _J.FAILED, _J.CANCELLED}
    ),
    # A task may finish well before the stop reaches it: the job is cancelled all the same.
    _J.CANCELLING: frozenset({_J.HELD, _J.CANCELLED}),
    _J.SUCCEEDED: frozenset(),
    _J.FAILED: frozenset(),
    _J.CANCELLED: frozenset(),
}

ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    _A.INTENT: frozenset({_A.UNKNOWN, _A.RUNNING, _A.STOPPING, _A.ENDED}),
    _A.UNKNOWN: frozenset({_A.INTENT, _A.RUNNING, _A.STOPPING, _A.ENDED}),
    _A.RUNNING: frozenset({_A.UNKNOWN, _A.STOPPING, _A.ENDED}),
    _A.STOPPING: frozenset({_A.ENDED}),
    _A.ENDED: frozenset(),
}


def check_job_move(old: JobState, new: JobState) -> None:
    """Refuse an unlisted move.

    Raises:
        DamageError: the move is not in the table.
    """
    if old is not new and new not in JOB_MOVES[old]:
        raise DamageError(f"a job cannot go from {old} to {new}", where="lifecycle")


def check_attempt_move(old: AttemptState, new: AttemptState) -> None:
    """Refuse an unlisted move.

    Raises:
        DamageError: the move is not in the table.
    """
    if old is not new and new not in ATTEMPT_MOVES[old]:
        raise DamageError(f"an attempt cannot go from {old} to {new}", where="lifecycle")
