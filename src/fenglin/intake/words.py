"""Single values: whole numbers, texts, names, sizes, durations, times. Shared by all fields.

Each function takes a value of any type, returns the exact form, or notes a problem and returns
None. Parsed texts are cached, since one tenant's jobs repeat the same few sizes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.intake.report import describe, show
from fenglin.quantities.durations import MAX_DURATION_MS, parse_duration_ms
from fenglin.quantities.sizes import MAX_BYTES, parse_bytes, parse_milli

if TYPE_CHECKING:
    from fenglin.intake.report import Path, Report

MAX_TEXT = 131_071  # Linux: one argument or `NAME=value` string, MAX_ARG_STRLEN less its NUL
MAX_PATH = 4_096
MAX_NAME = 128
MAX_CPU_MILLI = 10**9
MIN_SIZE = 2**20
MAX_WHOLE = 2**63 - 1
_QUANTITY_CHARS = 64
_NAME = re.compile(r"\w[\w.@:/+-]{0,127}")
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def whole(value: object, path: Path, report: Report, low: int, high: int) -> int | None:
    """Return a whole number of the range."""
    if type(value) is int:
        if low <= value <= high:
            return value
        bound = f"at least {low}" if value < low else f"at most {high}"
        report.add(path, f"{describe(value)} is out of range", f"write {bound}")
        return None
    hint = ""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        hint = f"write {int(value)}, without quotes or leading zeros"
    elif isinstance(value, float) and isfinite(value) and value.is_integer():
        hint = f"write {describe(int(value))}"
    report.wrong(path, value, f"a whole number from {low} to {high}", hint)
    return None


def truth(value: object, path: Path, report: Report) -> bool | None:
    """Return true or false; words such as `yes` are texts in YAML 1.2 and refused."""
    if type(value) is bool:
        return value
    report.wrong(path, value, "true or false", "write true or false, without quotes")
    return None


def text(value: object, path: Path, report: Report, limit: int = MAX_TEXT) -> str | None:
    """Return a text that may hold any character but NUL and half surrogate pairs.

    The limit counts bytes of UTF-8, as the kernel does.
    """
    if type(value) is not str:
        hint = ""
        if isinstance(value, bool | int | float):
            hint = f'write "{describe(value)}" in quotes'
        report.wrong(path, value, "a text", hint)
        return None
    if value.isascii() and value.isprintable() and len(value) <= limit:
        return value
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        report.add(path, f"half a surrogate pair at character {error.start + 1}", "use UTF-8")
        return None
    if "\0" in value:
        report.add(path, f"a NUL character at character {value.index(chr(0)) + 1}", "remove it")
        return None
    if size > limit:
        report.add(path, f"the text has {size} bytes", f"at most {limit}")
        return None
    return value


def printable(value: object, path: Path, report: Report, limit: int) -> str | None:
    """Return a text of one line without control, format or direction-changing characters."""
    if type(value) is str and value.isprintable() and len(value) <= limit:
        return value
    if type(value) is not str:
        return text(value, path, report)
    if len(value) > limit:
        report.add(path, f"the text has {len(value)} characters", f"at most {limit}")
        return None
    at = next(i for i, char in enumerate(value) if not char.isprintable())
    report.add(path, f"the unprintable character U+{ord(value[at]):04X} at {at + 1}", "remove it")
    return None


def title(value: object, path: Path, report: Report) -> str | None:
    """Return a job's name: 1–128 printable characters, no blank at either end."""
    if type(value) is str and value.isascii() and value.isidentifier() and len(value) <= MAX_NAME:
        return value
    shown = printable(value, path, report, MAX_NAME)
    if shown is None:
        return None
    if not shown or shown != shown.strip():
        what = "the name is empty" if not shown.strip() else "the name begins or ends with a blank"
        report.add(path, what, f"1 to {MAX_NAME} printable characters")
        return None
    return shown


def identifier(value: object, path: Path, report: Report) -> str | None:
    """Return the name of something configured: a queue, an account, a site, a licence."""
    if type(value) is str and _NAME.fullmatch(value):
        return value
    if type(value) is not str:
        return text(value, path, report)
    report.add(
        path,
        f"{show(value)} is not a name" if value else "the name is empty",
        "letters, digits and . _ - @ : / +, at most 128, beginning with a letter or digit",
    )
    return None


def number_word(value: object) -> str | None:
    """Return the text of a finite number of ordinary size, None for anything else."""
    if type(value) is int and -MAX_WHOLE <= value <= MAX_WHOLE:
        return str(value)
    if type(value) is float and isfinite(value):
        return repr(value)
    return None


