"""The heart of the simulator: events in one total order under a virtual clock.

Events come out by time, then by priority, then in the order in which they were put in. Nothing
else has a say, so a run depends on its inputs and its seed only.
"""

from __future__ import annotations

import heapq
from typing import Generic, NamedTuple, TypeVar

from fenglin.errors import InputError

Payload = TypeVar("Payload")


class Event(NamedTuple, Generic[Payload]):
    """Something that happens at a time.

    Attributes:
        time: When, in the unit of the queue's owner.
        priority: Smaller comes first among events of one time.
        sequence: The how-manieth it was to be put in; no two are alike.
        what: What happens.
    """

    time: int
    priority: int
    sequence: int
    what: Payload


class EventQueue(Generic[Payload]):
    """Events to come, and the virtual clock that they drive.

    Attributes:
        now: Time of the last event that came out; the start before the first.
    """

    def __init__(self, start: int = 0) -> None:
        """Begin at a time, with nothing to come."""
        self.now = start
        self._heap: list[Event[Payload]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, time: int, priority: int, what: Payload) -> None:
        """Let something happen later, or still now.

        Raises:
            InputError: the time is past.
        """
        if time < self.now:
            raise InputError(
                f"an event at {time} would lie before the present, {self.now}",
                hint="a trace must be in the order of time",
            )
        # Sequences differ, so that a heap never compares payloads.
        heapq.heappush(self._heap, Event(time, priority, self._sequence, what))
        self._sequence += 1

    def peek(self) -> Event[Payload]:
        """Return the next event without letting it happen."""
        return self._heap[0]

    def pop(self) -> Event[Payload]:
        """Take the next event out and turn the clock to it."""
        event = heapq.heappop(self._heap)
        self.now = event.time
        return event
