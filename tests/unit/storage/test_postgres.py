"""What PostgreSQL does otherwise than SQLite: sessions that break, guards, types, two leaders."""

import asyncio
import contextlib
import sqlite3

import psycopg
import pytest

from fenglin.errors import DamageError, StaleEpochError, UnavailableError
from fenglin.ledger.posting import Hold, grant, hold, void
from fenglin.ports.store import SubmitRequest
from fenglin.storage import books, migrations
from fenglin.storage.ledger_schema import LEDGER_GUARDS
from fenglin.storage.postgres import connection
from fenglin.storage.postgres.connection import PostgresConnection
from fenglin.storage.postgres.lease import Lease
from fenglin.storage.postgres.store import PostgresStore, open_database, shown
from fenglin.storage.schema import triggers
from fenglin.testing.builders import a_job, a_site

NOW_MS = 1_700_000_000_000
SITES = (a_site(cpu=4, nodes=2),)
WIDE_MS = 60_000

pytestmark = pytest.mark.slow


@pytest.fixture
def url(database_of_its_own):
    return database_of_its_own


@pytest.fixture
def conn(url):
    with contextlib.closing(PostgresConnection(url)) as made:
        yield made


def cut(conn, name="%"):
    """End the sessions of others, as a server that fails or a firewall would."""
    conn.raw(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
        " current_database() AND pid <> pg_backend_pid() AND application_name LIKE $1",
        (name,),
    )


def test_values_come_back_as_from_sqlite(conn):
    conn.raw("CREATE TABLE v (i BIGINT, b BYTEA, t TEXT)")
    row = (2**63 - 1, b"\x00\xff", "饮水 \U0001f980")
    conn.execute("INSERT INTO v VALUES (?, ?, ?)", row)
    conn.execute("INSERT INTO v VALUES (?, ?, ?)", (True, None, "x"))
    (found, other) = conn.execute("SELECT i, b, t FROM v ORDER BY i DESC").fetchall()
    assert found == row
    assert [type(value) for value in found] == [int, bytes, str]
    assert other == (1, None, "x")
    assert conn.execute("SELECT SUM(i - 1), 1 = 2, ? FROM v", ("y",)).fetchone() == (
        2**63 - 2, 0, "y",
    )  # fmt: skip
    with pytest.raises(OverflowError):
        conn.execute("SELECT ?", (2**63,))


def test_errors_are_those_of_sqlite(conn):
    conn.raw("CREATE TABLE e (i BIGINT PRIMARY KEY)")
    conn.execute("INSERT INTO e VALUES (?)", (1,))
    with pytest.raises(sqlite3.IntegrityError, match="duplicate key"):
        conn.execute("INSERT INTO e VALUES (?)", (1,))
    with pytest.raises(sqlite3.IntegrityError, match=r"^ours$"):
        conn.execute("SELECT refuse('ours')")
    with pytest.raises(sqlite3.ProgrammingError):
        conn.execute("SELECT nothing")


def test_the_number_of_the_last_row(conn):
    conn.execute("CREATE TABLE n (number INTEGER PRIMARY KEY, t TEXT) STRICT")
    numbers = [conn.execute("INSERT INTO n (t) VALUES (?)", (t,)).lastrowid for t in "ab"]
    assert numbers == [1, 2]


def test_a_long_read_is_one_state_some_rows_at_a_time(conn, url):
    conn.raw("CREATE TABLE r AS SELECT generate_series(1, 2500)::bigint AS i")
    with contextlib.closing(PostgresConnection(url, read_only=True)) as reader:
        reader.execute("BEGIN")
        rows = reader.execute("SELECT i FROM r WHERE i > ? ORDER BY i", (0,))
        first = rows.fetchone(), rows.fetchmany(2)
        conn.raw("DELETE FROM r")
        inner = reader.execute("SELECT COUNT(*) FROM r").fetchone()
        rest = [i for (i,) in rows]
        reader.execute("ROLLBACK")
        assert first == ((1,), [(2,), (3,)])
        assert inner == (2500,)
        assert rest == list(range(4, 2501))
        assert reader.execute("SELECT COUNT(*) FROM r").fetchone() == (0,)
        with pytest.raises(sqlite3.Error, match="read-only"):
            reader.execute("DELETE FROM r")


