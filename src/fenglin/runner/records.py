"""Reading the runner's journal; the format is described in `host/journal.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.model.allocation import TaskEnd, Usage
from fenglin.model.reason import Reason
from fenglin.runner.host.journal import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

_REASONS: dict[bytes, Reason | None] = {reason.value.encode(): reason for reason in Reason}
_REASONS[NONE.encode()] = None


class Cursor(Struct, frozen=True):
    """How far a journal was read, and what was counted up to there.

    Attributes:
        offset: Bytes read, always at the end of a line.
        started: Starts among them.
        first_start_ms: Unix time of the first start; 0 for none.
    """

    offset: int = 0
    started: int = 0
    first_start_ms: int = 0

    def __str__(self) -> str:
        """Return the text the hub keeps."""
        return f"{self.offset}:{self.started}:{self.first_start_ms}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what `str()` wrote; empty text is the start.

        Raises:
            ValueError: it was not made here.
        """
        if not text:
            return cls()
        offset, started, first_start_ms = text.split(":")
        return cls(int(offset), int(started), int(first_start_ms))


class Page(Struct, frozen=True):
    """A piece of a journal, understood.

    Attributes:
        cursor: Position after it.
        ends: Tasks that ended in it.
        done: Whether the last line was in it.
        reason: Why the attempt ended early.
    """

    cursor: Cursor
    ends: tuple[TaskEnd, ...]
    done: bool = False
    reason: Reason | None = None


def read_page(data: bytes, cursor: Cursor) -> Page:
    """Understand the whole lines at the start of `data`, which follows `cursor`.

    A line that a crash tore and a later one completed is no event: it lacks the closing dot.
    """
    size = data.rfind(b"\n") + 1
    started, first_start_ms = cursor.started, cursor.first_start_ms
    ends: list[TaskEnd] = []
    done = False
    reason: Reason | None = None
    for line in data[:size].split(b"\n"):
        words = line.split(b" ")
        if words[-1] != b".":
            continue
        if words[0] == b"E" and len(words) == 9:
            ends.append(_end(words))
        elif words[0] == b"S" and len(words) == 5:
            started += 1
            first_start_ms = first_start_ms or int(words[3])
        elif words[0] == b"D" and len(words) == 4:
            done, reason = True, _REASONS.get(words[1])
    return Page(Cursor(cursor.offset + size, started, first_start_ms), tuple(ends), done, reason)


def total(data: bytes) -> Usage:
    """Return the sum over the ends of a whole journal."""
    return sum_of(read_page(data, Cursor()).ends)


def sum_of(ends: Sequence[TaskEnd]) -> Usage:
    """Return the usage of ended tasks together."""
    wall_ms = sum(end.wall_ms for end in ends)
    return Usage(
        tasks=len(ends),
        wall_ms=wall_ms,
        billed_ms=wall_ms,
        cpu_ms=sum(end.cpu_ms for end in ends),
        peak_memory_bytes=max((end.peak_memory_bytes for end in ends), default=0),
    )


def _end(words: list[bytes]) -> TaskEnd:
    """Return the end that an `E` line tells of."""
    return TaskEnd(
        index=int(words[1]),
        started_ms=int(words[2]),
        wall_ms=int(words[3]),
        exit_code=int(words[4]),
        reason=_REASONS.get(words[5], Reason.START_FAILED),
        cpu_ms=int(words[6]),
        peak_memory_bytes=int(words[7]),
    )
