"""Values of sbatch's options: times, sizes, counts, lists of array indices, cards, dates.

Every function raises `InputError` for a value that sbatch would refuse.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from fenglin.errors import InputError
from fenglin.intake.report import show

_UNLIMITED = ("unlimited", "infinite", "-1", "0")
_TIME_FORMS = (
    (re.compile(r"(\d+)"), "m"),
    (re.compile(r"(\d+):(\d+)"), "ms"),
    (re.compile(r"(\d+):(\d+):(\d+)"), "hms"),
    (re.compile(r"(\d+)-(\d+)"), "dh"),
    (re.compile(r"(\d+)-(\d+):(\d+)"), "dhm"),
    (re.compile(r"(\d+)-(\d+):(\d+):(\d+)"), "dhms"),
)
_UNIT_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_MEMORY = re.compile(r"(\d{1,15})(?:\.0*)?([KMGT]?)B?", re.IGNORECASE | re.ASCII)
_MEMORY_UNITS = {"K": 2**10, "": 2**20, "M": 2**20, "G": 2**30, "T": 2**40}
_NODES = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_ARRAY_PART = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)
# The most that Slurm itself allows, MaxArraySize.
MAX_ARRAY_ID = 4_000_000
MAX_RUNS = 500
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
_US_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2})(?:-(\d{2}):(\d{2})(?::(\d{2}))?)?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AaPp][Mm])?", re.ASCII)
_CLOCK_WORDS = {"midnight": 0, "noon": 12, "fika": 15, "teatime": 16}
_NOW = re.compile(r"now(?:\+(\d{1,9})\s*([a-z]*))?", re.IGNORECASE | re.ASCII)
_NOW_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def time_s(value: str) -> int:
    """Return seconds for a time limit in any of Slurm's six forms; 0 for none."""
    if value.lower() in _UNLIMITED:
        return 0
    for pattern, units in _TIME_FORMS:
        match = pattern.fullmatch(value) if value.isascii() and len(value) < 24 else None
        if match:
            parts = zip(match.groups(), units, strict=True)
            return sum(int(number) * _UNIT_S[unit] for number, unit in parts)
    raise InputError(
        f"{show(value)} is not a time limit", hint="write minutes, HH:MM:SS or D-HH:MM:SS"
    )


def memory_bytes(value: str) -> int:
    """Return bytes; a bare number counts MiB, all units are powers of 1024."""
    match = _MEMORY.fullmatch(value)
    if match is None:
        raise InputError(f"{show(value)} is not a size", hint="write for example 4G or 500M")
    return int(match[1]) * _MEMORY_UNITS[match[2].upper()]


def count(value: str, least: int = 1) -> int:
    """Return a whole number."""
    if not value.isascii() or not value.isdecimal() or len(value) > 9 or int(value) < least:
        raise InputError(f"{show(value)} is not a number", hint=f"a whole number from {least}")
    return int(value)


def node_range(value: str) -> tuple[int, int]:
    """Return the least and the largest number of nodes."""
    match = _NODES.fullmatch(value)
    if match is None or int(match[1]) < 1 or (match[2] and int(match[2]) < int(match[1])):
        raise InputError(f"{show(value)} is not a number of nodes", hint="write 2 or 2-4")
    return int(match[1]), int(match[2] or match[1])


class Run(NamedTuple):
    """Array indices at equal distances."""

    first: int
    step: int
    size: int


class Array(NamedTuple):
    """The indices of an array.

    Attributes:
        runs: All indices in rising order.
        limit: Most tasks running at once; 0 for no limit.
    """

    runs: tuple[Run, ...]
    limit: int

    @property
    def size(self) -> int:
        """Return how many indices there are."""
        return sum(run.size for run in self.runs)

    @property
    def last(self) -> int:
        """Return the largest index."""
        run = self.runs[-1]
        return run.first + run.step * (run.size - 1)


