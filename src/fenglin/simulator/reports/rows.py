"""A run's rows on disk, part by part, so that memory does not grow with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.errors import UnavailableError
from fenglin.quantities.resources import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fenglin.simulator.pool.outcome import JobOutcome, RunOutcome, Sample

PARQUET = "parquet"
JSON_LINES = "jsonl"
FORMS = (PARQUET, JSON_LINES)
PART_ROWS = 100_000
FIGURES = "figures.json"


class RowFiles:
    """A sink that writes `jobs-00000.parquet` (`runs-…`, `samples-…`) and on, and the figures."""

    def __init__(self, folder: Path, form: str, *, part_rows: int = PART_ROWS) -> None:
        """Make the folder.

        Raises:
            UnavailableError: Polars is needed and not installed.
        """
        if form == PARQUET:
            _polars()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._form = form
        self._part_rows = part_rows
        self._rows: dict[str, list[dict[str, Any]]] = {"jobs": [], "runs": [], "samples": []}
        self._parts = dict.fromkeys(self._rows, 0)

    def job(self, row: JobOutcome) -> None:
        """Write a job."""
        self._add("jobs", row._asdict())

    def run(self, row: RunOutcome) -> None:
        """Write an allocation."""
        self._add("runs", row._asdict() | {"nodes": list(row.nodes)})

    def sample(self, row: Sample) -> None:
        """Write a sample, with a column for each dimension."""
        cells = row._asdict()
        used = cells.pop("used")
        names = [f"used_{name.rpartition('_')[0]}" for name in DIMENSIONS]
        self._add("samples", cells | dict(zip(names, used, strict=True)))

    def close(self) -> None:
        """Write what is left; an empty table is written too, with no row."""
        for table, rows in self._rows.items():
            if rows or not self._parts[table]:
                self._write(table)

    def figures(self, figures: Mapping[str, Any]) -> None:
        """Write the run's figures beside the rows."""
        data = msgspec.json.format(msgspec.json.encode(figures), indent=2)
        (self._folder / FIGURES).write_bytes(data + b"\n")

    def _add(self, table: str, cells: dict[str, Any]) -> None:
        rows = self._rows[table]
        rows.append(cells)
        if len(rows) >= self._part_rows:
            self._write(table)

    def _write(self, table: str) -> None:
        rows = self._rows[table]
        path = self._folder / f"{table}-{self._parts[table]:05d}.{self._form}"
        if self._form == PARQUET:
            _polars().DataFrame(rows, infer_schema_length=None).write_parquet(path)
        else:
            path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        self._parts[table] += 1
        rows.clear()


def _polars() -> Any:  # noqa: ANN401 - an extra, of which nothing is known when it is not there
    try:
        import polars as pl  # noqa: PLC0415 - an extra, and slow to load
    except ImportError as error:
        raise UnavailableError(
            "Parquet needs Polars",
            where="--out",
            hint="install fenglin[simulate], or write JSON lines with --form jsonl",
        ) from error
    return pl
