"""Fresh columns for the kernels: NumPy arrays for compiled ones, lists for plain ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from fenglin.planner.backfill.conservative import BOOK_SIZE, NEXT_S, NO_TIME, Book
from fenglin.planner.backfill.learned import (
    CHAIN,
    KNOBS,
    LEARNS,
    PATIENCE_PERCENT,
    TOTAL_PROCS,
    Learner,
)
from fenglin.planner.backfill.machine import FREE, NEVER, STATE_SIZE, Jobs, Machine
from fenglin.planner.backfill.nodes import FREE_HEAD, NODES_SIZE, NONE, SPARE_HEAD, Nodes
from fenglin.planner.backfill.profile import Profile
from fenglin.planner.backfill.twins import Column
from fenglin.planner.predict import OCTAVE, Memory, octaves
from fenglin.simulator.loop import Ends
from fenglin.simulator.trace import Ints, Trace


class Columns:
    """Makes columns of one kind.

    Attributes:
        arrays: Whether they are NumPy arrays.
    """

    def __init__(self, *, arrays: bool) -> None:
        """Choose arrays, for compiled kernels, or lists, which plain ones index faster."""
        self.arrays = arrays

    def filled(self, length: int, value: int = 0) -> Column:
        """Return a column of one value."""
        array: Any = np.full(length, value, dtype=np.int64)
        return self.of(array)

    def of(self, values: Any) -> Column:  # noqa: ANN401 - NumPy's arrays of any width
        """Return a column with these values."""
        array: Any = np.ascontiguousarray(values, dtype=np.int64)
        column: Column = array if self.arrays else array.tolist()
        return column

    def machine(self, jobs: int, procs: int) -> Machine:
        """Return an empty machine for that many jobs."""
        state = self.filled(STATE_SIZE)
        state[FREE] = procs
        ends_s, holders, queue, scan, begun = (self.filled(jobs) for _ in range(5))
        start_s = self.filled(jobs, NEVER)
        return Machine(ends_s, holders, queue, scan, begun, start_s, state)

    def learner(self, trace: Trace, procs: int, patience_percent: int, *, learns: bool) -> Learner:
        """Return a learner without experience for the jobs of a trace."""
        classes = _classes(trace)
        count = int(classes.max(initial=-1)) + 1
        memory = Memory(self.filled(count), self.filled(count))
        knobs = self.filled(KNOBS)
        knobs[TOTAL_PROCS], knobs[PATIENCE_PERCENT] = procs, patience_percent
        knobs[LEARNS] = int(learns)
        guess, key_s = self.filled(len(trace)), self.filled(len(trace))
        promise_s = self.filled(len(trace), NEVER)
        return Learner(memory, self.of(classes), guess, key_s, promise_s, self.filled(1), knobs)

    def book(self, jobs: int, procs: int, from_s: int) -> Book:
        """Return a book without reservations, from a time on."""
        # A job adds at most two steps; one stands at the beginning, two are split off in passing.
        steps = 2 * jobs + 3
        profile = Profile(self.filled(steps, from_s), self.filled(steps, procs), self.filled(1, 1))
        state = self.filled(BOOK_SIZE)
        state[NEXT_S] = NO_TIME
        queue, begun = self.filled(jobs), self.filled(jobs)
        first_s, start_s = self.filled(jobs, NEVER), self.filled(jobs, NEVER)
        return Book(profile, queue, begun, first_s, start_s, state)

    def ends(self, jobs: int) -> Ends:
        """Return an empty heap of ends."""
        return Ends(self.filled(jobs), self.filled(jobs), self.filled(jobs), self.filled(2))

    def nodes(self, jobs: int, procs: int, log: int) -> Nodes:
        """Return a node map in which all is free, with room for a log of that many ranges."""
        # Ranges are disjoint and not empty, so there are never more than nodes; one is a spare.
        after = self.of([NONE, *range(2, procs + 1), NONE])
        length = self.filled(procs + 1)
        length[0] = procs
        state = self.filled(NODES_SIZE)
        state[FREE_HEAD], state[SPARE_HEAD] = 0, 1
        log_job, log_first, log_length = (self.filled(log) for _ in range(3))
        first, head = self.filled(procs + 1), self.filled(jobs, NONE)
        return Nodes(first, length, after, head, log_job, log_first, log_length, state)

    def jobs(self, submit_s: Any, run_s: Any, limit_s: Any, procs: Any) -> Jobs:  # noqa: ANN401 - as in `of`
        """Return the columns of the jobs."""
        return Jobs(self.of(submit_s), self.of(run_s), self.of(limit_s), self.of(procs))


def _classes(trace: Trace) -> Ints:
    """Return the classes of each job as the planner's predictor sees them, widest first."""
    if not len(trace):
        return np.zeros(0, dtype=np.int64)
    requests, place = np.unique(trace.request_s, return_inverse=True)
    buckets = [octaves(one) * 2 // OCTAVE if one > 0 else -1 for one in requests.tolist()]
    bucket = np.array(buckets, dtype=np.int64)[place]
    _, user = np.unique(trace.user_id, return_inverse=True)
    _, width = np.unique(trace.procs, return_inverse=True)
    request = _joined(user, place)
    size = _joined(request, width)
    classes = np.empty((len(trace), CHAIN), dtype=np.int64)
    first = 0
    for level, keys in enumerate((bucket - bucket.min(), user, request, size)):
        classes[:, level] = keys + first
        first += int(keys.max()) + 1
    return classes.reshape(-1)


def _joined(one: Ints, other: Ints) -> Ints:
    """Return a number for each pair of numbers, from 0 on, equal for equal pairs."""
    pairs: Ints = np.unique(one * (other.max() + 1) + other, return_inverse=True)[1]
    return pairs
