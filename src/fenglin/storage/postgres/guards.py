"""Whether the triggers and indexes that guard the tables are in place, unaltered and enabled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fenglin.storage.dialect import ddl, trigger_body, trigger_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.storage.postgres.connection import PostgresConnection

_INDEX = re.compile(
    r"CREATE (UNIQUE )?INDEX (\w+)\s+ON\s+(\w+) \(([^)]*)\)(?:\s+WHERE\s+(.*))?$", re.DOTALL
)
_IN = re.compile(r"(\w+) IN \(([^)]*)\)")
_ENDS = re.compile(r"substr\((\w+), -(\d+)\) = ('[^']*')")
_TRIGGERS = """\
SELECT t.tgname, c.relname, t.tgenabled::text, p.prosrc, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace"""
_INDEXES = """\
SELECT c.relname, i.indisvalid, pg_get_indexdef(i.indexrelid)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace"""


def in_place(conn: PostgresConnection, guards: Iterable[str]) -> set[str]:
    """Return those of the statements whose trigger or index is there as the statement makes it.

    Args:
        conn: Any connection.
        guards: Statements for SQLite, as our schema has them.
    """
    schema = str(conn.raw("SELECT current_schema()").fetchone()[0])  # type: ignore[index]
    triggers = {row[0]: row[1:] for row in conn.raw(_TRIGGERS)}
    indexes = {row[0]: row[1:] for row in conn.raw(_INDEXES)}
    return {
        guard
        for guard in guards
        if (
            _trigger_stands(guard, triggers, schema)
            if guard.startswith("CREATE TRIGGER")
            else _index_stands(guard, indexes, schema)
        )
    }


def _trigger_stands(guard: str, there: dict[str, tuple[object, ...]], schema: str) -> bool:
    name, table, moment = trigger_parts(guard)
    body = trigger_body(guard)
    wanted = {name: f"CREATE TRIGGER {name} {moment} ON {schema}.{table} FOR EACH ROW"}
    if len(ddl(guard)) > 2:
        wanted[f"{name}_all"] = (
            f"CREATE TRIGGER {name}_all BEFORE TRUNCATE ON {schema}.{table} FOR EACH STATEMENT"
        )
    return all(
        there.get(one) == (table, "O", body, f"{text} EXECUTE FUNCTION on_{name}()")
        for one, text in wanted.items()
    )


def _index_stands(guard: str, there: dict[str, tuple[object, ...]], schema: str) -> bool:
    found = _INDEX.match(guard)
    if found is None:
        raise ValueError(f"an index of an unknown shape: {guard}")
    unique, name, table, columns, condition = found.groups()
    text = f"CREATE {unique or ''}INDEX {name} ON {schema}.{table} USING btree ({columns})"
    if condition:
        said = _ENDS.sub(r'"right"(\1, \2) = \3::text', _IN.sub(_any, condition))
        text += f" WHERE ({said})"
    return there.get(name) == (1, text)


def _any(found: re.Match[str]) -> str:
    """Return `x IN ('a', 'b')` as PostgreSQL writes it back."""
    values = ", ".join(f"{value.strip()}::text" for value in found[2].split(","))
    return f"{found[1]} = ANY (ARRAY[{values}])"
