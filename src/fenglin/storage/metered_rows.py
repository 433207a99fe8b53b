"""Rows of metered use: lines found by name, and by which tiers they were rated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.catalog.pricebook.items import PriceTerms
from fenglin.ledger.metering.metered import MeteredUse, place_of
from fenglin.ledger.posting import CURRENCY

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from fenglin.catalog.pricebook.items import Unit

USE_FIELDS = "line, account, unit, quantity, started_ms, ended_ms, resource, job, attempt"
# Lines that are looked up at once: SQLite takes at most 500 queries as one, of 999 values.
_MOST_LINES = 256
_GIVEN = """\
SELECT COALESCE(SUM(leg.amount_micro), 0) FROM metered_back AS back
JOIN ledger_leg AS leg ON leg.seq = back.entry
WHERE back.site = ? AND back.source = ? AND back.line = ? AND leg.account LIKE 'provider:%'"""


def of_lines(
    conn: sqlite3.Connection, query: str, series: tuple[str, str], lines: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """Yield what a query, without its condition, finds of some lines of a series.

    Args:
        conn: Any connection.
        query: Our own; never text from outside.
        series: Site and name of the series.
        lines: A line that is asked for twice may be found twice.
    """
    one = f"{query} WHERE site = ? AND source = ? AND line = ?"
    for start in range(0, len(lines), _MOST_LINES):
        part = list(lines[start : start + _MOST_LINES])
        # Few texts, so that each is prepared once: the last line fills up.
        part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
        # Each by itself: asked for several, PostgreSQL may read all lines of the series.
        yield from conn.execute(
            " UNION ALL ".join([one] * len(part)),
            [value for line in part for value in (*series, line)],
        ).fetchall()


def metered_use(row: Sequence[Any]) -> MeteredUse:
    """Return a row of `USE_FIELDS` as the line that it is."""
    line, account, unit, quantity, *rest = row
    return MeteredUse(line, account, unit, int(quantity), *rest)


def given_micro(conn: sqlite3.Connection, key: str) -> int:
    """Return what was given back of what the entry of a key charges."""
    place = place_of(key)
    return 0 if place is None else -int(conn.execute(_GIVEN, place).fetchone()[0])


def counter_of(unit: Unit, versions: Sequence[str], terms: PriceTerms) -> str:
    """Return the name of what counts the use that terms with tiers rate.

    It holds the terms, so that what was charged by them can be rated again.
    """
    named = (unit, *versions, terms.price_micro, terms.tiers)
    return msgspec.json.encode(named).decode()


def terms_of(counter: str) -> PriceTerms:
    """Return the terms of a counter."""
    price_micro, tiers = msgspec.json.decode(counter)[-2:]
    return PriceTerms(CURRENCY, price_micro, tuple((above, micro) for above, micro in tiers))