def size(value: object, path: Path, report: Report) -> int | None:
    """Return bytes for a text with a unit or a whole number of bytes; 0 or at least 1 MiB."""
    amount: int | None = None
    if type(value) is str and len(value) <= _QUANTITY_CHARS:
        try:
            amount = _bytes(value)
        except InputError as error:
            report.refused(path, error)
            return None
    elif type(value) is int and 0 <= value <= MAX_BYTES:
        amount = value
    if amount is None:
        report.wrong(path, value, "a size", "write for example 512MiB or 4GiB, at most 1 EiB")
        return None
    if 0 < amount < MIN_SIZE:
        # Slurm counts MiB, people count GB: a bare small number is never meant as bytes.
        report.add(path, f"{describe(value)} is {amount} bytes", "add a unit: 512MiB or 4GiB")
        return None
    return amount


def cores(value: object, path: Path, report: Report) -> int | None:
    """Return thousandths of a core, more than 0."""
    milli = thousandths(value, path, report, "a number of cores, in thousandths at the finest")
    if milli is not None and not 0 < milli <= MAX_CPU_MILLI:
        what = "a task without CPU cannot run" if milli == 0 else "that is out of range"
        report.add(path, what, "write for example 0.1, 4 or 500m; at most 1000000")
        return None
    return milli


def thousandths(
    value: object,
    path: Path,
    report: Report,
    wanted: str,
    hint: str = "write for example 2, 0.5 or 500m",
) -> int | None:
    """Return a non-negative count in thousandths for `2`, `0.5` or `500m`."""
    if type(value) is int and 0 <= value <= MAX_CPU_MILLI:
        return value * 1_000
    if type(value) is float or (type(value) is str and len(value) <= _QUANTITY_CHARS):
        try:
            return _milli(str(value))
        except InputError:
            report.wrong(path, value, wanted, hint)
            return None
    if type(value) is int:
        report.add(path, f"{describe(value)} is out of range", hint)
        return None
    report.wrong(path, value, wanted, hint)
    return None


def duration(value: object, path: Path, report: Report) -> int | None:
    """Return milliseconds, more than 0, for a number of seconds or a text with units."""
    spelled: str | None = None
    if type(value) is str:
        spelled = value
    elif type(value) is int and -MAX_WHOLE <= value <= MAX_WHOLE:
        spelled = f"{value}s"
    elif type(value) is float and isfinite(value):
        spelled = f"{value!r}s"
    if spelled is None or len(spelled) > _QUANTITY_CHARS:
        report.wrong(path, value, "a duration", "write for example 90s or 2h30m")
        return None
    try:
        length_ms = _duration(spelled)
    except InputError as error:
        if type(value) is str:
            report.refused(path, error)
        else:
            what = f"{describe(value)} s is out of range"
            report.add(path, what, f"1 ms to {MAX_DURATION_MS // 86_400_000} days")
        return None
    if length_ms == 0:
        report.add(path, f"{describe(value)} is less than a millisecond", "leave it out for none")
        return None
    return length_ms


def moment(value: object, path: Path, report: Report) -> int | None:
    """Return Unix milliseconds for an RFC 3339 time with offset, or a duration from now."""
    if type(value) is not str or not _looks_like_date(value):
        length_ms = duration(value, path, report)
        return None if length_ms is None else report.now_ms + length_ms
    if _TIME.fullmatch(value):
        try:
            parsed = datetime.fromisoformat(value.upper())
        except ValueError:
            parsed = None
        if parsed is not None:
            since = parsed - _EPOCH
            moment_ms = (
                since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
            )
            if moment_ms > 0:
                return moment_ms
    report.add(
        path,
        f"{show(value)} is not a time with a time zone",
        "write for example 2027-03-01T08:00:00+08:00, or a duration such as 6h",
    )
    return None


def _looks_like_date(value: str) -> bool:
    """Return whether a text begins like a date, `2027-`, and not like a duration."""
    return value[4:5] == "-" and value[:4].isdecimal() and "-" in value[5:]


@lru_cache(maxsize=4_096)
def _bytes(spelled: str) -> int:
    """Cache `parse_bytes`; errors are not cached."""
    return parse_bytes(spelled)


@lru_cache(maxsize=4_096)
def _milli(spelled: str) -> int:
    """Cache `parse_milli`; errors are not cached. The range is the caller's to judge."""
    return parse_milli(spelled, most=10**15)


@lru_cache(maxsize=4_096)
def _duration(spelled: str) -> int:
    """Cache `parse_duration_ms`; errors are not cached."""
    return parse_duration_ms(spelled)