@pytest.fixture
def play(url):
    """Run a scene with a loaded store and a second way into the database."""

    def run(scene):
        async def inner():
            store = PostgresStore(url)
            try:
                loaded = await store.load(SITES, NOW_MS)
                with contextlib.closing(PostgresConnection(url, name="second")) as other:
                    return await scene(store, loaded.epoch, other)
            finally:
                await store.close()

        return asyncio.run(inner())

    return run


def test_broken_sessions_are_opened_again(play):
    async def scene(store, epoch, other):
        await store.balances()
        cut(other)
        before = await store.balances()
        with pytest.raises(UnavailableError, match="postgresql://"):
            await store.post(epoch, [grant("lab", 5, "k")], NOW_MS)
        await store.post(epoch, [grant("lab", 5, "k")], NOW_MS)
        return before, await store.balances()

    assert play(scene) == ({}, {"lab": 5})


@pytest.mark.parametrize("committed", [True, False])
def test_a_connection_that_breaks_in_commit(play, monkeypatch, committed):
    """The answer got lost, or the commit did: the mark tells which."""
    real = PostgresConnection._commit_now

    def broken(conn):
        if committed:
            real(conn)
        conn._conn.close()
        raise sqlite3.OperationalError("the server closed the connection unexpectedly")

    async def scene(store, epoch, _other):
        monkeypatch.setattr(PostgresConnection, "_commit_now", broken)
        task = store.post(epoch, [grant("lab", 5, "k")], NOW_MS)
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        monkeypatch.undo()
        return outcome, await store.balances()

    outcome, balances = play(scene)
    if committed:
        assert [entry.key for entry in outcome] == ["grant:k"]
        assert balances == {"lab": 5}
    else:
        assert isinstance(outcome, UnavailableError)
        assert not isinstance(outcome, StaleEpochError)
        assert balances == {}


def test_a_commit_that_nobody_can_ask_after_ends_this_hub(play, monkeypatch):
    def broken(conn):
        conn._url = "postgresql://nobody@127.0.0.1:1/none"
        conn._conn.close()
        raise sqlite3.OperationalError("gone")

    async def scene(store, epoch, _other):
        monkeypatch.setattr(PostgresConnection, "_commit_now", broken)
        monkeypatch.setattr(connection, "RESOLVE_WITHIN_S", 0.3)
        with pytest.raises(StaleEpochError, match="unknown"):
            await store.post(epoch, [grant("lab", 5, "k")], NOW_MS)

    play(scene)


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE ledger_leg DISABLE TRIGGER ledger_leg_no_update",
        "DROP TRIGGER ledger_entry_no_delete_all ON ledger_entry",
        "DROP INDEX ledger_resolved_once",
        """CREATE OR REPLACE FUNCTION on_ledger_entry_check() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RETURN NEW; END $$""",
    ],
)
def test_verification_misses_a_guard(play, harm):
    async def scene(store, _epoch, other):
        before = await store.ledger_verify()
        other.raw(harm)
        return before, await store.ledger_verify()

    before, after = play(scene)
    assert before.ok, before.problem
    assert not after.ok
    assert "guard is gone or altered" in after.problem


