"""All tenants' totals of a month in one pass over the legs, in their own order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.ledger.monthly import MonthTotals, month_totals
from fenglin.ledger.posting import CURRENCY

if TYPE_CHECKING:
    import sqlite3

# The legs lie beside each other by number. By account, which the plus keeps from being used,
# each would be a jump, and each of its entries another.
_LEGS = """\
SELECT leg.account, entry.kind, entry.time_ms < ?, leg.amount_micro
FROM ledger_leg AS leg CROSS JOIN ledger_entry AS entry
WHERE entry.seq = leg.seq AND entry.time_ms < ? AND leg.commodity = ?
AND +leg.account >= 'tenant:' AND +leg.account < 'tenant;'"""


def totals(
    conn: sqlite3.Connection, from_ms: int, to_ms: int, commodity: str = CURRENCY
) -> dict[str, MonthTotals]:
    """Return the totals of each tenant's account for `from_ms <= time < to_ms`.

    Memory grows with the number of accounts, not of entries.

    Args:
        conn: Inside one read transaction.
        from_ms: First millisecond of the period.
        to_ms: First millisecond after it.
        commodity: Of all amounts.
    """
    sums: dict[tuple[str, str, bool], int] = {}
    for account, kind, before, amount_micro in conn.execute(_LEGS, (from_ms, to_ms, commodity)):
        place = (account, kind, before)
        sums[place] = sums.get(place, 0) + amount_micro
    return month_totals((*place, amount_micro) for place, amount_micro in sums.items())
