"""EASY backfilling (Lifka 1995; Mu'alem and Feitelson 2001): only the head has a reservation.

A pass starts jobs from the head of the queue while they fit. The first that does not fit gets a
reservation: the earliest time at which, by the expected ends, enough processors are free (the
*shadow time*), and the processors left over then are *extra*. A later job is started now if it
fits and either ends by the shadow time or takes no more than the extra processors; so it never
delays the reservation.
"""

from __future__ import annotations

from fenglin.planner.backfill.machine import (
    BEGUN,
    FREE,
    RUNNING,
    WAITING,
    Jobs,
    Machine,
    drop_begun,
    enqueue,
    hold,
    release,
    release_due,
)
from fenglin.planner.backfill.machine import (
    KERNELS as MACHINE_KERNELS,
)
from fenglin.planner.backfill.twins import Column

FCFS = 0
ARRIVAL_ORDER = 1
SHORTEST_FIRST = 2


def start_heads(machine: Machine, jobs: Jobs, now_s: int) -> int:
    """Start jobs from the head of the queue while they fit; return how many."""
    started = 0
    while started < machine.state[WAITING]:
        job = machine.queue[started]
        if jobs.procs[job] > machine.state[FREE]:
            break
        hold(machine, jobs, job, now_s)
        started += 1
    return started


def reservation(machine: Machine, jobs: Jobs, job: int) -> tuple[int, int]:
    """Return the head's shadow time and the processors left over then."""
    free = machine.state[FREE]
    place = machine.state[RUNNING]
    shadow_s = 0
    while free < jobs.procs[job]:
        shadow_s = machine.ends_s[place - 1]
        while place > 0 and machine.ends_s[place - 1] == shadow_s:
            place -= 1
            free += jobs.procs[machine.holders[place]]
    return shadow_s, free - jobs.procs[job]


def fill(machine: Machine, jobs: Jobs, order: Column, until_s: int, extra: int, now_s: int) -> None:
    """Start waiting jobs, in an order, that end by a time or take no more than is left over."""
    for i in range(machine.state[WAITING]):
        free = machine.state[FREE]
        if free == 0:
            break
        job = order[i]
        procs = jobs.procs[job]
        if procs > free or machine.start_s[job] >= 0:
            continue
        if now_s + jobs.limit_s[job] <= until_s:
            hold(machine, jobs, job, now_s)
        elif procs <= extra:
            extra -= procs
            hold(machine, jobs, job, now_s)


def backfill(machine: Machine, jobs: Jobs, head: int, now_s: int) -> None:
    """Start every later job that delays the head's reservation by nothing."""
    shadow_s, extra = reservation(machine, jobs, head)
    fill(machine, jobs, machine.scan, shadow_s, extra, now_s)


def schedule(machine: Machine, jobs: Jobs, now_s: int, policy: int) -> None:
    """Make one pass; the started jobs are in `begun`."""
    machine.state[BEGUN] = 0
    started = start_heads(machine, jobs, now_s)
    if policy != FCFS and machine.state[FREE] > 0 and started + 1 < machine.state[WAITING]:
        backfill(machine, jobs, machine.queue[started], now_s)
    if machine.state[BEGUN] > 0:
        left = drop_begun(machine, machine.queue)
        drop_begun(machine, machine.scan)
        machine.state[WAITING] = left


def submit(machine: Machine, jobs: Jobs, job: int, now_s: int, policy: int) -> None:
    """Take a job in. A pass in the order of arrival is in vain when the job does not fit now."""
    release_due(machine, jobs, now_s)
    enqueue(machine, jobs, job, policy == SHORTEST_FIRST)
    if policy == SHORTEST_FIRST or jobs.procs[job] <= machine.state[FREE]:
        schedule(machine, jobs, now_s, policy)
    else:
        machine.state[BEGUN] = 0


def terminate(machine: Machine, jobs: Jobs, job: int, now_s: int, policy: int) -> None:
    """Note that a job has ended, and make a pass."""
    release_due(machine, jobs, now_s)
    release(machine, jobs, job)
    schedule(machine, jobs, now_s, policy)


# What any way of backfilling around one reservation needs.
CORE = (*MACHINE_KERNELS, start_heads, reservation, fill)
KERNELS = (*CORE, backfill, schedule, submit, terminate)
