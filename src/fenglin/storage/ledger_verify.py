"""Verification of the ledger in the database: entries by their rows, and all that is beside."""

from __future__ import annotations

import copy
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import DamageError
from fenglin.ledger.quick import QuickVerifier
from fenglin.ledger.verify import Unreadable, verify
from fenglin.storage.dialect import statements
from fenglin.storage.ledger_rows import COLUMNS, Row, items, read_short, where_in
from fenglin.storage.ledger_schema import LEDGER_GUARDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.ledger.entry import Entry, Head
    from fenglin.ledger.seals import Seals
    from fenglin.ledger.verify import VerifyReport

# An entry with its first three legs, as `ledger.quick` takes it.
_ROWS = f"""\
SELECT {", ".join(f"e.{name.strip()}" for name in COLUMNS.split(","))},
    a.account, a.commodity, a.amount_micro, b.account, b.commodity, b.amount_micro,
    c.account, c.commodity, c.amount_micro
FROM ledger_entry AS e
LEFT JOIN ledger_leg AS a ON a.seq = e.seq AND a.n = 0
LEFT JOIN ledger_leg AS b ON b.seq = e.seq AND b.n = 1
LEFT JOIN ledger_leg AS c ON c.seq = e.seq AND c.n = 2
WHERE e.seq > 0 ORDER BY e.seq"""  # noqa: S608


def verify_stored(
    conn: sqlite3.Connection, anchor: Head | None = None, seals: Seals | None = None
) -> VerifyReport:
    """Verify chain, rules, uniqueness of keys, legs, balance cache, and the guards themselves.

    Args:
        conn: Inside one read transaction.
        anchor: A head noted outside earlier, see `fenglin.ledger.verify`.
        seals: Checkpoints, see there.
    """
    report = _verify_quickly(conn, anchor, copy.deepcopy(seals))
    if report is None:
        report = verify(items(conn, 0, None, 1000), anchor, seals)
    problems = [*_guard_problems(conn), *_row_problems(conn)]
    if report.bad_seq is None:
        problems += _cache_problems(conn, report.balances)
    return msgspec.structs.replace(report, problems=tuple(problems))


def _verify_quickly(
    conn: sqlite3.Connection, anchor: Head | None, seals: Seals | None
) -> VerifyReport | None:
    """Return what the quick way found; None where only the plain one can tell.

    The quick way looks up the legs 0, 1 and 2. Any other leg shows in their number.
    """
    verifier = QuickVerifier(lambda row: _read(conn, row), anchor, seals)
    try:
        verifier.feed_rows(conn.execute(_ROWS))
    except (sqlite3.OperationalError, TypeError, AttributeError):
        # Text that is no UTF-8, or a value of another type than its column's.
        return None
    (legs,) = conn.execute(
        "SELECT COUNT(*) FROM ledger_leg WHERE seq > 0 AND seq <= ?", (verifier.reached,)
    ).fetchone()
    return verifier.report() if legs == verifier.legs else None


def _read(conn: sqlite3.Connection, row: Row) -> Entry | Unreadable:
    """Return a row's entry; one with three legs may have more, which the row does not show."""
    if row[20] is None:
        return read_short(row)
    try:
        found = list(where_in(conn, "seq", [row[2]]))
    except DamageError as error:
        return Unreadable(error.what)
    return found[0]


def _guard_problems(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield the triggers and indexes that are gone or are not ours."""
    there = statements(conn)
    for guard in LEDGER_GUARDS:
        if guard not in there:
            yield f"the database's guard is gone or altered: {guard.splitlines()[0]}"


def _row_problems(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield what the chain cannot show: repeated keys and legs that belong to no entry."""
    repeat = conn.execute(
        "SELECT key, MAX(seq) FROM ledger_entry GROUP BY key HAVING COUNT(*) > 1 LIMIT 1"
    ).fetchone()
    if repeat is not None:
        yield f"entry {repeat[1]} repeats the key {repeat[0]!r}"
    orphan = conn.execute(
        "SELECT MIN(seq) FROM ledger_leg WHERE seq NOT IN (SELECT seq FROM ledger_entry)"
    ).fetchone()[0]
    if orphan is not None:
        yield f"there are legs of an entry {orphan} that does not exist"


def _cache_problems(conn: sqlite3.Connection, folded: dict[tuple[str, str], int]) -> Iterator[str]:
    """Yield the balances whose cache differs from the fold of the entries."""
    kept = {
        (account, commodity): amount
        for account, commodity, amount in conn.execute("SELECT * FROM ledger_balance")
    }
    for place in sorted(kept.keys() | folded.keys()):
        if kept.get(place, 0) != folded.get(place, 0):
            account, commodity = place
            yield (
                f"the balance cache of {account} says {kept.get(place, 0)} micro-{commodity}, "
                f"the entries {folded.get(place, 0)}"
            )
