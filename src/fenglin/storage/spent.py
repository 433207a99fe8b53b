"""What queues have used, decayed: one row, rewritten with each change that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fenglin.errors import DamageError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

_NAME = "spent"


class _Spent(msgspec.Struct):
    """The stored form."""

    at_ms: int
    queues: dict[str, int]


def write_spent(conn: sqlite3.Connection, spent_ms: Mapping[str, int], at_ms: int) -> None:
    """Store decayed use by queue, as it was at that time."""
    body = msgspec.json.encode(_Spent(at_ms, dict(spent_ms))).decode()
    conn.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_NAME, body),
    )


def read_spent(conn: sqlite3.Connection) -> tuple[dict[str, int], int]:
    """Return decayed use by queue and when it was so; ({}, 0) when none was ever stored.

    Raises:
        DamageError: the row is unreadable.
    """
    row = conn.execute("SELECT value FROM meta WHERE name = ?", (_NAME,)).fetchone()
    if row is None:
        return {}, 0
    try:
        found = msgspec.json.decode(row[0], type=_Spent)
    except msgspec.MsgspecError as error:
        raise DamageError(
            f"the past use of queues is unreadable: {error}",
            where="database",
            hint="restore it from a backup",
        ) from error
    return found.queues, found.at_ms
