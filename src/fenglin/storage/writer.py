"""The one writing connection, on a thread of its own, with group commit.

Whatever is queued while a commit is on its way to the disk shares the next one. Each piece of
work runs in a savepoint, so that one that fails does not take its neighbours down. Only when
the commit itself fails do all of its pieces fail, and nothing of them is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from fenglin.errors import UnavailableError
from fenglin.storage.failures import translate

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Work = tuple["Callable[[sqlite3.Connection], Any]", "asyncio.Future[Any]"]
MOST_PER_COMMIT = 2_000


class Writer:
    """Runs whole-transaction functions one after another, many per commit."""

    def __init__(self, conn: sqlite3.Connection, where: str = "database") -> None:
        """Take the connection over; nothing else may write. `where` names it in errors."""
        self._conn = conn
        self._where = where
        self._queue: deque[Work] = deque()
        self._ready = threading.Condition()
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="fenglin-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction and return its result once that is on disk.

        A caller that is cancelled while waiting does not undo the work.

        Raises:
            UnavailableError: the store is closing, or the disk refused; nothing was written.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._ready:
            if self._closing:
                raise UnavailableError("the store is closing", hint="retry in a moment")
            self._queue.append((work, future))
            if len(self._queue) == 1:
                self._ready.notify()
        return await future

    async def close(self) -> None:
        """Finish what is queued, then close the connection. Idempotent."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                done = self._commit(batch)
                self._loop.call_soon_threadsafe(_settle, done)
        finally:
            with self._ready:
                self._closing = True
            self._conn.close()

    def _next_batch(self) -> list[Work]:
        """Wait for work and take it; nothing when closing and all is done."""
        with self._ready:
            while not self._queue and not self._closing:
                self._ready.wait()
            return [self._queue.popleft() for _ in range(min(len(self._queue), MOST_PER_COMMIT))]

    def _commit(self, batch: list[Work]) -> list[tuple[asyncio.Future[Any], Any, bool]]:
        conn = self._conn
        results: list[tuple[asyncio.Future[Any], Any, bool]] = []
        try:
            conn.execute("BEGIN IMMEDIATE")
            for work, future in batch:
                conn.execute("SAVEPOINT piece")
                try:
                    value = work(conn)
                except Exception as error:
                    if not conn.in_transaction:
                        raise
                    conn.execute("ROLLBACK TO piece")
                    results.append((future, self._translate(error), False))
                else:
                    results.append((future, value, True))
                conn.execute("RELEASE piece")
            conn.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            if conn.in_transaction:
                # When even this fails, the next BEGIN does too, and says why to whoever asks.
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
            refusal = self._translate(error)
            return [(future, refusal, False) for _, future in batch]
        return results

    def _translate(self, error: Exception) -> Exception:
        """Say in our words what the database said in its own."""
        return translate(error, self._where) if isinstance(error, sqlite3.Error) else error


def _settle(done: list[tuple[asyncio.Future[Any], Any, bool]]) -> None:
    for future, value, good in done:
        if future.cancelled():
            continue
        if good:
            future.set_result(value)
        else:
            future.set_exception(value)
