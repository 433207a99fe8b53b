"""Reads Gavel's folder: tables of throughput, the jobs of a seed, and what was published."""

from __future__ import annotations

import ast
import csv
import gzip
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.planner.rounds.columns import Floats, Rates
from fenglin.simulator.gavel.drive import Jobs

THROUGHPUTS = "simulation_throughputs.json.gz"
PUBLISHED = "published_avg_jct.csv"
ALONE_KEY = "null"
HOUR_S = 3600.0
_COLUMNS = ("seed", "job_id", "unit_arrival", "job_type", "scale_factor", "total_steps")
MOST_WORKERS = 1_000_000


def workload_of(multi: bool) -> str:  # noqa: FBT001 - it is the name's only part
    """Return the name of a workload: `multi` has jobs of 1, 2, 4 and 8 workers."""
    return "multi" if multi else "single"


def read_rates(data: Path, types: tuple[str, ...], round_s: float) -> tuple[Rates, dict[str, int]]:
    """Read the tables of throughput for some types of workers.

    A throughput that makes no whole step in a round counts as 0.

    Args:
        data: The folder.
        types: Names, as they stand in the file.
        round_s: Length of a round.

    Returns:
        The tables, and the number of each kind of job, named as in the file.

    Raises:
        NotFoundError: the file or a type is not there.
        InputError: the file is broken.
    """
    path = data / THROUGHPUTS
    tables = _json(path)
    missing = [name for name in types if name not in tables]
    if missing:
        raise NotFoundError(
            f"no throughput on {missing[0]!r}", where=str(path),
            hint=f"there are: {', '.join(sorted(tables))}",
        )  # fmt: skip
    names = sorted(tables[types[0]])
    kinds = {name: k for k, name in enumerate(names)}
    alone = np.zeros((len(types), len(kinds)))
    beside = np.zeros((len(types), len(kinds), len(kinds)))
    for j, name in enumerate(types):
        _fill(path, tables[name], kinds, alone[j], beside[j])
    alone[alone * round_s < 1.0] = 0.0
    beside[beside * round_s < 1.0] = 0.0
    idle = [name for name, k in kinds.items() if not alone[:, k].any()]
    if idle:
        raise InputError(f"{idle[0]} makes no progress on any of the types", where=str(path))
    sizes = np.array([_size_of(path, name) for name in names], dtype=np.int64)
    return Rates(alone, beside, np.max(alone, axis=0), sizes), kinds


