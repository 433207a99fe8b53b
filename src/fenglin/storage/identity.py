"""The port of identity over the embedded store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.errors import ConflictError
from fenglin.ports.identity import TokenRecord

if TYPE_CHECKING:
    import sqlite3

    from fenglin.ports.identity import NewToken
    from fenglin.storage.store import SqlStore

_COLUMNS = (
    "digest, name, role, scopes, account, party, maker, created_ms, expires_ms,"
    " number, revoked_ms, used_ms"
)


class SqliteIdentity:
    """Implements `ports.identity.Identity`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def any(self) -> bool:
        """See `ports.identity.Identity`."""
        return await self._store.read(
            lambda conn: conn.execute("SELECT 1 FROM token LIMIT 1").fetchone() is not None
        )

    async def find(self, digest: bytes) -> TokenRecord | None:
        """See `ports.identity.Identity`."""
        return await self._store.read(lambda conn: _with_digest(conn, digest))

    async def page(self, account: str, after: int, limit: int) -> list[TokenRecord]:
        """See `ports.identity.Identity`."""

        def work(conn: sqlite3.Connection) -> list[TokenRecord]:
            rows = conn.execute(
                f"SELECT {_COLUMNS} FROM token WHERE number > ? AND (? = '' OR account = ?)"  # noqa: S608
                " ORDER BY number LIMIT ?",
                (after, account, account, limit),
            )
            return [_record(row) for row in rows]

        return await self._store.read(work)

    async def add(self, epoch: int, token: NewToken) -> TokenRecord:
        """See `ports.identity.Identity`."""
        return await self._store.write(
            epoch, lambda conn: _with_digest(conn, token.digest) or _add(conn, token)
        )

    async def replace(
        self, epoch: int, number: int, token: NewToken, old_expires_ms: int
    ) -> TokenRecord:
        """See `ports.identity.Identity`."""

        def work(conn: sqlite3.Connection) -> TokenRecord:
            known = _with_digest(conn, token.digest)
            if known is not None:
                return known
            old = _numbered(conn, number)
            if not old.live(token.created_ms):
                raise ConflictError(
                    "this token is no longer live", where=f"t{number}", hint="make a new one"
                )
            if not old.expires_ms or old_expires_ms < old.expires_ms:
                conn.execute(
                    "UPDATE token SET expires_ms = ? WHERE number = ?", (old_expires_ms, number)
                )
            return _add(conn, token)

        return await self._store.write(epoch, work)

    async def revoke(self, epoch: int, number: int, now_ms: int) -> TokenRecord:
        """See `ports.identity.Identity`."""

        def work(conn: sqlite3.Connection) -> TokenRecord:
            conn.execute(
                "UPDATE token SET revoked_ms = ? WHERE number = ? AND revoked_ms = 0",
                (now_ms, number),
            )
            return _numbered(conn, number)

        return await self._store.write(epoch, work)

    async def used(self, epoch: int, number: int, now_ms: int) -> None:
        """See `ports.identity.Identity`."""

        def work(conn: sqlite3.Connection) -> None:
            conn.execute("UPDATE token SET used_ms = ? WHERE number = ?", (now_ms, number))

        await self._store.write(epoch, work)


def number_tokens(conn: sqlite3.Connection) -> None:
    """Number what a hub of a version without numbers has made while it was being replaced.

    Args:
        conn: Inside the transaction that takes over.
    """
    made = "SELECT digest FROM token WHERE number = 0 ORDER BY created_ms, digest"
    for (digest,) in conn.execute(made).fetchall():
        (last,) = conn.execute("SELECT max(number) FROM token").fetchone()
        conn.execute("UPDATE token SET number = ? WHERE digest = ?", (last + 1, digest))
        conn.execute(
            "UPDATE token SET role = 'member' WHERE digest = ? AND account <> ''", (digest,)
        )


def _add(conn: sqlite3.Connection, token: NewToken) -> TokenRecord:
    (last,) = conn.execute("SELECT coalesce(max(number), 0) FROM token").fetchone()
    values = (
        token.digest, token.name, token.role, token.scopes, token.account, token.party,
        token.maker, token.created_ms, token.expires_ms, last + 1, 0, 0,
    )  # fmt: skip
    marks = ", ".join("?" * len(values))
    conn.execute(f"INSERT INTO token ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608
    return _record(values)


def _with_digest(conn: sqlite3.Connection, digest: bytes) -> TokenRecord | None:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM token WHERE digest = ?",  # noqa: S608 - our own columns
        (digest,),
    ).fetchone()
    return None if row is None else _record(row)


def _numbered(conn: sqlite3.Connection, number: int) -> TokenRecord:
    return _record(
        conn.execute(f"SELECT {_COLUMNS} FROM token WHERE number = ?", (number,)).fetchone()  # noqa: S608
    )


def _record(row: tuple[Any, ...]) -> TokenRecord:
    names = _COLUMNS.split(", ")
    return TokenRecord(**dict(zip(names, row, strict=True)))
