"""A connection to PostgreSQL that behaves as the part of `sqlite3` that our functions use.

Our functions are written over `sqlite3.Connection`. This gives them the same with PostgreSQL
behind it: statements go through `dialect`, values come back as the types that SQLite would give,
and errors are those of `sqlite3`, so that `except sqlite3.IntegrityError` means the same.

A connection that broke is opened again at the next `BEGIN`. One that breaks in `COMMIT` leaves
open whether the commit happened; a mark that each transaction raises tells after the event.

What begins and divides a write, and its mark, answer nothing: they wait for the next statement
and go in one trip. A trip to the server and back costs a busy hub more than most statements do.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import BytesDumper

from fenglin.storage.dialect import ddl, translate
from fenglin.storage.failures import UnknownOutcomeError
from fenglin.storage.ledger_schema import LEDGER_GUARDS
from fenglin.storage.postgres import bulk
from fenglin.storage.postgres.cursors import Cursor, Row, Streamed, in_our_words
from fenglin.storage.postgres.guards import in_place
from fenglin.storage.schema import triggers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg.abc import Buffer

CONNECT_WITHIN_S = 5
# How long a commit of unknown outcome may wait for the server to come back.
RESOLVE_WITHIN_S = 20.0
RESOLVE_PAUSE_S = 0.2
MARKS = "CREATE TABLE commit_mark (writer TEXT PRIMARY KEY, number BIGINT NOT NULL)"
_INT8 = range(-(2**63), 2**63)
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
# Statements that stay prepared: those for many rows come in several sizes.
_MOST_PREPARED = 400


class _IntDumper(Int8Dumper):
    """Every integer as bigint: one prepared statement for small and large ones."""

    def dump(self, obj: int) -> Buffer | None:
        if obj not in _INT8:
            raise OverflowError("the integer is too large for the database")
        return super().dump(int(obj))


class _AnyIntDumper(_IntDumper):
    """An integer for a column whose type the server knows, as it takes nothing else for None."""

    oid = 0


class _AnyBytesDumper(BytesDumper):
    """Bytes for a column whose type the server knows."""

    oid = 0


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
        self._marked = False
        self._ahead: list[str] = []
        self._cursors = 0
        self._conn = self._connect()

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction is open, a failed one too."""
        if self._unsent:
            return True
        status = self._conn.info.transaction_status
        return status != TransactionStatus.IDLE and not self._conn.closed

    @property
    def _unsent(self) -> bool:
        """Return whether a write has begun of which the server knows nothing yet."""
        return self._ahead[:1] == ["BEGIN"]

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
        if statement.startswith("BEGIN") and self._conn.closed:
            self._conn = self._connect()
        if not self._read_only and self._steers(statement):
            return Cursor(self._conn, psycopg.RawCursor(self._conn))
        if statement.startswith(("CREATE", "ALTER")):
            return [self.raw(part) for part in ddl(statement)][-1]
        query = translate(statement)
        if self._streams(query):
            with in_our_words():
                return self._stream(query, values)
        return self.raw(query, values)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        """Run a statement once per row of values; see `execute`."""
        self._send_ahead()
        query, each = translate(statement), [tuple(row) for row in rows]
        if len(each) == 1:
            return self.raw(query, each[0])
        insert = bulk.read(query)
        if insert is not None:
            return self._insert(insert, each)
        with in_our_words():
            cursor = psycopg.RawCursor(self._conn)
            cursor.executemany(query, each)
        return Cursor(self._conn, cursor)

    def raw(self, statement: str, values: Sequence[Any] = ()) -> Cursor:
        """Run a statement that is PostgreSQL's own."""
        if self._ahead and not values:
            return Cursor(self._conn, self._send_ahead(statement))
        self._send_ahead()
        with in_our_words():
            cursor = psycopg.RawCursor(self._conn)
            cursor.execute(statement, tuple(values) or None)
        return Cursor(self._conn, cursor)

    def _insert(self, insert: bulk.Insert, rows: list[Row]) -> Cursor:
        """Insert rows with few statements."""
        cursor, changed = psycopg.RawCursor(self._conn), 0
        # Else values that are None make a statement of its own of each pattern of them.
        cursor.adapters.register_dumper(int, _AnyIntDumper)
        cursor.adapters.register_dumper(bool, _AnyIntDumper)
        cursor.adapters.register_dumper(bytes, _AnyBytesDumper)
        for query, values in insert.statements(rows):
            with in_our_words():
                cursor.execute(query, values, prepare=True)
            changed += cursor.rowcount
        return Cursor(self._conn, cursor, changed)

    def long_read(self, statement: str) -> Cursor:
        """Run a query in the open transaction, its rows kept by the server."""
        with in_our_words():
            return self._stream(translate(statement), ())

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Write many rows at once; the names are ours, never input."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with in_our_words(), self._conn.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def heard(self, channel: str, timeout_s: float) -> bool:
        """Return whether somebody called on a channel of the database within some time."""
        with in_our_words():
            self._conn.execute(f"LISTEN {channel}")
            return any(True for _ in self._conn.notifies(timeout=timeout_s, stop_after=1))

    def close(self) -> None:
        """Close; a transaction that is open is lost. Idempotent."""
        if self._mark and not self._conn.closed and not self.in_transaction:
            with contextlib.suppress(psycopg.Error):
                self._conn.execute("DELETE FROM commit_mark WHERE writer = %s", (self._writer,))
        self._conn.close()

    def _connect(self) -> psycopg.Connection[Row]:
        with in_our_words():
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
            conn.prepared_max = _MOST_PREPARED
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

    def _steers(self, statement: str) -> bool:
        """Do what begins, divides or ends a write; return False for any other statement."""
        word, _, rest = statement.partition(" ")
        if statement == "BEGIN IMMEDIATE":
            self._marked = True
            self._ahead = ["BEGIN", self._next_mark()]
        elif self._marked and word in ("SAVEPOINT", "RELEASE"):
            self._ahead.append(statement)
        elif statement == "COMMIT":
            self._commit()
        elif word == "ROLLBACK":
            return self._undo(rest.removeprefix("TO "))
        else:
            return False
        return True

    def _undo(self, savepoint: str) -> bool:
        """Forget what waits and is undone; return whether the server need not hear of it."""
        if not savepoint:
            unsent = self._unsent
            self._ahead, self._marked = [], False
            return unsent
        if f"SAVEPOINT {savepoint}" not in self._ahead:
            return False
        del self._ahead[self._ahead.index(f"SAVEPOINT {savepoint}") + 1 :]
        return True

    def _next_mark(self) -> str:
        """Return the statement that raises the mark; nothing in it comes from outside."""
        self._mark += 1
        return (
            f"INSERT INTO commit_mark (writer, number) VALUES ('{self._writer}', {self._mark})"  # noqa: S608
            " ON CONFLICT (writer) DO UPDATE SET number = excluded.number"
        )

    def _send_ahead(self, last: str = "") -> psycopg.Cursor[Row]:
        """Send what waits, and a last statement, in one go; return what came of the last."""
        ahead, self._ahead = [*self._ahead, *([last] if last else [])], []
        cursor = psycopg.RawCursor(self._conn)
        if ahead:
            with in_our_words():
                cursor.execute("; ".join(ahead), prepare=False)
                while cursor.nextset():
                    pass
        return cursor

    def _commit(self) -> None:
        """Commit, and find out whether it happened when the server goes away in it."""
        if self._unsent:
            self._ahead, self._marked = [], False
            return
        if not self._marked:
            self.raw(self._next_mark())
        self._marked = False
        try:
            self._commit_now()
        except sqlite3.OperationalError as error:
            if not self._conn.closed or not self._happened(error):
                raise

    def _commit_now(self) -> None:
        self._send_ahead("COMMIT")

    def _happened(self, error: sqlite3.OperationalError) -> bool:
        """Return whether the commit in which the connection broke has taken place."""
        end_s = time.monotonic() + RESOLVE_WITHIN_S
        while time.monotonic() < end_s:
            try:
                self._conn = self._connect()
                with in_our_words():
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
