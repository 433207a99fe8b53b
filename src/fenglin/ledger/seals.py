"""Checkpoints that were kept outside, held against the entries of today.

A hash chain shows any change, unless the chain was made anew from there on; and it cannot show
that its end is missing. The roots that were signed earlier show both. Between the last root that
fits and the first that does not lies the first entry that was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.tree import Growth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.ledger.entry import Entry
    from fenglin.ledger.note import Checkpoint


class SealFault(Struct, frozen=True):
    """A checkpoint that the entries do not fit.

    Attributes:
        first_seq: The first changed entry is this one or a later one …
        last_seq: … up to this one.
        why: In words.
    """

    first_seq: int
    last_seq: int
    why: str


class Sealing(Protocol):
    """What takes the hashes of verified entries in order; `Seals`, or a part of its work.

    Attributes:
        fault: A checkpoint that does not fit.
    """

    fault: SealFault | None

    @property
    def covered(self) -> int:
        """Return up to which entry a checkpoint was found to fit."""
        ...

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        ...

    def feed_hash(self, entry_hash: bytes) -> None:
        """Take the next entry's hash."""
        ...

    def finish(self, entries: int) -> SealFault | None:
        """Return what does not fit, when all `entries` were fed."""
        ...


class Seals:
    """Takes verified entries in order, and compares the roots over them with checkpoints."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        """Take the checkpoints, in any order.

        Raises:
            InputError: two of them are of different logs, or contradict each other.
        """
        known: dict[int, Checkpoint] = {}
        origin = ""
        for one in checkpoints:
            if origin and one.origin != origin:
                raise InputError(f"the checkpoints are of {origin!r} and {one.origin!r}")
            origin = one.origin
            if known.setdefault(one.size, one).root != one.root:
                raise InputError(
                    f"two checkpoints of {one.size} entries have different roots",
                    hint="the hub has shown two ledgers: keep both files",
                )
        self._left = sorted(known.values(), key=lambda one: one.size, reverse=True)
        self._fitted = 0
        self._growth = Growth()
        self.fault: SealFault | None = None

    @property
    def left(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that are still to be compared, the smallest first."""
        return tuple(reversed(self._left))

    @property
    def covered(self) -> int:
        """Return up to which entry the ledger is what was signed; what follows is not sealed."""
        return self._fitted

    def feed(self, entry: Entry) -> None:
        """Take the next entry, whose hash has been verified."""
        self.feed_hash(entry.hash)

    def feed_hash(self, entry_hash: bytes) -> None:
        """Take the next entry's hash, which has been verified."""
        if not self._left or self.fault:
            return
        self._growth.add(entry_hash)
        if self._growth.size < self._left[-1].size:
            return
        seal = self._left.pop()
        if self._growth.root() == seal.root:
            self._fitted = seal.size
            return
        span = f"entry {seal.size}"
        if seal.size > self._fitted + 1:
            span = f"one of the entries {self._fitted + 1} to {seal.size}"
        self.fault = SealFault(
            self._fitted + 1,
            seal.size,
            f"{span} is not what it was when the checkpoint over {seal.size} was signed",
        )

    def finish(self, entries: int) -> SealFault | None:
        """Return what does not fit, when all entries were fed.

        Args:
            entries: How many there are.
        """
        if self.fault is None and self._left and self._left[0].size > entries:
            self.fault = SealFault(
                entries + 1,
                entries + 1,
                f"missing: a checkpoint was signed over {self._left[0].size} entries",
            )
        return self.fault
