"""Opening a file: ours at our version, or refused with a reason."""

import sqlite3
import stat

import pytest

from fenglin.errors import DamageError, UnavailableError
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
