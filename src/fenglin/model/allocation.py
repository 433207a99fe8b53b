"""What was decided: a committed set of a job's tasks on one site, flavor and nodes."""

from __future__ import annotations

from msgspec import Struct

from fenglin.model.reason import Reason


class Share(Struct, frozen=True, omit_defaults=True, gc=False):
    """Slots of an allocation on one node.

    Attributes:
        node: Name of the node.
        slots: How many of the allocation's tasks may run on it at once.
        cards: Numbers of the cards that its tasks sit on, slot by slot: one for a part of a
            card, else as many as a task needs. Empty where a task needs no card.
    """

    node: str
    slots: int
    cards: tuple[int, ...] = ()


class Usage(Struct, frozen=True, omit_defaults=True):
    """What an attempt used, by the site's own record. Additive over tasks.

    Attributes:
        tasks: Tasks that ended.
        wall_ms: Sum over ended tasks of their runtime.
        billed_ms: Sum over ended tasks of max(runtime, minimum of the price).
        cpu_ms: CPU time consumed, where the site measures it.
        peak_memory_bytes: Largest memory of any one task.
    """

    tasks: int = 0
    wall_ms: int = 0
    billed_ms: int = 0
    cpu_ms: int = 0
    peak_memory_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Return the usage of both."""
        return Usage(
            self.tasks + other.tasks,
            self.wall_ms + other.wall_ms,
            self.billed_ms + other.billed_ms,
            self.cpu_ms + other.cpu_ms,
            max(self.peak_memory_bytes, other.peak_memory_bytes),
        )


class TaskEnd(Struct, frozen=True, omit_defaults=True):
    """How one task ended.

    Attributes:
        index: Which task.
        started_ms: Unix time of its start.
        wall_ms: Its runtime by a monotonic clock; never negative.
        exit_code: Exit status, 0 for success; 128 + n when signal n ended it.
        reason: Why it did not succeed; None when it did.
        cpu_ms: CPU time of the task and its children, where known.
        peak_memory_bytes: Largest resident memory, where known.
    """

    index: int
    started_ms: int
    wall_ms: int
    exit_code: int = 0
    reason: Reason | None = None
    cpu_ms: int = 0
    peak_memory_bytes: int = 0
