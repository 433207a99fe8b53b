"""The order of rows: what `--sort` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.cli.slurm.states import ORDER
from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fenglin.cli.slurm.format import Field
    from fenglin.cli.slurm.rows import Row

# Those that are no texts; the others are sorted as they are shown.
_KEYS: dict[str, Callable[[Row], int]] = {
    "i": lambda row: row.number,
    "A": lambda row: row.own_number,
    "F": lambda row: row.number,
    "K": lambda row: next(iter(row.tasks), 0),
    "p": lambda row: row.job.priority,
    "Q": lambda row: row.job.priority,
    "t": lambda row: ORDER.index(row.state),
    "T": lambda row: ORDER.index(row.state),
    "M": lambda row: row.run_ms,
    "D": lambda row: row.node_count,
    "C": lambda row: row.cores,
    "V": lambda row: row.job.submitted_ms,
    "S": lambda row: row.started_ms,
    "e": lambda row: row.ended_ms,
    "l": lambda row: row.spec.timeout_ms,
    "m": lambda row: row.spec.resources.memory_bytes,
}


def ordered(rows: Sequence[Row], sort: str, fields: Iterable[Field]) -> list[Row]:
    """Return rows sorted by letters such as `P,-p,i`; equal ones by their number.

    Raises:
        InputError: a letter is unknown.
    """
    texts = {field.letter: field.get for field in fields if field.letter}
    found = sorted(rows, key=lambda row: (row.number, row.state == "PENDING"))
    for word in reversed([part.strip() for part in sort.split(",") if part.strip()]):
        letter = word.lstrip("+-")
        key = _KEYS.get(letter) or texts.get(letter)
        if key is None:
            raise InputError(f"cannot sort by {word[:16]!r}", hint="letters of --format, and p")
        found.sort(key=key, reverse=word.startswith("-"))
    return found
