"""The port of possession over the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from fenglin.storage.store import SqlStore

MOST_AT_ONCE = 500


class SqlitePossession:
    """Implements `ports.possession.Possession`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def note(self, epoch: int, account: str, sha256: str, now_ms: int) -> None:
        """See `ports.possession.Possession`."""

        def work(conn: sqlite3.Connection) -> None:
            conn.execute(
                "INSERT OR IGNORE INTO blob_owner (account, sha256, first_ms) VALUES (?, ?, ?)",
                (account, sha256, now_ms),
            )

        await self._store.write(epoch, work)

    async def held(self, account: str, sha256s: Sequence[str]) -> frozenset[str]:
        """See `ports.possession.Possession`."""

        def work(conn: sqlite3.Connection) -> frozenset[str]:
            found: set[str] = set()
            for at in range(0, len(sha256s), MOST_AT_ONCE):
                some = sha256s[at : at + MOST_AT_ONCE]
                marks = ", ".join("?" * len(some))
                rows = conn.execute(
                    f"SELECT sha256 FROM blob_owner WHERE account = ? AND sha256 IN ({marks})",  # noqa: S608
                    (account, *some),
                )
                found |= {sha256 for (sha256,) in rows}
            return frozenset(found)

        return await self._store.read(work)
