"""Verification in parts: each is looked at alone, and joining them shows that all is right.

A part begins behind an entry whose hash it takes on trust and hands on what it could not judge
alone: posts and voids of holds from before. Joining compares ends with beginnings, resolves these,
and adds up the rest. It only ever says that all is right. Where anything is not, it says nothing,
and the ledger must be verified as a whole, whose verdict names the first bad entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.entry import Entry, Head, Kind, Leg
from fenglin.ledger.posting import hold_fault
from fenglin.ledger.quick import QuickVerifier, hold_legs
from fenglin.ledger.tree import Growth
from fenglin.ledger.verify import Unreadable, VerifyReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fenglin.ledger.note import Checkpoint
    from fenglin.ledger.quick import Purse, Row
    from fenglin.ledger.seals import SealFault

# A part begins behind a multiple of so many entries, so that the trees of parts join.
BLOCK_LEVEL = 12
BLOCK = 1 << BLOCK_LEVEL


class Start(Struct, frozen=True, array_like=True):
    """The entry behind which a part begins; all as zero and empty before the first.

    Attributes:
        ledger_id: Whose ledger.
        seq: Its number.
        hash: Its hash.
        time_ms: When it was entered.
    """

    ledger_id: str
    seq: int
    hash: bytes
    time_ms: int


class Owed(Struct, frozen=True, array_like=True):
    """A post or void whose hold lies before the part.

    Attributes:
        kind: Which of the two.
        attempt: Whose.
        legs: Of the entry.
    """

    kind: Kind
    attempt: str
    legs: tuple[Leg, ...]


class Part(Struct, frozen=True, array_like=True):
    """What was found right in a part.

    Attributes:
        start: What it was told to follow.
        end: Its last entry.
        legs: How many its entries have.
        steps_back: See `VerifyReport`.
        balances: Account, commodity and the sum that was moved, as legs.
        opened: (attempt, legs) of the holds that are open at its end.
        owed: What resolves holds of earlier parts, in order.
        blocks: Hashes of its complete blocks of `BLOCK` entries.
        marks: (size, peaks behind the last complete block) at the checkpoints within it.
    """

    start: Start
    end: Start
    legs: int
    steps_back: int
    balances: list[Leg]
    opened: list[tuple[str, tuple[Leg, ...]]]
    owed: list[Owed]
    blocks: list[bytes]
    marks: list[tuple[int, tuple[tuple[int, bytes], ...]]]


class _Marks:
    """Stands where `Seals` does: notes the trees at some sizes instead of comparing them."""

    def __init__(self, first: int, sizes: Sequence[int]) -> None:
        """Take how many entries lie before, and the sizes that are wanted."""
        self.fault: SealFault | None = None
        self._left = sorted({size for size in sizes if size > first}, reverse=True)
        self._size = first
        self._growth = Growth()
        self.blocks: list[bytes] = []
        self.marks: list[tuple[int, tuple[tuple[int, bytes], ...]]] = []

    @property
    def covered(self) -> int:
        """Return 0: nothing is compared here."""
        return 0

    def feed(self, entry: Entry) -> None:
        """Take the next entry."""
        self.feed_hash(entry.hash)

    def feed_hash(self, entry_hash: bytes) -> None:
        """Take the next entry's hash."""
        if not self._left:
            return
        self._growth.add(entry_hash)
        self._size += 1
        if self._growth.size == BLOCK:
            self.blocks.append(self._growth.root())
            self._growth = Growth()
        if self._size == self._left[-1]:
            self._left.pop()
            self.marks.append((self._size, self._growth.peaks))

    def finish(self, entries: int) -> SealFault | None:
        """Return what was noted as wrong, which is nothing."""
        return self.fault if entries else None


