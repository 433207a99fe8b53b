"""Verification: one pass over the entries, in memory that does not grow with their number.

Kept are the balances and the holds that are open, nothing per entry. Every entry before
`bad_seq` has been proven; nothing is said of those after it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.entry import (
    VERSION,
    ZERO_HASH,
    Entry,
    Head,
    Kind,
    Leg,
    entry_hash,
    imbalance,
    key_fault,
)
from fenglin.ledger.moves import move_fault
from fenglin.ledger.posting import hold_fault, sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fenglin.ledger.seals import Sealing, Seals

_FILTER_BITS = 1 << 27


class Unreadable(Struct, frozen=True):
    """What a reader hands on in place of an entry that it could not read.

    Attributes:
        why: Completes "entry 7: …".
    """

    why: str


class VerifyReport(Struct, frozen=True):
    """What verification found.

    Attributes:
        entries: How many entries were proven, from the first on.
        head: The last entry whose chain holds; None when there is none. Kept outside the hub, it
            makes a later truncation or recomputation visible (`anchor`).
        balances: (account, commodity) → micro-units, the fold of the proven entries.
        open_holds: How many holds are neither posted nor voided.
        steps_back: How often the clock stood earlier than at the entry before. Not a fault.
        bad_seq: First sequence number that is wrong; None when the chain is whole.
        why: What is wrong there.
        problems: What is wrong beside the chain, such as a stale balance cache.
        sealed: Entries that a checkpoint covers. What comes behind them could still be cut off or
            made anew unseen, until the next checkpoint is kept outside.
    """

    entries: int
    head: Head | None
    balances: dict[tuple[str, str], int]
    open_holds: int
    steps_back: int
    bad_seq: int | None = None
    why: str = ""
    problems: tuple[str, ...] = ()
    sealed: int = 0

    @property
    def ok(self) -> bool:
        """Return whether everything that was checked holds."""
        return self.bad_seq is None and not self.problems


class Verifier:
    """Checks entries one by one and folds them.

    Checked of each: place, ledger, hash chain and hash over all fields, zero sums, key form,
    and that each hold is resolved once and exactly. The key of a hold that has been resolved,
    of a grant or of an adjustment could come twice unseen: that needs `first_repeat`, or the
    database's index.
    """

    def __init__(self, anchor: Head | None = None, seals: Seals | None = None) -> None:
        """Take an earlier head, or checkpoints, that the ledger must still contain."""
        self._anchor = anchor
        self._seals: Sealing | None = seals
        self._ledger_id = anchor.ledger_id if anchor else ""
        self._seq = 0
        self._hash = ZERO_HASH
        self._time_ms = 0
        self._steps_back = 0
        self._balances: dict[tuple[str, str], int] = {}
        self._open: dict[str, tuple[Leg, ...]] = {}
        self._why = ""

    def feed(self, item: Entry | Unreadable) -> bool:
        """Take the next entry; return False from the first fault on."""
        if self._why:
            return False
        if isinstance(item, Unreadable):
            self._why = item.why
            return False
        self._why = self._chain_fault(item) or self._content_fault(item)
        if self._why:
            return False
        self._fold(item)
        if self._seals is not None:
            self._seals.feed(item)
            return self._seals.fault is None
        return True

    def _chain_fault(self, entry: Entry) -> str:
        """Return what is wrong with the entry's place and hash."""
        if entry.seq != self._seq + 1:
            return f"missing: entry {entry.seq} stands in its place"
        if entry.version != VERSION:
            return f"encoding version {entry.version} is unknown; a newer Fenglin may have made it"
        if self._ledger_id and entry.ledger_id != self._ledger_id:
            return f"it belongs to ledger {entry.ledger_id!r}, not {self._ledger_id!r}"
        if entry.prev_hash != self._hash:
            return "it does not follow the entry before: prev_hash differs"
        return self._hash_fault(entry)

    def _hash_fault(self, entry: Entry) -> str:
        """Return how the entry's hash differs from what its fields or the anchor ask for."""
        try:
            expected = entry_hash(entry)
        except (OverflowError, UnicodeEncodeError):
            return "a field cannot be encoded"
        if entry.hash != expected:
            return "its fields do not match its hash"
        anchor = self._anchor
        if anchor is not None and entry.seq == anchor.seq and entry.hash != anchor.hash:
            return "its hash is not the one that was noted outside"
        return ""

    def _content_fault(self, entry: Entry) -> str:
        """Return which rule of the ledger the entry breaks, though its hash is right."""
        if (entry.kind is Kind.GENESIS) != (entry.seq == 1):
            return "a ledger starts with a genesis and has no other"
        if entry.kind is not Kind.GENESIS and len(entry.legs) < 2:
            return "it has fewer than two legs"
        off = imbalance(entry.legs)
        if off is not None:
            return f"it is out of balance by {off[1]} micro-{off[0]}"
        return (
            key_fault(entry.kind, entry.key, entry.attempt)
            or self._hold_fault(entry)
            or move_fault(entry.kind, entry.legs)
        )

    def _hold_fault(self, entry: Entry) -> str:
        """Return how the entry does not fit the hold of its attempt."""
        return hold_fault(entry.kind, entry.legs, self._open.get(entry.attempt))

    def _fold(self, entry: Entry) -> None:
        """Add a proven entry to the balances and open holds."""
        if entry.kind is Kind.HOLD:
            self._open[entry.attempt] = entry.legs
        elif entry.kind is Kind.POST or entry.kind is Kind.VOID:
            self._open.pop(entry.attempt, None)
        balances = self._balances
        for leg in entry.legs:
            place = (leg.account, leg.commodity)
            balances[place] = balances.get(place, 0) + leg.amount_micro
        self._steps_back += entry.time_ms < self._time_ms
        self._time_ms = entry.time_ms
        self._seq, self._hash, self._ledger_id = entry.seq, entry.hash, entry.ledger_id

    def report(self) -> VerifyReport:
        """Return what was found; call it when all entries were fed."""
        why = self._why
        if not why and not self._seq:
            why = "missing: there is no genesis"
        if not why and self._anchor is not None and self._seq < self._anchor.seq:
            why = f"missing: the ledger once reached entry {self._anchor.seq}"
        bad_seq = self._seq + 1 if why else None
        if not why and self._seals is not None:
            unsealed = self._seals.finish(self._seq)
            if unsealed is not None:
                bad_seq, why = unsealed.first_seq, unsealed.why
        return VerifyReport(
            self._seq if bad_seq is None else bad_seq - 1,
            Head(self._ledger_id, self._seq, self._hash) if self._seq else None,
            dict(self._balances),
            len(self._open),
            self._steps_back,
            bad_seq,
            why,
            sealed=self._seals.covered if self._seals is not None else 0,
        )


