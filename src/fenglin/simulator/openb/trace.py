"""Reads the openb folder: nodes, pods, the order of arrival, and how ties are broken."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fenglin.errors import InputError, NotFoundError, UnavailableError
from fenglin.planner.packers.columns import FULL_MILLI, Ints, Nodes, Shapes

if TYPE_CHECKING:
    import polars as pl

PODS_PER_NODE = 1001
MOST_MODELS = 62
SHOWN_NAMES = 20
# The kernels add amounts up in 64 bits.
MOST_AMOUNT = 2**40

Cells: TypeAlias = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Stream:
    """One workload in the order that a seed gives it.

    Attributes:
        nodes: Empty, with the order that decides ties.
        shapes: The distinct requests.
        models: Models of each shape as in the file, such as `P100|T4`; empty for any.
        pods: How many pods of each shape the workload has.
        arrivals: Shape of each arriving pod.
    """

    nodes: Nodes
    shapes: Shapes
    models: tuple[str, ...]
    pods: Ints
    arrivals: Ints


@dataclass(frozen=True)
class _Pods:
    """The pods of a workload: their distinct requests, and which each has."""

    requests: list[tuple[int, int, int, int, str]]
    row_shape: Ints


def workloads(data: Path) -> list[str]:
    """Return the workloads that have a file of pods in the folder."""
    found = data.glob("pods_*.csv.gz")
    return sorted(path.name.removeprefix("pods_").removesuffix(".csv.gz") for path in found)


def read_streams(
    data: Path, workload: str, seeds: Sequence[int], nodes: Path | None = None
) -> dict[int, Stream]:
    """Read a workload for some seeds.

    Args:
        data: Folder with `pods_<workload>.csv.gz`, `arrivals.parquet`, `node_order.parquet`.
        workload: Its name.
        seeds: Which orders of arrival.
        nodes: File of the nodes; `nodes_gpu.csv.gz` of the folder when not given.

    Raises:
        NotFoundError: the folder, the workload or a seed is not there.
        InputError: a file is broken, or lacks a column.
        UnavailableError: Polars is not installed.
    """
    if not data.is_dir():
        raise NotFoundError("there is no such folder", where=str(data), hint="see --data")
    known = workloads(data)
    if workload not in known:
        shown = ", ".join(known[:SHOWN_NAMES]) or "none"
        raise NotFoundError(
            f"no workload {workload!r}", where=str(data), hint=f"there are: {shown}"
        )
    node_file = nodes or data / "nodes_gpu.csv.gz"
    names, columns, models = _read_nodes(node_file)
    pods = _read_pods(data / f"pods_{workload}.csv.gz")
    shapes = _shapes(pods, models)
    arrivals = _of_workload(data / "arrivals.parquet", workload, seeds, ("pos", "pod_row"))
    orders = _of_workload(data / "node_order.parquet", workload, seeds, ("node_sn", "order"))
    streams: dict[int, Stream] = {}
    for seed in seeds:
        rows = arrivals[seed].sort("pos")["pod_row"].cast(int).to_numpy()
        if not len(rows) or rows.min() < 0 or rows.max() >= len(pods.row_shape):
            raise InputError(
                f"seed {seed}: a pod_row lies outside the {len(pods.row_shape)} pods",
                where=str(data / "arrivals.parquet"),
            )
        order = _order(orders[seed], names, data / "node_order.parquet", seed)
        streams[seed] = Stream(
            nodes=columns._replace(order=order),
            shapes=shapes,
            models=tuple(request[4] for request in pods.requests),
            pods=np.bincount(pods.row_shape, minlength=len(pods.requests)).astype(np.int64),
            arrivals=pods.row_shape[rows],
        )
    return streams


def _lines(path: Path, columns: Sequence[str]) -> Iterator[Cells]:
    """Yield the rows of a CSV file, plain or gzip, with their line numbers."""
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="")
        ) as text:
            reader = csv.DictReader(text, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"it lacks the columns {', '.join(missing)}", where=str(path))
            for row in reader:
                if any(row[name] is None for name in columns):
                    raise InputError("the line ends too early", where=f"{path}:{reader.line_num}")
                yield reader.line_num, row
    except FileNotFoundError as error:
        raise NotFoundError("there is no such file", where=str(path)) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip data is broken: {error}", where=str(path), hint="fetch the file anew"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"this is no CSV text: {error}", where=str(path)) from error
    except OSError as error:
        raise UnavailableError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _amount(path: Path, line: int, name: str, text: str) -> int:
    """Return a whole amount, 0 or more."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= MOST_AMOUNT:
        raise InputError(
            f"{name} is {text!r}", where=f"{path}:{line}", hint="a whole number, 0 or more"
        )
    return value


