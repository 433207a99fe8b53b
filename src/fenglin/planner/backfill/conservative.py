"""Conservative backfilling (Mu'alem and Feitelson 2001): every job has a reservation.

A job gets the earliest reservation that delays nobody's when it arrives. When a job ends before
it was expected to, the waiting jobs are offered the gap in the order of arrival: each gives its
reservation back and takes the earliest one, which is never later. So no job starts later than
its first reservation, whatever comes after it.
"""

from __future__ import annotations

from typing import NamedTuple

from fenglin.planner.backfill.machine import Jobs
from fenglin.planner.backfill.profile import KERNELS as PROFILE_KERNELS
from fenglin.planner.backfill.profile import Profile, change, earliest
from fenglin.planner.backfill.twins import Column

# Places in `Book.state`.
WAITING = 0
BEGUN = 1
NEXT_S = 2
BOOK_SIZE = 3

NO_TIME = 2**62


class Book(NamedTuple):
    """All reservations.

    Attributes:
        profile: What is free when, after everybody's reservation.
        queue: Jobs that wait for their reservation, in the order of arrival.
        begun: Jobs that the last step has started, in its order.
        first_s: The first reservation of each job: what it was promised on arrival.
        start_s: The reservation of each job now; its start in the end.
        state: Lengths of `queue` and of `begun`; the earliest reservation in the queue.
    """

    profile: Profile
    queue: Column
    begun: Column
    first_s: Column
    start_s: Column
    state: Column


def length_of(jobs: Jobs, job: int) -> int:
    """Return how long a reservation lasts: a job of no length still needs its processors once."""
    return max(1, jobs.limit_s[job])


def arrive(book: Book, jobs: Jobs, job: int, now_s: int) -> None:
    """Reserve for a job that has just arrived, and start what is due."""
    length_s = length_of(jobs, job)
    begin_s = earliest(book.profile, jobs.procs[job], length_s, NO_TIME)
    change(book.profile, begin_s, begin_s + length_s, -jobs.procs[job])
    book.first_s[job] = begin_s
    book.start_s[job] = begin_s
    book.queue[book.state[WAITING]] = job
    book.state[WAITING] += 1
    start_due(book, now_s)


def move_up(book: Book, jobs: Jobs, job: int) -> None:
    """Let a waiting job take the earliest reservation there is, its own counted as free."""
    procs, length_s = jobs.procs[job], length_of(jobs, job)
    old_s = book.start_s[job]
    new_s = earliest(book.profile, procs, length_s, old_s)
    if new_s < old_s:
        change(book.profile, old_s, old_s + length_s, procs)
        change(book.profile, new_s, new_s + length_s, -procs)
        book.start_s[job] = new_s


def finish(book: Book, jobs: Jobs, job: int, now_s: int) -> None:
    """Note that a job has ended; let the waiting ones move up when it was early."""
    expected_s = book.start_s[job] + length_of(jobs, job)
    if expected_s > now_s:
        change(book.profile, now_s, expected_s, jobs.procs[job])
        for i in range(book.state[WAITING]):
            move_up(book, jobs, book.queue[i])
    start_due(book, now_s)


def start_due(book: Book, now_s: int) -> None:
    """Start the jobs whose reservation has come; find the next one."""
    kept, begun, next_s = 0, 0, NO_TIME
    for i in range(book.state[WAITING]):
        job = book.queue[i]
        if book.start_s[job] <= now_s:
            book.begun[begun] = job
            begun += 1
        else:
            book.queue[kept] = job
            kept += 1
            next_s = min(next_s, book.start_s[job])
    book.state[WAITING] = kept
    book.state[BEGUN] = begun
    book.state[NEXT_S] = next_s


KERNELS = (*PROFILE_KERNELS, length_of, start_due, arrive, move_up, finish)
