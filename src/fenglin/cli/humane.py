"""Figures as people read them: ages, amounts of work, money, shares."""

from __future__ import annotations

import time
from datetime import datetime

from fenglin.errors import InputError
from fenglin.quantities.durations import format_duration
from fenglin.quantities.money import format_money
from fenglin.quantities.sizes import format_bytes, format_milli


def now_ms() -> int:
    """Return this machine's Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def age(since_ms: int, now: int) -> str:
    """Return how long ago a moment was; empty when it has not come."""
    return span(since_ms, now) if since_ms else ""


def span(from_ms: int, to_ms: int) -> str:
    """Return the time between two moments; clocks that differ a little make no negative one."""
    length_ms = max(0, to_ms - from_ms)
    return format_duration(length_ms // 1_000 * 1_000) if length_ms >= 1_000 else "0s"


def ahead(moment_ms: int, now: int) -> str:
    """Return `in 5m` for a moment to come, `now`, `5m ago` for a past one, empty for none."""
    if not moment_ms:
        return ""
    if abs(moment_ms - now) < 1_000:
        return "now"
    if moment_ms > now:
        return f"in {span(now, moment_ms)}"
    return f"{span(moment_ms, now)} ago"


def count(number: int, noun: str) -> str:
    """Return `1 task` or `2 tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def moment(moment_ms: int) -> str:
    """Return a local time with its offset, such as `2027-03-01 08:00:05 +0800`."""
    if not moment_ms:
        return ""
    return datetime.fromtimestamp(moment_ms / 1_000).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def money(amount_micro: int, currency: str = "CNY") -> str:
    """Return an amount with at most four decimals, so that columns stay narrow."""
    if not amount_micro:
        return ""
    rounded = round(amount_micro / 100) * 100
    return format_money(rounded or amount_micro, currency)


def used_of(used: int, total: int, unit: str) -> str:
    """Return `1.5/4` for thousandths or `1GiB/8GiB` for bytes; empty when there is none."""
    if not total:
        return ""
    form = format_bytes if unit == "bytes" else format_milli
    return f"{form(used)}/{form(total)}"


def seconds(text: str) -> float | None:
    """Return seconds for the text of a `--timeout` such as `90`, `90s` or `2h`; None when empty.

    Raises:
        InputError: it is no duration.
    """
    if not text:
        return None
    from fenglin.quantities.durations import parse_duration_ms  # noqa: PLC0415 - few commands

    return parse_duration_ms(f"{text}s" if text.replace(".", "", 1).isdecimal() else text) / 1_000


def moment_ms(text: str) -> int:
    """Return Unix milliseconds of a date or a time, local unless it has an offset; 0 when empty.

    Raises:
        InputError: it is neither.
    """
    if not text:
        return 0
    from datetime import datetime  # noqa: PLC0415 - only for a period

    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1_000)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{text[:80]!r} is not a time", hint="write for example 2027-03-01 or 2027-03-01T08:00"
        ) from error
