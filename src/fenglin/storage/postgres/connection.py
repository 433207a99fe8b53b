"""A connection to PostgreSQL that behaves as the part of `sqlite3` that our functions use.

Our functions are written over `sqlite3.Connection`. This gives them the same with PostgreSQL
behind it: statements go through `dialect`, values come back as the types that SQLite would give,
and errors are those of `sqlite3`, so that `except sqlite3.IntegrityError` means the same.

A connection that broke is opened again at the next `BEGIN`. One that breaks in `COMMIT` leaves
open whether the commit happened; a mark that each transaction raises tells after the event.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.errors import Diagnostic
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper

from fenglin.storage.dialect import ddl, translate
from fenglin.storage.failures import UnknownOutcomeError
from fenglin.storage.ledger_schema import LEDGER_GUARDS
from fenglin.storage.postgres.guards import in_place
from fenglin.storage.schema import triggers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psycopg.abc import Buffer

Row = tuple[Any, ...]

# Rows of a long read that are in memory at a time.
CHUNK_ROWS = 1_000
CONNECT_WITHIN_S = 5
# How long a commit of unknown outcome may wait for the server to come back.
RESOLVE_WITHIN_S = 20.0
RESOLVE_PAUSE_S = 0.2
MARKS = "CREATE TABLE commit_mark (writer TEXT PRIMARY KEY, number BIGINT NOT NULL)"
_INT8 = range(-(2**63), 2**63)
# Classes of SQLSTATE that speak of a row and not of the server.
_OF_ROWS = ("23", "P0")
_OF_VALUES = ("22",)
_SETTINGS = (
    ("timezone", "UTC"),
    ("statement_timeout", "60s"),
    ("lock_timeout", "15s"),
    # A hub that stands still in a transaction must not keep its successor waiting.
    ("idle_in_transaction_session_timeout", "10s"),
)
# Plans are kept, those of triggers for as long as the session: one that was made while a table
# was small would read all of it for each row, however large it has become.
_TO_WRITE = (("enable_seqscan", "off"),)
_TO_READ = (
    ("plan_cache_mode", "force_custom_plan"),
    ("default_transaction_read_only", "on"),
    ("default_transaction_isolation", "repeatable read"),
    ("statement_timeout", "600s"),
    ("idle_in_transaction_session_timeout", "600s"),
)


class _IntDumper(Int8Dumper):
    """Every integer as bigint: one prepared statement for small and large ones."""

    def dump(self, obj: int) -> Buffer | None:
        if obj not in _INT8:
            raise OverflowError("the integer is too large for the database")
        return super().dump(int(obj))


class _NumericLoader(Loader):
    """Sums of bigint come as numeric, and are integers."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


class _BoolLoader(Loader):
    """A condition is 0 or 1, as SQLite has it."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data) == b"t")


class _TextDumper(Dumper):
    """Text of an open type, as in SQLite. PostgreSQL knows no zero in it: nothing equals it."""

    def dump(self, obj: str) -> Buffer | None:
        return str(obj).replace("\x00", "\ufffd").encode()


class Cursor:
    """What a statement gave, with the parts of `sqlite3.Cursor` that we use."""

    def __init__(self, conn: psycopg.Connection[Row], cursor: psycopg.Cursor[Row]) -> None:
        """Take what was executed."""
        self._conn = conn
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """Return how many rows were changed."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int:
        """Return the number that the last row of an identity column got in this session."""
        with _in_our_words():
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
        with _in_our_words():
            self._rows = self._conn.execute(f"FETCH {CHUNK_ROWS} FROM {self._name}").fetchall()
            self._at = 0
            if len(self._rows) < CHUNK_ROWS:
                self._open = False
                self._conn.execute(f"CLOSE {self._name}")
        return bool(self._rows)