def test_what_guards_the_ledger_reads_no_whole_table(play):
    """Plans of triggers are kept from when the tables were empty."""

    async def scene(store, epoch, other):
        for at in range(8):
            drafts = [grant("default", 1, f"key-{at}-{n}") for n in range(50)]
            await store.post(epoch, drafts, NOW_MS + at)
        await store.write(
            epoch, lambda conn: conn.execute("SELECT pg_stat_force_next_flush()").fetchone()
        )
        rows = other.raw(
            "SELECT relname, seq_tup_read FROM pg_stat_user_tables"
            " WHERE relname IN ('ledger_entry', 'ledger_leg')"
        )
        return dict(rows.fetchall())

    read = play(scene)
    assert set(read) == {"ledger_entry", "ledger_leg"}
    # By the old way 50 x 8 entries read tens of thousands of rows.
    assert max(read.values()) < 1_000


def index_rows(conn, index):
    """Return how many entries of an index were read so far."""
    (read,) = conn.raw(
        "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1", (index,)
    ).fetchone()
    return read


def test_a_few_keys_and_holds_are_found_among_many_without_reading_the_rest(play):
    """The statistics of a table that grows fast are of when it was small."""
    many, few = 2_000, 4

    async def scene(store, epoch, other):
        async def flushed():
            await store.write(
                epoch, lambda conn: conn.execute("SELECT pg_stat_force_next_flush()").fetchone()
            )

        def a_submit(key):
            return SubmitRequest([a_job()], [b"{}"], "ann", key, b"", NOW_MS)

        await asyncio.gather(*(store.submit(a_submit(f"k{at}")) for at in range(many)))
        await store.post(epoch, [grant("lab", many, "g")], NOW_MS)
        await store.post(epoch, [hold("lab", 1, f"a{at}") for at in range(many)], NOW_MS)
        await flushed()
        before = [index_rows(other, name) for name in ("idempotency_pkey", "ledger_leg_pkey")]
        again = await asyncio.gather(*(store.submit(a_submit(f"k{at}")) for at in range(few)))
        ends = [void(Hold(f"a{at}", "lab", "CNY", 1, 0)) for at in range(few)]
        await store.post(epoch, ends, NOW_MS + 1)
        await flushed()
        after = [index_rows(other, name) for name in ("idempotency_pkey", "ledger_leg_pkey")]
        assert all(answer[0].repeated for answer, _ in again)
        return [end - start for start, end in zip(before, after, strict=True)]

    assert max(play(scene)) < many / 10


def trips(monkeypatch):
    """Return the statements that go to the server from now on, each as it goes."""
    sent = []
    real = psycopg.RawCursor.execute

    def noted(cursor, query, *more, **named):
        sent.append(query)
        return real(cursor, query, *more, **named)

    monkeypatch.setattr(psycopg.RawCursor, "execute", noted)
    return sent


@pytest.fixture
def table(conn):
    conn.raw("CREATE TABLE t (i BIGINT PRIMARY KEY, b BYTEA, s TEXT)")
    return conn


