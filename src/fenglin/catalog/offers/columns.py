"""A price list as columns: integers in NumPy arrays, names as codes into short lists."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]

MICRO = 1_000_000
# A hundred million of anything is no offer, and below it no sum or product here overflows.
MAX_MICRO = 10**14
# What a cell can be instead of an amount; both are below every amount.
EMPTY = -1
BAD = -2

# The names of a row, in the order of `Sheet.codes`, and its amounts, in that of `Sheet.amounts`.
PROVIDER, REGION, ZONE, INSTANCE, ACCELERATOR = range(5)
COUNT, CPUS, MEMORY, PRICE, SPOT = range(5)

_NUMBER = re.compile(r"\d{1,12}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,2})?|\.\d{1,40}", re.ASCII)


def parse_micro(text: str) -> tuple[int, bool] | None:
    """Return an amount in millionths, and whether it was finer and so was rounded half to even.

    Args:
        text: A decimal number that is not negative, such as `1.69921875` or `5e-05`.

    Returns:
        None when it is no such number, or larger than 10^8.
    """
    text = text.strip()
    head, _, tail = text.partition(".")
    # Nearly all numbers of a list are this plain, and reading them so is eight times as quick.
    if len(head) <= 8 and len(tail) <= 6 and text.isascii() and (head + tail).isdigit():
        return int(head or "0") * MICRO + int((tail + "000000")[:6]), False
    if _NUMBER.fullmatch(text) is None:
        return None
    exact = Decimal(text) * MICRO
    if exact > MAX_MICRO:
        return None
    whole = int(exact.to_integral_value(ROUND_HALF_EVEN))
    return whole, whole != exact


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one price list.

    Attributes:
        source: Name of the file, for messages.
        codes: One row of codes per kind of name (`PROVIDER` … `ACCELERATOR`).
        names: For each kind of name, what a code means.
        amounts: One row per kind of amount (`COUNT` … `SPOT`) in millionths of a card, vCPU, GiB
            or USD/h; `EMPTY` where the list says nothing.
        rounded: How many prices were finer than a millionth of a dollar, row by row.
        bad: How many rows were left out because they could not be understood.
        problems: What was wrong with them, as `file:line: column …: what`; the first few.
    """

    source: str
    codes: Codes
    names: tuple[tuple[str, ...], ...]
    amounts: Ints
    rounded: int = 0
    bad: int = 0
    problems: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.codes.shape[1])
