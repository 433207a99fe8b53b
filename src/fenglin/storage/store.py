"""The store over plain SQL, and the embedded one: one SQLite file and one writer thread.

`SqlStore` holds what both databases share, which is all but connections; the grown store is
`postgres.store`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fenglin.errors import FenglinError
from fenglin.model.plan import Receipt
from fenglin.ports.acting import ACTING
from fenglin.ports.crashpoint import crash_point
from fenglin.storage import audit, books, commits, listings, loads, submits
from fenglin.storage.failures import translate
from fenglin.storage.restored import numbers_above
from fenglin.storage.rows import read_jobs
from fenglin.storage.schema import connect, ensure_schema
from fenglin.storage.writer import Writer
from fenglin.wire.views import EventView

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from fenglin.ledger.entry import Draft, Entry
    from fenglin.model.reason import Reason
    from fenglin.model.site import Site
    from fenglin.ports.acting import Act
    from fenglin.ports.hub import Listing
    from fenglin.ports.store import (
        AllocationRecord,
        Change,
        JobRecord,
        Loaded,
        StartUnit,
        SubmitRequest,
    )
    from fenglin.wire.views import JobView, LedgerCheck, Page, Statement, Submitted

T = TypeVar("T")
Read = Callable[[sqlite3.Connection], T]
# Below the 999 parameters that the oldest SQLite builds allow.
_MOST_BOUND = 900
_RECEIPT = msgspec.json.Decoder(Receipt)


class SqlStore(ABC):
    """Implements `ports.store.Store` over connections that a database gives."""

    def __init__(self, writer: Writer) -> None:
        """Take what writes. Must be called inside a running event loop."""
        self._writer = writer
        self._last_job = 0
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []

    @abstractmethod
    def _connect(self) -> sqlite3.Connection:
        """Return a new connection that only reads.

        Raises:
            UnavailableError: the database is away.
        """

    @abstractmethod
    async def _ask(self, work: Read[T]) -> T:
        """Run a short read."""

    @abstractmethod
    async def read(self, work: Read[T]) -> T:
        """Run `work` on a thread with a reading connection; it may take long.

        Raises:
            UnavailableError: the database is away.
        """

    def _may_lead(self, conn: sqlite3.Connection) -> None:
        """Refuse to take over what another hub leads; one that is alone may always."""
        del conn

    def _still_leads(self, conn: sqlite3.Connection) -> None:
        """Refuse a write that carries no epoch when another hub has taken over."""
        del conn

    async def load(self, sites: Sequence[Site], now_ms: int) -> Loaded:
        """See `ports.store.Store`."""

        def work(conn: sqlite3.Connection) -> Loaded:
            self._may_lead(conn)
            loaded = loads.take_over(conn, sites, now_ms)
            crash_point("c18")
            books.found(conn, now_ms)
            last = conn.execute("SELECT coalesce(max(number), 0) FROM job").fetchone()
            self._last_job = max(last[0], numbers_above(conn))
            return loaded

        return await self._writer.run(work)

    async def submit(self, request: SubmitRequest) -> tuple[list[Submitted], list[JobRecord]]:
        """See `ports.store.Store`."""
        return await self._writer.run_together(self._submit_all, (request, ACTING.get()))

    async def answered(self, request: SubmitRequest) -> list[Submitted] | None:
        """See `ports.store.Store`."""
        return await self._ask(lambda conn: submits.answered(conn, request))

    def _submit_all(
        self, conn: sqlite3.Connection, asked: Sequence[tuple[SubmitRequest, Act | None]]
    ) -> list[submits.Answer | FenglinError]:
        """Store what came in while the last commit was on its way to the disk."""
        self._still_leads(conn)
        found = submits.insert_all(conn, [request for request, _ in asked], self._take)
        audit.append_all(
            conn,
            [
                (act, submits.named(answer[1]))
                for (_, act), answer in zip(asked, found, strict=True)
                if act is not None and not isinstance(answer, FenglinError) and answer[1]
            ],
        )
        return found

    async def commit(self, change: Change) -> list[tuple[StartUnit, Reason]]:
        """See `ports.store.Store`."""
        return await self._writer.run(lambda conn: commits.write(conn, change))

    async def set_site(
        self, epoch: int, site: str, *, drained: bool, reason: str, actor: str, now_ms: int
    ) -> None:
        """See `ports.store.Store`."""

        def work(conn: sqlite3.Connection) -> None:
            conn.execute(
                "INSERT INTO site_wish (site, drained, reason, actor, time_ms)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (site) DO UPDATE SET"
                " drained = excluded.drained, reason = excluded.reason,"
                " actor = excluded.actor, time_ms = excluded.time_ms",
                (site, int(drained), reason, actor, now_ms),
            )

        await self.write(epoch, work)

    async def parents(self, numbers: Sequence[int]) -> dict[int, JobRecord]:
        """See `ports.store.Store`."""
        found: dict[int, JobRecord] = {}
        for start in range(0, len(numbers), _MOST_BOUND):
            part = numbers[start : start + _MOST_BOUND]
            marks = ", ".join("?" * len(part))
            rows = await self._ask(partial(read_jobs, where=f"number IN ({marks})", values=part))
            found |= {job.number: job for job in rows}
        return found

    async def jobs(self, listing: Listing, account: str) -> Page[JobView]:
        """See `ports.store.Store`."""
        return await self._ask(lambda conn: listings.list_jobs(conn, listing, account))

    async def job(self, number: int, account: str) -> JobView | None:
        """See `ports.store.Store`."""
        return await self._ask(lambda conn: listings.show_job(conn, number, account))

    async def allocations_of(self, number: int) -> list[AllocationRecord]:
        """See `ports.store.Store`."""
        return await self._ask(lambda conn: listings.allocations_of(conn, number))

    async def events(self, number: int, after_seq: int, limit: int) -> list[EventView]:
        """See `ports.store.Store`."""
        rows = await self._rows(
            "SELECT seq, time_ms, kind, text FROM event WHERE job = ? AND seq > ?"
            " ORDER BY seq LIMIT ?",
            (number, after_seq, limit),
        )
        return [EventView(*row) for row in rows]

    async def receipts(self, number: int, limit: int) -> list[Receipt]:
        """See `ports.store.Store`."""
        rows = await self._rows(
            "SELECT body FROM receipt WHERE job = ? ORDER BY cycle LIMIT ?", (number, limit)
        )
        return [_RECEIPT.decode(row[0]) for row in rows]

    async def post(self, epoch: int, drafts: Sequence[Draft], now_ms: int) -> list[Entry]:
        """See `ports.store.Store`."""
        return await self.write(epoch, lambda conn: books.append(conn, drafts, now_ms))

    async def balances(self) -> dict[str, int]:
        """See `ports.store.Store`."""
        return await self._ask(books.available_balances)

    async def ledger_verify(self) -> LedgerCheck:
        """See `ports.store.Store`."""
        return await self.read(books.verify)

    async def ledger_statement(self, account: str, from_ms: int, to_ms: int) -> Statement:
        """See `ports.store.Store`."""
        return await self.read(lambda conn: books.statement(conn, account, from_ms, to_ms))

    def ledger_entries(self) -> Generator[Entry]:
        """See `ports.store.Store`."""
        # A connection of its own: its transaction is open for as long as somebody reads.
        conn = self._connect()
        try:
            yield from books.entries(conn)
        except sqlite3.Error as error:
            raise translate(error) from error
        finally:
            conn.close()

    async def write(self, epoch: int, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction of its own on the one writer; for other rooms.

        Raises:
            StaleEpochError: another leader took over; `work` was not run.
            UnavailableError: the disk is full or the database is away; nothing was written.
        """
        act = ACTING.get()

        def fenced(conn: sqlite3.Connection) -> T:
            commits.check_epoch(conn, epoch)
            done = work(conn)
            audit.append(conn, act)
            return done

        return await self._writer.run(fenced)

    async def close(self) -> None:
        """See `ports.store.Store`."""
        await self._writer.close()
        for conn in self._readers:
            conn.close()
        self._readers.clear()
        crash_point("c19")

    def _take(self, count: int) -> int:
        """Reserve job numbers. Numbers of a submit that fails are never used again."""
        first: int = self._last_job + 1
        self._last_job += count
        return first

    async def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._ask(lambda conn: conn.execute(query, values).fetchall())

    def _reader(self) -> sqlite3.Connection:
        """Return this thread's reading connection."""
        conn: sqlite3.Connection | None = getattr(self._local, "conn", None)
        if conn is None:
            conn = self._local.conn = self._connect()
            self._readers.append(conn)
        return conn


class SqliteStore(SqlStore):
    """The embedded store on one file. Only one process may open it for writing."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Must be called inside a running event loop.

        Raises:
            UnavailableError: it cannot be opened.
            DamageError: it is of another version or no database.
        """
        self.path = path
        conn = connect(path)
        try:
            ensure_schema(conn, path)
        except FenglinError:
            conn.close()
            raise
        super().__init__(Writer(conn))

    async def read(self, work: Read[T]) -> T:
        """See `SqlStore`."""
        return await asyncio.to_thread(self._guard, work)

    def _connect(self) -> sqlite3.Connection:
        return connect(self.path, read_only=True)

    async def _ask(self, work: Read[T]) -> T:
        # The file is near: a short read takes less time than changing to another thread.
        return self._guard(work)

    def _guard(self, work: Read[T]) -> T:
        """Run a read; say a database error in our words."""
        try:
            return work(self._reader())
        except sqlite3.Error as error:
            raise translate(error) from error
