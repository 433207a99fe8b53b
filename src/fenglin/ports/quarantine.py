"""Where jobs wait whose handling raised (J9), so that all others go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ports.store import AllocationRecord, JobRecord


@dataclass(slots=True, frozen=True)
class Aside:
    """A job that was set aside.

    Attributes:
        job: Its number.
        stage: What was being done: `load`, `take in`, `record`, `plan` or `start`.
        why: What was raised, in words.
        time_ms: Unix time.
    """

    job: int
    stage: str
    why: str
    time_ms: int


@dataclass(slots=True)
class Ward:
    """What a load found of jobs that are set aside.

    Attributes:
        jobs: Each with its reason, by number.
        allocations: Their live allocations that can be read; they hold what they held.
        numbers: Of all their live allocations: no site may be told that these are over.
    """

    jobs: dict[int, Aside] = field(default_factory=dict)
    allocations: list[AllocationRecord] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)


@dataclass(slots=True, frozen=True)
class Released:
    """A job that is put back.

    Attributes:
        job: As it stood.
        allocations: That live.
        parents: Jobs that it waits for and that have ended, meanwhile or before.
    """

    job: JobRecord
    allocations: list[AllocationRecord]
    parents: list[JobRecord]


class Quarantine(Protocol):
    """Set-aside jobs, as the store keeps them."""

    async def set_aside(self, epoch: int, one: Aside) -> None:
        """Hold a job durably; one that has ended keeps its state."""
        ...

    async def release(self, epoch: int, job: int, now_ms: int, actor: str) -> Released | None:
        """Put a job back as it was; None when it had ended, and nothing of it lives.

        Raises:
            NotFoundError: it is not set aside.
            ConflictError: it still cannot be read; it stays where it is.
        """
        ...
