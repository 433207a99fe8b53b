"""Which jobs have changed lately, in order: what a watch is answered from.

Kept in memory only. A place in this order is good as long as its hub lives and has not dropped
it; whoever comes back later is told to list again, as Kubernetes does with old versions.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from fenglin.errors import InputError
from fenglin.model.ids import parse_job_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.ports.store import JobRecord

# A job is in it once, at its newest change: some 200 bytes for each, its labels left out.
MOST_KEPT = 50_000
Labels = tuple[tuple[str, str], ...]


class Pick(NamedTuple):
    """Which changes are meant.

    Attributes:
        numbers: Only these jobs; empty for all.
        labels: Only jobs with any of these (name, value) pairs; empty for all.
        account: Only jobs of this account; empty for all.
        most: Most jobs at once.
    """

    numbers: frozenset[int] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()
    account: str = ""
    most: int = 100

    @classmethod
    def of(cls, filters: Iterable[tuple[str, str]], account: str, most: int) -> Pick:
        """Read filters by `id` and by `label`.

        Raises:
            InputError: an id is none.
        """
        pairs = list(filters)
        cut = [value.partition("=") for field, value in pairs if field == "label"]
        return cls(
            frozenset(parse_job_id(value) for field, value in pairs if field == "id"),
            frozenset((name, value) for name, _, value in cut),
            account,
            most,
        )

    def takes(self, one: Changed) -> bool:
        """Return whether a job is meant."""
        return (
            (not self.account or one.account == self.account)
            and (not self.numbers or one.number in self.numbers)
            and (not self.labels or not self.labels.isdisjoint(one.labels))
        )


class Changed(NamedTuple):
    """What is kept of a changed job: the job itself would live on in memory when it has ended."""

    at: int
    number: int
    account: str
    labels: Labels


class Heard(NamedTuple):
    """What there is to tell: changed jobs, where to go on, and whether changes were missed."""

    numbers: list[int]
    place: str
    reset: bool = False


class Changes:
    """The newest change of each job, oldest first.

    Args:
        epoch: Of this hub's lead; places of another one are of no use.
        most: How many jobs are kept.
    """

    def __init__(self, epoch: int, most: int = MOST_KEPT) -> None:
        self._epoch = epoch
        self._most = most
        self._at = 0
        self._dropped = 0
        # To find the first key of a plain dict takes as long as keys have left its front.
        self._last: OrderedDict[int, Changed] = OrderedDict()
        self._more = asyncio.Event()

    @property
    def place(self) -> str:
        """Where the order ends now."""
        return f"{self._epoch}.{self._at}"

    def note(self, jobs: Iterable[JobRecord]) -> None:
        """Take in that jobs have changed."""
        for job in jobs:
            self._at += 1
            account = sys.intern(job.spec.account)
            self._last[job.number] = Changed(self._at, job.number, account, job.spec.labels)
            self._last.move_to_end(job.number)
        while len(self._last) > self._most:
            self._dropped = self._last.popitem(last=False)[1].at
        self._more.set()
        self._more = asyncio.Event()

    async def wait(self, place: str, pick: Pick, timeout_s: float) -> Heard:
        """Return changes after a place, as soon as there are any or the time is over.

        Raises:
            InputError: it is no place.
        """
        if not place:
            return Heard([], self.place)
        end_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            more = self._more
            reached = self.reach(place)
            if reached is None:
                return Heard([], self.place, reset=True)
            numbers, place = self.since(reached, pick)
            if numbers:
                return Heard(numbers, place)
            try:
                async with asyncio.timeout_at(end_s):
                    await more.wait()
            except TimeoutError:
                return Heard([], place)

    def reach(self, place: str) -> int | None:
        """Return how far a place has read; None when what followed it is not known any more.

        Raises:
            InputError: it is no place.
        """
        epoch, dot, at = place.partition(".")
        numbers = [text for text in (epoch, at) if text.isascii() and text.isdecimal()]
        if not dot or len(numbers) != 2 or len(place) > 40:
            raise InputError(
                "this is no place to watch from", where="after", hint="take it from `next`"
            )
        reached = int(at)
        known = int(epoch) == self._epoch and self._dropped <= reached <= self._at
        return reached if known else None

    def since(self, reached: int, pick: Pick) -> tuple[list[int], str]:
        """Return which jobs changed later, oldest change first, and where to go on."""
        later: list[Changed] = []
        for change in reversed(self._last.values()):
            if change.at <= reached:
                break
            later.append(change)
        found: list[int] = []
        for change in reversed(later):
            if pick.takes(change):
                found.append(change.number)
                if len(found) == pick.most:
                    return found, f"{self._epoch}.{change.at}"
        return found, self.place
