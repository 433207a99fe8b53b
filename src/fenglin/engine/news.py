"""What reaches the loop between two cycles. Every kind is folded in one place, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from fenglin.model.reason import Reason
    from fenglin.ports.acting import Act
    from fenglin.ports.driver import Observation, SiteReport
    from fenglin.ports.store import JobRecord
    from fenglin.quantities.taskset import TaskSet

# Of a site with more to tell, each part is news of its own.
MOST_OBSERVED = 100
# Whoever submits waits for the commit that is under way.
MOST_RECORDED = 200


@dataclass(slots=True, frozen=True)
class Observed:
    """A site's observations, by allocation number; `taken` is set once they are committed.

    `at_ms` is when they were made, by the monotonic clock; 0 for now. They may wait long for a
    store that refuses, and say nothing of the time since.
    """

    site: str
    observations: Sequence[tuple[int, Observation]]
    taken: asyncio.Event
    at_ms: int = 0


@dataclass(slots=True, frozen=True)
class StartAnswered:
    """A site has accepted an attempt."""

    allocation: int


@dataclass(slots=True, frozen=True)
class StartRefused:
    """A site has refused an attempt for certain, or it never left the hub.

    `key` is that of a secret, where the hub lacks it: then the job waits, and nothing has failed.
    """

    allocation: int
    reason: Reason
    why: str
    key: str = ""


@dataclass(slots=True, frozen=True)
class StartUnclear:
    """A start's answer was lost."""

    allocation: int
    why: str


@dataclass(slots=True, frozen=True)
class SiteSeen:
    """A site's inventory, or why there is none."""

    site: str
    report: SiteReport | None
    problem: str = ""


@dataclass(slots=True, frozen=True)
class CancelAsked:
    """A user wants the end of a job, or of some of its tasks.

    `done` gets None once that is durable, or the error.
    """

    job: int
    actor: str
    done: asyncio.Future[None]
    act: Act | None = None
    tasks: TaskSet | None = None


@dataclass(slots=True, frozen=True)
class JobsAdded:
    """Jobs that became durable."""

    jobs: Sequence[JobRecord]


News = Observed | StartAnswered | StartRefused | StartUnclear | SiteSeen | CancelAsked | JobsAdded


def at_once(news: Sequence[News]) -> int:
    """Return how many of the first of some news are recorded in one commit."""
    size = 0
    for count, one in enumerate(news):
        size += len(one.observations) if isinstance(one, Observed) else 1
        if count and size > MOST_RECORDED:
            return count
    return len(news)