class PartVerifier(QuickVerifier):
    """Verifies a part."""

    def __init__(
        self,
        read: Callable[[int], Entry | Unreadable],
        start: Start,
        anchor: Head | None,
        sizes: Sequence[int],
    ) -> None:
        """Take how the entry behind a number is read, where to begin, sizes of checkpoints."""
        super().__init__(read, anchor)
        self._start = start
        self._marks = _Marks(start.seq, sizes)
        self._seals = self._marks if sizes else None
        self._ledger_id = start.ledger_id or self._ledger_id
        self._seq, self._hash, self._time_ms = start.seq, start.hash, start.time_ms
        self._owed: list[Owed] = []

    def part(self) -> Part | None:
        """Return what was found; None where anything is wrong."""
        if self._why:
            return None
        self._settle_purses()
        usual = ((name, hold_legs(*kept)) for name, kept in self._usually_open.items())
        return Part(
            self._start,
            Start(self._ledger_id, self._seq, self._hash, self._time_ms),
            self.legs,
            self._steps_back,
            [Leg(*place, amount) for place, amount in self._balances.items()],
            [*usual, *self._open.items()],
            self._owed,
            self._marks.blocks,
            self._marks.marks,
        )

    def _resolved(self, kind: str, attempt: str, legs: tuple[Row, ...]) -> Purse | None:
        """Take the hold of an earlier part for what the entry says that it was."""
        if attempt in self._usually_open or attempt in self._open:
            return super()._resolved(kind, attempt, legs)
        (kept, commodity, kept_micro), (free, _, _) = legs[0], legs[1]
        purse = self._purse(free, kept, commodity)
        if purse is None:
            return None
        self._usually_open[attempt] = (purse, -kept_micro)
        if super()._resolved(kind, attempt, legs) is None:
            del self._usually_open[attempt]
            return None
        # Where the row turns out to be wrong, so is the part, and nothing of it counts.
        self._owed.append(Owed(Kind(kind), attempt, tuple(Leg(*leg) for leg in legs)))
        return purse

    def _hold_fault(self, entry: Entry) -> str:
        """Leave to joining what resolves a hold of an earlier part."""
        ends = entry.kind is Kind.POST or entry.kind is Kind.VOID
        if ends and entry.attempt not in self._open:
            self._owed.append(Owed(entry.kind, entry.attempt, entry.legs))
            return ""
        return super()._hold_fault(entry)


def join(
    parts: Sequence[Part], last: int, checkpoints: Sequence[Checkpoint], anchor: Head | None
) -> VerifyReport | None:
    """Return the report of a ledger in which all is right; None where that is not shown.

    Args:
        parts: All of them, in order, the first from the first entry on.
        last: Number of the ledger's last entry.
        checkpoints: Noted outside earlier.
        anchor: A head noted outside earlier; each part has compared its own entries with it.
    """
    opened: dict[str, tuple[Leg, ...]] = {}
    balances: dict[tuple[str, str], int] = {}
    end = parts[0].start
    for part in parts:
        if part.start != end or not _resolve(part, opened):
            return None
        end = part.end
        for account, commodity, amount_micro in _fields(part.balances):
            place = (account, commodity)
            balances[place] = balances.get(place, 0) + amount_micro
    if end.seq != last or (anchor is not None and anchor.seq > last):
        return None
    if not _fits(parts, checkpoints):
        return None
    return VerifyReport(
        end.seq,
        Head(end.ledger_id, end.seq, end.hash),
        balances,
        len(opened),
        sum(part.steps_back for part in parts),
        sealed=max((one.size for one in checkpoints), default=0),
    )


def _resolve(part: Part, opened: dict[str, tuple[Leg, ...]]) -> bool:
    """Take a part's entries into the open holds; return whether they fit."""
    for one in part.owed:
        if hold_fault(one.kind, one.legs, opened.pop(one.attempt, None)):
            return False
    for attempt, legs in part.opened:
        if attempt in opened:
            return False
        opened[attempt] = legs
    return True


def _fits(parts: Sequence[Part], checkpoints: Iterable[Checkpoint]) -> bool:
    """Return whether every checkpoint is a root of the joined tree."""
    blocks = [digest for part in parts for digest in part.blocks]
    marks = {size: peaks for part in parts for size, peaks in part.marks}
    growth = Growth()
    for one in sorted(checkpoints, key=lambda one: one.size):
        if one.size not in marks:
            return False
        while growth.size < one.size - one.size % BLOCK:
            growth.add_subtree(BLOCK_LEVEL, blocks[growth.size // BLOCK])
        whole = Growth()
        for level, digest in (*growth.peaks, *marks[one.size]):
            whole.add_subtree(level, digest)
        if whole.root() != one.root:
            return False
    return True


def _fields(legs: Iterable[Leg]) -> Iterator[tuple[str, str, int]]:
    return ((leg.account, leg.commodity, leg.amount_micro) for leg in legs)
