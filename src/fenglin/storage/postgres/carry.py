"""An empty PostgreSQL database that is filled from another of ours; see `storage.carry`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

from fenglin.errors import ConflictError
from fenglin.storage.postgres.store import open_database, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.storage.carry import Row, Table


class PostgresTarget:
    """Implements `storage.carry.Target` on a database without rows of ours."""

    def __init__(self, url: str) -> None:
        """Connect, and make the tables where there are none.

        Raises:
            UnavailableError: the server is away or refuses us.
            DamageError: it is of another version or no database of ours.
        """
        self._where = shown(url)
        self._conn = open_database(url)
        # The part of it that our functions use.
        self.conn = cast("sqlite3.Connection", self._conn)

    def begin(self, tables: list[Table]) -> None:
        """See `storage.carry.Target`.

        Raises:
            ConflictError: a hub has used this database.
        """
        conn = self._conn
        conn.execute("BEGIN")
        if conn.raw("SELECT 1 FROM meta LIMIT 1").fetchone():
            raise ConflictError(
                "this database is in use", where=self._where, hint="make an empty one"
            )
        for table in reversed(tables):
            # Keeps hubs out until the end, too.
            conn.raw(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
            conn.raw(f"DELETE FROM {table.name}")  # noqa: S608 - a name of ours

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """See `storage.carry.Target`."""
        self._conn.copy_in(table.name, table.columns, rows)

    def finish(self, tables: list[Table]) -> None:
        """See `storage.carry.Target`."""
        # Rows that refer to others are looked at now: a table with open checks cannot be altered.
        self._conn.raw("SET CONSTRAINTS ALL IMMEDIATE")
        for table in tables:
            self._conn.raw(f"ALTER TABLE {table.name} ENABLE TRIGGER USER")
            if table.numbered:
                self._conn.raw(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', '{table.numbered}'),"  # noqa: S608
                    f" greatest(max({table.numbered}), 1)) FROM {table.name}"
                )
