"""The grown store: one PostgreSQL database, of which many hubs read and one leader writes."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from fenglin.errors import FenglinError, StaleEpochError
from fenglin.storage.commits import check_epoch
from fenglin.storage.failures import translate
from fenglin.storage.postgres.connection import PostgresConnection
from fenglin.storage.postgres.schema import ensure_schema
from fenglin.storage.store import SqlStore
from fenglin.storage.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.model.site import Site
    from fenglin.ports.store import Loaded
    from fenglin.storage.postgres.lease import Term
    from fenglin.storage.store import Read

T = TypeVar("T")
# Threads that read, each with a connection of its own.
READERS = 6


class PostgresStore(SqlStore):
    """Implements `ports.store.Store` on a PostgreSQL database.

    Only the hub that `load` made the leader can write; each of its transactions checks that
    nobody has taken over since, and holds a successor off until it is over.
    """

    def __init__(self, url: str, term: Term | None = None) -> None:
        """Connect, and make or take forward the tables. Must be called inside a running loop.

        Args:
            url: `postgresql://user@host/database`, or any other form that libpq takes.
            term: The lease under which this hub may lead; None where no other can.

        Raises:
            UnavailableError: the server is away or refuses us.
            DamageError: it is of another version or no database of ours.
        """
        self.url = url
        self.where = shown(url)
        self._term = term
        self._epoch = 0
        name = f"fenglin {term.holder}" if term else "fenglin"
        conn = open_database(url, name=name)
        super().__init__(Writer(cast("sqlite3.Connection", conn), self.where))
        self._threads = ThreadPoolExecutor(READERS, "fenglin-reader")

    async def load(self, sites: Sequence[Site], now_ms: int) -> Loaded:
        """See `ports.store.Store`.

        Raises:
            StaleEpochError: another hub has taken the lease meanwhile.
        """
        loaded = await super().load(sites, now_ms)
        self._epoch = loaded.epoch
        return loaded

    async def read(self, work: Read[T]) -> T:
        """See `SqlStore`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._guard, work)

    async def close(self) -> None:
        """See `ports.store.Store`."""
        await asyncio.to_thread(self._threads.shutdown)
        await super().close()

    async def _ask(self, work: Read[T]) -> T:
        return await self.read(work)

    def _connect(self) -> sqlite3.Connection:
        try:
            conn = PostgresConnection(self.url, read_only=True)
        except sqlite3.Error as error:
            raise translate(error, self.where) from error
        # The part of it that our functions use.
        return cast("sqlite3.Connection", conn)

    def _may_lead(self, conn: sqlite3.Connection) -> None:
        if self._term is not None and not self._term.holds(cast("PostgresConnection", conn)):
            raise StaleEpochError("another hub has taken the lease", hint="this hub must stop")

    def _still_leads(self, conn: sqlite3.Connection) -> None:
        check_epoch(conn, self._epoch)

    def _guard(self, work: Read[T]) -> T:
        """Run a read; once more on a new connection when the server has closed the old one."""
        for last in (False, True):
            conn = self._reader()
            try:
                return work(conn)
            except sqlite3.Error as error:
                broken = cast("PostgresConnection", conn).closed
                if broken:
                    self._readers.remove(conn)
                    del self._local.conn
                if last or not broken:
                    raise translate(error, self.where) from error
        raise AssertionError("unreachable")


def open_database(url: str, *, name: str = "fenglin") -> PostgresConnection:
    """Return a writing connection to a database whose tables are of this version.

    Raises:
        UnavailableError: the server is away or refuses us.
        DamageError: it is of another version or no database of ours.
    """
    where = shown(url)
    try:
        conn = PostgresConnection(url, name=name)
        try:
            ensure_schema(conn, where)
        except (FenglinError, sqlite3.Error):
            conn.close()
            raise
    except sqlite3.Error as error:
        raise translate(error, where) from error
    return conn


def shown(url: str) -> str:
    """Return a database's address without its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "database"
    if not parts.scheme.startswith("postgres"):
        return "database"
    user, at, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit((parts.scheme, f"{name}{at}{host}", parts.path, "", ""))
