"""Division of whole amounts so that the parts sum to the whole, to the last micro-unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def largest_remainder(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide an amount in proportion to weights, by the method of the largest remainder (Hamilton).

    Each part is its exact share rounded down (towards zero), and what is left over goes, one unit
    each, to those whose share was cut most; of equals the first comes first. So no part is off by
    a whole unit, and the parts sum to the total.

    Args:
        total: Whole units; a negative total is divided like its opposite.
        weights: Not negative, at least one above zero.

    Raises:
        InputError: there is no weight above zero, or one is negative.
    """
    whole = sum(weights)
    if whole <= 0 or any(weight < 0 for weight in weights):
        raise InputError("shares must not be negative, and at least one above zero")
    amount = abs(total)
    parts = [amount * weight // whole for weight in weights]
    rests = [amount * weight % whole for weight in weights]
    order = sorted(range(len(parts)), key=lambda n: (-rests[n], n))
    for n in order[: amount - sum(parts)]:
        parts[n] += 1
    return tuple(parts if total >= 0 else (-part for part in parts))
