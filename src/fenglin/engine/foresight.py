"""What the hub has learned of runtimes from jobs that ended, and how well its promises were kept.

Neither is stored: the predictor learns again from the newest ended jobs at each start, and the
record of promises begins anew with each hub process.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from fenglin.model.states import JobState
from fenglin.planner.predict import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.model.plan import Plan
    from fenglin.ports.store import JobRecord

# How many kept promises the published error is taken from.
MOST_KEPT = 1_000
# What must have ended before a prediction counts: a job of the same user and application.
_EVIDENCE = 3
# The mean of an array is surer than one runtime: each doubling of its tasks counts for another.
_MOST_LESSONS = 8
_MOST_SAID = 1_000
# Jobs that are named alike but for a number run alike.
_NUMBERS = re.compile(r"\d+")


class Kept(NamedTuple):
    """How well promised starts were kept.

    Attributes:
        jobs: How many promises it is taken from.
        half_ms: Half of them were off by at most this, either way.
        most_ms: Nine of ten were off by at most this.
    """

    jobs: int
    half_ms: int
    most_ms: int


class Foresight:
    """Predicts runtimes of jobs that have no ended task of their own, and follows promises."""

    def __init__(self, past: Iterable[JobRecord] = ()) -> None:
        """Learn from jobs that ended, in the order given."""
        self._predictor = Predictor()
        # What was said since something was learned: jobs of one submit are mostly alike.
        self._said_ms: dict[tuple[str, str, int, int, int], int] = {}
        self._promised_ms: dict[int, int] = {}
        self._errors_ms: deque[int] = deque(maxlen=MOST_KEPT)
        for job in past:
            self.ended(job)

    def predict_ms(self, job: JobRecord) -> int:
        """Return the expected runtime of a task on speed 1 by what ended; 0 if nothing like it did.

        A user's own word is left to the planner, which knows better what to make of it.
        """
        spec = job.spec
        user, request_ms = job.actor or spec.account, spec.estimate_ms or spec.timeout_ms
        procs, limit_ms = spec.resources.cpu_milli * spec.nodes, spec.timeout_ms
        key = user, _application(spec.name), request_ms, procs, limit_ms
        ms = self._said_ms.get(key)
        if ms is None:
            found = self._predictor.predict(
                *key[:2], request_ms=request_ms, procs=procs, limit_ms=limit_ms
            )
            ms = found.ms if found.evidence >= _EVIDENCE else 0
            if len(self._said_ms) >= _MOST_SAID:
                self._said_ms.clear()
            self._said_ms[key] = ms
        return ms

    def ended(self, job: JobRecord) -> None:
        """Learn from a job that ended; one that failed says nothing of those that will not."""
        self._promised_ms.pop(job.number, None)
        if job.state is not JobState.SUCCEEDED or not job.learned_tasks:
            return
        spec = job.spec
        self._said_ms.clear()
        for _ in range(min(_MOST_LESSONS, job.learned_tasks.bit_length())):
            self._predictor.observe(
                job.actor or spec.account,
                _application(spec.name),
                runtime_ms=job.learned_ms // job.learned_tasks,
                request_ms=spec.estimate_ms or spec.timeout_ms,
                procs=spec.resources.cpu_milli * spec.nodes,
            )

    def promised(self, plan: Plan) -> None:
        """Remember the first start that each waiting job was promised."""
        for reservation in plan.reservations:
            self._promised_ms.setdefault(reservation.job, reservation.start_ms)

    def started(self, job: int, now_ms: int) -> int | None:
        """Note a start; return how far its promise was off, later than 0 for late, if there was."""
        promised_ms = self._promised_ms.pop(job, None)
        if promised_ms is None:
            return None
        self._errors_ms.append(abs(now_ms - promised_ms))
        return now_ms - promised_ms

    def kept(self) -> Kept:
        """Return how well promises were kept so far."""
        errors = sorted(self._errors_ms)
        if not errors:
            return Kept(0, 0, 0)
        last = len(errors) - 1
        return Kept(len(errors), errors[last // 2], errors[-(-last * 9 // 10)])


@lru_cache(1_000)
def _application(name: str) -> str:
    """Return a job's name without its numbers: `frame-0012` and `frame-0013` are one."""
    return _NUMBERS.sub("#", name)
