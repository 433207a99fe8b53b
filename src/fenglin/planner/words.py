"""Figures as a tired reader wants them: `2 cores`, `1.5GiB of memory`."""

from __future__ import annotations

from fenglin.quantities.sizes import format_bytes, format_milli


def amount_of(dimension: int, amount: int) -> str:
    """Return an amount of one of `DIMENSIONS` with its name."""
    if dimension == 0:
        return _of_milli(amount, "core")
    if dimension == 1:
        return f"{format_bytes(amount)} of memory"
    if dimension == 2:
        return f"{format_bytes(amount)} of disk"
    return _of_milli(amount, "card")


def count_of(count: int, noun: str) -> str:
    """Return `1 node`, `3 nodes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _of_milli(amount: int, noun: str) -> str:
    plural = "" if amount == 1_000 else "s"
    return f"{format_milli(amount)} {noun}{plural}"
