"""What the registry knows of one format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from fenglin.simulator.readers.options import ReadOptions
from fenglin.simulator.readers.table import Table
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob

TableDrafts: TypeAlias = Callable[[Table, Any, Findings], Iterator[WorkJob]]
TextDrafts: TypeAlias = Callable[[Path, Any, Findings], Iterator[WorkJob]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A format, and how it is read.

    Attributes:
        name: As a user writes it.
        what: What it is, in a few words.
        columns: Columns that it needs, and by which a table is recognised; none for a text.
        table: Reads the rows of a table; jobs carry the number of their line or row.
        text: Reads a file that is no table.
        options: Dataclass of its options.
        rebase: Its moments are of the world's clock: the first arrival becomes zero.
        unit: What the places of a text count.
        header: Columns of a CSV file that has no line for them; empty when it has one.
    """

    name: str
    what: str
    columns: tuple[str, ...] = ()
    table: TableDrafts | None = None
    text: TextDrafts | None = None
    options: type[Any] = field(default=ReadOptions)
    rebase: bool = False
    unit: str = "line"
    header: tuple[str, ...] = ()
