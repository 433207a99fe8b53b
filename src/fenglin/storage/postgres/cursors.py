"""What statements gave, with the parts of `sqlite3.Cursor` and the errors that we use."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.errors import Diagnostic

Row = tuple[Any, ...]

# Rows of a long read that are in memory at a time.
CHUNK_ROWS = 1_000
# Classes of SQLSTATE that speak of a row and not of the server.
_OF_ROWS = ("23", "P0")
_OF_VALUES = ("22",)


class Cursor:
    """What a statement gave, with the parts of `sqlite3.Cursor` that we use."""

    def __init__(
        self, conn: psycopg.Connection[Row], cursor: psycopg.Cursor[Row], changed: int | None = None
    ) -> None:
        """Take what was executed last, and how many rows it changed together with others."""
        self._conn = conn
        self._cursor = cursor
        self._changed = changed

    @property
    def rowcount(self) -> int:
        """Return how many rows were changed."""
        return self._cursor.rowcount if self._changed is None else self._changed

    @property
    def lastrowid(self) -> int:
        """Return the number that the last row of an identity column got in this session."""
        with in_our_words():
            row = self._conn.execute("SELECT lastval()").fetchone()
        return int(row[0]) if row else 0

    def fetchone(self) -> Row | None:
        """Return the next row."""
        return self._cursor.fetchone() if self._cursor.description else None

    def fetchall(self) -> list[Row]:
        """Return all rows that are left."""
        return self._cursor.fetchall() if self._cursor.description else []

    def fetchmany(self, size: int) -> list[Row]:
        """Return some of the rows that are left."""
        return self._cursor.fetchmany(size) if self._cursor.description else []

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows that are left."""
        return iter(self._cursor if self._cursor.description else ())


class Streamed(Cursor):
    """A long read, some rows at a time; the server keeps the rest."""

    def __init__(self, conn: psycopg.Connection[Row], name: str) -> None:
        """Take the name of an open cursor of the server."""
        self._conn = conn
        self._name = name
        self._rows: list[Row] = []
        self._at = 0
        self._open = True
        self._fill()

    @property
    def rowcount(self) -> int:
        """Return -1: nothing was changed."""
        return -1

    def fetchone(self) -> Row | None:
        """Return the next row."""
        return next(iter(self.fetchmany(1)), None)

    def fetchall(self) -> list[Row]:
        """Return all rows that are left."""
        return list(self)

    def fetchmany(self, size: int) -> list[Row]:
        """Return some of the rows that are left."""
        found: list[Row] = []
        for row in self:
            found.append(row)
            if len(found) == size:
                break
        return found

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows that are left."""
        while self._at < len(self._rows) or self._fill():
            self._at += 1
            yield self._rows[self._at - 1]

    def _fill(self) -> bool:
        if not self._open:
            return False
        with in_our_words():
            self._rows = self._conn.execute(f"FETCH {CHUNK_ROWS} FROM {self._name}").fetchall()
            self._at = 0
            if len(self._rows) < CHUNK_ROWS:
                self._open = False
                self._conn.execute(f"CLOSE {self._name}")
        return bool(self._rows)


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Raise what `sqlite3` would raise in the place of PostgreSQL's errors."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error) from error


def translated(error: psycopg.Error) -> sqlite3.Error:
    """Return the error of `sqlite3` that means the same."""
    state = error.sqlstate or ""
    diagnostic: Diagnostic = error.diag
    text = diagnostic.message_primary or str(error).strip() or type(error).__name__
    if state.startswith(_OF_ROWS):
        return sqlite3.IntegrityError(text)
    if state.startswith(_OF_VALUES):
        return sqlite3.DataError(text)
    if state in ("53100", "53200"):  # disk full, out of memory
        full = sqlite3.OperationalError(text)
        if state == "53100":
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
        return full
    if state.startswith(("42", "0A", "25006")) or isinstance(error, psycopg.DataError):
        # A statement that cannot be, or a value that cannot be sent.
        return sqlite3.ProgrammingError(text)
    return sqlite3.OperationalError(text)
