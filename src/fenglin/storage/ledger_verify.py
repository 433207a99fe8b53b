"""Verification of the ledger in the database: entries by their rows, and all that is beside."""

from __future__ import annotations

import copy
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from fenglin.ledger.quick import QuickVerifier
from fenglin.ledger.verify import verify
from fenglin.storage.dialect import statements
from fenglin.storage.ledger_parts import repeated_key, verify_in_parts
from fenglin.storage.ledger_rows import MOST_SEQ, behind, items, rows_between
from fenglin.storage.ledger_schema import LEDGER_GUARDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fenglin.ledger.entry import Head
    from fenglin.ledger.seals import Seals
    from fenglin.ledger.verify import VerifyReport

_ORPHANS = "SELECT MIN(seq) FROM ledger_leg WHERE seq NOT IN (SELECT seq FROM ledger_entry)"


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
    beside = [] if report is None else list(_orphans(conn, report.entries))
    if report is None or beside:
        # Which entry is the first bad one is only said by a look at all of them in order.
        report = _verify_quickly(conn, anchor, copy.deepcopy(seals))
        proven = report.entries if report is not None and report.ok else 0
        if report is None:
            report = verify(items(conn, 0, None, 1000), anchor, seals)
        beside = [*_repeats(conn), *_orphans(conn, proven)]
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
    verifier = QuickVerifier(lambda after: behind(conn, after), anchor, seals)
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


def _repeats(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield a key that stands in two entries, which the chain cannot show."""
    repeat = repeated_key(conn)
    if repeat is not None:
        yield f"entry {repeat[0]} repeats the key {repeat[1]!r}"


def _orphans(conn: sqlite3.Connection, proven: int) -> Iterator[str]:
    """Yield legs that belong to no entry.

    Args:
        conn: As for `verify_stored`.
        proven: Up to which entry all entries are there with all their legs and no others; only
            legs beyond them can be left then. 0 where that is not known.
    """
    beyond = (" AND seq < 1", f" AND seq > {proven}") if proven else ("",)
    found = [conn.execute(f"{_ORPHANS}{where}").fetchone()[0] for where in beyond]
    orphan = min((seq for seq in found if seq is not None), default=None)
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
