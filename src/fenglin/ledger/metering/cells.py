"""Cells of accounting files: read exactly, or refused with what is wrong in them."""

from __future__ import annotations

import csv
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import TYPE_CHECKING

from fenglin.errors import InputError, InputProblems, Problem
from fenglin.ledger.metering.records import MOST_MS
from fenglin.model.ids import parse_attempt_key
from fenglin.quantities.money import MAX_MICRO
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_PROBLEMS = 100
MOST_NAME_CHARS = 512
MOST_TEXT_CHARS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - counterpart of local times, moved by an offset
_MS = timedelta(milliseconds=1)
_MINUTE_MS = 60_000
_LAST_MS = 253_402_300_799_999
# Longer numbers are no measurements, and slow to read.
_MOST_DIGITS = 40


class CellError(Exception):
    """What is wrong in one cell."""

    def __init__(self, column: str, what: str, hint: str = "") -> None:
        """Take the column's name, what is wrong in it, and what to do."""
        super().__init__(what)
        self.column = column
        self.what = what
        self.hint = hint


class Reading:
    """What is told of a file besides its records.

    Attributes:
        source: Name of the file, for messages.
        problems: What is wrong in it; then nothing of it counts.
        passed: Rows that are no record: what still runs, steps of jobs.
        places: Columns of a sheet, from 0.
    """

    def __init__(self, source: str) -> None:
        """Start with nothing wrong."""
        self.source = source
        self.problems: list[Problem] = []
        self.passed = 0
        self.places: dict[str, int] = {}

    def wrong(self, path: str, what: str, hint: str = "", *, line: int, column: int = 0) -> None:
        """Note a problem.

        Raises:
            InputProblems: there are enough of them.
        """
        self.problems.append(Problem(path, what, hint, line, column))
        if len(self.problems) >= MOST_PROBLEMS:
            self.check()

    def check(self) -> None:
        """Refuse the file if anything is wrong in it.

        Raises:
            InputProblems: says what.
        """
        if self.problems:
            raise InputProblems(self.source, tuple(self.problems))


class Row:
    """One row of a sheet, its cells by name of their column."""

    __slots__ = ("_cells", "_places")

    def __init__(self, places: dict[str, int], cells: Sequence[str]) -> None:
        """Take the places of the columns and the cells."""
        self._places = places
        self._cells = cells

    def get(self, column: str) -> str:
        """Return a cell; empty where the sheet has no such column."""
        place = self._places.get(column)
        return "" if place is None else self._cells[place]


def rows(
    lines: Iterable[str], reading: Reading, delimiter: str, needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, int], Row]]:
    """Yield (line, places of the columns, row) of a sheet whose first line names its columns.

    Raises:
        InputProblems: the first line lacks a column that is needed.
    """
    if delimiter == "|":
        # What Slurm prints has no quotes that would mean anything.
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    places: dict[str, int] = {}
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            reading.wrong("", f"the line cannot be read: {error}", line=reader.line_num)
            return
        if cells is None:
            break
        if not places:
            places = reading.places = _head(cells, needed, reading)
        elif len(cells) == len(places):
            yield reader.line_num, places, Row(places, cells)
        elif cells:
            what = f"{len(cells)} fields where the first line has {len(places)}"
            reading.wrong("", what, line=reader.line_num)
    if not places:
        reading.wrong("", "the file is empty", "its first line names the columns", line=1)
        reading.check()


def _head(cells: Sequence[str], needed: Sequence[str], reading: Reading) -> dict[str, int]:
    names = [cell.strip().removeprefix("\ufeff") for cell in cells]
    for name in needed:
        if name not in names:
            reading.wrong(name, f"the column {name} is missing", line=1)
    for place, name in enumerate(names):
        if name and name in names[:place]:
            reading.wrong(
                name, f"the column {shown(name)} is there twice", line=1, column=place + 1
            )
    reading.check()
    # A trailing delimiter makes a column without a name, which must count all the same.
    return {name or f" {place}": place for place, name in enumerate(names)}


def name(row: Row, column: str) -> str:
    """Return a name that is needed."""
    text = row.get(column)
    if not text or len(text) > MOST_NAME_CHARS or not text.isprintable():
        raise CellError(column, f"{shown(text)} is no name", "1 to 512 printable characters")
    return text


def words(row: Row, column: str) -> str:
    """Return a free text, cut and made safe to print."""
    text = row.get(column)[:MOST_TEXT_CHARS]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def attempt_of(text: str) -> str:
    """Return the attempt key that a tag is; empty for anything else."""
    if "-a" not in text or len(text) > MOST_NAME_CHARS:
        return ""
    try:
        parse_attempt_key(text)
    except InputError:
        return ""
    return text if text.isprintable() else ""


def moment_ms(row: Row, column: str, offset_min: int) -> int:
    """Return the Unix time of an ISO 8601 moment, or of whole seconds since 1970.

    Args:
        row: The row.
        column: Its column.
        offset_min: Minutes by which its clock is ahead of UTC, where it does not say.
    """
    text = row.get(column)
    try:
        if text.isascii() and text.isdigit() and 9 <= len(text) <= 12:
            found = int(text) * 1_000
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                found = (moment - _NAIVE) // _MS - offset_min * _MINUTE_MS
            else:
                found = (moment - _EPOCH) // _MS
    except ValueError:
        raise CellError(column, f"{shown(text)} is no moment", "2026-11-23T08:00:00") from None
    if not 0 < found <= _LAST_MS:
        raise CellError(column, f"{shown(text)} is out of range")
    return found


def scaled(row: Row, column: str, unit: int, most: int) -> int | None:
    """Return a number that is not negative, times a unit; None for an empty cell."""
    text = row.get(column)
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15:
        found = int(text) * unit
    else:
        found = _decimal(text, column, unit)
    if not 0 <= found <= most:
        raise CellError(column, f"{shown(text)} is out of range", "a number that is not negative")
    return found


def whole(row: Row, column: str, most: int) -> int | None:
    """Return a whole number that is not negative; None for an empty cell."""
    text = row.get(column)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise CellError(column, f"{shown(text)} is no whole number", "such as 1500")
    if int(text) > most:
        raise CellError(column, f"{shown(text)} is out of range", f"at most {most}")
    return int(text)


def money_micro(row: Row, column: str) -> int | None:
    """Return an amount in micro-units, rounded half to even; None for an empty cell."""
    text = row.get(column)
    if not text:
        return None
    found = _decimal(text, column, 1_000_000)
    if abs(found) > MAX_MICRO:
        raise CellError(column, f"{shown(text)} is out of range")
    return found


def currency(row: Row, column: str) -> str:
    """Return a currency that is needed."""
    text = row.get(column)
    if len(text) != 3 or not text.isascii() or not text.isalpha() or not text.isupper():
        raise CellError(column, f"{shown(text)} is no currency", "ISO 4217, such as CNY")
    return text


def wall_ms(row: Row, column: str) -> int | None:
    """Return whole or broken seconds as milliseconds; None for an empty cell."""
    return scaled(row, column, 1_000, MOST_MS)


def _decimal(text: str, column: str, unit: int) -> int:
    number = Decimal("NaN")
    if len(text) <= _MOST_DIGITS and text.isascii() and "_" not in text:
        with suppress(InvalidOperation):
            number = Decimal(text)
    if not number.is_finite() or number.adjusted() > 18:
        raise CellError(column, f"{shown(text)} is no number", "such as 12.5")
    return int((number * unit).to_integral_value(ROUND_HALF_EVEN))
