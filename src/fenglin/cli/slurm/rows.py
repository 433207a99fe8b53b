"""Jobs as Slurm's commands show them: one row for each part that has one state on one site."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from fenglin.cli.slurm.states import LIVE, ended_state
from fenglin.errors import InputError
from fenglin.intake.dialects.sbatch.values import array
from fenglin.intake.native import decode_json
from fenglin.model.job import JobSpec
from fenglin.model.states import AttemptState, JobState
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.wire.views import AllocationView, JobView

# What `fenglin sbatch` writes into the labels of its jobs, and these commands read.
ARRAY = "slurm.array"
USER = "slurm.user"
COMMAND = "slurm.command"
# A job has so many array indices at most that a listing spells one by one.
_MAX_SPELLED = 100_000
_TASK_NUMBERS = 10_000_000


@dataclass(frozen=True)
class Row:
    """A part of a job.

    Attributes:
        job: All of it.
        tasks: Which tasks, by our numbers from 0.
        state: Slurm's name of it.
        part: Where they run or ran; None for tasks that wait, or of a listing.
        now_ms: Unix time of the look.
    """

    job: JobView
    tasks: TaskSet
    state: str
    part: AllocationView | None
    now_ms: int

    @cached_property
    def spec(self) -> JobSpec:
        """What was asked for; defaults where the document is not known or not understood."""
        if self.job.spec:
            try:
                return decode_json(msgspec.json.encode(self.job.spec), self.job.submitted_ms)
            except InputError:
                pass  # of a newer hub: its other columns are of use all the same
        return JobSpec(name=self.job.name)

    @property
    def number(self) -> int:
        """The job's number: 12 for j12."""
        return int(self.job.id[1:])

    @property
    def is_array(self) -> bool:
        """Whether the job has array indices."""
        return self.job.task_count > 1 or ARRAY in self.job.labels

    @property
    def index_text(self) -> str:
        """The array indices: `3`, `0-9`; `N/A` for a plain job."""
        if not self.is_array:
            return "N/A"
        spelled = self.job.labels.get(ARRAY, "")
        if spelled and len(self.tasks) == self.job.task_count and self.state == "PENDING":
            return spelled
        text = _indices(self.tasks, spelled)
        limit = self.spec.concurrency if self.state == "PENDING" and len(self.tasks) > 1 else 0
        return f"{text}%{limit}" if limit else text

    @property
    def id_text(self) -> str:
        """`12`, `12_3` or `12_[0-9]`."""
        if not self.is_array:
            return str(self.number)
        text = self.index_text
        return f"{self.number}_{text}" if text.isdecimal() else f"{self.number}_[{text}]"

    @property
    def own_number(self) -> int:
        """The number that one task of an array sees as SLURM_JOB_ID; else the job's."""
        if self.is_array and len(self.tasks) == 1:
            return self.number * _TASK_NUMBERS + next(iter(self.tasks))
        return self.number

    @property
    def user(self) -> str:
        """Who submitted it with `fenglin sbatch`, else whose token did, else the account."""
        return self.job.labels.get(USER) or self.job.user or self.job.account

    @property
    def nodes(self) -> list[str]:
        """Names of its nodes."""
        return self.part.nodes if self.part else []

    @property
    def sites(self) -> list[str]:
        """Sites where it runs or ran; empty while it waits."""
        if self.part:
            return [self.part.site]
        if self.state == "PENDING":
            return []
        return list(dict.fromkeys(one.site for one in self.job.allocations))

    @property
    def slots(self) -> int:
        """How many tasks run at once."""
        return min(self.part.slots, len(self.tasks)) if self.part else 1

    @property
    def node_count(self) -> int:
        """How many nodes it has or asks for."""
        return len(self.nodes) or self.spec.nodes

    @property
    def cores(self) -> int:
        """How many cores it has or asks for, begun ones counted whole."""
        return -(-self.spec.resources.cpu_milli // 1_000) * self.spec.nodes * self.slots

    @property
    def started_ms(self) -> int:
        """When it began; 0 while it waits."""
        if self.state == "PENDING":
            return 0
        return self.part.started_ms if self.part else self.job.started_ms

    @property
    def ended_ms(self) -> int:
        """When it ended; 0 while it goes on."""
        return self.part.ended_ms if self.part else self.job.ended_ms

    @property
    def run_ms(self) -> int:
        """How long it has run; of an array's tasks that have ended on one site, their mean."""
        if self.part and self.state not in LIVE and self.part.wall_ms:
            return self.part.wall_ms // max(1, len(TaskSet.parse(self.part.ended)))
        if not self.started_ms:
            return 0
        return max(0, (self.ended_ms or self.now_ms) - self.started_ms)

    def single(self) -> list[Row]:
        """Return a row for each of its tasks."""
        if len(self.tasks) < 2:
            return [self]
        return [replace(self, tasks=TaskSet.of([task])) for task in self.tasks]


def rows_of(job: JobView, now_ms: int) -> list[Row]:
    """Return the rows of a job: what has ended, by site; what runs, by allocation; what waits."""
    whole = TaskSet.span(0, job.task_count)
    rows = _ended_rows(job, now_ms)
    if JobState(job.state).terminal:
        return rows or [Row(job, whole, ended_state(job.state, job.reason), None, now_ms)]
    left = whole
    for row in rows:
        left -= row.tasks
    for one in job.allocations:
        if one.state == AttemptState.ENDED:
            continue
        tasks = TaskSet.parse(one.tasks) - TaskSet.parse(one.ended)
        ending = one.state == AttemptState.STOPPING or job.state == JobState.CANCELLING
        # Sites begin tasks in the order of their indices: what has no slot yet waits.
        here = tasks if ending else tasks.first(max(1, one.slots))
        left -= here
        if here:
            rows.append(Row(job, here, "COMPLETING" if ending else "RUNNING", one, now_ms))
    if job.state == JobState.CANCELLING:
        return rows or [Row(job, whole, "COMPLETING", None, now_ms)]
    if not job.allocations and job.tasks.running:  # of a listing, which has no allocations
        return [Row(job, whole, "RUNNING", None, now_ms)]
    if left:
        rows.append(Row(job, left, "PENDING", None, now_ms))
    return rows


def _ended_rows(job: JobView, now_ms: int) -> list[Row]:
    """Return the rows of tasks that have ended, as far as the hub tells which."""
    sets = job.task_sets
    fates = (
        (sets.succeeded, "COMPLETED"),
        (sets.failed, ended_state(JobState.FAILED, job.reason)),
        (sets.cancelled, "CANCELLED"),
    )
    rows = []
    for text, state in fates:
        left = TaskSet.parse(text)
        for one in reversed(job.allocations):  # the last one that held a task ended it
            here = left & TaskSet.parse(one.tasks)
            left -= here
            if here:
                rows.append(Row(job, here, state, one, now_ms))
        if left:
            rows.append(Row(job, left, state, None, now_ms))
    return rows


def _indices(tasks: TaskSet, spelled: str) -> str:
    """Return the array indices of tasks by the list that the user gave."""
    if not spelled or len(tasks) > _MAX_SPELLED:
        return str(tasks)
    numbers = [n for run in array(spelled).runs for n in _run(run.first, run.step, run.size)]
    return str(TaskSet.of(numbers[task] for task in tasks if task < len(numbers)))


def _run(first: int, step: int, size: int) -> Iterable[int]:
    return range(first, first + step * size, step)


def task_of(job: JobView, index: int) -> int:
    """Return our number of an array index; -1 when the job has none such."""
    spelled = job.labels.get(ARRAY, "")
    if not spelled:
        return index if index < job.task_count else -1
    at = 0
    for run in array(spelled).runs:
        place, rest = divmod(index - run.first, run.step)
        if not rest and 0 <= place < run.size:
            return at + place
        at += run.size
    return -1


def parse_id(text: str) -> tuple[int, TaskSet | None]:
    """Return the job's number of `12`, `j12`, `12_3`, `12_[0-4]`, and the indices.

    The indices are the user's; None for the whole job.

    Raises:
        InputError: it is none of these.
    """
    number, mark, rest = text.partition("_")
    number = number.removeprefix("j")
    if not (number.isascii() and number.isdecimal() and len(number) < 19) or int(number) < 1:
        raise InputError(f"Invalid job id: {text[:80]}")
    if mark:
        inside = rest.removeprefix("[").removesuffix("]").partition("%")[0]
        try:
            return int(number), TaskSet.parse(inside) if inside != "*" else None
        except InputError:
            raise InputError(f"Invalid job id: {text[:80]}") from None
    return int(number), None


def parent_of(number: int) -> tuple[int, int] | None:
    """Return job and task of a number that one task of an array sees as SLURM_JOB_ID."""
    return divmod(number, _TASK_NUMBERS) if number >= _TASK_NUMBERS else None
