"""Rows of the ledger's tables, read as entries."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.errors import DamageError
from fenglin.ledger.entry import Entry, Kind, Leg
from fenglin.ledger.verify import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Row = tuple[Any, ...]

# Column order of `Entry`, legs left out: they come from their own table.
COLUMNS = (
    "version, ledger_id, seq, time_ms, kind, key, job, attempt, memo, details, prev_hash, hash"
)
LEG_COLUMNS = "seq, n, account, commodity, amount_micro"
NO_DETAILS = "[]"
ENCODER = msgspec.json.Encoder()
# Below the 999 parameters that the oldest SQLite builds allow.
PARAMETERS = 900
MOST_SEQ = 2**63 - 1
# Of a tenant's entries, given what it has available: each of them has a leg there, if only of
# zero, and the index holds no others. Its words are those of the index, or it is not used.
OF_TENANT = (
    "seq IN (SELECT seq FROM ledger_leg WHERE account = ? AND substr(account, -10) = ':available')"
)
# What is the same in each entry, or follows from the rest, is compared by the database: to hand
# over a column takes as long as to compare three.
_ROWS = """\
SELECT CASE WHEN e.ledger_id = ? AND e.key = e.kind || ':' || e.attempt
        AND a.commodity = b.commodity AND (c.seq IS NULL OR c.commodity = b.commodity)
        THEN e.version ELSE 0 END,
    e.time_ms, e.kind, e.job, e.attempt, e.memo, e.details, e.prev_hash, e.hash,
    a.account, a.amount_micro, b.account, b.commodity, b.amount_micro, c.account, c.amount_micro
FROM ledger_entry AS e
LEFT JOIN ledger_leg AS a ON a.seq = e.seq AND a.n = 0
LEFT JOIN ledger_leg AS b ON b.seq = e.seq AND b.n = 1
LEFT JOIN ledger_leg AS c ON c.seq = e.seq AND c.n = 2
WHERE e.seq > ? AND e.seq <= ? ORDER BY e.seq"""
_KINDS = {kind.value: kind for kind in Kind}
_DETAILS = msgspec.json.Decoder(tuple[tuple[str, str], ...])


def items(
    conn: sqlite3.Connection, after_seq: int, limit: int | None, chunk: int
) -> Iterator[Entry | Unreadable]:
    """Yield entries by seq, and what could not be read as such."""
    left = limit
    while left is None or left > 0:
        size = chunk if left is None else min(chunk, left)
        try:
            rows = conn.execute(
                f"SELECT {COLUMNS} FROM ledger_entry WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608
                (after_seq, size),
            ).fetchall()
            legs = conn.execute(
                f"SELECT {LEG_COLUMNS} FROM ledger_leg "  # noqa: S608
                "WHERE seq > ? AND seq <= ? ORDER BY seq, n",
                (after_seq, rows[-1][2] if rows else after_seq),
            ).fetchall()
        except sqlite3.OperationalError as error:
            # Text that is no UTF-8 spoils the whole read: go row by row up to the bad one.
            if size == 1:
                yield Unreadable(f"the row behind entry {after_seq} cannot be read: {error}")
                return
            chunk = 1
            continue
        if not rows:
            return
        yield from assemble(rows, legs)
        after_seq = rows[-1][2]
        left = None if left is None else left - len(rows)


def assemble(rows: Iterable[Row], legs: Iterable[Row]) -> Iterator[Entry | Unreadable]:
    """Join rows of entries and legs, both in order of seq."""
    by_seq: dict[int, list[Leg]] = {}
    misnumbered: set[int] = set()
    for seq, n, account, commodity, amount_micro in legs:
        of_entry = by_seq.setdefault(seq, [])
        if n != len(of_entry):
            misnumbered.add(seq)
        of_entry.append(Leg(account, commodity, amount_micro))
    for row in rows:
        seq = row[2]
        if seq in misnumbered:
            yield Unreadable(f"the legs of entry {seq} are not numbered 0, 1, 2 …")
        else:
            yield read(row, tuple(by_seq.get(seq, ())))


def read(row: Row, legs: tuple[Leg, ...]) -> Entry | Unreadable:
    """Return the entry of a row in the order of `COLUMNS`, or why it is none."""
    version, ledger_id, seq, time_ms, kind, key, job, attempt, memo, text, prev_hash, own = row
    details: tuple[tuple[str, str], ...] = ()
    if text != NO_DETAILS:
        try:
            details = _DETAILS.decode(text)
        except msgspec.DecodeError as error:
            return Unreadable(f"the details of entry {seq} are unreadable: {error}")
        if ENCODER.encode(details).decode() != text:
            return Unreadable(f"the details of entry {seq} are not in their one form")
    if kind not in _KINDS:
        return Unreadable(f"entry {seq} is of the unknown kind {kind!r}")
    return Entry(
        version,
        ledger_id,
        seq,
        time_ms,
        _KINDS[kind],
        key,
        job,
        attempt,
        memo,
        legs,
        details,
        prev_hash,
        own,
    )


def where_in(
    conn: sqlite3.Connection, column: str, values: Sequence[str] | Sequence[int]
) -> Iterator[Entry]:
    """Yield the entries whose column (a name of ours, never input) is one of the values."""
    for start in range(0, len(values), PARAMETERS):
        part = values[start : start + PARAMETERS]
        marks = ", ".join("?" * len(part))
        rows = conn.execute(
            f"SELECT {COLUMNS} FROM ledger_entry WHERE {column} IN ({marks}) ORDER BY seq",  # noqa: S608
            part,
        ).fetchall()
        seqs = [row[2] for row in rows]
        legs = conn.execute(
            f"SELECT {LEG_COLUMNS} FROM ledger_leg "  # noqa: S608
            f"WHERE seq IN ({', '.join('?' * len(seqs))}) ORDER BY seq, n",
            seqs,
        )
        for item in assemble(rows, legs):
            if isinstance(item, Unreadable):
                raise DamageError(item.why, where="ledger", hint="run `fenglin ledger verify`")
            yield item


def rows_between(conn: sqlite3.Connection, after: int, last: int) -> Iterator[Row]:
    """Return the entries behind `after` up to `last`, each with its first three legs as one row.

    `ledger.quick` takes them so. A leg with another number shows in how many there are.
    """
    first = conn.execute("SELECT ledger_id FROM ledger_entry ORDER BY seq LIMIT 1").fetchone()
    return conn.execute(_ROWS, (first[0] if first else "", after, last))


def behind(conn: sqlite3.Connection, after: int) -> Entry | Unreadable:
    """Return the first entry behind a number."""
    return next(items(conn, after, 1, 1), Unreadable(f"there is no entry behind {after}"))
