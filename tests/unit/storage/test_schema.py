"""Opening a file: ours at our version, or refused with a reason."""

import sqlite3
import stat

import pytest

from fenglin.errors import DamageError, FenglinError, UnavailableError
from fenglin.storage import schema
from fenglin.storage.schema import SCHEMA_VERSION, connect, ensure_schema


def opened(path):
    conn = connect(path)
    try:
        ensure_schema(conn, path)
    finally:
        conn.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.db"


def test_a_new_file_is_its_owners_and_opens_again(path):
    opened(path)
    opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_database(path):
    path.write_bytes(b"hello " * 1000)
    with pytest.raises(DamageError) as caught:
        opened(path)
    assert caught.value.where == str(path)


def test_another_programs_database(path):
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE theirs (x)")
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    conn.close()
    with pytest.raises(DamageError, match="not one of Fenglin's"):
        opened(path)


def test_another_version(path):
    opened(path)
    with sqlite3.connect(path) as conn:
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    conn.close()
    with pytest.raises(DamageError, match=f"version {SCHEMA_VERSION + 1}"):
        opened(path)


def rows(path, question):
    conn = sqlite3.connect(path)
    try:
        return conn.execute(question).fetchall()
    finally:
        conn.close()


def next_version(monkeypatch, *statements):
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, statements))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)


def test_an_old_file_is_copied_and_taken_forward(path, monkeypatch):
    opened(path)
    with sqlite3.connect(path) as conn:
        conn.execute("INSERT INTO meta VALUES ('a', 'b')")
    conn.close()
    next_version(monkeypatch, "CREATE TABLE late (x)", "INSERT INTO late VALUES (7)")

    opened(path)
    opened(path)

    assert rows(path, "SELECT x FROM late") == [(7,)]
    assert rows(path, "SELECT value FROM meta WHERE name = 'a'") == [("b",)]
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION + 1,)]
    copy = path.with_name(f"{path.name}.v{SCHEMA_VERSION}")
    assert rows(copy, "SELECT value FROM meta WHERE name = 'a'") == [("b",)]
    assert rows(copy, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_new_file_has_what_a_taken_forward_one_has(path, tmp_path, monkeypatch):
    opened(path)
    next_version(monkeypatch, "CREATE TABLE late (x)")
    opened(path)
    fresh = tmp_path / "fresh.db"
    opened(fresh)
    tables = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    assert rows(path, tables) == rows(fresh, tables)


def test_a_step_that_fails_changes_nothing(path, monkeypatch):
    opened(path)
    next_version(monkeypatch, "CREATE TABLE late (x)", "CREATE TABLE job (x)")
    with pytest.raises(FenglinError):
        opened(path)
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'late'") == []
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_what_cannot_be_opened(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "x.db"):
        with pytest.raises(UnavailableError):
            opened(path)


def test_a_reader_cannot_write(path):
    opened(path)
    conn = connect(path, read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        conn.execute("DELETE FROM job")
    conn.close()


NODE = "INSERT INTO node (site, name, cpu_milli, memory_bytes, disk_bytes, accelerator_milli"


def test_no_statement_brings_a_node_above_its_capacity(path):
    opened(path)
    conn = connect(path)
    conn.execute(f"{NODE}) VALUES ('s', 'n', 10, 10, 10, 10)")
    columns = ("cpu_used_milli", "memory_used_bytes", "disk_used_bytes", "accelerator_used_milli")
    for column in columns:
        conn.execute(f"UPDATE node SET {column} = 10")  # noqa: S608
        for value in (11, -1):
            with pytest.raises(sqlite3.IntegrityError):
                conn.execute(f"UPDATE node SET {column} = {value}")  # noqa: S608
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute(f"{NODE}, cpu_used_milli) VALUES ('s', 'm', 10, 10, 10, 10, 11)")
    # An operator may shrink a node under running tasks; then use only falls.
    conn.execute("UPDATE node SET cpu_milli = 5")
    conn.execute("UPDATE node SET cpu_used_milli = 8")
    with pytest.raises(sqlite3.IntegrityError):
        conn.execute("UPDATE node SET cpu_used_milli = 9")
    conn.close()
