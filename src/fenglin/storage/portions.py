"""How many rows one statement takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def portions(rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield where each statement's rows begin and how many they are: the most, or a power of two.

    So there are few texts, which a server may keep plans of; each count would be one.
    """
    at = 0
    while at < rows:
        left = rows - at
        count = most if left >= most else 1 << (left.bit_length() - 1)
        yield at, count
        at += count
