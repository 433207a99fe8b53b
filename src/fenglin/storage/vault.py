"""The port of secrets over the store: sealed values in, sealed values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fenglin.errors import LimitError
from fenglin.ports.vault import Sealed, SecretId, SecretRecord

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from fenglin.storage.store import SqlStore

_COLUMNS = "account, name, version, key, nonce, sealed, changed_ms, changed_by"


class SqliteSecrets:
    """Implements `ports.vault.Secrets`."""

    def __init__(self, store: SqlStore) -> None:
        """Take the store."""
        self._store = store

    async def put(
        self,
        epoch: int,
        account: str,
        name: str,
        seal: Callable[[SecretId], SecretRecord],
        most: int,
    ) -> SecretRecord:
        """See `ports.vault.Secrets`."""

        def work(conn: sqlite3.Connection) -> SecretRecord:
            old = _find(conn, account, name)
            if old is None:
                _check_room(conn, account, most)
            made = seal(SecretId(account, name, old.id.version + 1 if old else 1))
            conn.execute("DELETE FROM secret WHERE account = ? AND name = ?", (account, name))
            conn.execute(
                f"INSERT INTO secret ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (*made.id, *made.sealed, made.changed_ms, made.changed_by),
            )
            return made

        return await self._store.write(epoch, work)

    async def list(self, account: str) -> Sequence[SecretRecord]:
        """See `ports.vault.Secrets`."""

        def work(conn: sqlite3.Connection) -> list[SecretRecord]:
            rows = conn.execute(
                f"SELECT {_COLUMNS} FROM secret WHERE ? = '' OR account = ?"  # noqa: S608
                " ORDER BY account, name",
                (account, account),
            )
            return [_record(row) for row in rows]

        return await self._store.read(work)

    async def find(self, account: str, names: Sequence[str]) -> dict[str, SecretRecord]:
        """See `ports.vault.Secrets`."""

        def work(conn: sqlite3.Connection) -> dict[str, SecretRecord]:
            found = {name: _find(conn, account, name) for name in names}
            return {name: record for name, record in found.items() if record is not None}

        return await self._store.read(work)

    async def remove(self, epoch: int, account: str, name: str) -> SecretRecord | None:
        """See `ports.vault.Secrets`."""

        def work(conn: sqlite3.Connection) -> SecretRecord | None:
            old = _find(conn, account, name)
            conn.execute("DELETE FROM secret WHERE account = ? AND name = ?", (account, name))
            return old

        return await self._store.write(epoch, work)


def keys_in_use(conn: sqlite3.Connection) -> dict[str, int]:
    """Return how many secrets each key seals, by the key's id."""
    return dict(conn.execute("SELECT key, count(*) FROM secret GROUP BY key ORDER BY key"))


def _find(conn: sqlite3.Connection, account: str, name: str) -> SecretRecord | None:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM secret WHERE account = ? AND name = ?",  # noqa: S608
        (account, name),
    ).fetchone()
    return None if row is None else _record(row)


def _check_room(conn: sqlite3.Connection, account: str, most: int) -> None:
    (count,) = conn.execute("SELECT count(*) FROM secret WHERE account = ?", (account,)).fetchone()
    if count >= most:
        raise LimitError(
            f"account {account!r} has {count} secrets, which is the most",
            where="name",
            hint="remove some with `fenglin secret remove`",
        )


def _record(row: tuple[Any, ...]) -> SecretRecord:
    return SecretRecord(SecretId(*row[:3]), Sealed(*map(_plain, row[3:6])), row[6], row[7])


def _plain(value: Any) -> Any:  # noqa: ANN401 - a column
    """Return a column's value; a database may hand out bytes as a view."""
    return bytes(value) if isinstance(value, memoryview) else value
