"""The port of bills over the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import NotFoundError
from fenglin.ledger.accounts import available, held
from fenglin.ledger.bill import Bill, make_bill
from fenglin.ledger.note import read_checkpoint, read_note
from fenglin.ledger.proof import make_proof
from fenglin.storage import books, ledger, ledger_tree

if TYPE_CHECKING:
    import sqlite3

    from fenglin.ledger.note import PublicKey
    from fenglin.quantities.period import Period
    from fenglin.storage.store import SqlStore

_NO_LIMIT = 2**63 - 1


class SqliteBills:
    """Implements `ports.bills.Bills`."""

    def __init__(self, store: SqlStore, key: PublicKey) -> None:
        """Take the store, and the key by which its checkpoints are signed."""
        self._store = store
        self._key = key

    async def bill(self, account: str, period: Period, *, final: bool) -> Bill | None:
        """See `ports.bills.Bills`."""

        def work(conn: sqlite3.Connection) -> Bill | None:
            conn.execute("BEGIN")
            try:
                return read_bill(conn, self._key, account, period, final=final)
            finally:
                conn.execute("ROLLBACK")

        return await self._store.read(work)


def read_bill(
    conn: sqlite3.Connection, key: PublicKey, account: str, period: Period, *, final: bool
) -> Bill | None:
    """Return an account's bill; see `ports.bills.Bills`.

    Its proof leads to the first checkpoint that covers its last entry, without cosignatures: these
    never change, so neither does the bill of a period that is over.
    """
    places = (available(account), held(account))
    if not conn.execute(
        "SELECT EXISTS (SELECT 1 FROM ledger_balance WHERE account IN (?, ?))", places
    ).fetchone()[0]:
        raise NotFoundError(f"there is no account {account!r}")
    opening = ledger.funds_before(conn, account, period.from_ms)
    hours = {
        kind: ledger.funds_before(conn, account, period.from_ms, kind)
        for kind in books.kinds_of_hours(conn, account, period.to_ms)
    }
    entries = ledger.entries_of(conn, account, period.from_ms, period.to_ms, _NO_LIMIT)
    if not entries:
        return make_bill(account, period, opening, (), None, final=final, hours=hours)
    row = conn.execute(
        "SELECT note FROM ledger_checkpoint WHERE size >= ? ORDER BY size LIMIT 1",
        (entries[-1].seq,),
    ).fetchone()
    if row is None:
        return None
    note: str = row[0]
    size = read_checkpoint(read_note(note.encode()).text).size
    proof = make_proof(
        account,
        (period.from_ms, period.to_ms),
        key,
        (note, ""),
        entries,
        ledger_tree.StoredTree(conn, size),
    )
    return make_bill(account, period, opening, entries, proof, final=final, hours=hours)
