"""Money as whole micro-units of a currency: 1 CNY = 1,000,000 micro-yuan. No floats anywhere."""

from __future__ import annotations

import re
from decimal import Decimal

from fenglin.errors import InputError
from fenglin.quantities.shown import plain, shown

MICRO = 1_000_000
MAX_MICRO = 10**17
_AMOUNT = re.compile(r"(-?\d{1,12}(?:\.\d{1,9})?)(?:\s*([A-Z]{3}))?", re.ASCII)


def parse_money_micro(value: str | float, currency: str = "CNY") -> int:
    """Return micro-units for `0.12`, `"0.12"` or `"0.12 CNY"`.

    Raises:
        InputError: not an amount, another currency, finer than a micro-unit, or above 10^11.
    """
    match = None if isinstance(value, bool) else _AMOUNT.fullmatch(plain(value))
    if match is None:
        raise InputError(
            f"{shown(value)} is not an amount of money", hint="write for example 0.12 CNY"
        )
    if match[2] not in (None, currency):
        raise InputError(f"{shown(value)} is in {match[2]}, expected {currency}")
    exact = Decimal(match[1]) * MICRO
    if exact != exact.to_integral_value():
        raise InputError(f"{shown(value)} is finer than a millionth", hint="use at most 6 decimals")
    if abs(exact) > MAX_MICRO:
        raise InputError(
            f"{shown(value)} is out of range", hint=f"at most {MAX_MICRO // MICRO} {currency}"
        )
    return int(exact)


def format_money(amount_micro: int, currency: str = "CNY") -> str:
    """Return `12.345678 CNY`, at least two decimals, no needless zeros."""
    sign = "-" if amount_micro < 0 else ""
    whole, rest = divmod(abs(amount_micro), MICRO)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals} {currency}"


def rate_micro(quantity: int, per: int, price_micro: int) -> int:
    """Return `quantity / per * price`, rounded half to even at the micro-unit.

    Args:
        quantity: Whole units consumed, such as milli-core-milliseconds; not negative.
        per: How many of these make one priced unit.
        price_micro: Price of one priced unit.
    """
    numerator = quantity * price_micro
    quotient, remainder = divmod(numerator, per)
    twice = 2 * remainder
    if twice > per or (twice == per and quotient % 2):
        quotient += 1
    return quotient


def split_micro(amount_micro: int, weights: tuple[int, ...]) -> tuple[int, ...]:
    """Split an amount in proportion to weights so that the parts sum exactly to it.

    Largest-remainder method (Hamilton); ties go to the earlier part.

    Raises:
        ValueError: no weights, a negative weight, or all weights zero.
    """
    total = sum(weights)
    if not weights or total <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative and not all zero")
    sign = -1 if amount_micro < 0 else 1
    amount = abs(amount_micro)
    parts = [amount * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(amount * weights[i] % total), i))
    for i in order[: amount - sum(parts)]:
        parts[i] += 1
    return tuple(sign * part for part in parts)
