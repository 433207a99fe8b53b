"""How an account stands: what its balance and its limits still allow.

    ok        more is available than the mark below which the operator wants to be told
    low       no more than that mark
    overdue   below zero, but within the credit limit
    frozen    nothing is left, credit included

Work that costs something starts only if its hold fits into what is available and the credit
limit together. In every state jobs may be submitted, and what runs goes on: its use is owed.

Hours stand by the same rules, each kind for itself. Of them, `frozen` means that money pays.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fenglin.ledger.budgets import BudgetUse


class Standing(StrEnum):
    """How an account stands."""

    OK = "ok"
    LOW = "low"
    OVERDUE = "overdue"
    FROZEN = "frozen"


class Limits(Struct, frozen=True):
    """What an operator has set for an account, in micro-units of its currency or of hours.

    Attributes:
        credit_micro: How far the account may fall below zero by new holds; 0 for prepaid.
        low_micro: From here down the account counts as low.
    """

    credit_micro: int = 0
    low_micro: int = 0


def standing(available_micro: int, limits: Limits) -> Standing:
    """Return how an account with so much available stands."""
    if available_micro + limits.credit_micro <= 0:
        return Standing.FROZEN
    if available_micro < 0:
        return Standing.OVERDUE
    return Standing.LOW if available_micro <= limits.low_micro else Standing.OK


def room_micro(available_micro: int, limits: Limits, uses: Iterable[BudgetUse]) -> int:
    """Return what new holds may come to: balance and credit, or what a budget leaves, if less."""
    left = (use.left_micro for use in uses if use.left_micro is not None)
    return max(0, min((available_micro + limits.credit_micro, *left)))