def test_what_begins_a_write_goes_with_its_first_statement(table, monkeypatch):
    sent = trips(monkeypatch)
    for statement in ("BEGIN IMMEDIATE", "SAVEPOINT piece"):
        table.execute(statement)
    assert table.in_transaction
    assert sent == []
    assert table.execute("SELECT count(*) FROM t").fetchone() == (0,)
    table.execute("INSERT INTO t VALUES (?, ?, ?)", (1, b"", "x"))
    table.execute("RELEASE piece")
    table.execute("COMMIT")
    assert not table.in_transaction
    assert [text.partition(" ")[0] for text in sent] == ["BEGIN;", "INSERT", "RELEASE"]
    assert sent[0].endswith("SAVEPOINT piece; SELECT count(*) FROM t")
    assert sent[-1] == "RELEASE piece; COMMIT"
    assert table.execute("SELECT i FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_a_write_that_did_nothing_is_never_sent(table, monkeypatch, end):
    sent = trips(monkeypatch)
    for statement in ("BEGIN IMMEDIATE", "SAVEPOINT piece", "ROLLBACK TO piece", end):
        table.execute(statement)
    assert not table.in_transaction
    assert sent == []


def test_what_failed_is_undone_up_to_its_savepoint(table):
    put = "INSERT INTO t VALUES (?, ?, ?)"
    table.execute("BEGIN IMMEDIATE")
    for number, fails in ((1, False), (1, True), (2, False)):
        table.execute("SAVEPOINT piece")
        if fails:
            # One fails at the server, as the first after the savepoint; one never gets there.
            with pytest.raises(sqlite3.IntegrityError):
                table.execute(put, (number, b"", "x"))
            table.execute("ROLLBACK TO piece")
            table.execute("RELEASE piece")
            table.execute("SAVEPOINT piece")
            table.execute("ROLLBACK TO piece")
        else:
            table.execute(put, (number, b"", "x"))
        table.execute("RELEASE piece")
    table.execute("COMMIT")
    assert table.execute("SELECT i FROM t ORDER BY i").fetchall() == [(1,), (2,)]


def test_many_rows_of_values_go_in_few_statements(table, monkeypatch):
    sent = trips(monkeypatch)
    rows = [(at, None if at % 3 else b"\x00", None if at % 2 else "\u98de") for at in range(1_003)]
    put = "INSERT INTO t (i, b, s) VALUES (?, ?, ?)"
    assert table.executemany(put, iter(rows)).rowcount == 1_003
    assert len(sent) == 1_003 // 512 + (1_003 % 512).bit_count()
    assert table.execute("SELECT i, b, s FROM t ORDER BY i").fetchall() == rows
    # A row that is there, or comes twice, is left out where the statement says so.
    ignoring = "INSERT OR IGNORE INTO t (i, b, s) VALUES (?, ?, ?)"
    again = [(1_003, b"", "x"), (1_003, b"", "y"), (7, b"", "z")]
    assert table.executemany(ignoring, again).rowcount == 1
    with pytest.raises(sqlite3.IntegrityError):
        table.executemany(put, [(2_000, None, None), (7, None, None)])
    assert table.executemany(put, []).rowcount <= 0
    assert table.execute("SELECT count(*), max(s) FROM t").fetchone() == (1_004, "\u98de")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entry SET memo = 'x'",
        "DELETE FROM ledger_leg",
        "TRUNCATE ledger_entry CASCADE",
        "UPDATE node SET cpu_used_milli = cpu_milli + 1",
    ],
)
def test_the_database_itself_refuses(play, statement):
    async def scene(store, epoch, other):
        await store.post(epoch, [grant("lab", 5, "k")], NOW_MS)
        with pytest.raises(sqlite3.IntegrityError):
            other.raw(statement)

    play(scene)


def test_all_guards_of_a_new_database_are_in_place(conn):
    assert conn.statements() == {*LEDGER_GUARDS, *triggers().values()}


def test_an_older_database_is_taken_forward_once(conn, url, monkeypatch):
    conn.execute("INSERT INTO meta VALUES ('a', 'b')")
    steps = (*migrations.STEPS, ("CREATE TABLE late (x INTEGER) STRICT",))
    version = migrations.SCHEMA_VERSION
    monkeypatch.setattr(migrations, "STEPS", steps)
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", version + 1)
    for _ in range(2):
        open_database(url).close()
    assert conn.raw("SELECT version FROM schema_version").fetchall() == [(version + 1,)]
    assert conn.execute("SELECT value FROM meta WHERE name = 'a'").fetchone() == ("b",)
    monkeypatch.undo()
    with pytest.raises(DamageError, match=f"version {version + 1}"):
        open_database(url)


def test_a_step_that_fails_changes_nothing(conn, url, monkeypatch):
    broken = ("CREATE TABLE late (x INTEGER) STRICT", "CREATE TABLE job (x INTEGER) STRICT")
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, broken))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", migrations.SCHEMA_VERSION + 1)
    with pytest.raises(DamageError):
        open_database(url)
    assert conn.raw("SELECT to_regclass('late')").fetchone() == (None,)


