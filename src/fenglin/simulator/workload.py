"""What arrives in a simulated pool: one form for every trace and every generator.

A workload is read anew for each run and hands its jobs over one by one, by rising submission,
so that a run's memory grows with the jobs that are in the pool, not with the length of the
trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE
from fenglin.simulator.trace import Findings
from fenglin.snapshot.snapshot import Shape


class WorkJob(NamedTuple):
    """One job of a workload, with what only the simulator knows: how long its tasks will run.

    Attributes:
        number: Unique, positive, rising with the order of submission.
        submitted_ms: Moment of submission, from the workload's own zero.
        shape: Needs of one task.
        runtimes_ms: True runtime on speed 1: one for all tasks, or one per task.
        tasks: Size of the array.
        estimate_ms: What the user says of one task's runtime; 0 for nothing.
        timeout_ms: Hard limit of one task's runtime; 0 for none.
        user: Who submits it; empty for unknown.
        name: Of the application; equal names of one user run alike. Empty for unknown.
        queue: Admission line.
        account: Who pays.
        priority: Larger starts earlier.
        deadline_ms: By when it should finish, from the workload's zero; 0 for none.
        checkpoint_ms: Most work lost when it is interrupted; 0 for all of it.
        preemptible: Whether it may be interrupted for another.
    """

    number: int
    submitted_ms: int
    shape: Shape
    runtimes_ms: tuple[int, ...]
    tasks: int = 1
    estimate_ms: int = 0
    timeout_ms: int = 0
    user: str = ""
    name: str = ""
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    deadline_ms: int = 0
    checkpoint_ms: int = 0
    preemptible: bool = False

    def runtime_ms(self, task: int) -> int:
        """Return the true runtime of one task on speed 1."""
        return self.runtimes_ms[task if len(self.runtimes_ms) > 1 else 0]


@dataclass(frozen=True, slots=True)
class Workload:
    """A trace or a generated stream.

    Attributes:
        name: For reports.
        jobs: Begins the stream anew: jobs by (submitted_ms, number).
        findings: What was wrong in the source; filled while it is read.
    """

    name: str
    jobs: Callable[[], Iterator[WorkJob]]
    findings: Findings