def verify(
    items: Iterable[Entry | Unreadable], anchor: Head | None = None, seals: Seals | None = None
) -> VerifyReport:
    """Verify a whole ledger, from its genesis, up to the first fault.

    Args:
        items: Entries in the order in which they are stored.
        anchor: A head noted outside the hub earlier; without one, entries missing at the end
            and a chain recomputed as a whole cannot be told from an honest ledger.
        seals: Checkpoints noted outside earlier; they show the same, and where.
    """
    verifier = Verifier(anchor, seals)
    for item in items:
        if not verifier.feed(item):
            break
    return verifier.report()


def balances(entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """Return the fold of entries: (account, commodity) → micro-units."""
    return sums(leg for entry in entries for leg in entry.legs)


def first_repeat(read: Callable[[], Iterable[tuple[int, str]]]) -> tuple[int, str] | None:
    """Return the first (seq, key) whose key came before; exact, in two passes.

    The first pass sets one bit per key in a filter of fixed size (16 MiB) and notes the keys
    that meet a set bit: all repeats, and by chance about 1 in 250 of a million others. The
    second pass counts only those.

    Args:
        read: Starts a fresh pass over (seq, key).
    """
    bits = bytearray(_FILTER_BITS // 8)
    suspects: set[str] = set()
    for _, key in read():
        byte, bit = divmod(_slot(key), 8)
        if bits[byte] >> bit & 1:
            suspects.add(key)
        bits[byte] |= 1 << bit
    seen: set[str] = set()
    for seq, key in read() if suspects else ():
        if key in suspects:
            if key in seen:
                return seq, key
            seen.add(key)
    return None


def _slot(key: str) -> int:
    """Return the filter's bit for a key."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _FILTER_BITS
