"""The jobs that wait, as columns: made from rows at once, or kept from one snapshot to the next.

A hub plans every second or so with up to 100,000 waiting jobs, of which a few hundred have
changed. Kept as a table that follows each change, they cost a copy of it per snapshot and not a
look at each job.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fenglin.model.job import DEFAULT_ACCOUNT, DEFAULT_QUEUE
from fenglin.snapshot.snapshot import I64, Shape

_T = TypeVar("_T", bound=Hashable)
# Of a line of the table whose job waits no longer.
_GONE = -1
_FIRST_LINES = 256
# Codes that no job has any more are kept up to so many times those in use, and some.
_SPARE_CODES = 1_000


class JobRow(NamedTuple):
    """One job that still has pending tasks; fields as in `Snapshot.job_*`."""

    number: int
    shape: Shape
    pending: int
    queue: str = DEFAULT_QUEUE
    account: str = DEFAULT_ACCOUNT
    priority: int = 0
    submitted_ms: int = 0
    not_before_ms: int = 0
    deadline_ms: int = 0
    blocked: int = 0
    concurrency: int = 0
    tasks: int = 1
    estimate_ms: int = 0
    learned_ms: int = 0
    timeout_ms: int = 0
    predicted_ms: int = 0


FIELDS = JobRow._fields
_NUMBER, _SHAPE, _QUEUE, _ACCOUNT = map(FIELDS.index, ("number", "shape", "queue", "account"))


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """Jobs as columns, in any order.

    Attributes:
        columns: [fields of `JobRow`, J]; a shape, queue or account by its place in the tuples.
        shapes: What `columns` names, and maybe more.
        queues: Likewise.
        accounts: Likewise.
    """

    columns: I64
    shapes: tuple[Shape, ...]
    queues: tuple[str, ...]
    accounts: tuple[str, ...]

    def column(self, name: str) -> I64:
        """Return one column, which the caller leaves as it is."""
        column: I64 = self.columns[FIELDS.index(name)]
        return column


def waiting(rows: Sequence[JobRow]) -> Waiting:
    """Return the columns of some rows."""
    columns = np.empty((len(FIELDS), len(rows)), np.int64)
    named: dict[int, tuple[Hashable, ...]] = {}
    for at in range(len(FIELDS)):
        # Not by `zip(*rows)`: that makes an object for each job.
        values: Iterator[int] = map(itemgetter(at), rows)
        if at in (_SHAPE, _QUEUE, _ACCOUNT):
            named[at] = tuple(set(map(itemgetter(at), rows)))
            code_of = {name: code for code, name in enumerate(named[at])}
            values = map(code_of.__getitem__, map(itemgetter(at), rows))
        columns[at] = np.fromiter(values, np.int64, len(rows))
    return Waiting(columns, named[_SHAPE], named[_QUEUE], named[_ACCOUNT])  # type: ignore[arg-type]


class _Codes(Generic[_T]):
    """Numbers for values, in the order of their coming."""

    def __init__(self, values: Iterable[_T] = ()) -> None:
        self._code_of = {value: code for code, value in enumerate(values)}

    def __len__(self) -> int:
        return len(self._code_of)

    def __call__(self, value: _T) -> int:
        return self._code_of.setdefault(value, len(self._code_of))

    def values(self) -> tuple[_T, ...]:
        return tuple(self._code_of)

    def tidied(self, column: I64) -> _Codes[_T]:
        """Return these, or those that a column still has, in which case the column follows."""
        used = np.unique(column)
        if len(self) <= 2 * len(used) + _SPARE_CODES:
            return self
        values = self.values()
        column[:] = np.searchsorted(used, column)
        return _Codes(values[code] for code in used.tolist())


class WaitingTable:
    """Rows by number of job, of which the columns are at hand at any time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[int, JobRow] = {}
        self._line_of: dict[int, int] = {}
        self._table = np.empty((len(FIELDS), _FIRST_LINES), np.int64)
        self._lines = 0
        self._shapes: _Codes[Shape] = _Codes()
        self._queues: _Codes[str] = _Codes()
        self._accounts: _Codes[str] = _Codes()

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def get(self, number: int) -> JobRow | None:
        """Return a job's row; None where there is none."""
        return self._rows.get(number)

    def values(self) -> Iterable[JobRow]:
        """Return all rows."""
        return self._rows.values()

    def put(self, row: JobRow) -> None:
        """Enter a row, in the place of the job's former one.

        Raises:
            OverflowError: a number of it is beyond 64 bits; the table is as it was.
        """
        line = self._line_of.get(row.number, self._lines)
        if line == self._table.shape[1]:
            self._make_room(1)
            line = self._lines
        values: list[Any] = list(row)
        values[_SHAPE] = self._shapes(row.shape)
        values[_QUEUE] = self._queues(row.queue)
        values[_ACCOUNT] = self._accounts(row.account)
        self._table[:, line] = np.array(values, np.int64)
        self._rows[row.number] = row
        self._line_of[row.number] = line
        self._lines = max(self._lines, line + 1)

    def put_all(self, rows: Sequence[JobRow]) -> None:
        """Enter rows of different jobs, as `put` does one.

        Raises:
            OverflowError: as `put`; none of them is entered.
        """
        # First, since codes may be others afterwards.
        if self._lines + len(rows) > self._table.shape[1]:
            self._make_room(len(rows))
        codes = {_SHAPE: self._shapes, _QUEUE: self._queues, _ACCOUNT: self._accounts}
        columns = np.empty((len(FIELDS), len(rows)), np.int64)
        for at in range(len(FIELDS)):
            values: Iterator[Any] = map(itemgetter(at), rows)
            named: Any = codes.get(at)
            columns[at] = np.fromiter(
                values if named is None else map(named, values), np.int64, len(rows)
            )
        lines = []
        for row in rows:
            self._rows[row.number] = row
            line = self._line_of.setdefault(row.number, self._lines)
            self._lines = max(self._lines, line + 1)
            lines.append(line)
        self._table[:, lines] = columns

    def drop(self, number: int) -> None:
        """Take a job's row out, if there is one."""
        if self._rows.pop(number, None) is not None:
            self._table[_NUMBER, self._line_of.pop(number)] = _GONE

    def waiting(self) -> Callable[[], Waiting]:
        """Return what gives the columns of this moment, on whatever thread and however late."""
        table = self._table[:, : self._lines].copy()
        names = self._shapes.values(), self._queues.values(), self._accounts.values()
        return lambda: Waiting(_without_gaps(table), *names)

    def _make_room(self, least: int) -> None:
        """Close the gaps, put jobs in the order of their numbers, and leave room for more."""
        columns = _without_gaps(self._table[:, : self._lines])
        columns = columns[:, np.argsort(columns[_NUMBER], kind="stable")]
        self._shapes = self._shapes.tidied(columns[_SHAPE])
        self._queues = self._queues.tidied(columns[_QUEUE])
        self._accounts = self._accounts.tidied(columns[_ACCOUNT])
        self._lines = columns.shape[1]
        room = _FIRST_LINES + self._lines + max(least, self._lines // 4)
        self._table = np.empty((len(FIELDS), room), np.int64)
        self._table[:, : self._lines] = columns
        self._line_of = {job: line for line, job in enumerate(columns[_NUMBER].tolist())}


def _without_gaps(table: I64) -> I64:
    return table[:, np.not_equal(table[_NUMBER], _GONE)]
