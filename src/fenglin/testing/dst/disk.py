"""A database in memory that outlives its hubs, and a disk whose moods come from a seed.

It keeps SQLite's promise: a commit that has returned is there for ever, one that has not is there
whole or not at all. The real transactions run, one after another, each at once; what is drawn is
when a commit reaches the disk, when its caller hears of it, and whether the disk refuses. A hub
that dies between the two leaves a commit that nobody was told of.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fenglin.errors import UnavailableError
from fenglin.storage.commits import check_epoch
from fenglin.storage.failures import translate
from fenglin.storage.restored import outlive
from fenglin.storage.schema import ensure_schema
from fenglin.storage.store import SqlStore
from fenglin.storage.writer import Writer
from fenglin.testing.dst.virtual import KilledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from fenglin.model.site import Site
    from fenglin.ports.store import Loaded
    from fenglin.storage.store import Read
    from fenglin.testing.dst.virtual import Process

T = TypeVar("T")
_WHERE = Path("memory")
# A commit takes up to this long on a good day, and its caller hears of it as much later.
MOST_COMMIT_S = 0.004


@functools.cache
def _empty() -> sqlite3.Connection:
    """Return a database without rows, made once: each run begins with a copy of it."""
    made = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    ensure_schema(made, _WHERE)
    return made


class Disk:
    """The database, and how the disk below it behaves now.

    Attributes:
        full: Every commit is refused.
        slow_s: A commit takes up to this much longer.
        refuse_next: So many commits are refused.
        epoch: Of the newest leader, as stored.
        commits: How many have happened.
        on_commit: Hears of each, with its process and the epoch that it wrote under.
    """

    def __init__(self, random: Random, hub: str) -> None:
        """Make an empty database whose names come from the seed."""
        self.random = random
        self.full = False
        self.slow_s = 0.0
        self.refuse_next = 0
        self.commits = 0
        self.on_commit: Callable[[Process], None] = lambda _process: None
        self.conn = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, cached_statements=512
        )
        self.conn.execute("PRAGMA foreign_keys = ON")
        _empty().backup(self.conn)
        # What the store would otherwise draw from the system.
        self.conn.executemany(
            "INSERT INTO meta (name, value) VALUES (?, ?)",
            [("hub", hub), ("ledger", f"{hub}-{random.getrandbits(64):016x}")],
        )

    def copy(self) -> sqlite3.Connection:
        """Return a backup of what is on the disk now; the caller closes it."""
        kept = sqlite3.connect(":memory:", isolation_level=None)
        self.conn.backup(kept)
        return kept

    def restore(self, kept: sqlite3.Connection, now_ms: int) -> None:
        """Put a backup in the place of the database, as `fenglin db restore` does."""
        kept.backup(self.conn)
        outlive(self.conn, now_ms)

    @property
    def epoch(self) -> int:
        """Return the epoch of the newest leader."""
        row = self.conn.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
        return int(row[0]) if row else 0


class DiskWriter(Writer):
    """The real writer's transactions, without its thread."""

    def __init__(self, disk: Disk, process: Process) -> None:
        """Take the database; nothing is queued."""
        self._conn = disk.conn
        self._where = "database"
        self._disk = disk
        self._process = process
        self._queue: deque[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]]
        self._queue = deque()
        self._closing = False
        self._busy = False
        self._loop = asyncio.get_running_loop()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See `Writer`."""
        if self._closing:
            raise UnavailableError("the store is closing", hint="retry in a moment")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append((work, future))
        if not self._busy:
            self._busy = True
            self._loop.call_later(self._delay_s(), self._turn)
        return await future

    async def close(self) -> None:
        """See `Writer`; a hub that is told to end has committed what it was asked to."""
        self._closing = True

    def _delay_s(self) -> float:
        disk = self._disk
        return disk.random.random() * (MOST_COMMIT_S + disk.slow_s)

    def _turn(self) -> None:
        """Commit what is queued; its callers hear of it later."""
        batch = [self._queue.popleft() for _ in range(len(self._queue))]
        disk = self._disk
        if disk.full or disk.refuse_next > 0:
            disk.refuse_next -= not disk.full
            error = UnavailableError("the disk is full; nothing was written", where="database")
            done: list[tuple[asyncio.Future[Any], Any, bool]]
            done = [(future, error, False) for _, future in batch]
        else:
            try:
                done = self._commit(batch)
            except KilledError:
                # As the next opening of the file does after a death inside a transaction.
                self._conn.execute("ROLLBACK")
                raise
            disk.commits += 1
            disk.on_commit(self._process)
        self._loop.call_later(self._delay_s(), self._tell, done)

    def _tell(self, done: list[tuple[asyncio.Future[Any], Any, bool]]) -> None:
        for future, value, good in done:
            if future.cancelled():
                continue
            if good:
                future.set_result(value)
            else:
                future.set_exception(value)
        self._busy = bool(self._queue)
        if self._busy:
            self._loop.call_later(self._delay_s(), self._turn)


class DiskStore(SqlStore):
    """The real store over that database. Fenced as the grown store is: any hub may try to lead."""

    def __init__(self, disk: Disk, process: Process) -> None:
        """Open it for one hub."""
        super().__init__(DiskWriter(disk, process))
        self._disk = disk
        self._epoch = 0

    async def load(self, sites: Sequence[Site], now_ms: int) -> Loaded:
        """See `ports.store.Store`."""
        loaded = await super().load(sites, now_ms)
        self._epoch = loaded.epoch
        return loaded

    async def read(self, work: Read[T]) -> T:
        """See `SqlStore`."""
        return await asyncio.to_thread(self._guard, work)

    async def _ask(self, work: Read[T]) -> T:
        return self._guard(work)

    def _guard(self, work: Read[T]) -> T:
        try:
            return work(self._disk.conn)
        except sqlite3.Error as error:
            raise translate(error) from error

    def _connect(self) -> sqlite3.Connection:
        return self._disk.conn

    def _still_leads(self, conn: sqlite3.Connection) -> None:
        if self._epoch:
            check_epoch(conn, self._epoch)
