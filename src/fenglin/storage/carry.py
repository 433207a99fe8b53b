"""All rows of one database into another, of the same kind or not, proved to be the same.

It serves backups, restores and moves alike. The source is read as one state, so that a hub may
go on meanwhile; the target is empty, and filled in one transaction: it has everything or
nothing. Rows are counted and hashed on both sides, table by table, before that is committed.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from fenglin.errors import ConflictError, DamageError
from fenglin.ports.crashpoint import crash_point
from fenglin.storage import migrations, schema

if TYPE_CHECKING:
    from pathlib import Path

Row = tuple[Any, ...]
CHUNK_ROWS = 1_000
_ENCODER = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Table:
    """One table of ours.

    Attributes:
        name: Of it.
        columns: In the order in which they are read and written.
        order: Columns that order its rows; its key.
        numbered: The column that the database fills when a row does not; empty for none.
    """

    name: str
    columns: tuple[str, ...]
    order: tuple[str, ...]
    numbered: str = ""

    @property
    def query(self) -> str:
        """Return a statement that reads all rows in their order."""
        order = ", ".join(self.order)
        return f"SELECT {', '.join(self.columns)} FROM {self.name} ORDER BY {order}"  # noqa: S608


class Counted(NamedTuple):
    """What a table holds.

    Attributes:
        table: Its name.
        rows: How many.
        sha256: Over all rows in order.
    """

    table: str
    rows: int
    sha256: str


class Target(Protocol):
    """An empty database that is to be filled."""

    conn: sqlite3.Connection

    def begin(self, tables: list[Table]) -> None:
        """Begin a transaction, and take the triggers out of the way in it."""
        ...

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """Write rows."""
        ...

    def finish(self, tables: list[Table]) -> None:
        """Put the triggers back."""
        ...


def our_tables() -> list[Table]:
    """Return the tables of this version's schema, each behind those that it refers to."""
    with contextlib.closing(sqlite3.connect(":memory:")) as conn:
        for statement in (*schema.SCHEMA, *(one for step in migrations.STEPS for one in step)):
            conn.execute(statement)
        names = conn.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " ORDER BY rowid"
        ).fetchall()
        return [_table(conn, name) for (name,) in names]


def _table(conn: sqlite3.Connection, name: str) -> Table:
    rows = conn.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
    columns = tuple(column for column, _, _ in rows)
    key = [column for _, column in sorted((pk, column) for column, _, pk in rows if pk)]
    numbered = key[0] if len(key) == 1 and (key[0], "INTEGER", 1) in rows else ""
    return Table(name, columns, tuple(key) or columns, numbered)


def count(conn: sqlite3.Connection, table: Table) -> Counted:
    """Count and hash a table's rows; in memory that does not grow with them."""
    tally = _Tally(table)
    for _ in tally.through(_rows(conn, table)):
        pass
    return tally.counted()


def carry(
    source: sqlite3.Connection,
    target: Target,
    at_end: Callable[[sqlite3.Connection], None] | None = None,
) -> list[Counted]:
    """Copy all rows; the target's transaction is committed only when both sides are equal.

    Args:
        source: A reading connection to a database of this version.
        target: Of this version, and empty.
        at_end: What to change in the target before the commit.

    Raises:
        ConflictError: the target holds something already.
        DamageError: what arrived is not what was sent; the target is as before.
    """
    tables = our_tables()
    source.execute("BEGIN")
    try:
        target.begin(tables)
        try:
            found = [_carry_one(source, target, table) for table in tables]
            target.finish(tables)
            if at_end is not None:
                at_end(target.conn)
        except BaseException:
            if target.conn.in_transaction:
                target.conn.execute("ROLLBACK")
            raise
        target.conn.execute("COMMIT")
    finally:
        source.execute("ROLLBACK")
    return found


def _carry_one(source: sqlite3.Connection, target: Target, table: Table) -> Counted:
    sent = _Tally(table)
    target.load(table, sent.through(_rows(source, table)))
    crash_point("c15")
    there = count(target.conn, table)
    if there != sent.counted():
        raise DamageError(
            f"{sent.rows} rows were sent, {there.rows} arrived, or not as they were",
            where=f"table {table.name}",
            hint="nothing was changed; the source is untouched",
        )
    return there


class SqliteTarget:
    """A new file."""

    def __init__(self, path: Path) -> None:
        """Make it, with our tables.

        Raises:
            ConflictError: there is a file already.
            UnavailableError: it cannot be made.
        """
        if path.exists():
            raise ConflictError("this file exists", where=str(path), hint="choose another name")
        self.conn = schema.connect(path)
        schema.ensure_schema(self.conn, path)
        self._triggers: list[str] = []

    def begin(self, tables: list[Table]) -> None:
        """See `Target`."""
        conn = self.conn
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("BEGIN IMMEDIATE")
        found = conn.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, sql in found:
            self._triggers.append(sql)
            conn.execute(f"DROP TRIGGER {name}")
        for table in reversed(tables):
            conn.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a name of ours

    def load(self, table: Table, rows: Iterable[Row]) -> None:
        """See `Target`."""
        marks = ", ".join("?" * len(table.columns))
        columns = ", ".join(table.columns)
        self.conn.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", rows)  # noqa: S608

    def finish(self, tables: list[Table]) -> None:
        """See `Target`."""
        del tables
        for sql in self._triggers:
            self.conn.execute(sql)
        broken = self.conn.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise DamageError("a row refers to one that is not there", where=f"table {broken[0]}")


class _Tally:
    """Counts and hashes rows that pass."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._hash = hashlib.sha256()
        self.rows = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._hash.update(_ENCODER.encode(row))
            self.rows += 1
            yield row

    def counted(self) -> Counted:
        return Counted(self._table.name, self.rows, self._hash.hexdigest())


def _rows(conn: sqlite3.Connection, table: Table) -> Iterator[Row]:
    # PostgreSQL would hand all rows over at once.
    found = getattr(conn, "long_read", conn.execute)(table.query)
    while rows := found.fetchmany(CHUNK_ROWS):
        yield from rows
