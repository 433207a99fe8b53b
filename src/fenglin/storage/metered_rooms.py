"""What of charged lines may still be paid, when some of their use was given back.

A line costs what it was charged, less what was given back of it. With tiers a line gives back
what the month costs less without it, which may be other than it was charged; then all lines that
count towards the same tiers together cost what the use that is left does, and no more is paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.pricebook.items import Unit
from fenglin.catalog.pricebook.rating import rate
from fenglin.ledger.metering.metered import place_of
from fenglin.storage.metered_rows import given_micro, terms_of
from fenglin.storage.tiers import used_before

if TYPE_CHECKING:
    import sqlite3

Counter = tuple[str, str, str]
"""An account, what counts its use, and the period."""

_COUNTER = (
    "SELECT account, counter, span, unit FROM metered_use"
    " WHERE site = ? AND source = ? AND line = ?"
)
_ANY_BACK = """\
SELECT EXISTS (SELECT 1 FROM metered_back JOIN metered_use USING (site, source, line)
WHERE account = ? AND counter = ? AND span = ?)"""
_PAID = """\
SELECT COALESCE(SUM(CASE event.act WHEN 'use' THEN event.amount_micro ELSE -event.amount_micro END),
    0) FROM metered_use AS line JOIN ledger_entry AS entry ON entry.seq = line.entry
JOIN voucher_event AS event ON event.bill = entry.key AND event.bill <> ''
WHERE line.account = ? AND line.counter = ? AND line.span = ?"""


class Rooms:
    """Tells of postings, one by one, how much of them nobody owes any more."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        """Take a connection, inside a transaction."""
        self._conn = conn
        self._left: dict[Counter, int | None] = {}

    def gone_micro(self, key: str, open_micro: int) -> int:
        """Return how much of a posting is not to be paid, of so much that vouchers have not."""
        place = place_of(key)
        if place is None:
            return 0
        gone_micro = given_micro(self._conn, key)
        left_micro = self._of(key)
        return gone_micro if left_micro is None else max(gone_micro, open_micro - left_micro)

    def pay(self, key: str, amount_micro: int) -> None:
        """Take in that so much more of a posting was paid."""
        counter, _ = self._counter(key) if self._left else (None, "")
        left_micro = self._left.get(counter) if counter else None
        if counter and left_micro is not None:
            self._left[counter] = left_micro - amount_micro

    def _of(self, key: str) -> int | None:
        """Return what may still be paid of all lines of a counter; None for no such limit."""
        counter, unit = self._counter(key)
        if counter not in self._left:
            (any_back,) = self._conn.execute(_ANY_BACK, counter).fetchone()
            limited = counter[1] and any_back
            self._left[counter] = self._room(counter, unit) if limited else None
        return self._left[counter]

    def _room(self, counter: Counter, unit: str) -> int:
        (paid_micro,) = self._conn.execute(_PAID, counter).fetchone()
        return costs_micro(self._conn, counter, unit) - int(paid_micro)

    def _counter(self, key: str) -> tuple[Counter, str]:
        row = self._conn.execute(_COUNTER, place_of(key) or ("", "", "")).fetchone()
        return ((row[0], row[1], row[2]), row[3]) if row else (("", "", ""), "")


def costs_micro(conn: sqlite3.Connection, counter: Counter, unit: str) -> int:
    """Return what the use that a counter has counted costs."""
    lines = rate(Unit(unit), terms_of(counter[1]), used_before(conn, counter))
    return sum(line.amount_micro for line in lines)
