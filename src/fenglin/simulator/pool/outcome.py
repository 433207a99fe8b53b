"""What a run leaves behind, row by row, for whoever wants it."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class JobOutcome(NamedTuple):
    """How one job fared. Moments are milliseconds from the workload's zero.

    Attributes:
        job: Its number.
        user, name, queue, account: As in the workload.
        state: `succeeded`, `failed`, `refused` (no site can ever hold it) or `waiting` (still,
            when the run ended).
        reason: Why it was refused, failed or waits; empty when it succeeded.
        tasks: Size of the array.
        submitted_ms: Arrival.
        started_ms: Start of its first task; -1 for never.
        ended_ms: End of its last task; -1 for not yet.
        wait_ms: From arrival to start; up to the end of the run for one that never started.
        work_ms: Sum over its tasks of their runtimes where they ran, what was lost included.
        lost_ms: Part of that which evictions destroyed.
        longest_ms: Runtime of its longest task on speed 1.
        cost_micro: What it paid.
        carbon_mg: CO2 by the declared power and grid; 0 where these are unknown.
        evictions: How often an allocation of it was stopped for another job.
        promised_ms: Start that its first receipt promised; -1 for none.
    """

    job: int
    user: str
    name: str
    queue: str
    account: str
    state: str
    reason: str
    tasks: int
    submitted_ms: int
    started_ms: int
    ended_ms: int
    wait_ms: int
    work_ms: int
    lost_ms: int
    longest_ms: int
    cost_micro: int
    carbon_mg: int
    evictions: int
    promised_ms: int


class RunOutcome(NamedTuple):
    """One allocation: tasks of a job on one flavor of one site.

    Attributes:
        allocation: Its number.
        job: Number of the job.
        queue: Admission line of the job.
        site, flavor: Where.
        nodes: Names of its nodes.
        slots: Tasks at once when it began (for a gang: nodes).
        tasks: Tasks that it was given.
        started_ms, ended_ms: From the workload's zero.
        cost_micro: Posted.
        carbon_mg: As in `JobOutcome`.
        reason: Why it ended before its tasks did; empty otherwise.
    """

    allocation: int
    job: int
    queue: str
    site: str
    flavor: str
    nodes: tuple[str, ...]
    slots: int
    tasks: int
    started_ms: int
    ended_ms: int
    cost_micro: int
    carbon_mg: int
    reason: str


class Sample(NamedTuple):
    """The pool from one moment until the next sample.

    Attributes:
        at_ms: From the workload's zero.
        waiting_jobs: Jobs with tasks that wait.
        waiting_tasks: These tasks.
        running: Allocations.
        used: Part of the pool's capacity in use per dimension, in the order of `DIMENSIONS`;
            0 where the pool has nothing of it.
    """

    at_ms: int
    waiting_jobs: int
    waiting_tasks: int
    running: int
    used: tuple[float, ...]


class Sink(Protocol):
    """Takes rows as they come."""

    def job(self, row: JobOutcome) -> None:
        """Take a job that has ended."""

    def run(self, row: RunOutcome) -> None:
        """Take an allocation that has ended."""

    def sample(self, row: Sample) -> None:
        """Take the pool's new state, after each cycle that changed it."""

    def close(self) -> None:
        """Nothing more comes."""


class Nowhere:
    """A sink that forgets everything."""

    def job(self, row: JobOutcome) -> None:
        """Forget it."""

    def run(self, row: RunOutcome) -> None:
        """Forget it."""

    def sample(self, row: Sample) -> None:
        """Forget it."""

    def close(self) -> None:
        """Do nothing."""


class Kept:
    """A sink that keeps all rows, for tests and short runs."""

    def __init__(self) -> None:
        """Begin with none."""
        self.jobs: list[JobOutcome] = []
        self.runs: list[RunOutcome] = []
        self.samples: list[Sample] = []

    def job(self, row: JobOutcome) -> None:
        """Keep it."""
        self.jobs.append(row)

    def run(self, row: RunOutcome) -> None:
        """Keep it."""
        self.runs.append(row)

    def sample(self, row: Sample) -> None:
        """Keep it."""
        self.samples.append(row)

    def close(self) -> None:
        """Do nothing."""


class Several:
    """Passes every row on to several sinks."""

    def __init__(self, *sinks: Sink) -> None:
        """Take the sinks, in the order in which they get each row."""
        self._sinks = sinks

    def job(self, row: JobOutcome) -> None:
        """Pass it on."""
        for sink in self._sinks:
            sink.job(row)

    def run(self, row: RunOutcome) -> None:
        """Pass it on."""
        for sink in self._sinks:
            sink.run(row)

    def sample(self, row: Sample) -> None:
        """Pass it on."""
        for sink in self._sinks:
            sink.sample(row)

    def close(self) -> None:
        """Close all."""
        for sink in self._sinks:
            sink.close()
