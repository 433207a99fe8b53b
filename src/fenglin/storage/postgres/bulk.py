"""One INSERT of many rows, in the place of one for each.

Row by row the server begins and ends a statement each time, and the client takes part in each:
beside threads that compute, that costs more than the rows do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fenglin.storage.portions import portions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Row = tuple[Any, ...]

# Values of one statement: it is prepared once per number of rows, and its plan is kept.
MOST_VALUES = 2_048
_INSERT = re.compile(
    r"(INSERT INTO \w+ \([\w, ]+\) VALUES )\((\$\d+(?:, \$\d+)*)\)((?: ON CONFLICT DO NOTHING)?)"
)


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT of whole rows.

    Attributes:
        head: What comes before the values.
        width: Values of a row.
        tail: What comes after them.
    """

    head: str
    width: int
    tail: str

    def statements(self, rows: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
        """Yield the statements that insert the rows, with their values."""
        most = 1 << max(0, (MOST_VALUES // self.width).bit_length() - 1)
        for at, size in portions(len(rows), most):
            yield _text(self, size), [value for row in rows[at : at + size] for value in row]


@lru_cache(maxsize=512)
def _text(insert: Insert, rows: int) -> str:
    lines = (
        ", ".join(f"${row * insert.width + at + 1}" for at in range(insert.width))
        for row in range(rows)
    )
    return f"{insert.head}{', '.join(f'({line})' for line in lines)}{insert.tail}"


@lru_cache(maxsize=256)
def read(query: str) -> Insert | None:
    """Return what a statement in the words of PostgreSQL is, if it inserts one row of values.

    One that changes a row which is there already does not do for many: none may come twice.
    """
    found = _INSERT.fullmatch(query)
    if found is None:
        return None
    head, marks, tail = found.groups()
    numbers = [int(one) for one in re.findall(r"\d+", marks)]
    in_order = numbers == list(range(1, len(numbers) + 1))
    return Insert(head, len(numbers), tail) if in_order else None
