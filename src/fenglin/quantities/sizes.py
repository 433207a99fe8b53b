"""Byte sizes and CPU counts: text such as `32MiB`, `4GB`, `0.1` to exact integers and back."""

from __future__ import annotations

import re
from decimal import Decimal

from fenglin.errors import InputError
from fenglin.quantities.shown import plain, shown

_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "pb": 10**15,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40, "pib": 2**50,
    "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40, "pi": 2**50,
}  # fmt: skip
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([a-zA-Z]{0,3})", re.ASCII)
MAX_BYTES = 2**60
MAX_MILLI = 10**9


def parse_bytes(value: str | float) -> int:
    """Return bytes for `32MiB` (powers of 1024), `4GB` (powers of 1000) or a plain number.

    Raises:
        InputError: unknown unit, negative, not finite, or above 1 EiB.
    """
    if isinstance(value, bool):
        raise InputError(f"{value!r} is not a size", hint="write for example 512MiB or 4GiB")
    amount: float | Decimal
    if isinstance(value, int | float):
        amount = value
    else:
        match = _SIZE.fullmatch(value.strip())
        if match is None or match[2].lower() not in _UNITS:
            raise InputError(
                f"{shown(value)} is not a size", hint="write for example 512MiB or 4GiB"
            )
        amount = Decimal(match[1]) * _UNITS[match[2].lower()]
    if not 0 <= amount <= MAX_BYTES:
        raise InputError(f"size {shown(value)} is out of range", hint="0 to 1 EiB")
    return int(amount)


def parse_milli(value: str | float, *, most: int = MAX_MILLI) -> int:
    """Return thousandths for a count such as `2`, `0.1` or `500m`; at least one thousandth or 0.

    Raises:
        InputError: not a number, negative, not finite, finer than a thousandth, or above `most`.
    """
    text = plain(value)
    milli = re.fullmatch(r"(\d{1,12})m", text, re.ASCII)
    if milli:
        exact = Decimal(milli[1])
    elif isinstance(value, bool) or not re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
        raise InputError(f"{shown(value)} is not a count", hint="write for example 2, 0.5 or 500m")
    else:
        exact = Decimal(text) * 1_000
    if exact != exact.to_integral_value():
        raise InputError(
            f"{shown(value)} is finer than a thousandth", hint="use at most 3 decimals"
        )
    if exact > most:
        raise InputError(f"{shown(value)} is out of range", hint=f"at most {most // 1_000}")
    return int(exact)


def format_bytes(amount_bytes: int) -> str:
    """Return the shortest exact-looking form in powers of 1024, such as `1.5GiB`."""
    value = float(amount_bytes)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":
            return f"{value:.0f}{unit}" if value == int(value) else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError("unreachable")


def format_milli(amount_milli: int) -> str:
    """Return thousandths as a plain decimal: 1500 → `1.5`."""
    sign = "-" if amount_milli < 0 else ""
    whole, rest = divmod(abs(amount_milli), 1_000)
    return sign + (f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole))
