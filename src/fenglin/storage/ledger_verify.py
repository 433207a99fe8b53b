"""Verification of the ledger in the database: entries by their rows, and all that is beside."""

from __future__ import annotations

import copy
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from fenglin.ledger.quick import QuickVerifier
from fenglin.ledger.verify import verify
from fenglin.storage.dialect import statements
from fenglin.storage.ledger_parts import verify_in_parts
from fenglin.storage.ledger_rows import MOST_SEQ, items, rows_between, whole
from fenglin.storage.ledger_schema import LEDGER_GUARDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.ledger.entry import Head
    from fenglin.ledger.seals import Seals
    from fenglin.ledger.verify import VerifyReport


def verify_stored(
    conn: sqlite3.Connection,
    anchor: Head | None = None,
    seals: Seals | None = None,
    *,
    cores: int = 1,
) -> VerifyReport:
    """Verify chain, rules, uniqueness of keys, legs, balance cache, and the guards themselves.

    Args:
        conn: Inside one read transaction.
        anchor: A head noted outside earlier, see `fenglin.ledger.verify`.
        seals: Checkpoints, see there.
        cores: How many processes may work at once; more than one serve only a large ledger.
    """
    report = verify_in_parts(conn, anchor, seals, cores) if cores > 1 else None
    beside = list(_row_problems(conn, report))
    if report is None or beside:
        # Which entry is the first bad one is only said by a look at all of them in order.
        report = _verify_quickly(conn, anchor, copy.deepcopy(seals))
        if report is None:
            report = verify(items(conn, 0, None, 1000), anchor, seals)
    problems = [*_guard_problems(conn), *beside]
    if report.bad_seq is None:
        problems += _cache_problems(conn, report.balances)
    return msgspec.structs.replace(report, problems=tuple(problems))


def _verify_quickly(
    conn: sqlite3.Connection, anchor: Head | None, seals: Seals | None
) -> VerifyReport | None:
    """Return what the quick way found; None where only the plain one can tell.

    The quick way looks up the legs 0, 1 and 2. Any other leg shows in their number.
    """
    verifier = QuickVerifier(lambda row: whole(conn, row), anchor, seals)
    try:
        verifier.feed_rows(rows_between(conn, 0, MOST_SEQ))
    except (sqlite3.OperationalError, TypeError, AttributeError):
        # Text that is no UTF-8, or a value of another type than its column's.
        return None
    (legs,) = conn.execute(
        "SELECT COUNT(*) FROM ledger_leg WHERE seq > 0 AND seq <= ?", (verifier.reached,)
    ).fetchone()
    return verifier.report() if legs == verifier.legs else None


def _guard_problems(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield the triggers and indexes that are gone or are not ours."""
    there = statements(conn)
    for guard in LEDGER_GUARDS:
        if guard not in there:
            yield f"the database's guard is gone or altered: {guard.splitlines()[0]}"


def _row_problems(conn: sqlite3.Connection, report: VerifyReport | None) -> Iterator[str]:
    """Yield what the chain cannot show: repeated keys and legs that belong to no entry.

    Args:
        conn: As for `verify_stored`.
        report: That all entries and their legs are right, where that is known: then only legs
            beyond them can be left.
    """
    repeat = conn.execute(
        "SELECT key, MAX(seq) FROM ledger_entry GROUP BY key HAVING COUNT(*) > 1 LIMIT 1"
    ).fetchone()
    if repeat is not None:
        yield f"entry {repeat[1]} repeats the key {repeat[0]!r}"
    orphans = "SELECT MIN(seq) FROM ledger_leg WHERE seq NOT IN (SELECT seq FROM ledger_entry)"
    if report is not None:
        orphans += f" AND (seq < 1 OR seq > {report.entries})"
    (orphan,) = conn.execute(orphans).fetchone()
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
