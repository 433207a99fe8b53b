"""Forms in which the whole ledger leaves the hub."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fenglin.ledger.beancount import beancount
from fenglin.ledger.export import csv, jsonl
from fenglin.ledger.focus import focus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fenglin.ledger.entry import Entry

EXPORT_CHUNK_BYTES = 64 * 2**10


def export_forms(offset_min: int) -> dict[str, Callable[[Iterable[Entry]], Iterator[str]]]:
    """Return what writes each form; months begin by the books' offset from UTC."""
    return {
        "csv": csv,
        "jsonl": jsonl,
        "beancount": beancount,
        "focus": partial(focus, offset_min=offset_min),
    }


def export_pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Join lines into pieces worth sending."""
    buffer = bytearray()
    for line in lines:
        buffer += line.encode()
        if len(buffer) >= EXPORT_CHUNK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)
