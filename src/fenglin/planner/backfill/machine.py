"""What a machine of equal processors holds and who waits for it, as columns kernels work on.

Times are whole seconds; jobs are numbered from 0 in the order of arrival. A job holds its
processors until its *expected* end: a job that outlives it holds nothing any more, as in the
published schedules that we are compared with.
"""

from __future__ import annotations

from typing import NamedTuple

from fenglin.planner.backfill.twins import Column

# Places in `Machine.state`.
FREE = 0
RUNNING = 1
WAITING = 2
BEGUN = 3
STATE_SIZE = 4

NEVER = -1


class Jobs(NamedTuple):
    """The jobs, one entry each.

    Attributes:
        submit_s: Arrival, rising.
        run_s: How long each will run, which no policy looks at.
        limit_s: How long each is expected to run.
        procs: Processors each needs, at most those of the machine.
    """

    submit_s: Column
    run_s: Column
    limit_s: Column
    procs: Column


class Machine(NamedTuple):
    """The machine and its queue; the counts are in `state`.

    Attributes:
        ends_s: Expected ends of the jobs that hold processors, falling: the next one is last.
        holders: The job of each end.
        queue: Waiting jobs in the order of arrival.
        scan: Waiting jobs in the order in which backfilling tries them.
        begun: Jobs that the last pass has started, in its order.
        start_s: Start of each job, `NEVER` while it waits.
        state: Free processors; lengths of `ends_s`, of `queue` and of `begun`.
    """

    ends_s: Column
    holders: Column
    queue: Column
    scan: Column
    begun: Column
    start_s: Column
    state: Column


def place_of_end(machine: Machine, end_s: int) -> int:
    """Return the first place whose end is not later than `end_s`."""
    low, high = 0, machine.state[RUNNING]
    while low < high:
        middle = (low + high) // 2
        if machine.ends_s[middle] > end_s:
            low = middle + 1
        else:
            high = middle
    return low


def hold(machine: Machine, jobs: Jobs, job: int, now_s: int) -> None:
    """Start a job: it holds its processors until its expected end."""
    end_s = now_s + jobs.limit_s[job]
    place = place_of_end(machine, end_s)
    for i in range(machine.state[RUNNING], place, -1):
        machine.ends_s[i] = machine.ends_s[i - 1]
        machine.holders[i] = machine.holders[i - 1]
    machine.ends_s[place] = end_s
    machine.holders[place] = job
    machine.state[RUNNING] += 1
    machine.state[FREE] -= jobs.procs[job]
    machine.start_s[job] = now_s
    machine.begun[machine.state[BEGUN]] = job
    machine.state[BEGUN] += 1


def release_due(machine: Machine, jobs: Jobs, now_s: int) -> None:
    """Free what is expected to have ended by now."""
    count = machine.state[RUNNING]
    while count > 0 and machine.ends_s[count - 1] <= now_s:
        count -= 1
        machine.state[FREE] += jobs.procs[machine.holders[count]]
    machine.state[RUNNING] = count


def release(machine: Machine, jobs: Jobs, job: int) -> bool:
    """Free the processors of a job that has ended; False when it held none any more."""
    end_s = machine.start_s[job] + jobs.limit_s[job]
    place = place_of_end(machine, end_s)
    count = machine.state[RUNNING]
    while place < count and machine.ends_s[place] == end_s:
        if machine.holders[place] == job:
            for i in range(place, count - 1):
                machine.ends_s[i] = machine.ends_s[i + 1]
                machine.holders[i] = machine.holders[i + 1]
            machine.state[RUNNING] = count - 1
            machine.state[FREE] += jobs.procs[job]
            return True
        place += 1
    return False


def enqueue(machine: Machine, jobs: Jobs, job: int, shortest_first: bool) -> None:  # noqa: FBT001 - kernels take no keywords
    """Append a job to the queue, and to the backfilling order at its place."""
    count = machine.state[WAITING]
    machine.queue[count] = job
    place = count
    if shortest_first:
        while place > 0 and jobs.limit_s[machine.scan[place - 1]] > jobs.limit_s[job]:
            machine.scan[place] = machine.scan[place - 1]
            place -= 1
    machine.scan[place] = job
    machine.state[WAITING] = count + 1


def drop_begun(machine: Machine, order: Column) -> int:
    """Take the started jobs out of an order; return how many are left."""
    kept = 0
    for i in range(machine.state[WAITING]):
        job = order[i]
        if machine.start_s[job] < 0:
            order[kept] = job
            kept += 1
    return kept


KERNELS = (place_of_end, hold, release_due, release, enqueue, drop_begun)
