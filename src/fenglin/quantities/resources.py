"""Resource vectors: what one task needs and what a node holds, in exact integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

DIMENSIONS = ("cpu_milli", "memory_bytes", "disk_bytes", "accelerator_milli")


class Resources(Struct, frozen=True, order=True, omit_defaults=True):
    """A vector over the four dimensions every node has.

    Attributes:
        cpu_milli: Thousandths of a core.
        memory_bytes: Main memory.
        disk_bytes: Scratch space.
        accelerator_milli: Thousandths of an accelerator card (1000 = one whole card).
    """

    cpu_milli: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    accelerator_milli: int = 0

    def values(self) -> tuple[int, int, int, int]:
        """Return the amounts in the order of `DIMENSIONS`."""
        return (self.cpu_milli, self.memory_bytes, self.disk_bytes, self.accelerator_milli)

    def __iter__(self) -> Iterator[int]:
        """Yield the amounts in the order of `DIMENSIONS`."""
        return iter(self.values())

    def times(self, count: int) -> Resources:
        """Return the vector for `count` equal tasks."""
        return Resources(*(amount * count for amount in self.values()))

    def __add__(self, other: Resources) -> Resources:
        """Return the sum per dimension."""
        return Resources(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def __sub__(self, other: Resources) -> Resources:
        """Return the difference per dimension; may be negative."""
        return Resources(*(a - b for a, b in zip(self.values(), other.values(), strict=True)))

    def fits_in(self, other: Resources) -> bool:
        """Return whether every amount is at most the other's."""
        return all(a <= b for a, b in zip(self.values(), other.values(), strict=True))

    def count_in(self, free: Resources) -> int:
        """Return how many such tasks fit into `free`; a task that needs nothing fits 10^9 times."""
        counts = [
            have // need for need, have in zip(self.values(), free.values(), strict=True) if need
        ]
        return max(0, min(counts)) if counts else 10**9
