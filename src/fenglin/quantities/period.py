"""Months of account, `YYYY-MM`, in the one zone in which a hub keeps its books."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.quantities.shown import shown

DEFAULT_OFFSET_MIN = 8 * 60
MOST_OFFSET_MIN = 14 * 60
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2}):([0-5]\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Period(Struct, frozen=True, order=True):
    """A month.

    Attributes:
        year: 1970 to 9998.
        month: 1 to 12.
        offset_min: Minutes by which the books' clock is ahead of UTC; the same all year.
    """

    year: int
    month: int
    offset_min: int = DEFAULT_OFFSET_MIN

    @property
    def from_ms(self) -> int:
        """Return the first millisecond, Unix time."""
        zone = timezone(timedelta(minutes=self.offset_min))
        return (datetime(self.year, self.month, 1, tzinfo=zone) - _EPOCH) // timedelta(
            milliseconds=1
        )

    @property
    def to_ms(self) -> int:
        """Return the first millisecond after it."""
        return self.next().from_ms

    def next(self) -> Period:
        """Return the month after it."""
        years, month = divmod(self.month, 12)
        return Period(self.year + years, month + 1, self.offset_min)

    def previous(self) -> Period:
        """Return the month before it."""
        years, month = divmod(self.month - 2, 12)
        return Period(self.year + years, month + 1, self.offset_min)

    def __str__(self) -> str:
        """Return `YYYY-MM`."""
        return f"{self.year:04d}-{self.month:02d}"


def parse_period(text: str, offset_min: int = DEFAULT_OFFSET_MIN) -> Period:
    """Return the month of `YYYY-MM`.

    Raises:
        InputError: it is none.
    """
    match = _MONTH.fullmatch(text)
    if match is None or not 1970 <= int(match[1]) < 9999:
        raise InputError(f"{shown(text)} is not a month", hint="write for example 2026-11")
    return Period(int(match[1]), int(match[2]), offset_min)


def period_of(time_ms: int, offset_min: int = DEFAULT_OFFSET_MIN) -> Period:
    """Return the month in which a Unix time lies."""
    moment = _EPOCH + timedelta(milliseconds=time_ms, minutes=offset_min)
    return Period(moment.year, moment.month, offset_min)


def offset_text(offset_min: int) -> str:
    """Return an offset from UTC as `parse_offset_min` reads it."""
    hours, minutes = divmod(abs(offset_min), 60)
    return f"{'-' if offset_min < 0 else '+'}{hours:02d}:{minutes:02d}"


def parse_offset_min(text: str) -> int:
    """Return the minutes of an offset from UTC, such as `+08:00`.

    Raises:
        InputError: it is none, or beyond 14 hours.
    """
    match = _OFFSET.fullmatch(text)
    minutes = int(match[2]) * 60 + int(match[3]) if match else MOST_OFFSET_MIN + 1
    if match is None or minutes > MOST_OFFSET_MIN:
        raise InputError(f"{shown(text)} is no offset from UTC", hint='write for example "+08:00"')
    return -minutes if match[1] == "-" else minutes
