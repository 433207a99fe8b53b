"""All formats by name, and the reader that recognises them."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from fenglin.errors import InputError
from fenglin.simulator.readers import (
    columns,
    dlrm,
    flat,
    gaia,
    gavel,
    genai,
    history,
    openb_pods,
    pai,
    philly,
    sia,
    slurm_gpu,
    spot,
    swf,
)
from fenglin.simulator.readers.kind import Kind
from fenglin.simulator.readers.lines import PARQUET, first_bytes
from fenglin.simulator.readers.options import make_options
from fenglin.simulator.readers.order import as_workload
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import Workload

AUTO = "auto"
KINDS = {
    one.name: one
    for one in (
        swf.KIND,
        columns.KIND,
        openb_pods.KIND,
        pai.KIND,
        dlrm.KIND,
        genai.KIND,
        spot.KIND,
        philly.LOG,
        philly.TABLE,
        slurm_gpu.HELIOS,
        slurm_gpu.ACME,
        gavel.KIND,
        sia.KIND,
        gaia.KIND,
        history.KIND,
        history.WORKLOAD,
        flat.KIND,
    )
}

_SCHEMAS = (
    (b"fenglin-history/", history.KIND),
    (b"fenglin-workload/", history.WORKLOAD),
)
_SWF_LINE = re.compile(rb"\s*(?:-?\d+(?:\.\d+)?\s+){17}-?\d")
_SHOWN_COLUMNS = 12


def read(
    path: Path, kind: str = AUTO, *, strict: bool = False, jobs: int = 0, **options: object
) -> Workload:
    """Return the workload in a file.

    Args:
        path: A trace, plain or gzip, or Parquet.
        kind: Name of a format; `auto` to recognise it.
        strict: Whether anything that is wrong in the file is an error, found before any job.
        jobs: Most jobs, by submission; 0 for all.
        options: Of the format, by name; texts are understood.

    Raises:
        NotFoundError: there is no such file.
        InputError: the format is unknown, columns are missing, or strict and something is wrong.
        UnavailableError: the file cannot be read, or Parquet without Polars.
    """
    chosen = recognise(path) if kind == AUTO else _named(kind)
    settings = make_options(chosen.options, chosen.name, options)
    findings = Findings(path.name)
    if chosen.table is not None:
        table = Table(path, chosen.header)
        table.need(chosen.columns)
        findings.unit = table.unit
        drafts = partial(chosen.table, table, settings)
    else:
        findings.unit = chosen.unit
        first_bytes(path, 1)  # says now that there is no such file
        assert chosen.text is not None  # noqa: S101 - a kind has one of the two
        drafts = partial(chosen.text, path, settings)
    return as_workload(drafts, findings, rebase=chosen.rebase, strict=strict, limit=jobs)


def recognise(path: Path) -> Kind:
    """Return the format of a file, by its name, its first bytes, or its columns.

    Raises:
        InputError: it is none that is known.
    """
    head = first_bytes(path)
    if not head.startswith(PARQUET):
        found = _text_kind(path, head)
        if found is not None:
            return found
    names = Table(path).columns
    fitting = [one for one in KINDS.values() if one.columns and set(one.columns) <= set(names)]
    if fitting:
        return max(fitting, key=lambda one: len(one.columns))
    if set(spot.NODE_COLUMNS) <= set(names):
        raise InputError("these are machines, not jobs", where=str(path))
    shown = ", ".join(name[:40] for name in names[:_SHOWN_COLUMNS]) or "none"
    raise InputError(
        f"no known kind of workload; its columns are: {shown}",
        where=str(path),
        hint=f"known are {', '.join(KINDS)}; --kind names one, and says what columns it lacks",
    )


def _text_kind(path: Path, head: bytes) -> Kind | None:
    """Return the format of a file that is no table; None for a table."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".swf") or head.startswith(b";") or _SWF_LINE.match(head):
        return swf.KIND
    first = head.split(b"\n", 1)[0]
    for schema, kind in _SCHEMAS:
        if schema in first:
            return kind
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        return philly.LOG
    return pai.KIND if name.startswith(pai.TASKS) else None


def _named(kind: str) -> Kind:
    """Return a format by its name."""
    found = KINDS.get(kind)
    if found is None:
        raise InputError(f"no kind of workload {kind!r}", hint=f"known are {', '.join(KINDS)}")
    return found