def array(value: str) -> Array:
    """Return the indices of `0-15`, `1,3,5-9`, `1-10:2` or `1-100%4`."""
    spelled, percent, limit = value.partition("%")
    hint = "write for example 0-15, 1,3,7, 1-10:2 or 1-100%4"
    if percent and (not limit.isascii() or not limit.isdecimal() or len(limit) > 9):
        raise InputError(f"{show(value)} is not a list of array indices", hint=hint)
    parts = []
    for part in spelled.split(","):
        match = _ARRAY_PART.fullmatch(part.strip())
        if match is None:
            raise InputError(f"{show(value)} is not a list of array indices", hint=hint)
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise InputError(f"{show(part)} is an empty range", hint=hint)
        if last > MAX_ARRAY_ID:
            raise InputError(f"the array index {last} is too large", hint=f"at most {MAX_ARRAY_ID}")
        parts.append(range(first, last + 1, step))
    return Array(_runs(parts), int(limit or 0))


def _runs(parts: list[range]) -> tuple[Run, ...]:
    """Return the indices of all ranges, each once and rising, as few runs."""
    if sum(map(len, parts)) > 2 * MAX_ARRAY_ID:
        raise InputError("the ranges of array indices overlap too much", hint="say each once")
    if len(parts) == 1:
        only = parts[0]
        return (Run(only.start, only.step if len(only) > 1 else 1, len(only)),)
    present = bytearray(max(part[-1] for part in parts) + 1)
    for part in parts:
        present[part.start : part[-1] + 1 : part.step] = b"\1" * len(part)
    runs: list[Run] = []
    at = present.find(1)
    while at >= 0:
        run = runs[-1] if runs else None
        if run and run.size == 1:
            runs[-1] = Run(run.first, at - run.first, 2)
        elif run and run.first + run.step * run.size == at:
            runs[-1] = Run(run.first, run.step, run.size + 1)
        else:
            runs.append(Run(at, 1, 1))
        if len(runs) > MAX_RUNS:
            what = "the array indices are too irregular"
            raise InputError(what, hint="number the tasks from 0 and look the indices up in a file")
        at = present.find(1, at + 1)
    return tuple(runs)


class Cards(NamedTuple):
    """Accelerators of one request.

    Attributes:
        model: As written; empty for any.
        number: How many.
    """

    model: str
    number: int


def cards(value: str) -> Cards:
    """Return the cards of `2`, `a100`, `a100:2`, with any `(S:0-1)` behind it left out."""
    parts = value.partition("(")[0].split(":")
    if len(parts) == 1:
        parts = ["", parts[0]] if parts[0].isdecimal() else [parts[0], "1"]
    if len(parts) == 2 and parts[1].isascii() and parts[1].isdecimal() and len(parts[1]) < 7:
        return Cards(parts[0], int(parts[1]))
    raise InputError(f"{show(value)} are no cards", hint="write for example 2 or a100:2")


def later_ms(value: str, now_ms: int) -> tuple[int, bool]:
    """Return Unix milliseconds, and whether the value was read as local time of this machine."""
    match = _NOW.fullmatch(value)
    if match:
        unit = _NOW_UNITS.get((match[2] or "s")[:1].lower(), 1)
        return now_ms + int(match[1] or 0) * unit * 1_000, False
    today = datetime.fromtimestamp(now_ms / 1_000, UTC).astimezone()
    try:
        moment = _dated(value) or _clocked(value.lower(), today)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        hint = "write 2027-01-20T12:30:00, 16:00, tomorrow or now+2hours"
        raise InputError(f"{show(value)} is not a time", hint=hint)
    return int(moment.timestamp() * 1_000), True


def _dated(value: str) -> datetime | None:
    """Return the local time of a date."""
    match = _DATE.fullmatch(value)
    if match:
        year, month, day, *clock = (int(part or 0) for part in match.groups())
    else:
        match = _US_DATE.fullmatch(value)
        if match is None:
            return None
        month, day, year, *clock = (int(part or 0) for part in match.groups())
        year += 2_000
    hour, minute, second = clock
    return datetime(year, month, day, hour, minute, second).astimezone()


def _clocked(value: str, today: datetime) -> datetime | None:
    """Return the next time that a clock shows this."""
    if value in ("today", "tomorrow"):
        return today + timedelta(days=value == "tomorrow")
    if value in _CLOCK_WORDS:
        hour, minute, second = _CLOCK_WORDS[value], 0, 0
    else:
        match = _CLOCK.fullmatch(value)
        if match is None:
            return None
        hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
        if match[4]:
            hour = hour % 12 + (12 if match[4] == "pm" else 0)
    moment = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return moment if moment > today else moment + timedelta(days=1)