def _json(path: Path) -> dict[str, dict[str, Any]]:
    """Return what the file of tables holds, looked at as far as its types of workers."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as text:
            tables = json.load(text)
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file", where=str(path), hint="see --data") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip data is broken: {error}", where=str(path), hint="fetch the file anew"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"this is no JSON: {error}", where=str(path)) from error
    except OSError as error:
        raise UnavailableError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise InputError("this is no table of throughput by type and kind", where=str(path))
    return tables


def _fill(
    path: Path, table: Mapping[str, Any], kinds: Mapping[str, int], alone: Floats, beside: Floats
) -> None:
    """Fill the throughputs on one type."""
    for name, k in kinds.items():
        row = table.get(name)
        if not isinstance(row, dict) or ALONE_KEY not in row:
            raise InputError(f"no throughput of {name} alone", where=str(path))
        for other, value in row.items():
            if other == ALONE_KEY:
                alone[k] = _rate(path, name, value)
            elif other in kinds:
                both = value if isinstance(value, list) and len(value) == 2 else [None]
                beside[k, kinds[other]] = _rate(path, name, both[0])


def _rate(path: Path, name: str, value: object) -> float:
    """Return a throughput, which must be a number from 0."""
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    raise InputError(f"{name} has the throughput {value!r}", where=str(path))


def _size_of(path: Path, name: str) -> int:
    """Return the workers of a kind, from a name such as `('A3C', 1)`."""
    try:
        _, size = ast.literal_eval(name)
    except (ValueError, SyntaxError, TypeError):
        size = None
    if not isinstance(size, int) or not 0 < size <= MOST_WORKERS:
        raise InputError(f"{name!r} is no kind of job", where=str(path), hint="as ('A3C', 1)")
    return size


def read_jobs(
    data: Path, workload: str, seed: int, jobs_per_hour: float, kinds: Mapping[str, int]
) -> Jobs:
    """Read the jobs of a seed, with their arrivals at a rate.

    Raises:
        NotFoundError: the file or the seed is not there.
        InputError: the file is broken, lacks a column, or has a kind without throughput.
        UnavailableError: Polars is not installed.
    """
    try:
        import polars as pl  # noqa: PLC0415 - slow, and an extra
    except ImportError as error:
        raise UnavailableError(
            "Parquet files need Polars", hint="install fenglin[simulate]"
        ) from error
    path = _jobs_file(data, workload)
    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"this is no Parquet file: {error}", where=str(path)) from error
    except OSError as error:
        raise UnavailableError(f"cannot be read: {error}", where=str(path)) from error
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(f"it lacks the columns {', '.join(missing)}", where=str(path))
    rows = frame.filter(pl.col("seed") == seed).sort("job_id").select(_COLUMNS)
    if not rows.height:
        known = ", ".join(map(str, sorted(frame["seed"].unique().to_list())))
        raise NotFoundError(f"no seed {seed}", where=str(path), hint=f"there are: {known}")
    return _jobs(path, rows, jobs_per_hour, kinds)


def _jobs_file(data: Path, workload: str) -> Path:
    """Return the file of a workload, whichever seeds its name says."""
    if not data.is_dir():
        raise NotFoundError("there is no such folder", where=str(data), hint="see --data")
    found = sorted(data.glob(f"continuous_{workload}_*.parquet"))
    if not found:
        raise NotFoundError(f"no continuous_{workload}_*.parquet", where=str(data))
    return found[0]


def _jobs(path: Path, rows: Any, jobs_per_hour: float, kinds: Mapping[str, int]) -> Jobs:  # noqa: ANN401 - a Polars frame
    """Check the rows of a seed and turn them into columns."""
    if rows["job_id"].to_list() != list(range(rows.height)):
        raise InputError("the job_id of a seed do not run from 0", where=str(path))
    names = [
        f"({name!r}, {size})"
        for name, size in zip(
            rows["job_type"].to_list(), rows["scale_factor"].to_list(), strict=True
        )
    ]
    for job, name in enumerate(names):
        if name not in kinds:
            raise InputError(f"job {job}: no throughput of {name}", where=str(path))
    arrival_s = rows["unit_arrival"].to_numpy().astype(np.float64) * HOUR_S / jobs_per_hour
    steps = rows["total_steps"].to_numpy().astype(np.float64)
    if not (np.isfinite(arrival_s).all() and (np.diff(arrival_s, prepend=0.0) >= 0.0).all()):
        raise InputError("the arrivals of a seed do not rise from 0", where=str(path))
    if not (np.isfinite(steps).all() and (steps > 0.0).all()):
        job = int(np.argmin(np.where(np.isfinite(steps), steps, -1.0)))
        raise InputError(f"job {job} has {steps[job]} steps", where=str(path))
    return Jobs(arrival_s, np.array([kinds[name] for name in names], dtype=np.int64), steps)


def published(data: Path, workload: str, jobs_per_hour: float) -> dict[str, float]:
    """Return the published average completion times at a rate, in hours, by Gavel's policy.

    Nothing where the folder has no such table.

    Raises:
        InputError: the table is broken.
    """
    path = data / PUBLISHED
    if not path.is_file():
        return {}
    found: dict[str, float] = {}
    try:
        with path.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text, strict=True)
            for row in reader:
                same = math.isclose(float(row["jobs_per_hour"]), jobs_per_hour)
                if row["workload"] == workload and same:
                    found[row["policy"]] = float(row["avg_jct_hours"])
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(f"the table is broken: {error}", where=str(path)) from error
    return found