def _read_nodes(path: Path) -> tuple[list[str], Nodes, dict[str, int]]:
    """Return names, empty nodes without an order, and the numbers of the GPU models."""
    fields = ("cpu_milli", "memory_mib", "gpu")
    names: list[str] = []
    amounts: list[list[int]] = []
    kinds: list[str] = []
    for line, row in _lines(path, ("sn", *fields, "model")):
        names.append(row["sn"])
        amounts.append([_amount(path, line, name, row[name]) for name in fields])
        kinds.append(row["model"])
        if amounts[-1][2] > MOST_MODELS:
            raise InputError(f"a node has {amounts[-1][2]} GPUs", where=f"{path}:{line}")
    if not names:
        raise InputError("there are no nodes in it", where=str(path))
    if len(set(names)) < len(names):
        raise InputError("a node's sn comes twice", where=str(path))
    models = {name: i for i, name in enumerate(sorted(set(kinds)))}
    if len(models) > MOST_MODELS:
        raise InputError(f"{len(models)} GPU models, at most {MOST_MODELS}", where=str(path))
    table = np.array(amounts, dtype=np.int64)
    gpus = table[:, 2].copy()
    places = np.arange(max(int(gpus.max()), 1))
    empty = np.zeros(len(names), dtype=np.int64)
    nodes = Nodes(
        cpu_milli=table[:, 0].copy(),
        memory_mib=table[:, 1].copy(),
        slots=np.full(len(names), PODS_PER_NODE, dtype=np.int64),
        gpu_milli=(places[None, :] < gpus[:, None]).astype(np.int64) * FULL_MILLI,
        gpus=gpus,
        model=np.array([models[kind] for kind in kinds], dtype=np.int64),
        order=empty,
        tags=empty.copy(),
    )
    return names, nodes, models


def _read_pods(path: Path) -> _Pods:
    """Return the distinct requests of a file of pods."""
    fields = ("cpu_milli", "memory_mib", "gpu_milli", "num_gpu")
    places: dict[tuple[int, int, int, int, str], int] = {}
    rows: list[int] = []
    for line, row in _lines(path, fields):
        cpu, memory, milli, count = (_amount(path, line, name, row[name]) for name in fields)
        if (count and not 0 < milli <= FULL_MILLI) or (count > 1 and milli != FULL_MILLI):
            raise InputError(
                f"{count} GPUs with gpu_milli {milli}",
                where=f"{path}:{line}",
                hint=f"1 to {FULL_MILLI} of one GPU, or {FULL_MILLI} of each of several",
            )
        models = (row.get("gpu_spec") or "") if count else ""
        key = (cpu, memory, milli if count else 0, count, models)
        rows.append(places.setdefault(key, len(places)))
    if not rows:
        raise InputError("there are no pods in it", where=str(path))
    return _Pods(list(places), np.array(rows, dtype=np.int64))


def _shapes(pods: _Pods, models: dict[str, int]) -> Shapes:
    """Return the requests in columns; models that no node has leave a bit that none has."""
    table = np.array([request[:4] for request in pods.requests], dtype=np.int64)
    masks = [
        sum(
            1 << place
            for place in sorted({models.get(name, MOST_MODELS) for name in text.split("|")})
        )
        if text
        else 0
        for *_, text in pods.requests
    ]
    return Shapes(
        cpu_milli=table[:, 0].copy(),
        memory_mib=table[:, 1].copy(),
        gpu_milli=table[:, 2].copy(),
        gpus=table[:, 3].copy(),
        models=np.array(masks, dtype=np.int64),
    )


def _of_workload(
    path: Path, workload: str, seeds: Sequence[int], columns: tuple[str, ...]
) -> dict[int, pl.DataFrame]:
    """Return the rows of a workload in a Parquet file, by seed."""
    try:
        import polars as pl  # noqa: PLC0415 - slow, and an extra
    except ImportError as error:
        raise UnavailableError(
            "reading Parquet needs Polars", hint="pip install 'fenglin[simulate]'"
        ) from error
    if not path.is_file():
        raise NotFoundError("there is no such file", where=str(path))
    try:
        schema = pl.read_parquet_schema(path)
        missing = [name for name in ("workload", "seed", *columns) if name not in schema]
        if missing:
            raise InputError(f"it lacks the columns {', '.join(missing)}", where=str(path))
        rows = (
            pl.scan_parquet(path)
            .filter((pl.col("workload") == workload) & pl.col("seed").is_in(list(seeds)))
            .select("seed", *columns)
            .collect()
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        text = str(error).splitlines()[0]
        raise InputError(f"this is no Parquet file of the kind: {text}", where=str(path)) from error
    found = {seed: rows.filter(pl.col("seed") == seed) for seed in seeds}
    absent = [str(seed) for seed, part in found.items() if part.is_empty()]
    if absent:
        raise NotFoundError(f"workload {workload} has no seed {', '.join(absent)}", where=str(path))
    return found


def _order(rows: pl.DataFrame, names: list[str], path: Path, seed: int) -> Ints:
    """Return the order of each node."""
    order = dict(zip(rows["node_sn"].to_list(), rows["order"].to_list(), strict=True))
    missing = [name for name in names if name not in order]
    if missing:
        raise InputError(
            f"seed {seed}: {len(missing)} nodes have no order, such as {missing[0]}",
            where=str(path),
            hint="nodes and order must be of one experiment",
        )
    return np.array([order[name] for name in names], dtype=np.int64)
