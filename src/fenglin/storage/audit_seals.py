"""The audit trail's head in the ledger, so that whoever keeps the ledger's head keeps both.

Before a checkpoint is signed an entry says how many records the trail has and what the last one's
hash is. A trail whose end is cut off, or that was written anew, no longer fits to that entry; and
an entry that is taken out as well is missing from a checkpoint that was shown outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fenglin.errors import ConflictError
from fenglin.ledger.moves import HEAD, RECORDS, audited

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from fenglin.ledger.entry import Draft

_DETAILS = msgspec.json.Decoder(list[tuple[str, str]])
_SEALED = "SELECT seq, details FROM ledger_entry WHERE kind = 'audit' ORDER BY seq"


class Sealed(NamedTuple):
    """What an entry says of the trail.

    Attributes:
        entry: Its number.
        records: How many there were.
        head: Hash of the last.
    """

    entry: int
    records: int
    head: bytes


def sealed(conn: sqlite3.Connection) -> Iterator[Sealed]:
    """Yield what the ledger says of the trail, oldest first."""
    for seq, details in conn.execute(_SEALED):
        yield _read(seq, details)


def due(conn: sqlite3.Connection) -> list[Draft]:
    """Return the entry of what the trail is now; none when the ledger says it already.

    Raises:
        ConflictError: the trail is not what the ledger said of it.
    """
    row = conn.execute(f"{_SEALED} DESC LIMIT 1").fetchone()
    before = _read(*row) if row else None
    if before is not None and not _fits(conn, before):
        raise ConflictError(_why(before), where="audit", hint="run `fenglin audit verify`")
    last = conn.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    if last is None or (before is not None and last[0] == before.records):
        return []
    return [audited(last[0], last[1].hex())]


def problem(conn: sqlite3.Connection) -> str:
    """Return how the trail differs from what the ledger says of it; empty if it does not.

    Looks at the records that the ledger names; `storage.audit.check` at all.
    """
    return next((_why(one) for one in sealed(conn) if not _fits(conn, one)), "")


def _fits(conn: sqlite3.Connection, one: Sealed) -> bool:
    row = conn.execute("SELECT hash FROM audit WHERE seq = ?", (one.records,)).fetchone()
    return row is not None and row[0] == one.head


def _why(one: Sealed) -> str:
    return f"the audit trail is not the one of {one.records} records that entry {one.entry} names"


def _read(seq: int, details: str) -> Sealed:
    said = dict(_DETAILS.decode(details))
    return Sealed(seq, int(said[RECORDS]), bytes.fromhex(said[HEAD]))
