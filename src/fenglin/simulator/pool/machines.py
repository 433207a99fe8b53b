"""The machines of a simulated pool: they take tasks in turn and finish them when time has come.

An attempt behaves as on a real site: each of its slots takes the next task when it is free,
a task runs for its true length divided by the speed of the flavor, at most until its timeout,
and an attempt that is told to stop loses what its tasks have done since their last checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fenglin.model.allocation import TaskEnd
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.ports.store import AllocationRecord
    from fenglin.simulator.workload import WorkJob

TIMED_OUT = 124


@dataclass(slots=True)
class Attempt:
    """An allocation at work.

    Attributes:
        record: As committed.
        job: What only the simulator knows of its job.
        left: Tasks that no slot has taken yet.
        since_ms: When each running task began, by its index.
        lost_ms: Work destroyed when it was stopped.
    """

    record: AllocationRecord
    job: WorkJob
    left: Iterator[int]
    since_ms: dict[int, int] = field(default_factory=dict)
    lost_ms: int = 0


class Machines:
    """All attempts that run, and what their tasks have behind them."""

    def __init__(self) -> None:
        """Begin idle."""
        self.attempts: dict[int, Attempt] = {}
        # Work kept by checkpoints of interrupted tasks: (job, task) → ms on speed 1.
        self._kept_ms: dict[tuple[int, int], int] = {}

    def start(self, record: AllocationRecord, job: WorkJob, now_ms: int) -> list[tuple[int, int]]:
        """Start an attempt; return (moment, task) of each first end."""
        attempt = Attempt(record, job, iter(record.tasks))
        self.attempts[record.number] = attempt
        at_once = record.slots // record.nodes
        ends: list[tuple[int, int]] = []
        for _ in range(at_once):
            ends += self._next(attempt, now_ms)
        return ends

    def end(
        self, number: int, task: int, now_ms: int
    ) -> tuple[TaskEnd | None, list[tuple[int, int]]]:
        """Let a task end; return how, and (moment, task) of what its slot does next.

        An attempt that has been stopped since has nothing to end: None.
        """
        attempt = self.attempts.get(number)
        if attempt is None or task not in attempt.since_ms:
            return None, []
        begun_ms = attempt.since_ms.pop(task)
        timed_out = 0 < attempt.job.timeout_ms < self._needs_ms(attempt, task)
        self._kept_ms.pop((attempt.job.number, task), None)
        end = TaskEnd(
            task,
            begun_ms,
            now_ms - begun_ms,
            TIMED_OUT if timed_out else 0,
            Reason.TIMEOUT if timed_out else None,
        )
        following = self._next(attempt, now_ms)
        if not attempt.since_ms:
            del self.attempts[number]
        return end, following

    def stop(self, number: int, now_ms: int) -> Attempt:
        """Stop an attempt; what its tasks did since their last checkpoint is lost."""
        attempt = self.attempts.pop(number)
        checkpoint_ms = attempt.job.checkpoint_ms
        speed_milli = attempt.record.speed_milli
        for task, begun_ms in attempt.since_ms.items():
            ran_ms = now_ms - begun_ms
            kept_ms = ran_ms // checkpoint_ms * checkpoint_ms if checkpoint_ms else 0
            attempt.lost_ms += ran_ms - kept_ms
            key = (attempt.job.number, task)
            if kept_ms:
                before_ms = self._kept_ms.get(key, 0)
                self._kept_ms[key] = before_ms + kept_ms * speed_milli // 1_000
        return attempt

    def _next(self, attempt: Attempt, now_ms: int) -> list[tuple[int, int]]:
        """Give a free slot the next task of its attempt."""
        task = next(attempt.left, None)
        if task is None:
            return []
        attempt.since_ms[task] = now_ms
        needs_ms = self._needs_ms(attempt, task)
        if attempt.job.timeout_ms:
            needs_ms = min(needs_ms, attempt.job.timeout_ms)
        return [(now_ms + needs_ms, task)]

    def _needs_ms(self, attempt: Attempt, task: int) -> int:
        """Return how long the rest of a task takes there: true runtime / speed, rounded up."""
        job = attempt.job
        whole_ms = job.runtime_ms(task) - self._kept_ms.get((job.number, task), 0)
        return max(1, -(-max(0, whole_ms) * 1_000 // attempt.record.speed_milli))
