"""The replay of a batch log on the simulator's general event queue, one event at a time.

Without Numba this is how a log is replayed. It makes the same decisions in the same order as the
compiled loop in `loop.py`, and tests hold the two against each other.
"""

from __future__ import annotations

from typing import Protocol

from fenglin.planner.backfill import conservative, easy, learned, machine
from fenglin.planner.backfill.conservative import NO_TIME, Book
from fenglin.planner.backfill.learned import Learner
from fenglin.planner.backfill.machine import Jobs, Machine
from fenglin.planner.backfill.profile import forget
from fenglin.planner.backfill.twins import Column
from fenglin.simulator.events import EventQueue

# Priorities of events at equal times.
ARRIVAL = 0
END = 1
DUE = 2


class Desk(Protocol):
    """A policy as the replay sees it: each step returns the jobs that it has started."""

    def arrive(self, job: int, now_s: int) -> Column:
        """Take a job in."""
        ...

    def finish(self, job: int, now_s: int) -> Column:
        """Note that a job has ended."""
        ...

    def due(self, now_s: int) -> Column:
        """Do what was promised for now."""
        ...

    def next_due_s(self) -> int:
        """Return the time of the next promise, or `NO_TIME`."""
        ...


class EasyDesk:
    """FCFS and EASY, which promise nothing."""

    def __init__(self, room: Machine, jobs: Jobs, policy: int) -> None:
        """Serve on an empty machine."""
        self._room, self._jobs, self._policy = room, jobs, policy

    def arrive(self, job: int, now_s: int) -> Column:
        """Take a job in."""
        easy.submit(self._room, self._jobs, job, now_s, self._policy)
        return self._begun()

    def finish(self, job: int, now_s: int) -> Column:
        """Note that a job has ended."""
        easy.terminate(self._room, self._jobs, job, now_s, self._policy)
        return self._begun()

    def due(self, now_s: int) -> Column:
        """Start nothing: nothing was promised for a time."""
        del now_s
        return []

    def next_due_s(self) -> int:
        """Return that there is no promise."""
        return NO_TIME

    def _begun(self) -> Column:
        return self._room.begun[: self._room.state[machine.BEGUN]]


class LearnedDesk:
    """Backfilling in a learned order, which promises heads a latest start, but no time."""

    def __init__(self, room: Machine, jobs: Jobs, learner: Learner) -> None:
        """Serve on an empty machine."""
        self._room, self._jobs, self._learner = room, jobs, learner

    def arrive(self, job: int, now_s: int) -> Column:
        """Take a job in."""
        learned.receive(self._room, self._jobs, self._learner, job, now_s)
        return self._begun()

    def finish(self, job: int, now_s: int) -> Column:
        """Learn from a job that has ended."""
        learned.retire(self._room, self._jobs, self._learner, job, now_s)
        return self._begun()

    def due(self, now_s: int) -> Column:
        """Start nothing: nothing was promised for a time."""
        del now_s
        return []

    def next_due_s(self) -> int:
        """Return that nothing is to be done at a time of its own."""
        return NO_TIME

    def _begun(self) -> Column:
        return self._room.begun[: self._room.state[machine.BEGUN]]


class ConservativeDesk:
    """Conservative backfilling, which promises every job a start."""

    def __init__(self, book: Book, jobs: Jobs) -> None:
        """Serve with a book without reservations."""
        self._book, self._jobs = book, jobs

    def arrive(self, job: int, now_s: int) -> Column:
        """Take a job in."""
        forget(self._book.profile, now_s)
        conservative.arrive(self._book, self._jobs, job, now_s)
        return self._begun()

    def finish(self, job: int, now_s: int) -> Column:
        """Note that a job has ended."""
        forget(self._book.profile, now_s)
        conservative.finish(self._book, self._jobs, job, now_s)
        return self._begun()

    def due(self, now_s: int) -> Column:
        """Start what was promised for now."""
        forget(self._book.profile, now_s)
        conservative.start_due(self._book, now_s)
        return self._begun()

    def next_due_s(self) -> int:
        """Return the earliest promised start of a waiting job."""
        return self._book.state[conservative.NEXT_S]

    def _begun(self) -> Column:
        return self._book.begun[: self._book.state[conservative.BEGUN]]


def drive(desk: Desk, jobs: Jobs) -> None:
    """Let all jobs arrive, run and end."""
    # Only the next arrival is in the queue, which grows with what is active, not with the trace.
    queue: EventQueue[int] = EventQueue(jobs.submit_s[0] if len(jobs.submit_s) else 0)
    if len(jobs.submit_s):
        queue.push(jobs.submit_s[0], ARRIVAL, 0)
    awaited_s = NO_TIME
    while queue:
        now_s, kind, _, job = queue.pop()
        if kind == ARRIVAL:
            if job + 1 < len(jobs.submit_s):
                queue.push(jobs.submit_s[job + 1], ARRIVAL, job + 1)
            begun = desk.arrive(job, now_s)
        elif kind == END:
            begun = desk.finish(job, now_s)
        else:
            begun = desk.due(now_s)
        for one in begun:
            queue.push(now_s + jobs.run_s[one], END, one)
        promised_s = desk.next_due_s()
        # A promise that has been moved up since comes out again later and finds nothing to do.
        if promised_s not in (NO_TIME, awaited_s):
            queue.push(promised_s, DUE, machine.NEVER)
        awaited_s = promised_s
