"""The tables in PostgreSQL: made from the statements that make them in SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import DamageError
from fenglin.ports.crashpoint import crash_point
from fenglin.storage import migrations, schema
from fenglin.storage.dialect import FUNCTIONS, ddl
from fenglin.storage.postgres.connection import MARKS

if TYPE_CHECKING:
    from fenglin.storage.postgres.connection import PostgresConnection

# One at a time makes or changes tables; any number of ours.
_LOCK = "SELECT pg_advisory_xact_lock(7015331642)"
LEASE = """CREATE TABLE leader_lease (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    holder TEXT NOT NULL, address TEXT NOT NULL, term BIGINT NOT NULL,
    expires TIMESTAMPTZ NOT NULL)"""
# What PostgreSQL alone has, made with version 1.
OWN: tuple[str, ...] = (
    *FUNCTIONS,
    """CREATE TABLE schema_version (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one), version BIGINT NOT NULL)""",
    MARKS,
    LEASE,
    "INSERT INTO leader_lease (holder, address, term, expires) VALUES ('', '', 0, '-infinity')",
)


def ensure_schema(conn: PostgresConnection, where: str) -> None:
    """Make the tables of an empty database, or take those of an older version forward.

    All of it in one transaction. Only one hub does it; others wait and find it done.

    Args:
        conn: One that may write.
        where: Names the database in errors, without a password.

    Raises:
        DamageError: a newer version wrote it, or the tables are another program's.
        sqlite3.Error: the database refused.
    """
    conn.execute("BEGIN")
    try:
        conn.raw(_LOCK)
        version = stored_version(conn)
        if version is None:
            _refuse_strangers(conn, where)
        else:
            _check_version(version, where)
        if version != migrations.SCHEMA_VERSION:
            _migrate(conn, version or 0)
    except BaseException:
        if conn.in_transaction:
            conn.raw("ROLLBACK")
        raise
    conn.raw("COMMIT")


def stored_version(conn: PostgresConnection) -> int | None:
    """Return the version of the tables that are there; None without ours."""
    if conn.raw("SELECT to_regclass('schema_version')").fetchone() == (None,):
        return None
    row = conn.raw("SELECT version FROM schema_version").fetchone()
    return int(row[0]) if row else None


def tables(conn: PostgresConnection) -> list[str]:
    """Return the names of the tables in the schema that is ours."""
    rows = conn.raw(
        "SELECT c.relname FROM pg_class AS c WHERE c.relkind = 'r'"
        " AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname"
    )
    return [name for (name,) in rows]


def _refuse_strangers(conn: PostgresConnection, where: str) -> None:
    others = tables(conn)
    if others:
        raise DamageError(
            f"this is a database, but not one of Fenglin's: it has a table {others[0]!r}",
            where=where,
            hint="make an empty database for the hub",
        )


def _check_version(version: int, where: str) -> None:
    first, last = migrations.FIRST_VERSION, migrations.SCHEMA_VERSION
    if not first <= version <= last:
        raise DamageError(
            f"schema version {version}, this program knows {first} to {last}",
            where=where,
            hint="use the program version that wrote it, or a newer one",
        )


def _migrate(conn: PostgresConnection, version: int) -> None:
    if version < migrations.FIRST_VERSION:
        for statement in OWN:
            conn.raw(statement)
        for statement in schema.SCHEMA:
            _make(conn, statement)
    for step in migrations.STEPS[max(0, version - migrations.FIRST_VERSION) :]:
        for statement in step:
            _make(conn, statement)
    conn.raw(
        "INSERT INTO schema_version (version) VALUES ($1)"
        " ON CONFLICT (one) DO UPDATE SET version = excluded.version",
        (migrations.SCHEMA_VERSION,),
    )


def _make(conn: PostgresConnection, statement: str) -> None:
    for part in ddl(statement):
        conn.raw(part)
    crash_point("c14")
