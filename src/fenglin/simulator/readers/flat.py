"""A workload in columns, as Parquet: a row for each job, for other tools and for reading back.

Amounts are those of one task on one node. `runtimes_ms` has one entry for all tasks, or one for
each. Licences, sites, a class of compute and cards by capability have no column: a job that needs
such is refused, and JSON lines keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from fenglin.errors import InputError
from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE, AcceleratorNeed
from fenglin.simulator.readers.cells import BadCell, count, text
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.shapes import MAX_AMOUNT, shape
from fenglin.simulator.readers.table import Table, polars
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

_AMOUNTS = ("cpu_milli", "memory_bytes", "disk_bytes", "accelerator_milli")
_COUNTS = ("tasks", "estimate_ms", "timeout_ms", "deadline_ms", "checkpoint_ms")
_WORDS = ("user", "name", "queue", "account")
_COLUMNS = (
    "submitted_ms",
    "runtimes_ms",
    *_AMOUNTS,
    "nodes",
    "model",
    *_COUNTS,
    *_WORDS,
    "priority",
    "preemptible",
)
_PIECE_ROWS = 16_384


def write_flat(path: Path, jobs: Iterable[WorkJob], file: BinaryIO) -> None:
    """Write a workload as Parquet; it is in memory in columns before it is written.

    Args:
        path: For messages.
        jobs: By (submission, number).
        file: Where to.

    Raises:
        InputError: a job needs what has no column.
        UnavailableError: Polars is not installed.
    """
    pl = polars(path)
    pieces: list[Any] = []
    rows: list[tuple[object, ...]] = []
    schema: dict[str, Any] = {
        name: pl.String if name in {*_WORDS, "model"} else pl.Int64 for name in _COLUMNS
    }
    schema |= {"runtimes_ms": pl.List(pl.Int64), "preemptible": pl.Boolean}
    for job in jobs:
        rows.append(_row(job))
        if len(rows) == _PIECE_ROWS:
            pieces.append(pl.DataFrame(rows, schema=schema, orient="row"))
            rows = []
    pieces.append(pl.DataFrame(rows, schema=schema, orient="row"))
    pl.concat(pieces).write_parquet(file)


def _row(job: WorkJob) -> tuple[object, ...]:
    """Return the cells of a job."""
    needs = job.shape
    model = needs.accelerator.model if needs.accelerator else ""
    plain = AcceleratorNeed(model=model) if needs.accelerator else None
    if needs.licences or needs.sites or needs.compute_class or needs.accelerator != plain:
        raise InputError(
            f"job {job.number} needs what has no column: licences, sites, a class or a capability",
            hint="write .jsonl instead",
        )
    return (
        job.submitted_ms,
        list(job.runtimes_ms),
        *needs.resources.values(),
        needs.nodes,
        model,
        *(getattr(job, name) for name in (*_COUNTS, *_WORDS)),
        job.priority,
        job.preemptible,
    )


def drafts(table: Table, _: ReadOptions, findings: Findings) -> Iterator[WorkJob]:
    """Yield the jobs in the order of the rows; the workload keeps its queues."""
    for line, cells in table.rows(_COLUMNS, findings):
        row: dict[str, Any] = dict(zip(_COLUMNS, cells, strict=True))
        try:
            tasks = count(row["tasks"], "tasks")
            runtimes_ms = row["runtimes_ms"]
            if not isinstance(runtimes_ms, list) or len(runtimes_ms) not in {1, tasks}:
                raise BadCell("another number of runtimes than of tasks")  # noqa: TRY301 - below
            yield WorkJob(
                number=line,
                submitted_ms=count(row["submitted_ms"], "submitted_ms", MAX_AMOUNT),
                shape=shape(
                    **{name: count(row[name], name, MAX_AMOUNT) for name in _AMOUNTS},
                    model=text(row["model"]),
                    nodes=max(count(row["nodes"], "nodes"), 1),
                ),
                runtimes_ms=tuple(-1 if one is None else int(one) for one in runtimes_ms),
                tasks=tasks,
                estimate_ms=count(row["estimate_ms"], "estimate_ms"),
                timeout_ms=count(row["timeout_ms"], "timeout_ms"),
                deadline_ms=count(row["deadline_ms"], "deadline_ms"),
                checkpoint_ms=count(row["checkpoint_ms"], "checkpoint_ms"),
                user=text(row["user"]),
                name=text(row["name"]),
                queue=text(row["queue"]) or DEFAULT_QUEUE,
                account=text(row["account"]) or DEFAULT_ACCOUNT,
                priority=int(row["priority"] or 0),
                preemptible=bool(row["preemptible"]),
            )
        except (BadCell, ValueError, TypeError) as bad:
            findings.add(str(bad), [line])


KIND = Kind(
    name="workload-table",
    what="any workload in columns: fenglin simulate workload --out FILE.parquet",
    columns=_COLUMNS,
    table=drafts,
)
