"""The audit trail: one record per request that changed something, in the same transaction.

Each record's hash covers all of its fields and the hash of the record before, so a record that
is changed, removed, inserted or moved breaks the chain there. A trail whose end was cut off is
whole in itself, and so is one that was written anew: what the ledger says of it shows both.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from fenglin.storage import audit_seals
from fenglin.wire.audit_views import AuditCheck, AuditView

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fenglin.ports.acting import Act
    from fenglin.storage.store import SqlStore
    from fenglin.wire.audit_views import AuditQuestion

_FIRST = bytes(32)
_FIELDS = "seq, time_ms, actor, token, account, what, subject"
_INSERT = f"INSERT INTO audit ({_FIELDS}, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own columns
_MOST_SUBJECT = 500


class SqliteAudit:
    """Implements `ports.audit.Audit`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def page(self, asked: AuditQuestion) -> list[AuditView]:
        """See `ports.audit.Audit`."""

        def work(conn: sqlite3.Connection) -> list[AuditView]:
            rows = conn.execute(
                f"SELECT {_FIELDS}, hash FROM audit WHERE seq > ? AND (? = '' OR actor = ?)"  # noqa: S608
                " AND (? = '' OR what = ?) AND time_ms >= ? ORDER BY seq LIMIT ?",
                (
                    asked.after,
                    asked.actor,
                    asked.actor,
                    asked.what,
                    asked.what,
                    asked.from_ms,
                    asked.limit,
                ),
            )
            return [_view(row) for row in rows]

        return await self._store.read(work)

    async def check(self) -> AuditCheck:
        """See `ports.audit.Audit`."""
        return await self._store.read(check)


def append(conn: sqlite3.Connection, act: Act | None, more: str = "") -> None:
    """Write a record of a request, inside the transaction of what it changes.

    Args:
        conn: The writing connection.
        act: The request; None, where the hub acts by itself, writes nothing.
        more: What came of it, for its subject.
    """
    if act is not None:
        append_all(conn, [(act, more)])


def append_all(conn: sqlite3.Connection, acts: Sequence[tuple[Act, str]]) -> None:
    """Write a record of each request, with what came of it; see `append`."""
    if not acts:
        return
    row = conn.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    last, before = row or (0, _FIRST)
    rows = []
    for seq, (act, more) in enumerate(acts, last + 1):
        subject = f"{act.subject} {more}".strip()[:_MOST_SUBJECT]
        values = (seq, act.time_ms, act.actor, act.token, act.account, act.what, subject)
        before = _chained(before, values)
        rows.append((*values, before))
    conn.executemany(_INSERT, rows)


def check(conn: sqlite3.Connection) -> AuditCheck:
    """Check each record against the one before it, and against what the ledger says."""
    # Read first: the trail only grows.
    heads = {one.records: one for one in audit_seals.sealed(conn)}
    before, count, fitted = _FIRST, 0, 0
    for *fields, found in conn.execute(f"SELECT {_FIELDS}, hash FROM audit ORDER BY seq"):  # noqa: S608
        count += 1
        if fields[0] != count:
            return _bad(count, count, "the record is missing", before)
        if _chained(before, tuple(fields)) != found:
            return _bad(count, count, "the record does not fit to its hash", before)
        before = found
        said = heads.pop(count, None)
        if said is not None and said.head != found:
            why = (
                f"it or one up to {count} was written anew, after entry {said.entry} of the ledger"
            )
            return _bad(count, fitted + 1, why, before)
        fitted = count if said is not None else fitted
    if heads:
        said = heads[max(heads)]
        why = f"missing: entry {said.entry} of the ledger names {said.records} records"
        return _bad(count, count + 1, why, before)
    return AuditCheck(ok=True, records=count, first_bad=0, why="", head=before.hex(), sealed=fitted)


def _bad(records: int, first_bad: int, why: str, head: bytes) -> AuditCheck:
    return AuditCheck(ok=False, records=records, first_bad=first_bad, why=why, head=head.hex())


def _chained(before: bytes, fields: tuple[object, ...]) -> bytes:
    """Return the hash of a record: SHA-256 over the one before and the fields as JSON."""
    return hashlib.sha256(before + msgspec.json.encode(fields)).digest()


def _view(row: tuple[int, int, str, int, str, str, str, bytes]) -> AuditView:
    seq, time_ms, actor, token, account, what, subject, found = row
    return AuditView(
        seq=seq,
        time_ms=time_ms,
        actor=actor,
        token=f"t{token}" if token else "",
        account=account,
        what=what,
        subject=subject,
        hash=found.hex(),
    )
