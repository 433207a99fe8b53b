"""Backfilling in an order that is learned from finished jobs: the policy `balanced`.

Three things differ from EASY, and nothing else:

*Order.* Slowdown is lost on jobs of seconds that wait for hours; together they need less than one
percent of the machine. So a job is put back in the queue, behind jobs that arrive up to so much
later, by its *patience* times a share that rises with the logarithm of its predicted runtime: none
for a job of a minute, all for one of ten hours. Long jobs keep the order of arrival among
themselves, and nobody is overtaken by a job that arrives later than its patience after it. The
patience is a constant, plus the time in which the machine would do the work that waits when the
job arrives: where all wait for long, a job can be put back further and still fare alike.

*Slack.* Requested times are several times the runtimes, so the head's shadow time is much later
than its true start, and holding the machine free for it wastes room that all pay for. Backfilled
jobs may end a little behind the shadow time (relaxed backfilling: Ward, Mahood and West 2002), the
less, the longer the head has waited. When a job first heads the queue it is promised a latest
start; the slack never goes beyond that promise. So a head starts by its promise, or by the shadow
time of strict EASY when that is later because others headed the queue meanwhile.

*Width.* A wide job waits for room anyway; it is put back a little less.

What is predicted is used for the order alone. Reservations rest on what users ask for, as in EASY.
"""

from __future__ import annotations

from typing import NamedTuple

from fenglin.planner import predict
from fenglin.planner.backfill.easy import CORE, fill, reservation, start_heads
from fenglin.planner.backfill.machine import (
    BEGUN,
    FREE,
    NEVER,
    WAITING,
    Jobs,
    Machine,
    drop_begun,
    release,
    release_due,
)
from fenglin.planner.backfill.twins import Column
from fenglin.planner.predict import EXAGGERATION, Memory, amount, guess, learn, octaves

# Classes of a job in a log: no arrays there.
CHAIN = predict.SIZE + 1

# Runtimes below count alike, as in the bounded slowdown.
LEAST_S = 10
# Predicted runtimes between which the share of the patience rises from none to all.
SHORT_S = 30
LONG_S = 36_000
# Halving of a job's processors counts like this part of halving its runtime.
WIDTH_DIVISOR = 3
PATIENCE_S = 30 * 3_600
MOST_PATIENCE_S = 8 * 86_400
# Slack in parts of the way to the shadow time (1,024 is as much again), for a head that has just
# arrived; half of it for one that has waited `SLACK_WAIT_S`.
SLACK_PARTS = 2 * 1_024
SLACK_WAIT_S = 20 * 3_600
PARTS = 1_024
PERCENT = 100

# Places in `Learner.knobs`.
TOTAL_PROCS = 0
PATIENCE_PERCENT = 1
LEARNS = 2
KNOBS = 3


class Learner(NamedTuple):
    """What the policy has learned, and what it has promised.

    Attributes:
        memory: What the classes remember.
        classes: `CHAIN` classes of each job, widest first.
        guess: Predicted logarithm of each job's runtime in seconds, made at its arrival.
        key_s: Each job's place in the queue, as the arrival of a job that is not put back.
        promise_s: Latest start promised to a job when it first headed the queue, or `NEVER`.
        backlog: Predicted processor seconds that wait.
        knobs: Processors of the machine; patience in percent; 1 to learn, 0 to believe the
            limits, which are then the runtimes themselves.
    """

    memory: Memory
    classes: Column
    guess: Column
    key_s: Column
    promise_s: Column
    backlog: Column
    knobs: Column


def expect(learner: Learner, jobs: Jobs, job: int) -> int:
    """Return the logarithm of a job's expected runtime, at most that of its limit."""
    limit = octaves(max(LEAST_S, jobs.limit_s[job]))
    if learner.knobs[LEARNS] == 0:
        return limit
    base = limit - EXAGGERATION
    return min(limit, guess(learner.memory, learner.classes, CHAIN * job, CHAIN, base))


def put_back_s(learner: Learner, jobs: Jobs, job: int) -> int:
    """Return by how much a job is put back in the queue when it arrives."""
    patience_s = PATIENCE_S + learner.backlog[0] // learner.knobs[TOTAL_PROCS]
    patience_s = min(patience_s, MOST_PATIENCE_S) * learner.knobs[PATIENCE_PERCENT] // PERCENT
    low, high = octaves(SHORT_S), octaves(LONG_S)
    length = learner.guess[job] - octaves(jobs.procs[job]) // WIDTH_DIVISOR
    return patience_s * max(0, min(length, high) - low) // (high - low)


def line_up(machine: Machine, learner: Learner, job: int) -> None:
    """Put a job in its place in the queue; at equal places the earlier arrival is first."""
    place = machine.state[WAITING]
    while place > 0 and learner.key_s[machine.queue[place - 1]] > learner.key_s[job]:
        machine.queue[place] = machine.queue[place - 1]
        place -= 1
    machine.queue[place] = job
    machine.state[WAITING] += 1


def latest_s(learner: Learner, jobs: Jobs, head: int, shadow_s: int, now_s: int) -> int:
    """Return by when jobs that are backfilled now must end; promise it to a new head."""
    waited_s = now_s - jobs.submit_s[head]
    slack = SLACK_PARTS * SLACK_WAIT_S // (SLACK_WAIT_S + waited_s)
    until_s = shadow_s + (shadow_s - now_s) * slack // PARTS
    if learner.promise_s[head] == NEVER:
        learner.promise_s[head] = until_s
    return max(shadow_s, min(until_s, learner.promise_s[head]))


def serve(machine: Machine, jobs: Jobs, learner: Learner, now_s: int) -> None:
    """Make one pass; the started jobs are in `machine.begun`."""
    machine.state[BEGUN] = 0
    started = start_heads(machine, jobs, now_s)
    if machine.state[FREE] > 0 and started + 1 < machine.state[WAITING]:
        head = machine.queue[started]
        shadow_s, extra = reservation(machine, jobs, head)
        until_s = latest_s(learner, jobs, head, shadow_s, now_s)
        fill(machine, jobs, machine.queue, until_s, extra, now_s)
    if machine.state[BEGUN] > 0:
        machine.state[WAITING] = drop_begun(machine, machine.queue)
        for i in range(machine.state[BEGUN]):
            job = machine.begun[i]
            learner.backlog[0] -= amount(learner.guess[job]) * jobs.procs[job]


def receive(machine: Machine, jobs: Jobs, learner: Learner, job: int, now_s: int) -> None:
    """Take a job in, and make a pass."""
    release_due(machine, jobs, now_s)
    learner.guess[job] = expect(learner, jobs, job)
    learner.key_s[job] = now_s + put_back_s(learner, jobs, job)
    learner.backlog[0] += amount(learner.guess[job]) * jobs.procs[job]
    line_up(machine, learner, job)
    serve(machine, jobs, learner, now_s)


def retire(machine: Machine, jobs: Jobs, learner: Learner, job: int, now_s: int) -> None:
    """Learn from a job that has ended, and make a pass."""
    release_due(machine, jobs, now_s)
    release(machine, jobs, job)
    octave = octaves(max(LEAST_S, jobs.run_s[job]))
    for level in range(CHAIN):
        learn(learner.memory, learner.classes[CHAIN * job + level], level, octave)
    serve(machine, jobs, learner, now_s)


KERNELS = (
    *CORE,
    *predict.KERNELS,
    expect,
    put_back_s,
    line_up,
    latest_s,
    serve,
    receive,
    retire,
)
