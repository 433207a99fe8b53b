"""Values of one cell of a table, from CSV (texts) or from Parquet (typed)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TypeAlias

Cell: TypeAlias = str | int | float | datetime | None
# Sums of times and of amounts stay far from the end of 64 bits.
LARGEST = 10**12

_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "nat"})


class BadCell(Exception):  # noqa: N818 - not an error that leaves this room
    """A cell that cannot be used; its text becomes the name of a finding."""


def number(cell: Cell, name: str, most: int = LARGEST) -> float | None:
    """Return a number; None where nothing is told.

    Raises:
        BadCell: it is no number of reasonable size.
    """
    if cell is None or (isinstance(cell, str) and cell.strip().casefold() in _MISSING):
        return None
    if isinstance(cell, datetime):
        raise BadCell(f"{name} is no number of reasonable size")
    try:
        value = float(cell)
    except (ValueError, TypeError, OverflowError):
        raise BadCell(f"{name} is no number of reasonable size") from None
    if math.isnan(value):
        return None
    if not -most <= value <= most:
        raise BadCell(f"{name} is no number of reasonable size")
    return value


def amount(cell: Cell, name: str, most: int = LARGEST) -> float:
    """Return a number that is not negative; 0 where nothing is told.

    Raises:
        BadCell: it is no such number.
    """
    value = number(cell, name, most) or 0.0
    if value < 0:
        raise BadCell(f"{name} is negative")
    return value


def count(cell: Cell, name: str, most: int = LARGEST) -> int:
    """Return a whole number that is not negative; 0 where nothing is told.

    Raises:
        BadCell: it is no such number.
    """
    value = amount(cell, name, most)
    if not value.is_integer():
        raise BadCell(f"{name} is no whole number")
    return int(value)


def duration_ms(cell: Cell, name: str, unit_s: float = 1.0) -> int:
    """Return milliseconds; -1 where nothing is told.

    Raises:
        BadCell: it is no number.
    """
    value = number(cell, name)
    return -1 if value is None else round(value * unit_s * 1_000)


def moment_ms(cell: Cell, name: str) -> int | None:
    """Return a moment given in seconds or as a date with a time; None where nothing is told.

    A date without a zone is taken as UTC.

    Raises:
        BadCell: it is neither.
    """
    if isinstance(cell, str):
        try:
            value = number(cell, name)
        except BadCell:
            try:
                cell = datetime.fromisoformat(cell.strip())
            except ValueError:
                raise BadCell(f"{name} is no moment") from None
        else:
            return None if value is None else round(value * 1_000)
    if isinstance(cell, datetime):
        aware = cell if cell.tzinfo else cell.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1_000)
    value = number(cell, name)
    return None if value is None else round(value * 1_000)


def submission_ms(cell: Cell, name: str) -> int:
    """Return the moment of a submission.

    Raises:
        BadCell: it is not told, or no moment.
    """
    moment = moment_ms(cell, name)
    if moment is None:
        raise BadCell(f"no {name}")
    return moment


def text(cell: Cell) -> str:
    """Return a text; empty where nothing is told."""
    if cell is None:
        return ""
    word = str(cell).strip()
    return "" if word.casefold() in _MISSING else word
