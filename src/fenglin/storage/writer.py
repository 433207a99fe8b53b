"""The one writing connection, on a thread of its own, with group commit.

Whatever is queued while a commit is on its way to the disk shares the next one. Each piece of
work runs in a savepoint, so that one that fails does not take its neighbours down. Only when
the commit itself fails do all of its pieces fail, and nothing of them is on disk.

Pieces of one kind that stand beside each other may be done as one, with as many statements as of
a single one; when that fails they are done one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fenglin.errors import UnavailableError
from fenglin.storage.failures import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.errors import FenglinError

T = TypeVar("T")
S = TypeVar("S")
Work = tuple["Callable[[sqlite3.Connection], Any]", "asyncio.Future[Any]"]
Done = tuple["asyncio.Future[Any]", Any, bool]
MOST_PER_COMMIT = 2_000


@dataclass(frozen=True, slots=True)
class _Part:
    """One of many that may be done together.

    Attributes:
        kind: Does any number of them; answers each by its value or by why it is refused.
        item: What to do it with.
    """

    kind: Callable[[sqlite3.Connection, list[Any]], list[Any]]
    item: object

    def __call__(self, conn: sqlite3.Connection) -> object:
        (done,) = self.kind(conn, [self.item])
        if isinstance(done, Exception):
            raise done
        return done


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

    async def run_together(
        self,
        kind: Callable[[sqlite3.Connection, list[S]], Sequence[T | FenglinError]],
        item: S,
    ) -> T:
        """Run `kind` with this item and those that wait beside it; see `run`.

        Args:
            kind: Answers each item by its value or its refusal, which must have written nothing.
                The same callable for all that may be done together.
            item: What to do.
        """
        return cast("T", await self.run(_Part(kind, item)))  # type: ignore[arg-type]

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

    def _commit(self, batch: list[Work]) -> list[Done]:
        conn = self._conn
        results: list[Done] = []
        groups = _grouped(batch)
        try:
            conn.execute("BEGIN IMMEDIATE")
            if len(batch) == 1:
                ((work, future),) = batch
                results.append((future, work(conn), True))
            else:
                for group in groups:
                    results += self._do(group)
            conn.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            if conn.in_transaction:
                # When even this fails, the next BEGIN does too, and says why to whoever asks.
                with contextlib.suppress(sqlite3.Error):
                    conn.execute("ROLLBACK")
            refusal = self._translate(error)
            return [(future, refusal, False) for _, future in batch]
        return results

    def _do(self, group: list[Work]) -> list[Done]:
        """Do pieces that may be done as one, one by one where that fails.

        Raises:
            Exception: the transaction is lost.
        """
        conn = self._conn
        conn.execute("SAVEPOINT piece")
        try:
            done = _done_as_one(conn, group)
        except Exception as error:
            if not conn.in_transaction:
                raise
            conn.execute("ROLLBACK TO piece")
            done = [(group[0][1], self._translate(error), False)] if len(group) == 1 else []
        conn.execute("RELEASE piece")
        return done or [one for piece in group for one in self._do([piece])]

    def _translate(self, error: Exception) -> Exception:
        """Say in our words what the database said in its own."""
        return translate(error, self._where) if isinstance(error, sqlite3.Error) else error


def _grouped(batch: list[Work]) -> list[list[Work]]:
    """Return the pieces in their order, those that may be done as one together."""
    groups: list[list[Work]] = []
    for piece in batch:
        before = groups[-1][0][0] if groups else None
        work = piece[0]
        if isinstance(work, _Part) and isinstance(before, _Part) and work.kind == before.kind:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _done_as_one(conn: sqlite3.Connection, group: list[Work]) -> list[Done]:
    first, future = group[0]
    if not isinstance(first, _Part):
        return [(future, first(conn), True)]
    found = first.kind(conn, [cast("_Part", work).item for work, _ in group])
    return [
        (future, value, not isinstance(value, Exception))
        for (_, future), value in zip(group, found, strict=True)
    ]


def _settle(done: list[Done]) -> None:
    for future, value, good in done:
        if future.cancelled():
            continue
        if good:
            future.set_result(value)
        else:
            future.set_exception(value)
