"""The writer: many per commit, each for itself, and all or none of a commit."""

import asyncio
import sqlite3
import threading

import pytest

from fenglin.errors import ConflictError, DamageError, UnavailableError
from fenglin.storage.schema import connect
from fenglin.storage.writer import Writer


class Faulty:
    """A connection that fails at a statement, as often as it is told to."""

    def __init__(self, conn):
        self._conn = conn
        self.fail_at = ""
        self.code = sqlite3.SQLITE_FULL
        self.commits = 0

    def execute(self, statement, *values):
        if self.fail_at and statement.startswith(self.fail_at):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = self.code
            raise error
        self.commits += statement == "COMMIT"
        return self._conn.execute(statement, *values)

    def executemany(self, statement, rows):
        return self._conn.executemany(statement, rows)

    @property
    def in_transaction(self):
        return self._conn.in_transaction

    def close(self):
        self._conn.close()


@pytest.fixture
def play(tmp_path):
    """Run a scene with a writer on a table `t`; returns its answer and the table's rows."""

    def run(scene):
        async def inner():
            conn = connect(tmp_path / "t.db")
            conn.execute("CREATE TABLE t (x INTEGER PRIMARY KEY) STRICT")
            faulty = Faulty(conn)
            writer = Writer(faulty)
            try:
                return await scene(writer, faulty)
            finally:
                await writer.close()

        answer = asyncio.run(inner())
        with sqlite3.connect(tmp_path / "t.db") as conn:
            rows = [x for (x,) in conn.execute("SELECT x FROM t ORDER BY x")]
        conn.close()
        return answer, rows

    return run


def put(x):
    return lambda conn: conn.execute("INSERT INTO t VALUES (?)", (x,)).lastrowid


def fail(error, x):
    def work(conn):
        put(x)(conn)
        raise error

    return work


async def gather(writer, *works, meanwhile=lambda: None, ask=Writer.run):
    """Queue works while the thread is busy, so that they share a commit."""
    begun, gate = threading.Event(), threading.Event()

    def hold_up(_):
        begun.set()
        gate.wait(10)

    first = asyncio.ensure_future(writer.run(hold_up))
    await asyncio.to_thread(begun.wait, 10)
    rest = [asyncio.ensure_future(ask(writer, work)) for work in works]
    await asyncio.sleep(0)
    meanwhile()
    gate.set()
    await asyncio.gather(first, return_exceptions=True)
    return await asyncio.gather(*rest, return_exceptions=True)


def test_a_failing_piece_takes_no_neighbour_down(play):
    async def scene(writer, faulty):
        found = await gather(
            writer, put(1), fail(ConflictError("no"), 2), fail(KeyError("bug"), 3), put(1), put(4)
        )
        return found, faulty.commits

    (found, commits), rows = play(scene)
    assert commits == 2  # one for the gate, one for all the rest
    assert (found[0], found[4]) == (1, 4)
    assert [type(error) for error in found[1:4]] == [ConflictError, KeyError, DamageError]
    assert rows == [1, 4]


@pytest.mark.parametrize("at", ["COMMIT", "BEGIN", "RELEASE"])
def test_a_failing_commit_fails_all_and_writes_nothing(play, at):
    async def scene(writer, faulty):
        def break_it():
            faulty.fail_at = at

        found = await gather(writer, *(put(x) for x in range(3)), meanwhile=break_it)
        faulty.fail_at = ""
        return found, await writer.run(put(9))

    (found, after), rows = play(scene)
    assert all(isinstance(error, UnavailableError) for error in found)
    assert "the disk is full" in str(found[0])
    assert after == 9  # it goes on by itself
    assert rows == [9]


def test_even_a_failing_rollback_leaves_a_writer_that_answers(play):
    async def scene(writer, faulty):
        faulty.fail_at = "RO"  # both ROLLBACK and ROLLBACK TO
        with pytest.raises(ConflictError):
            await writer.run(fail(ConflictError("no"), 1))
        with pytest.raises(UnavailableError):
            await writer.run(put(2))
        faulty.fail_at = ""
        with pytest.raises(UnavailableError):
            await writer.run(put(3))
        return await writer.run(put(4))

    assert play(scene) == (4, [4])


def put_all(conn, numbers):
    """Put many numbers at once; 3 is refused alone, and two at once from 10 on are too many."""
    if len([x for x in numbers if x >= 10]) > 1:
        conn.execute("INSERT INTO t VALUES (99)")
        raise KeyError("bug")
    conn.executemany("INSERT INTO t VALUES (?)", [(x,) for x in numbers if x != 3])
    return [ConflictError("no") if x == 3 else x * 2 for x in numbers]


@pytest.mark.parametrize(
    ("numbers", "calls"), [([1, 2, 3, 4], [[1, 2, 3, 4]]), ([10, 11], [[10, 11], [10], [11]])]
)
def test_pieces_of_a_kind_are_done_as_one_or_one_by_one(play, numbers, calls):
    seen = []

    def kind(conn, some):
        seen.append(list(some))
        return put_all(conn, some)

    async def scene(writer, _faulty):
        return await gather(writer, *numbers, ask=lambda writer, x: writer.run_together(kind, x))

    found, rows = play(scene)
    assert seen == calls
    assert rows == [x for x in numbers if x != 3]
    assert [x if isinstance(x, int) else type(x) for x in found] == [
        ConflictError if x == 3 else x * 2 for x in numbers
    ]


def test_other_work_between_pieces_of_a_kind_keeps_its_place(play):
    seen = []

    def kind(_conn, some):
        seen.append(list(some))
        return list(some)

    def ask(writer, work):
        return writer.run(work) if callable(work) else writer.run_together(kind, work)

    async def scene(writer, _faulty):
        return await gather(writer, 1, 2, lambda _: seen.append("other"), 3, ask=ask)

    assert play(scene)[0] == [1, 2, None, 3]
    assert seen == [[1, 2], "other", [3]]


def test_a_really_full_database(play):
    async def scene(writer, _faulty):
        def fill(conn):
            conn.execute("CREATE TABLE big (b BLOB)")
            pages = conn.execute("PRAGMA page_count").fetchone()[0]
            conn.execute(f"PRAGMA max_page_count = {pages + 2}")

        await writer.run(fill)
        with pytest.raises(UnavailableError) as caught:
            await writer.run(
                lambda conn: conn.execute("INSERT INTO big VALUES (zeroblob(1000000))")
            )
        return str(caught.value), await writer.run(put(5))

    (text, _), rows = play(scene)
    assert "the disk is full" in text
    assert rows == [5]


def test_who_stops_waiting_undoes_nothing(play):
    async def scene(writer, _faulty):
        gate = threading.Event()
        first = asyncio.ensure_future(writer.run(lambda _: gate.wait(10)))
        await asyncio.sleep(0)
        left = asyncio.ensure_future(writer.run(put(7)))
        await asyncio.sleep(0)
        left.cancel()
        gate.set()
        await first
        return await writer.run(put(8))

    assert play(scene) == (8, [7, 8])


def test_closing_finishes_what_is_queued_and_takes_no_more(play):
    async def scene(writer, _faulty):
        waiting = [asyncio.ensure_future(writer.run(put(x))) for x in range(50)]
        await asyncio.sleep(0)
        await writer.close()
        await writer.close()
        with pytest.raises(UnavailableError, match="closing"):
            await writer.run(put(99))
        return await asyncio.gather(*waiting)

    found, rows = play(scene)
    assert found[1:] == list(range(1, 50))
    assert rows == list(range(50))