class PostgresConnection:
    """The part of `sqlite3.Connection` that our functions use, over PostgreSQL.

    Not safe for two threads at a time.
    """

    def __init__(self, url: str, *, read_only: bool = False, name: str = "fenglin") -> None:
        """Connect.

        Args:
            url: `postgresql://…` or any other form that libpq takes.
            read_only: For connections that must not write.
            name: What the server's list of sessions shows.

        Raises:
            sqlite3.OperationalError: the server is away or refuses us.
        """
        self._url = url
        self._read_only = read_only
        self._name = name
        self._writer = secrets.token_hex(8)
        self._mark = 0
        self._cursors = 0
        self._conn = self._connect()

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction is open, a failed one too."""
        return self._conn.info.transaction_status != TransactionStatus.IDLE and not (
            self._conn.closed
        )

    @property
    def closed(self) -> bool:
        """Return whether it is closed, by us or by the server."""
        return self._conn.closed

    def statements(self) -> set[str]:
        """Return those of our schema's statements whose trigger or index is in place."""
        return in_place(self, {*LEDGER_GUARDS, *triggers().values()})

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Run a statement of ours; see `dialect`.

        Raises:
            sqlite3.IntegrityError: a rule of the tables forbids it.
            sqlite3.OperationalError: the server is away or refuses it for now.
            OverflowError: an integer is too large.
        """
        if statement == "COMMIT" and not self._read_only:
            self._commit()
            return Cursor(self._conn, psycopg.RawCursor(self._conn))
        if statement.startswith("BEGIN") and self._conn.closed:
            self._conn = self._connect()
        if statement.startswith(("CREATE", "ALTER")):
            return [self.raw(part) for part in ddl(statement)][-1]
        with _in_our_words():
            query = translate(statement)
            if self._streams(query):
                return self._stream(query, values)
            cursor = psycopg.RawCursor(self._conn)
            cursor.execute(query, tuple(values) or None)
        return Cursor(self._conn, cursor)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        """Run a statement once per row of values; see `execute`."""
        with _in_our_words():
            cursor = psycopg.RawCursor(self._conn)
            cursor.executemany(translate(statement), [tuple(row) for row in rows])
        return Cursor(self._conn, cursor)

    def raw(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Run a statement that is PostgreSQL's own."""
        with _in_our_words():
            cursor = psycopg.RawCursor(self._conn)
            cursor.execute(statement, tuple(values) or None)
        return Cursor(self._conn, cursor)

    def long_read(self, statement: str) -> Cursor:
        """Run a query in the open transaction, its rows kept by the server."""
        with _in_our_words():
            return self._stream(translate(statement), ())

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Write many rows at once; the names are ours, never input."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with _in_our_words(), self._conn.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def heard(self, channel: str, timeout_s: float) -> bool:
        """Return whether somebody called on a channel of the database within some time."""
        with _in_our_words():
            self._conn.execute(f"LISTEN {channel}")
            return any(True for _ in self._conn.notifies(timeout=timeout_s, stop_after=1))

    def close(self) -> None:
        """Close; a transaction that is open is lost. Idempotent."""
        if self._mark and not self._conn.closed and not self.in_transaction:
            with contextlib.suppress(psycopg.Error):
                self._conn.execute("DELETE FROM commit_mark WHERE writer = %s", (self._writer,))
        self._conn.close()

    def _connect(self) -> psycopg.Connection[Row]:
        with _in_our_words():
            conn = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=CONNECT_WITHIN_S,
                fallback_application_name=self._name,
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=3,
                tcp_user_timeout=10_000,
            )
            adapters = conn.adapters
            adapters.register_dumper(int, _IntDumper)
            adapters.register_dumper(bool, _IntDumper)
            adapters.register_dumper(str, _TextDumper)
            adapters.register_loader("numeric", _NumericLoader)
            adapters.register_loader("bool", _BoolLoader)
            settings = (*_SETTINGS, *(_TO_READ if self._read_only else _TO_WRITE))
            for name, value in settings:
                conn.execute("SELECT set_config(%s, %s, false)", (name, value))
            if not self._read_only:
                # An acknowledged write is on the disk, whatever the server's default says.
                conn.execute(
                    "SELECT set_config('synchronous_commit', 'on', false)"
                    " WHERE current_setting('synchronous_commit') IN ('off', 'local')"
                )
        return conn

    def _streams(self, query: str) -> bool:
        return (
            self._read_only
            and query.startswith("SELECT")
            and self._conn.info.transaction_status == TransactionStatus.INTRANS
        )

    def _stream(self, query: str, values: Sequence[Any]) -> Streamed:
        self._cursors += 1
        name = f"read_{self._cursors}"
        cursor = psycopg.RawCursor(self._conn)
        cursor.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {query}", tuple(values) or None)
        return Streamed(self._conn, name)

    def _commit(self) -> None:
        """Commit, and find out whether it happened when the server goes away in it."""
        with _in_our_words():
            self._mark += 1
            self._conn.execute(
                "INSERT INTO commit_mark (writer, number) VALUES (%s, %s)"
                " ON CONFLICT (writer) DO UPDATE SET number = excluded.number",
                (self._writer, self._mark),
            )
        try:
            self._commit_now()
        except sqlite3.OperationalError as error:
            if not self._conn.closed or not self._happened(error):
                raise

    def _commit_now(self) -> None:
        with _in_our_words():
            self._conn.execute("COMMIT")

    def _happened(self, error: sqlite3.OperationalError) -> bool:
        """Return whether the commit in which the connection broke has taken place."""
        end_s = time.monotonic() + RESOLVE_WITHIN_S
        while time.monotonic() < end_s:
            try:
                self._conn = self._connect()
                with _in_our_words():
                    # A write of the mark waits for a commit that is under way without us, and is
                    # itself confirmed only after all before it have reached the standby.
                    row = self._conn.execute(
                        "INSERT INTO commit_mark (writer, number) VALUES (%s, 0)"
                        " ON CONFLICT (writer) DO UPDATE SET number = commit_mark.number"
                        " RETURNING number",
                        (self._writer,),
                    ).fetchone()
            except sqlite3.OperationalError:
                time.sleep(RESOLVE_PAUSE_S)
            else:
                return row is not None and row[0] == self._mark
        raise UnknownOutcomeError(f"whether a commit happened is unknown: {error}") from error


@contextlib.contextmanager
def _in_our_words() -> Iterator[None]:
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
