"""The inventory's steps in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.inventory.steps import Kind, Step

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fenglin.storage.store import SqlStore

_PLAIN = "seq, time_ms, actor, kind, facility, subject, note, document"


class SqliteInventory:
    """Implements `ports.inventory.InventoryStore`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def steps(self, after: int) -> list[Step]:
        """See `ports.inventory.InventoryStore`."""
        body = "CASE kind WHEN 'publish' THEN NULL ELSE body END"
        query = f"SELECT {_PLAIN}, {body} FROM inventory_step WHERE seq > ? ORDER BY seq"  # noqa: S608
        return await self._store.read(lambda conn: _steps(conn, query, (after,)))

    async def page(self, facility: str, after: int, limit: int) -> list[Step]:
        """See `ports.inventory.InventoryStore`."""
        query = (
            f"SELECT {_PLAIN}, NULL FROM inventory_step"  # noqa: S608 - names of columns
            " WHERE seq > ? AND (? = '' OR facility IN ('', ?)) ORDER BY seq LIMIT ?"
        )
        values = (after, facility, facility, limit)
        return await self._store.read(lambda conn: _steps(conn, query, values))

    async def body(self, seq: int) -> bytes:
        """See `ports.inventory.InventoryStore`."""

        def work(conn: sqlite3.Connection) -> bytes:
            query = "SELECT body FROM inventory_step WHERE seq = ?"
            row = conn.execute(query, (seq,)).fetchone()
            return bytes(row[0]) if row is not None else b""

        return await self._store.read(work)

    async def append(self, epoch: int, steps: Sequence[Step]) -> bool:
        """See `ports.inventory.InventoryStore`."""
        return await self._store.write(epoch, lambda conn: append(conn, steps))


def append(conn: sqlite3.Connection, steps: Sequence[Step]) -> bool:
    """Add steps; False when their numbers are taken."""
    (last,) = conn.execute("SELECT COALESCE(MAX(seq), 0) FROM inventory_step").fetchone()
    if not steps or steps[0].seq != last + 1:
        return not steps
    conn.executemany(
        f"INSERT INTO inventory_step ({_PLAIN}, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [
            (
                one.seq, one.time_ms, one.actor, one.kind.value, one.facility, one.subject,
                one.note, one.document, one.body,
            )
            for one in steps
        ],
    )  # fmt: skip
    return True


def _steps(conn: sqlite3.Connection, query: str, values: tuple[int | str, ...]) -> list[Step]:
    return [
        Step(
            seq=seq,
            time_ms=time_ms,
            actor=actor,
            kind=Kind(kind),
            facility=facility,
            subject=subject,
            note=note,
            document=document,
            body=bytes(body or b""),
        )
        for seq, time_ms, actor, kind, facility, subject, note, document, body in conn.execute(
            query, values
        )
    ]
