"""The port of proofs over the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import NotFoundError
from fenglin.ledger import tree
from fenglin.ledger.note import read_checkpoint, read_note
from fenglin.ledger.proof import ProofFile, make_proof
from fenglin.storage import audit_seals, books, ledger, ledger_tree

if TYPE_CHECKING:
    import sqlite3

    from fenglin.ledger.note import PrivateKey
    from fenglin.storage.store import SqlStore


class SqliteProofs:
    """Implements `ports.proofs.Proofs`."""

    def __init__(self, store: SqlStore, key: PrivateKey) -> None:
        """Take the store, and the key with which its ledger is signed."""
        self._store = store
        self._secret = key
        self.key = key.public

    async def check_point(self, epoch: int, now_ms: int) -> tuple[str, bool]:
        """See `ports.proofs.Proofs`."""
        origin = self.key.name

        def work(conn: sqlite3.Connection) -> tuple[str, bool]:
            due = audit_seals.due(conn)
            if due:
                books.append(conn, due, now_ms)
            return ledger_tree.check_point(conn, origin, self._secret, now_ms)

        return await self._store.write(epoch, work)

    async def latest(self) -> str:
        """See `ports.proofs.Proofs`."""
        return await self._store.read(_latest)

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """See `ports.proofs.Proofs`."""
        return await self._store.read(
            lambda conn: tree.consistency(old, new, ledger_tree.StoredTree(conn, new))
        )

    async def prove(self, account: str, from_ms: int, to_ms: int, earlier: str) -> ProofFile:
        """See `ports.proofs.Proofs`."""

        def work(conn: sqlite3.Connection) -> ProofFile:
            note = _latest(conn)
            if not note:
                raise NotFoundError("the ledger has no checkpoint yet", hint="ask in a minute")
            size = read_checkpoint(read_note(note.encode()).text).size
            mine = ledger.entries_of(conn, account, from_ms, to_ms, size)
            if not mine:
                raise NotFoundError(
                    f"no entry of account {account!r} lies in this period and the last checkpoint"
                )
            return make_proof(
                account,
                (from_ms, to_ms),
                self.key,
                (note, earlier),
                mine,
                ledger_tree.StoredTree(conn, size),
            )

        return await self._store.read(work)

    async def add_cosignature(self, epoch: int, size: int, witness: str, line: str) -> None:
        """See `ports.proofs.Proofs`."""
        await self._store.write(
            epoch, lambda conn: ledger_tree.add_cosignature(conn, size, witness, line)
        )


def _latest(conn: sqlite3.Connection) -> str:
    note = ledger_tree.latest(conn)
    return ledger_tree.with_cosignatures(conn, note) if note else ""
