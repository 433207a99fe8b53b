"""What a restored database must not do again: lead under an epoch, or give out a number, twice.

A backup does not know what came after it: epochs that led, jobs and allocations that were given
numbers. Sites and users still know them. After a restore both go on above whatever may have been
used, so that no new attempt is taken for an old one of its key, and no old id names a new job.

How far above is taken from the date, since a backup may be restored more than once: one for each
millisecond since 2025 is more than any pool has used, so that a later restore is above an earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

# 2025-01-01 00:00 UTC.
_SINCE_MS = 1_735_689_600_000
# Where the clock is of no use: more than came after any backup.
LEAST_STEP = 1_000_000
_FLOOR = "numbers_above"


def outlive(conn: sqlite3.Connection, now_ms: int) -> None:
    """Let epochs and numbers go on above all that were in use after this state (F3, D1, J2)."""
    epoch = _figure(conn, "SELECT value FROM meta WHERE name = 'epoch'")
    jobs = _figure(conn, "SELECT max(number) FROM job")
    allocations = _figure(conn, "SELECT max(number) FROM allocation")
    _set(conn, "epoch", _above(epoch, now_ms))
    _set(conn, _FLOOR, _above(max(jobs, allocations), now_ms))


def numbers_above(conn: sqlite3.Connection) -> int:
    """Return the number above which jobs and allocations are numbered; 0 without a restore."""
    return _figure(conn, f"SELECT value FROM meta WHERE name = '{_FLOOR}'")  # noqa: S608 - ours


def _above(used: int, now_ms: int) -> int:
    date = now_ms - _SINCE_MS
    return date if date > used else used + LEAST_STEP


def _figure(conn: sqlite3.Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0


def _set(conn: sqlite3.Connection, name: str, value: int) -> None:
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, str(value)),
    )
