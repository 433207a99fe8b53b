"""Reads price lists in SkyPilot's format (`vms.csv`): whole columns at a time, bounded memory.

Each distinct text is understood once: a dictionary per column turns cells into integers at the
speed of a look-up, so that a row costs about two microseconds. Only rows that hold something
wrong are looked at one by one.
"""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fenglin.catalog.offers.columns import (
    ACCELERATOR,
    BAD,
    COUNT,
    EMPTY,
    INSTANCE,
    PRICE,
    PROVIDER,
    REGION,
    SPOT,
    Codes,
    Ints,
    Sheet,
    parse_micro,
)
from fenglin.errors import InputProblems, Problem
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CHUNK_ROWS = 8_192
MAX_PROBLEMS = 1_000
MAX_NAME_CHARS = 200
MAX_KNOWN_TEXTS = 100_000
NAME_COLUMNS = ("cloud", "Region", "AvailabilityZone", "InstanceType", "AcceleratorName")
AMOUNT_COLUMNS = ("AcceleratorCount", "vCPUs", "MemoryGiB", "Price", "SpotPrice")
_MAY_LACK = frozenset({"cloud", "AvailabilityZone"})
_LIST_HINT = "a price list has the columns of SkyPilot's vms.csv"

Row = list[str]


class _Names(dict[str, int]):
    """Text → code of a name; `BAD` for a text that is none; the empty text is code 0."""

    def __init__(self) -> None:
        super().__init__({"": 0})
        self.known = [""]

    def __missing__(self, text: str) -> int:
        name = text.strip()
        if not name.isprintable() or len(name) > MAX_NAME_CHARS:
            return BAD
        code = self.get(name, len(self.known))
        if code == len(self.known):
            self.known.append(name)
            self[name] = code
        self[text] = code
        return code


class _Amounts(dict[str, int]):
    """Text → millionths; `BAD` for a text that is no amount."""

    def __init__(self) -> None:
        super().__init__({"": EMPTY})
        self.rounded: set[str] = set()

    def __missing__(self, text: str) -> int:
        if not text.strip():
            value = EMPTY
        else:
            read = parse_micro(text)
            value = BAD if read is None else read[0]
            if read is not None and read[1]:
                self.rounded.add(text)
        self[text] = value
        return value

    def forget_if_many(self) -> None:
        """Forget all when there are many, so that memory stays bounded; between chunks only."""
        if len(self) > MAX_KNOWN_TEXTS:
            self.clear()
            self.rounded.clear()


class _Reader:
    """One list while it is read."""

    def __init__(self, header: Row, provider: str, source: str) -> None:
        self.provider = provider.strip().lower()
        self.source = source
        self.width = len(header)
        self.place = {name: header.index(name) for name in header}
        self.names = [_Names() for _ in NAME_COLUMNS]
        amounts, prices = _Amounts(), _Amounts()
        self.amounts = [amounts, amounts, amounts, prices, prices]
        self.codes: list[Codes] = []
        self.values: list[Ints] = []
        self.problems: list[Problem] = []
        self.bad = 0
        self.rounded = 0

    def take(self, rows: list[Row], lines: Sequence[int]) -> None:
        """Add a chunk of rows, leaving out those that are wrong."""
        if set(map(len, rows)) != {self.width}:
            self._wrong_width(rows, lines)
            keep = [i for i, row in enumerate(rows) if len(row) == self.width]
            rows, lines = [rows[i] for i in keep], [lines[i] for i in keep]
        if not rows:
            return
        columns = list(zip(*rows, strict=True))
        codes = np.array([self._codes(i, columns, len(rows)) for i in range(len(NAME_COLUMNS))])
        values = np.array([self._values(i, columns, len(rows)) for i in range(len(AMOUNT_COLUMNS))])
        wrong = (
            (codes == BAD).any(axis=0)
            | (values == BAD).any(axis=0)
            | (codes[PROVIDER] == 0)
            | (codes[REGION] == 0)
            | ((codes[INSTANCE] == 0) & (codes[ACCELERATOR] == 0))
            | ((codes[ACCELERATOR] == 0) != (values[COUNT] <= 0))
        )
        for i in np.flatnonzero(wrong).tolist():
            self._wrong_row(rows[i], lines[i], codes[:, i], values[:, i])
        self._count_rounded(columns, wrong)
        self.codes.append(codes[:, ~wrong])
        self.values.append(values[:, ~wrong])
        for known in self.amounts:
            known.forget_if_many()

    def _codes(self, kind: int, columns: list[tuple[str, ...]], rows: int) -> Codes:
        """Return the codes of one kind of name."""
        names, place = self.names[kind], self.place.get(NAME_COLUMNS[kind])
        if kind == PROVIDER and self.provider:
            return np.full(rows, names[self.provider], dtype=np.int32)
        if place is None:
            return np.zeros(rows, dtype=np.int32)
        return np.fromiter(map(names.__getitem__, columns[place]), dtype=np.int32, count=rows)

    def _values(self, kind: int, columns: list[tuple[str, ...]], rows: int) -> Ints:
        """Return one kind of amount."""
        cells = columns[self.place[AMOUNT_COLUMNS[kind]]]
        return np.fromiter(map(self.amounts[kind].__getitem__, cells), dtype=np.int64, count=rows)

    def _count_rounded(self, columns: list[tuple[str, ...]], wrong: np.ndarray) -> None:
        """Count the prices of the kept rows that were finer than a millionth."""
        for kind in (PRICE, SPOT):
            known = self.amounts[kind].rounded
            if known:
                cells = columns[self.place[AMOUNT_COLUMNS[kind]]]
                self.rounded += sum(
                    text in known and not left for text, left in zip(cells, wrong, strict=True)
                )

    def _wrong_width(self, rows: list[Row], lines: Sequence[int]) -> None:
        """Report rows with too few or too many fields; blank lines are no rows."""
        for row, line in zip(rows, lines, strict=True):
            if row and len(row) != self.width:
                what = f"{len(row)} fields where the header has {self.width}"
                self._report(Problem("", what, _LIST_HINT, line, min(len(row), self.width)))
                self.bad += 1

    def _wrong_row(self, row: Row, line: int, codes: Codes, values: Ints) -> None:
        """Report everything that is wrong in one row."""
        self.bad += 1
        for kind, column in enumerate(NAME_COLUMNS):
            if codes[kind] == BAD:
                self._cell(row, line, column, "is not a name", "printable, at most 200 characters")
        for kind, column in enumerate(AMOUNT_COLUMNS):
            if values[kind] == BAD:
                self._cell(row, line, column, "is not an amount", "0 or more, such as 0.526")
        if codes[PROVIDER] == 0:
            self._cell(row, line, "cloud", "names no provider", "or say whose the list is")
        if codes[REGION] == 0:
            self._cell(row, line, "Region", "names no region", "")
        if codes[INSTANCE] == 0 and codes[ACCELERATOR] == 0:
            self._cell(row, line, "InstanceType", "names neither a machine nor a card", "")
        if values[COUNT] != BAD and (codes[ACCELERATOR] == 0) != (values[COUNT] <= 0):
            self._cell(row, line, "AcceleratorCount", "does not go with its AcceleratorName", "")

    def _cell(self, row: Row, line: int, column: str, what: str, hint: str) -> None:
        """Report one cell by the name of its column and its number in the line, from 1."""
        place = self.place.get(column)
        text = row[place] if place is not None else ""
        number = 0 if place is None else place + 1
        self._report(Problem(column, f"{shown(text)} {what}", hint, line, number))

    def _report(self, problem: Problem) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def sheet(self) -> Sheet:
        """Return what was read."""
        codes = self.codes or [np.zeros((len(NAME_COLUMNS), 0), dtype=np.int32)]
        values = self.values or [np.zeros((len(AMOUNT_COLUMNS), 0), dtype=np.int64)]
        return Sheet(
            source=self.source,
            codes=np.concatenate(codes, axis=1),
            names=tuple(tuple(names.known) for names in self.names),
            amounts=np.concatenate(values, axis=1),
            rounded=self.rounded,
            bad=self.bad,
            problems=tuple(
                f"{self.source}:{p.line}:{p.column}: {p.path + ': ' if p.path else ''}{p.what}"
                for p in self.problems
            ),
        )


