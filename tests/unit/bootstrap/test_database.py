"""`fenglin db`: what is copied is the same, what is wrong is found, and nothing is done half."""

import asyncio
import contextlib
import json
import sqlite3

import pytest

from fenglin.bootstrap import database
from fenglin.bootstrap.database import Place
from fenglin.cli import main
from fenglin.daemon import owned
from fenglin.errors import ConflictError, DamageError, InputError, NotFoundError
from fenglin.ledger.posting import grant
from fenglin.storage import migrations, schema
from fenglin.storage.postgres.store import PostgresStore
from fenglin.storage.restored import LEAST_STEP
from fenglin.storage.schema import connect
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import a_site
from fenglin.testing.servers.postgres import PostgresServer, find_postgres

NOW_MS = 1_700_000_000_000
SITES = (a_site(cpu=4, nodes=2),)


def fill(path):
    """Give a new file something of its own."""

    async def work():
        store = SqliteStore(path)
        try:
            epoch = (await store.load(SITES, NOW_MS)).epoch
            drafts = [grant(f"lab{n}", 10 + n, str(n)) for n in range(1_500)]
            await store.post(epoch, drafts, NOW_MS)
        finally:
            await store.close()

    asyncio.run(work())


def loaded(opened):
    async def work():
        store = opened()
        try:
            found = await store.load(SITES, NOW_MS)
            await store.post(found.epoch, [grant("new", 1, "new")], NOW_MS + 1)
            check = await store.ledger_verify()
            return found, check, await store.balances()
        finally:
            await store.close()

    return asyncio.run(work())


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    fill(folder / "fenglin.db")
    return Place(folder, "")


@pytest.fixture(scope="module")
def server():
    if why := find_postgres():
        pytest.skip(why)
    with PostgresServer() as made:
        yield made


def sql(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        return conn.execute(statement).fetchall()


def test_a_backup_is_the_same_and_is_restored(place, tmp_path):
    copy = tmp_path / "copy.db"
    made = database.backup(place, copy)
    assert made.before == made.after
    assert {one.table: one.rows for one in made.tables}["ledger_entry"] == 1_501
    assert copy.stat().st_mode & 0o077 == 0
    (epoch,) = sql(copy, "SELECT value FROM meta WHERE name = 'epoch'")
    assert epoch == ("1",)

    other = Place(tmp_path / "other", "")
    database.restore(other, copy)
    found, check, balances = loaded(lambda: SqliteStore(other.file))
    # Above whatever was in use after the backup (F3), and no number is given out again.
    assert found.epoch > LEAST_STEP
    assert found.next_allocation > LEAST_STEP
    assert check.ok
    assert check.entries == 1_502
    assert balances["lab7"] == 17
    with pytest.raises(ConflictError, match="exists"):
        database.restore(other, copy)
    with pytest.raises(ConflictError, match="exists"):
        database.backup(place, copy)


def test_an_older_backup_is_taken_forward(place, tmp_path, monkeypatch):
    copy = tmp_path / "copy.db"
    database.backup(place, copy)
    late = ("CREATE TABLE late (x INTEGER PRIMARY KEY) STRICT",)
    steps, version = (*migrations.STEPS, late), migrations.SCHEMA_VERSION + 1
    for module in (migrations, schema):
        monkeypatch.setattr(module, "STEPS", steps)
        monkeypatch.setattr(module, "SCHEMA_VERSION", version)
    with pytest.raises(ConflictError, match="fenglin db migrate"):
        database.backup(place, tmp_path / "again.db")
    made = database.restore(Place(tmp_path / "other", ""), copy)
    assert made.tables[-1].table == "late"
    assert sql(copy, "PRAGMA user_version") == [(version - 1,)]
    assert database.migrate(place) == (version - 1, version)
    assert database.migrate(place) == (version, version)


def test_a_spoiled_ledger_is_not_copied(place, tmp_path):
    sql(place.file, "DROP TRIGGER ledger_entry_no_update")
    sql(place.file, "UPDATE ledger_entry SET memo = 'x' WHERE seq = 700")
    with pytest.raises(DamageError, match="not in order"):
        database.backup(place, tmp_path / "copy.db")
    assert list(tmp_path.glob("copy*")) == []
    found = database.check(place)
    assert len(found) == 1
    assert "700" in found[0]


def test_check_finds_a_guard_that_is_gone_and_rows_that_cannot_be(place):
    assert database.check(place) == []
    sql(place.file, "DROP TRIGGER node_capacity")
    sql(place.file, "INSERT INTO job_parent VALUES (8, 9)")
    assert database.check(place) == [
        "the database's guard is gone or altered: node_capacity",
        "a job's parent is missing: 8",
    ]


def test_what_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="no database"):
        database.backup(Place(tmp_path, ""), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_runs_is_not_moved_from_under_itself(place):
    with owned(place.folder, "hub"), pytest.raises(ConflictError, match="another hub"):
        database.move(place, "postgresql://nobody/none")


@pytest.mark.slow
def test_a_file_moves_to_postgresql_and_comes_back(place, server, tmp_path, capsys):
    url = server.database()
    words = ["db", "move", "--to", url, "--data", str(place.folder), "-o", "json"]
    assert main(words) == 0, capsys.readouterr()
    made = json.loads(capsys.readouterr().out)
    assert made["before"] == made["after"]
    assert not place.file.exists()
    assert place.file.with_name("fenglin.db.moved").exists()
    there = Place(place.folder, url)
    assert database.check(there) == []
    found, check, balances = loaded(lambda: PostgresStore(url))
    assert (found.epoch, check.ok, check.entries) == (2, True, 1_502)
    assert balances["lab7"] == 17
    with pytest.raises(ConflictError, match="in use"):
        database.restore(there, place.file.with_name("fenglin.db.moved"))
    with pytest.raises(InputError, match="already"):
        database.move(there, url)

    copy = tmp_path / "copy.db"
    made = database.backup(there, copy)
    again = server.database()
    back = database.restore(Place(place.folder, again), copy)
    assert [one[:2] for one in back.tables] == [one[:2] for one in made.tables]
    assert database.check(Place(place.folder, again)) == []


@pytest.mark.slow
def test_what_does_not_arrive_as_it_was_is_not_kept(place, server):
    with contextlib.closing(connect(place.file)) as conn:
        conn.execute("INSERT INTO label VALUES ('a' || char(0), 'b', 1)")
    url = server.database()
    with pytest.raises(DamageError, match="table label"):
        database.move(place, url)
    assert place.file.exists()
    assert server.sql("SELECT count(*) FROM job", url.rpartition("/")[2]) == [(0,)]
    assert server.sql("SELECT count(*) FROM ledger_entry", url.rpartition("/")[2]) == [(0,)]