def test_another_programs_database_is_left_alone(postgres):
    url = postgres.database()
    postgres.sql("CREATE TABLE theirs (x int)", url.rpartition("/")[2])
    with pytest.raises(DamageError, match="'theirs'"):
        open_database(url)


def test_a_server_that_is_away():
    with pytest.raises(UnavailableError, match=r"postgresql://me@127\.0\.0\.1:1/x"):
        open_database("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in shown("postgresql://me:secret@h/x?password=secret")


# --- who leads ------------------------------------------------------------------------------


@pytest.fixture
def hubs(url):
    """Return a function that makes one hub's hand on the lease."""
    made = []

    def hub(name, ttl_ms=WIDE_MS):
        made.append(Lease(url, name, f"http://{name}", ttl_ms))
        return made[-1]

    yield hub
    for lease in made:
        lease.close()


def test_one_leads_until_it_lets_go(hubs):
    one, two = hubs("one"), hubs("two")
    term = one.take()
    assert two.take() is None
    assert two.leader() == "http://one"
    one.release(term)
    assert two.leader() == ""
    assert two.take().number == term.number + 1
    with pytest.raises(StaleEpochError):
        one.renew(term)


def test_a_lease_ends_by_the_clock_of_the_database_alone(hubs, conn):
    one, two = hubs("one"), hubs("two")
    first = one.take()
    conn.raw("UPDATE leader_lease SET expires = clock_timestamp() - interval '1 second'")
    one.renew(first)
    assert two.take() is None
    conn.raw("UPDATE leader_lease SET expires = clock_timestamp() - interval '1 second'")
    assert two.take().number == first.number + 1
    with pytest.raises(StaleEpochError, match="another hub"):
        one.renew(first)


def test_who_slept_between_lease_and_epoch_raises_nothing(hubs, url, conn):
    async def load(term):
        store = PostgresStore(url, term)
        try:
            return (await store.load(SITES, NOW_MS)).epoch
        finally:
            await store.close()

    sleeper = hubs("one").take()
    conn.raw("UPDATE leader_lease SET expires = '-infinity'")
    leader = hubs("two").take()
    epoch = asyncio.run(load(leader))
    with pytest.raises(StaleEpochError, match="lease"):
        asyncio.run(load(sleeper))
    assert asyncio.run(load(leader)) == epoch + 1


def test_the_leader_that_was_writes_nothing_more(hubs, url, conn, desk_of):
    """Its transaction stands open when another takes over: that one ends it, and goes on."""

    async def scene():
        old = PostgresStore(url, hubs("one").take())
        try:
            epoch = (await old.load(SITES, NOW_MS)).epoch
            asleep, wake = asyncio.Event(), asyncio.Event()
            loop = asyncio.get_running_loop()

            def sleep_in(other):
                books.append(other, [grant("lab", 5, "k")], NOW_MS)
                loop.call_soon_threadsafe(asleep.set)
                asyncio.run_coroutine_threadsafe(wake.wait(), loop).result(30)

            writing = asyncio.ensure_future(old.write(epoch, sleep_in))
            await asleep.wait()
            conn.raw("UPDATE leader_lease SET expires = '-infinity'")
            new = PostgresStore(url, hubs("two").take())
            try:
                loaded = await new.load(SITES, NOW_MS)
                wake.set()
                late = (await asyncio.gather(writing, return_exceptions=True))[0]
                refused = await asyncio.gather(
                    old.post(epoch, [grant("lab", 5, "k")], NOW_MS),
                    desk_of(old).job(),
                    return_exceptions=True,
                )
                return epoch, loaded.epoch, late, refused, await new.balances()
            finally:
                await new.close()
        finally:
            await old.close()

    before, after, late, refused, balances = asyncio.run(scene())
    assert after == before + 1
    assert isinstance(late, UnavailableError)
    assert [type(error) for error in refused] == [StaleEpochError] * 2
    assert balances == {}
