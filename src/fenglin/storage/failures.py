"""What the database refuses, in our words: what passes with time, and what no retry can help."""

from __future__ import annotations

import sqlite3

from fenglin.errors import DamageError, FenglinError, StaleEpochError, UnavailableError

_PRIMARY = 0xFF
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class UnknownOutcomeError(sqlite3.OperationalError):
    """Nobody can say whether a commit happened: the server went away in it and stayed away."""


def translate(error: sqlite3.Error, where: str = "database") -> FenglinError:
    """Return the error to raise in the place of the database's own.

    Args:
        error: What the database raised.
        where: The file, or what was being done.
    """
    if isinstance(error, UnknownOutcomeError):
        # What this hub believes may be wrong: only a hub that reads everything anew may go on.
        return StaleEpochError(str(error), where=where, hint="ask again with the same key")
    # The low byte is the kind; the rest tells it more closely. Errors of the module have none.
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_FULL:
        return UnavailableError(
            "the disk is full; nothing was written",
            where=where,
            hint="free some space; the hub goes on by itself",
        )
    if code in _DAMAGED:
        return DamageError(
            f"the database is damaged: {error}", where=where, hint="restore it from a backup"
        )
    if isinstance(error, sqlite3.OperationalError):
        return UnavailableError(
            f"the database refused: {error}",
            where=where,
            hint="check that it runs, its disk and its permissions",
        )
    # A constraint that holds against us, or a statement that cannot be: never right by waiting.
    return DamageError(
        f"the database refused a row: {error}",
        where=where,
        hint="this is a fault of Fenglin or of the data; please report it",
    )
