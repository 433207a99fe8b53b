"""How the tasks of an attempt become elements of one Slurm array.

One element per task, under the task's own index, as people do it by hand: `JOB_17` is frame 17,
Slurm's own `%slots` keeps the number at once. Only where that cannot be (more tasks than the
cluster's MaxArraySize, or than the operator wants: `pack`) elements are numbered from 0 and each
runs some neighbouring tasks, one after another.
"""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.runner.host.order import indices

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LIST = 8_000


class Layout(Struct, frozen=True):
    """The elements of one attempt.

    Attributes:
        tasks: Task set in text form.
        chunk: Tasks per element, in order; 0 when each task is the element of its own index.
    """

    tasks: str
    chunk: int = 0

    def elements(self) -> dict[int, tuple[int, ...]]:
        """Return element → its tasks, in rising order."""
        if not self.chunk:
            return {task: (task,) for task in indices(self.tasks)}
        left = indices(self.tasks)
        parts = iter(lambda: tuple(islice(left, self.chunk)), ())
        return dict(zip(count(), parts, strict=False))

    def array(self, slots: int) -> str:
        """Return what `--array` is given; empty for a job that needs no array."""
        if not self.chunk:
            return f"{self.tasks}%{slots}"
        last = sum(1 for _ in self.elements()) - 1
        return f"0-{last}%{slots}" if last else ""


def lay_out(tasks: str, most: int, pack: int = 1) -> Layout:
    """Return the layout of a task set on a cluster.

    Args:
        tasks: Task set in text form.
        most: The cluster's MaxArraySize: indices are below it.
        pack: Least number of tasks that an element runs.
    """
    number, last = _size(indices(tasks))
    if pack <= 1 and last < most and most > 1 and len(tasks) <= LONGEST_LIST:
        return Layout(tasks)
    # ceil(number / elements), where elements <= MaxArraySize
    return Layout(tasks, max(pack, -(-number // max(1, most))))


def _size(tasks: Iterator[int]) -> tuple[int, int]:
    """Return the number of tasks and the last one."""
    number, last = 0, 0
    for last in tasks:  # noqa: B007 - the last one is what is wanted
        number += 1
    return number, last
