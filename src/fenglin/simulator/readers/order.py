"""From jobs as they stand in a file to a stream by moment of submission."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeAlias

from fenglin.errors import InputError
from fenglin.model.job import MAX_TASKS
from fenglin.simulator.readers.cells import LARGEST
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob, Workload

LARGEST_MS = LARGEST * 1_000
# A trace that begins twenty years after its zero counts from 1970, whatever its format says.
_WORLD_MS = 20 * 365 * 86_400_000

Drafts: TypeAlias = Callable[[Findings], Iterator[WorkJob]]


class _Stream:
    """Reads a source twice: once to learn what is wrong and how late jobs come, then to stream.

    The first reading keeps nothing but a few numbers, and is made once for all runs. What it
    learns is the longest time by which a job stands behind one that was submitted later. The
    second reading then holds back only the jobs of that span: none when the file is sorted.
    """

    def __init__(self, drafts: Drafts, findings: Findings, *, rebase: bool, limit: int) -> None:
        self._drafts = drafts
        self._findings = findings
        self._rebase = rebase
        self._limit = limit
        self._read = False
        self._zero_ms = 0
        self._lag_ms = 0

    def survey(self) -> None:
        """Read the source once, if that has not been done.

        Raises:
            InputError: no job is left.
        """
        if self._read:
            return
        latest = earliest = None
        for job in _sound(self._drafts(self._findings), self._findings, rebase=self._rebase):
            moment = job.submitted_ms
            if latest is None or earliest is None:
                latest = earliest = moment
            elif moment >= latest:
                latest = moment
            else:
                self._findings.add(
                    "an arrival before that of an earlier one", [job.number], "sorted"
                )
                self._lag_ms = max(self._lag_ms, latest - moment)
                earliest = min(earliest, moment)
        if earliest is None:
            raise InputError(
                "no job is left",
                where=self._findings.source,
                hint="; ".join(self._findings.sentences()[:3]),
            )
        world = self._rebase or earliest > _WORLD_MS
        self._zero_ms = earliest if world else 0
        self._read = True

    def jobs(self) -> Iterator[WorkJob]:
        """Return the jobs by (submission, place), numbered from 1."""
        self.survey()
        # What is wrong is known by now, and must not be counted again.
        drafts = _sound(self._drafts(Findings("")), Findings(""), rebase=self._rebase)
        ordered = _sorted_within(drafts, self._lag_ms) if self._lag_ms else drafts
        return self._numbered(islice(ordered, self._limit or None))

    def _numbered(self, ordered: Iterator[WorkJob]) -> Iterator[WorkJob]:
        """Yield jobs with their numbers, on the workload's own clock."""
        zero = self._zero_ms
        for number, job in enumerate(ordered, start=1):
            deadline = job.deadline_ms - zero if job.deadline_ms else 0
            yield job._replace(
                number=number, submitted_ms=job.submitted_ms - zero, deadline_ms=deadline
            )


def as_workload(
    drafts: Drafts, findings: Findings, *, rebase: bool, strict: bool = False, limit: int = 0
) -> Workload:
    """Return the workload of a source.

    Args:
        drafts: Reads the source anew: jobs in its own order, numbered by their places.
        findings: Filled by the first reading: now when strict, else when jobs are first asked for.
        rebase: The source's clock is the world's: the first arrival becomes zero.
        strict: Whether any finding is an error.
        limit: Most jobs; 0 for all.

    Raises:
        InputError: strict, and something is wrong.
    """
    stream = _Stream(drafts, findings, rebase=rebase, limit=limit)
    if strict:
        stream.survey()
        if findings.count:
            raise InputError(
                f"{findings.count} faults found: {'; '.join(findings.sentences())}",
                where=findings.source,
                hint="a lenient reading does what the sentences say and goes on",
            )
    return Workload(findings.source, stream.jobs, findings)


def _sorted_within(jobs: Iterator[WorkJob], lag_ms: int) -> Iterator[WorkJob]:
    """Sort jobs by (submission, place) of which none comes more than some time late."""
    held: list[tuple[int, int, WorkJob]] = []
    latest = -LARGEST_MS
    for job in jobs:
        heapq.heappush(held, (job.submitted_ms, job.number, job))
        latest = max(latest, job.submitted_ms)
        # Whatever comes from here on was submitted at `latest - lag_ms` or after it.
        while held and held[0][0] <= latest - lag_ms:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]


def _sound(jobs: Iterator[WorkJob], findings: Findings, *, rebase: bool) -> Iterator[WorkJob]:
    """Yield the jobs that can be run; note the others."""
    for job in jobs:
        if job.submitted_ms < 0 and not rebase:
            findings.add("an arrival before time 0", [job.number])
        elif min(job.runtimes_ms) < 0:
            findings.add("a negative runtime (never ran, or unknown)", [job.number])
        elif max(abs(job.submitted_ms), *job.runtimes_ms) > LARGEST_MS:
            findings.add("a time of no reasonable size", [job.number])
        elif not 0 < job.tasks <= MAX_TASKS:
            findings.add(f"no tasks, or more than {MAX_TASKS}", [job.number])
        else:
            yield job