def read_skypilot_csv(
    text: str | Iterable[str], provider: str, source: str, *, strict: bool = True
) -> Sheet:
    """Return the rows of a price list.

    Args:
        text: The list, whole or as lines with their ends. Lines are read one by one, so that a
            list of any length needs little more memory than its columns.
        provider: Whose list it is; empty when its own `cloud` column says so.
        source: Name of the file, for messages.
        strict: Whether one bad row refuses the list. Otherwise bad rows are left out, counted
            and named in the result.

    Raises:
        InputProblems: it is no such list, or, if strict, every bad row with line and column (the
            number of the field). Nothing is kept of a list that is refused. A list that breaks
            off within quotes is refused either way, since nobody knows what is missing.
    """
    lines = io.StringIO(text, newline="") if isinstance(text, str) else text
    table = csv.reader(lines, strict=True)
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(table, [])]
        _check_header(header, provider, source)
        reader = _Reader(header, provider, source)
        for rows, places in _chunks(table):
            reader.take(rows, places)
    except csv.Error as error:
        problem = Problem("", f"no CSV: {error}", "is the file cut short?", table.line_num, 1)
        raise InputProblems(source, (problem,)) from error
    if strict and reader.bad:
        problems = reader.problems
        if len(problems) == MAX_PROBLEMS:
            problems.append(Problem("", f"{reader.bad} bad rows in all, the first ones shown"))
        raise InputProblems(source, tuple(problems))
    return reader.sheet()


def _check_header(header: Row, provider: str, source: str) -> None:
    """Refuse a list that lacks columns or has one twice."""
    wanted = [n for n in (*NAME_COLUMNS, *AMOUNT_COLUMNS) if n not in _MAY_LACK]
    if not provider:
        wanted.insert(0, "cloud")
    lacking = [
        Problem(name, "there is no such column", _LIST_HINT, 1, 1)
        for name in wanted
        if name not in header
    ]
    twice = [
        Problem(name, "there are two such columns", _LIST_HINT, 1, header.index(name) + 1)
        for name in (*NAME_COLUMNS, *AMOUNT_COLUMNS)
        if header.count(name) > 1
    ]
    if lacking or twice:
        raise InputProblems(source, (*lacking, *twice))


def _chunks(table: Iterator[Row]) -> Iterator[tuple[list[Row], Sequence[int]]]:
    """Yield rows in chunks, and for each row the line in which it begins."""
    before: int = table.line_num  # type: ignore[attr-defined]
    while rows := list(islice(table, CHUNK_ROWS)):
        after: int = table.line_num  # type: ignore[attr-defined]
        lines: Sequence[int] = range(before + 1, before + 1 + len(rows))
        if after - before != len(rows):
            lines = _spanning(rows, before)
        yield rows, lines
        before = after


def _spanning(rows: list[Row], before: int) -> list[int]:
    """Return the lines in which rows begin, when quoted fields hold line ends."""
    lines = []
    for row in rows:
        lines.append(before + 1)
        before += 1 + sum(cell.count("\n") for cell in row)
    return lines
