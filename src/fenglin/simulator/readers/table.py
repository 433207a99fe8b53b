"""Tables in CSV (plain or gzip) and in Parquet, row by row, a piece at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fenglin.errors import InputError, UnavailableError
from fenglin.simulator.readers.cells import Cell
from fenglin.simulator.readers.lines import PARQUET, first_bytes, numbered_lines
from fenglin.simulator.trace import Findings

if TYPE_CHECKING:
    import types

Row: TypeAlias = tuple[int, tuple[Cell, ...]]

_BATCH_ROWS = 16_384


class Table:
    """The rows of a file with named columns.

    Args:
        path: The file.
        header: Names of the columns of a CSV file that has no line for them.
    """

    def __init__(self, path: Path, header: Sequence[str] = ()) -> None:
        self.path = path
        self.is_parquet = first_bytes(path, len(PARQUET)) == PARQUET
        self._headless = bool(header) and not self.is_parquet
        if self.is_parquet:
            self.columns = _schema(path)
        else:
            self.columns = tuple(header) or _head(path)

    @property
    def unit(self) -> str:
        """What the places of rows count."""
        return "row" if self.is_parquet else "line"

    def need(self, columns: Sequence[str]) -> None:
        """Refuse a table that lacks columns.

        Raises:
            InputError: it does; all of them are named.
        """
        missing = [name for name in columns if name not in self.columns]
        if missing:
            raise InputError(
                f"missing columns: {', '.join(missing)}",
                where=str(self.path),
                hint=f"needed are {', '.join(columns)}",
            )

    def rows(self, names: Sequence[str], findings: Findings) -> Iterator[Row]:
        """Yield places and cells in the order of the names; None for a column that is not there."""
        if self.is_parquet:
            yield from _parquet_rows(self.path, self.columns, names)
        else:
            yield from self._csv_rows(names, findings)

    def _csv_rows(self, names: Sequence[str], findings: Findings) -> Iterator[Row]:
        """Yield the rows of a CSV file; what is no row becomes a finding."""
        width = len(self.columns)
        places = [self.columns.index(name) if name in self.columns else width for name in names]
        pick = itemgetter(*places)
        seen_head = self._headless
        for line, words in numbered_lines(self.path, findings):
            if not words.strip():
                continue
            if not seen_head:
                seen_head = True
                continue
            cells = _cells(words)
            if cells is None:
                findings.add("broken quoting", [line])
            elif self._headless and tuple(cells) == self.columns:
                continue
            elif len(cells) != width:
                findings.add("another number of fields than the header has", [line])
            else:
                cells.append(None)
                yield line, pick(cells) if len(places) > 1 else (pick(cells),)


def _cells(line: str) -> list[Cell] | None:
    """Return the fields of one line; None when its quotes are broken.

    Each line stands for itself, so that one stray quote cannot swallow the lines behind it.
    """
    if '"' not in line:
        return [*line.split(",")]
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error:
        return None
    return [*rows[0]]


def _head(path: Path) -> tuple[str, ...]:
    """Return the names in the first line of a CSV file that is not empty."""
    for _, line in numbered_lines(path, Findings(path.name)):
        cells = _cells(line.removeprefix("\ufeff"))
        names = tuple(str(cell).strip() for cell in cells or ())
        if any(names):
            return names
    return ()


def polars(path: Path) -> types.ModuleType:
    """Return Polars, which is slow to load and an extra.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        import polars as pl  # noqa: PLC0415 - see above
    except ImportError:
        raise UnavailableError(
            "Parquet needs the extra `simulate`",
            where=str(path),
            hint="install fenglin[simulate] (`make setup-simulate`)",
        ) from None
    return pl


def _schema(path: Path) -> tuple[str, ...]:
    """Return the columns of a Parquet file."""
    pl = polars(path)
    try:
        return tuple(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_parquet(path, error) from None


def _parquet_rows(path: Path, columns: Sequence[str], names: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a Parquet file, batch by batch."""
    pl = polars(path)
    wanted: list[Any] = [pl.col(n) if n in columns else pl.lit(None).alias(n) for n in names]
    try:
        scan = pl.scan_parquet(path).select(wanted)
        place = 0
        for batch in scan.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
            for cells in batch.iter_rows():
                place += 1
                yield place, cells
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_parquet(path, error) from None


def _no_parquet(path: Path, error: Exception) -> InputError:
    """Return what a library says, in one line."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"no Parquet file: {first}", where=str(path))
