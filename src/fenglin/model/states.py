"""States of jobs, tasks, attempts and sites. Legal moves live in `fenglin.lifecycle`."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """State of a job as a whole."""

    PENDING = "pending"
    HELD = "held"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Return whether the state never changes again."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class TaskState(StrEnum):
    """State of one task; kept per job as one task set per state."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """State of one attempt of an allocation.

    INTENT is committed before the driver is called; UNKNOWN means the call's effect is unclear
    and the key must be looked up; ENDED is terminal.
    """

    INTENT = "intent"
    UNKNOWN = "unknown"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class SiteState(StrEnum):
    """What the operator wants of a site (ACTIVE, DRAINED) or what is observed (DOWN)."""

    ACTIVE = "active"
    DRAINED = "drained"
    DOWN = "down"


class ComputeClass(StrEnum):
    """Class of compute: 通算, 智算, 超算."""

    GENERAL = "general"
    AI = "ai"
    SUPER = "super"


class PlacementKind(StrEnum):
    """Who picks the node: the planner (`node`) or the site's own scheduler (`delegated`)."""

    NODE = "node"
    DELEGATED = "delegated"
