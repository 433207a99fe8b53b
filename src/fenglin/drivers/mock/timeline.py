"""An attempt on the mock site: all its starts and ends are known when it begins."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.model.allocation import TaskEnd
from fenglin.model.reason import Reason
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    from fenglin.drivers.mock.script import Behaviour
    from fenglin.ports.driver import StartOrder

STOPPED_EXIT_CODE = 143
LOST_EXIT_CODE = 137


class Timeline:
    """Tasks run in rising order of index on `slots` slots, each as soon as one is free."""

    def __init__(self, order: StartOrder, begin_ms: int, behaviour: Behaviour) -> None:
        """Lay out every task from `begin_ms` (Unix time) on."""
        self.order = order
        self._ends: list[TaskEnd] = []
        self._outputs: dict[int, bytes] = {}
        self._skipped: set[int] = set()
        self._closed_ms: int | None = None
        self._reason: Reason | None = None
        self._paused_ms: int | None = None
        free = [begin_ms] * order.slots
        for index in TaskSet.parse(order.tasks):
            outcome = behaviour(order, index)
            start_ms = heapq.heappop(free)
            heapq.heappush(free, start_ms + outcome.wall_ms)
            said = outcome.output
            self._outputs[index] = f"task {index}\n".encode() if said is None else said
            failed = Reason.EXIT_CODE if outcome.exit_code else None
            self._ends.append(
                TaskEnd(
                    index, start_ms, outcome.wall_ms, outcome.exit_code, outcome.reason or failed
                )
            )
        self._ends.sort(key=_end_ms)

    def close(self, now_ms: int, reason: Reason) -> None:
        """End what runs now; drop what has not started. Only the first time counts."""
        self.pause(now_ms, paused=False)
        if self._closed_ms is not None or self.done(now_ms):
            return
        code = STOPPED_EXIT_CODE if reason is Reason.CANCELLED else LOST_EXIT_CODE
        kept = []
        for end in self._ends:
            if _end_ms(end)[0] <= now_ms:
                kept.append(end)
            elif end.started_ms <= now_ms:
                wall_ms = now_ms - end.started_ms
                kept.append(TaskEnd(end.index, end.started_ms, wall_ms, code, reason))
        self._ends = sorted(kept, key=_end_ms)
        self._closed_ms, self._reason = now_ms, reason

    def drop(self, now_ms: int, tasks: TaskSet) -> None:
        """End some tasks now, those too that wait; others take the slots that come free."""
        now_ms = self._seen_ms(now_ms)
        if self.done(now_ms):
            return
        # What was told already keeps its place.
        ends = [end for end in self._ends if _end_ms(end)[0] <= now_ms]
        coming = self._ends[len(ends) :]
        for end in coming:
            if end.index in tasks:
                start_ms = min(end.started_ms, now_ms)
                wall_ms = now_ms - start_ms
                ends.append(
                    TaskEnd(end.index, start_ms, wall_ms, STOPPED_EXIT_CODE, Reason.CANCELLED)
                )
        self._skipped.update(
            end.index for end in coming if end.index in tasks and end.started_ms > now_ms
        )
        going = [end for end in coming if end.index not in tasks]
        begun = [end for end in going if end.started_ms <= now_ms]
        free = [now_ms] * (self.order.slots - len(begun)) + [_end_ms(end)[0] for end in begun]
        heapq.heapify(free)
        for end in sorted(going, key=lambda end: end.index):
            if end.started_ms > now_ms:
                begun.append(replace(end, started_ms=heapq.heappop(free)))
                heapq.heappush(free, _end_ms(begun[-1])[0])
        self._ends = ends + sorted(begun, key=_end_ms)

    def pause(self, now_ms: int, *, paused: bool) -> None:
        """Let nothing happen from now on, or let all go on as much later as it was paused."""
        if paused:
            self._paused_ms = now_ms if self._paused_ms is None else self._paused_ms
            return
        since_ms, self._paused_ms = self._paused_ms, None
        if since_ms is not None:
            self._ends = [_later(end, since_ms, now_ms - since_ms) for end in self._ends]

    def ends(self, now_ms: int) -> tuple[TaskEnd, ...]:
        """Return the ends up to now, in the order in which they happened."""
        now_ms = self._seen_ms(now_ms)
        return tuple(end for end in self._ends if _end_ms(end)[0] <= now_ms)

    def output(self, index: int, now_ms: int) -> bytes | None:
        """Return what a task wrote; None while it has not ended."""
        if any(end.index == index for end in self.ends(now_ms)):
            return self._outputs[index]
        return b"" if self.done(now_ms) else None

    def begun(self, now_ms: int) -> list[int]:
        """Return the tasks that have started up to now."""
        now_ms = self._seen_ms(now_ms)
        return [end.index for end in self._runs() if end.started_ms <= now_ms]

    def starts_ms(self, now_ms: int) -> list[int]:
        """Return the times of the starts up to now, sorted."""
        now_ms = self._seen_ms(now_ms)
        return sorted(end.started_ms for end in self._runs() if end.started_ms <= now_ms)

    def done(self, now_ms: int) -> bool:
        """Return whether nothing follows."""
        if self._closed_ms is not None:
            return True
        now_ms = self._seen_ms(now_ms)
        return not self._ends or _end_ms(self._ends[-1])[0] <= now_ms

    @property
    def reason(self) -> Reason | None:
        """Return why it was closed early; None when it was not."""
        return self._reason

    def next_ms(self, now_ms: int) -> int | None:
        """Return the time of the next start or end; None when nothing follows, or it is paused."""
        if self._paused_ms is not None:
            return None
        times = [t for end in self._ends for t in (end.started_ms, _end_ms(end)[0]) if t > now_ms]
        return min(times, default=None)

    def _runs(self) -> list[TaskEnd]:
        """Return the ends of tasks that begin at all."""
        return [end for end in self._ends if end.index not in self._skipped]

    def _seen_ms(self, now_ms: int) -> int:
        """Return up to when things have happened."""
        return now_ms if self._paused_ms is None else min(now_ms, self._paused_ms)


def _later(end: TaskEnd, since_ms: int, by_ms: int) -> TaskEnd:
    """Return an end that a pause from `since_ms` on has shifted, if it lay behind that."""
    if end.started_ms > since_ms:
        return replace(end, started_ms=end.started_ms + by_ms)
    if _end_ms(end)[0] > since_ms:
        return replace(end, wall_ms=end.wall_ms + by_ms)
    return end


def _end_ms(end: TaskEnd) -> tuple[int, int]:
    """Return the order of ends: time, then index."""
    return end.started_ms + end.wall_ms, end.index
