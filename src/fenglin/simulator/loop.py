"""The replay of a batch log as one compiled loop: arrivals, ends, and a pass after each.

Order of events as in the schedules we are compared with (pyss): one event at a time; at equal
times arrivals come before ends, and ends in the order of starting. An arrival that does not fit
now changes nothing, so no pass is made for it; but a pass in another order than that of arrival
may then find another job, so shortest first and the learned order always make one. Promised
starts come last.

`stepwise.py` does the same with the simulator's general event queue. This loop is compiled, which
that cannot be; the decisions are those of `planner/backfill` in both.
"""

from __future__ import annotations

from typing import NamedTuple

from fenglin.planner.backfill import conservative, easy, learned
from fenglin.planner.backfill import nodes as maps
from fenglin.planner.backfill.conservative import (
    BEGUN as BOOK_BEGUN,
)
from fenglin.planner.backfill.conservative import (
    NEXT_S,
    NO_TIME,
    Book,
    arrive,
    finish,
    start_due,
)
from fenglin.planner.backfill.easy import submit, terminate
from fenglin.planner.backfill.learned import Learner, receive, retire
from fenglin.planner.backfill.machine import BEGUN, Jobs, Machine
from fenglin.planner.backfill.nodes import Nodes, give_back, take
from fenglin.planner.backfill.profile import forget
from fenglin.planner.backfill.twins import Column

ENOUGH = -1


class Ends(NamedTuple):
    """Binary heap of the ends to come.

    Attributes:
        time_s: When; the heap's order is by time, then by `turn`.
        job: Whose.
        turn: Number of the start, by job.
        size: Length of the heap, and number of starts so far.
    """

    time_s: Column
    job: Column
    turn: Column
    size: Column


def earlier(ends: Ends, one: int, other: int) -> bool:
    """Return whether the entry at one place comes before that at another."""
    if ends.time_s[one] != ends.time_s[other]:
        return ends.time_s[one] < ends.time_s[other]
    return ends.turn[ends.job[one]] < ends.turn[ends.job[other]]


def swap(ends: Ends, one: int, other: int) -> None:
    """Exchange two entries."""
    ends.time_s[one], ends.time_s[other] = ends.time_s[other], ends.time_s[one]
    ends.job[one], ends.job[other] = ends.job[other], ends.job[one]


def push(ends: Ends, time_s: int, job: int) -> None:
    """Add the end of a job that has just been started."""
    place = ends.size[0]
    ends.time_s[place] = time_s
    ends.job[place] = job
    ends.turn[job] = ends.size[1]
    ends.size[0] += 1
    ends.size[1] += 1
    while place > 0:
        parent = (place - 1) // 2
        if not earlier(ends, place, parent):
            break
        swap(ends, place, parent)
        place = parent


def pop(ends: Ends) -> int:
    """Take the first end out; return its job."""
    job = ends.job[0]
    count = ends.size[0] - 1
    ends.size[0] = count
    ends.time_s[0] = ends.time_s[count]
    ends.job[0] = ends.job[count]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= count:
            break
        if child + 1 < count and earlier(ends, child + 1, child):
            child += 1
        if not earlier(ends, child, place):
            break
        swap(ends, place, child)
        place = child
    return job


def push_begun(ends: Ends, jobs: Jobs, begun: Column, count: int, now_s: int) -> None:
    """Add the ends of the jobs that a pass has started."""
    for i in range(count):
        push(ends, now_s + jobs.run_s[begun[i]], begun[i])


def replay_easy(machine: Machine, jobs: Jobs, ends: Ends, policy: int) -> None:
    """Run all jobs through FCFS or EASY; their starts are in `machine.start_s`."""
    total = len(jobs.procs)
    arrived = 0
    while arrived < total or ends.size[0] > 0:
        if arrived < total and (ends.size[0] == 0 or jobs.submit_s[arrived] <= ends.time_s[0]):
            now_s = jobs.submit_s[arrived]
            submit(machine, jobs, arrived, now_s, policy)
            arrived += 1
        else:
            now_s = ends.time_s[0]
            terminate(machine, jobs, pop(ends), now_s, policy)
        push_begun(ends, jobs, machine.begun, machine.state[BEGUN], now_s)


def replay_learned(machine: Machine, jobs: Jobs, ends: Ends, learner: Learner) -> None:
    """Run all jobs through learned backfilling; their starts are in `machine.start_s`."""
    total = len(jobs.procs)
    arrived = 0
    while arrived < total or ends.size[0] > 0:
        if arrived < total and (ends.size[0] == 0 or jobs.submit_s[arrived] <= ends.time_s[0]):
            now_s = jobs.submit_s[arrived]
            receive(machine, jobs, learner, arrived, now_s)
            arrived += 1
        else:
            now_s = ends.time_s[0]
            retire(machine, jobs, learner, pop(ends), now_s)
        push_begun(ends, jobs, machine.begun, machine.state[BEGUN], now_s)


def replay_conservative(book: Book, jobs: Jobs, ends: Ends) -> None:
    """Run all jobs through conservative backfilling; their starts are in `book.start_s`."""
    total = len(jobs.procs)
    arrived = 0
    while arrived < total or ends.size[0] > 0 or book.state[NEXT_S] < NO_TIME:
        arrival_s = jobs.submit_s[arrived] if arrived < total else NO_TIME
        end_s = ends.time_s[0] if ends.size[0] > 0 else NO_TIME
        now_s = min(arrival_s, end_s, book.state[NEXT_S])
        forget(book.profile, now_s)
        if arrival_s == now_s:
            arrive(book, jobs, arrived, now_s)
            arrived += 1
        elif end_s == now_s:
            finish(book, jobs, pop(ends), now_s)
        else:
            start_due(book, now_s)
        push_begun(ends, jobs, book.begun, book.state[BOOK_BEGUN], now_s)


def map_nodes(nodes: Nodes, jobs: Jobs, start_s: Column, by_start: Column, by_end: Column) -> int:
    """Give each job its nodes at its start and take them back at its end.

    Args:
        nodes: All free.
        jobs: The jobs.
        start_s: Start of each.
        by_start: The jobs in the order of starting.
        by_end: The jobs that run at all, in the order of ending.

    Returns:
        `ENOUGH`, or the first job for which too few nodes were free.
    """
    ended = 0
    for i in range(len(by_start)):
        job = by_start[i]
        while ended < len(by_end):
            other = by_end[ended]
            if start_s[other] + jobs.run_s[other] > start_s[job]:
                break
            give_back(nodes, other)
            ended += 1
        if not take(nodes, job, jobs.procs[job]):
            return job
        if jobs.run_s[job] == 0:
            give_back(nodes, job)
    return ENOUGH


HEAP = (earlier, swap, push, pop, push_begun)
EASY_KERNELS = (*easy.KERNELS, *HEAP, replay_easy)
LEARNED_KERNELS = (*learned.KERNELS, *HEAP, replay_learned)
CONSERVATIVE_KERNELS = (*conservative.KERNELS, *HEAP, replay_conservative)
NODE_KERNELS = (*maps.KERNELS, map_nodes)
