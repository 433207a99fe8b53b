"""Durations: text such as `90s`, `2h30m`, `1d`, `01:30:00` to whole milliseconds and back."""

from __future__ import annotations

import re
from decimal import Decimal
from math import ceil, isfinite

from fenglin.errors import InputError
from fenglin.quantities.shown import shown

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
_WHOLE = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ms|[smhdw])){1,6}", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,6})-)?(\d{1,6}):(\d{2}):(\d{2})", re.ASCII)
MAX_DURATION_MS = 10 * 365 * 86_400_000


def parse_duration_ms(value: str | float) -> int:
    """Return milliseconds for a number of seconds or a text with units.

    Accepts a number (seconds), `90s`, `2h30m`, `1.5h`, `250ms`, `1d`, `D-HH:MM:SS`, `HH:MM:SS`.

    Raises:
        InputError: it is none of these, is negative, or is longer than ten years.
    """
    if isinstance(value, bool):
        raise InputError(f"{value!r} is not a duration", hint="write for example 90s or 2h30m")
    if isinstance(value, int):
        return _in_range(value * 1_000, value)
    if isinstance(value, float):
        # Through its text, which is what was written: 1.001 is not the binary 1.00099…
        exact = Decimal(repr(value)) if isfinite(value) else Decimal(-1)
        return _in_range(exact * 1_000, value)
    text = value.strip()
    clock = _CLOCK.fullmatch(text)
    if clock:
        days, hours, minutes, seconds = (int(group or 0) for group in clock.groups())
        return _in_range((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000, value)
    if not _WHOLE.fullmatch(text):
        raise InputError(f"{shown(value)} is not a duration", hint="write for example 90s or 2h30m")
    total = sum(Decimal(number) * _UNIT_MS[unit] for number, unit in _PART.findall(text))
    return _in_range(total, value)


def _in_range(total_ms: int | Decimal, value: str | float) -> int:
    """Refuse NaN, infinities, negative and absurd durations; round up to whole milliseconds.

    Up, so that a tiny limit never becomes 0, which says that there is no limit.
    """
    if not 0 <= total_ms <= MAX_DURATION_MS:
        raise InputError(f"duration {shown(value)} is out of range", hint="0 s to ten years")
    return ceil(total_ms)


def format_duration(duration_ms: int) -> str:
    """Return a short text of the two largest units, such as `2h30m`, `45s` or `250ms`."""
    if duration_ms < 0:
        return "-" + format_duration(-duration_ms)
    if duration_ms < 1_000:
        return f"{duration_ms}ms"
    seconds = duration_ms // 1_000
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= size and len(parts) < 2:
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
        elif parts:
            break
    return "".join(parts)
