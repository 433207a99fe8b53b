"""What a database can tell of its own health, without any hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.storage import books, schema
from fenglin.storage.dialect import statements

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

# What holds between rows whatever a hub does; each query finds those that break it.
_RULES = {
    "an allocation lives whose job has ended or is missing": """\
SELECT number FROM allocation WHERE state <> 'ended' AND NOT EXISTS (
    SELECT 1 FROM job WHERE job.number = allocation.job AND job.ended_ms = 0)""",
    "a hold is open although the use of its attempt is final": """\
SELECT hold.seq FROM ledger_entry AS hold JOIN usage ON hold.key = 'hold:' || usage.attempt
WHERE NOT EXISTS (SELECT 1 FROM ledger_entry AS done
    WHERE done.attempt = hold.attempt AND done.kind IN ('post', 'void'))""",
    "a job's parent is missing": """\
SELECT child FROM job_parent WHERE NOT EXISTS (
    SELECT 1 FROM job WHERE job.number = job_parent.parent)""",
}


def problems(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield what is wrong with a database of this version, in words; nothing when all is well.

    Args:
        conn: A reading connection, outside a transaction.
    """
    if not hasattr(conn, "statements"):
        for (line,) in conn.execute("PRAGMA integrity_check").fetchall():
            if line != "ok":
                yield f"the file is damaged: {line}"
    yield from _guards(conn)
    ledger = books.verify(conn)
    if not ledger.ok:
        place = f"ledger, entry {ledger.first_bad_seq}" if ledger.first_bad_seq else "ledger"
        yield f"{place}: {ledger.problem}"
    for what, query in _RULES.items():
        row = conn.execute(f"{query} LIMIT 1").fetchone()
        if row is not None:
            yield f"{what}: {row[0]}"


def _guards(conn: sqlite3.Connection) -> Iterator[str]:
    """Yield the triggers that are gone or altered; verification finds those of the ledger."""
    there = statements(conn)
    for name, statement in schema.triggers().items():
        if statement not in there and not name.startswith("ledger_"):
            yield f"the database's guard is gone or altered: {name}"
