"""Readers of batch logs: the Standard Workload Format, and columns in Parquet.

SWF: one job a line, 18 whole numbers, `-1` for unknown, comments behind `;`
(Feitelson's Parallel Workloads Archive; Chapin et al., JSSPP 1999). Fields behind the 18th, as
some sites write them, are left alone.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fenglin.errors import InputError, NotFoundError
from fenglin.simulator.trace import Findings, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = 18
# What is used of a line, by place: number, arrival, runtime, processors given and asked for,
# time asked for, user.
USED = (0, 1, 3, 4, 7, 8, 11)
COLUMNS = ("job_id", "submit_s", "run_s", "procs", "req_time_s")
# Sums of times and of processors stay far from the end of 64 bits.
LARGEST = 10**12

_MAX_PROCS = re.compile(rb";\s*MaxProcs:\s*(\d{1,12})\b")


def read_trace(path: Path) -> Trace:
    """Read a batch log: `.parquet`, `.swf`, or `.swf.gz`.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is no batch log at all.
    """
    if not path.is_file():
        raise NotFoundError("there is no such file", where=str(path))
    if path.suffix == ".parquet":
        return _read_parquet(path)
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as lines:
        return _read_swf(path.name, lines)


def _read_swf(name: str, file: IO[bytes] | gzip.GzipFile) -> Trace:
    """Read SWF line by line; a line that cannot be understood becomes a finding."""
    findings = Findings(name)
    rows: list[tuple[int, ...]] = []
    short: list[int] = []
    broken: list[int] = []
    machine_procs = 0
    for number, line in _lines_until_damage(file, findings):
        if line.startswith(b";"):
            said = _MAX_PROCS.match(line)
            machine_procs = int(said[1]) if said else machine_procs
            continue
        words = line.split(None, FIELDS)
        if not words:
            continue
        if len(words) < FIELDS:
            short.append(number)
            continue
        row = _numbers(words)
        if row is None:
            broken.append(number)
        else:
            rows.append((*row, number))
    findings.add(f"fewer than {FIELDS} fields", short)
    findings.add("a field that is no whole number of reasonable size", broken)
    table = np.array(rows, dtype=np.int64).reshape(len(rows), len(USED) + 1)
    job_id, submit_s, run_s, given, asked, request_s, user_id, place = table.T.copy()
    procs = np.where(asked > 0, asked, given)
    return Trace(job_id, submit_s, run_s, request_s, procs, user_id, place, machine_procs, findings)


def _lines_until_damage(
    file: IO[bytes] | gzip.GzipFile, findings: Findings
) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines; when a compressed file is cut or damaged, what came before that."""
    number = 0
    try:
        for number, line in enumerate(file, start=1):
            yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        what = "the compressed file ends early or is damaged: what follows is lost"
        findings.add(what, [number + 1])


def _numbers(words: list[bytes]) -> list[int] | None:
    """Return the used fields; None when one is no whole number, or absurdly large."""
    try:
        row = [int(words[i]) for i in USED]
    except ValueError:
        row = []
        for i in USED:
            value = _whole(words[i])
            if value is None:
                return None
            row.append(value)
    if max(row) > LARGEST or min(row) < -LARGEST:
        return None
    return row


def _whole(word: bytes) -> int | None:
    """Return a number written as `12.0`, or None for what is not whole."""
    try:
        value = float(word)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def _read_parquet(path: Path) -> Trace:
    """Read the columns of a log kept in Parquet."""
    try:
        import polars as pl  # noqa: PLC0415 - slow, and an extra
    except ImportError:
        raise InputError(
            "Parquet needs the extra `simulate`",
            where=str(path),
            hint="install fenglin[simulate] (`make setup-simulate`), or give an SWF file",
        ) from None
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"no Parquet file: {_first_line(error)}", where=str(path)) from None
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"missing columns: {', '.join(missing)}",
            where=str(path),
            hint=f"needed are {', '.join(COLUMNS)}; user_id is optional",
        )
    if "user_id" not in table.columns:
        table = table.with_columns(user_id=pl.lit(-1))
    findings = Findings(path.name, unit="row")
    names = [*COLUMNS, "user_id"]
    for name in names:
        if not table[name].dtype.is_numeric():
            raise InputError(f"column {name} holds no numbers", where=str(path))
    table = table.select(names).with_row_index("row", offset=1)
    # A missing value, and what a float column may hold besides whole numbers, becomes null.
    floats = pl.all().cast(pl.Float64)
    whole = table.select(floats).select(
        pl.when(pl.all().is_between(-LARGEST, LARGEST) & (pl.all().floor() == pl.all()))
        .then(pl.all())
        .otherwise(None)
    )
    good = whole.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
    findings.add(
        "a field that is no whole number of reasonable size",
        table.filter(~good)["row"].to_list(),
    )
    columns: dict[str, Any] = {
        name: whole.filter(good)[name].cast(pl.Int64).to_numpy() for name in ("row", *names)
    }
    return Trace(
        columns["job_id"],
        columns["submit_s"],
        columns["run_s"],
        columns["req_time_s"],
        columns["procs"],
        columns["user_id"],
        columns["row"],
        0,
        findings,
    )


def _first_line(error: Exception) -> str:
    """Return the first line of a library's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
