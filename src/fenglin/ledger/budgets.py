"""Budgets: how much an account may use in a span of the books' calendar.

What counts is what was charged since the span began, corrections included and whoever paid for
it, and what is held at the moment: a hold ends in this span, or in the next, whose budget then
bears it. A hard limit refuses the start whose hold would pass it; at a soft one people are told.
Money and each kind of hours have budgets of their own; what is granted or taken back is no charge.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from fenglin.ledger.posting import CURRENCY
from fenglin.quantities.period import Period, period_of


class Span(StrEnum):
    """How long a budget is for; each begins with a month of the books."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


_MONTHS = {Span.MONTH: 1, Span.QUARTER: 3, Span.YEAR: 12}


class BudgetState(StrEnum):
    """How far a budget is used."""

    OK = "ok"
    SOFT = "soft"
    HARD = "hard"


class Budget(Struct, frozen=True):
    """What an operator allows an account, in micro-units of one commodity.

    Attributes:
        span: For how long.
        hard_micro: No start passes it; None for none.
        soft_micro: People are told when a start passes it; None for none.
        commodity: Of what: the hub's currency, or hours as `model.hours` names them.
    """

    span: Span
    hard_micro: int | None = None
    soft_micro: int | None = None
    commodity: str = CURRENCY


class BudgetUse(Struct, frozen=True):
    """A budget, and what has been used of it.

    Attributes:
        budget: What is allowed.
        from_ms: First millisecond of the span.
        to_ms: First millisecond after it.
        charged_micro: What was charged since then.
        held_micro: What is held now.
    """

    budget: Budget
    from_ms: int
    to_ms: int
    charged_micro: int
    held_micro: int

    @property
    def used_micro(self) -> int:
        """Return what counts against the limits."""
        return self.charged_micro + self.held_micro

    @property
    def left_micro(self) -> int | None:
        """Return what new holds may come to, below zero when it is passed; None for no limit."""
        hard_micro = self.budget.hard_micro
        return None if hard_micro is None else hard_micro - self.used_micro

    @property
    def state(self) -> BudgetState:
        """Return how far it is used."""
        if self.left_micro is not None and self.left_micro <= 0:
            return BudgetState.HARD
        soft_micro = self.budget.soft_micro
        passed = soft_micro is not None and self.used_micro > soft_micro
        return BudgetState.SOFT if passed else BudgetState.OK

    def passes_soft(self, hold_micro: int) -> bool:
        """Return whether a hold, which `held_micro` counts already, has passed the soft limit."""
        soft_micro = self.budget.soft_micro
        if soft_micro is None:
            return False
        return self.used_micro - hold_micro <= soft_micro < self.used_micro


def span_bounds(span: Span, at_ms: int, offset_min: int) -> tuple[int, int]:
    """Return the first millisecond of the span that holds a moment, and the first after it."""
    months = _MONTHS[span]
    month = period_of(at_ms, offset_min)
    first = Period(month.year, (month.month - 1) // months * months + 1, offset_min)
    after = first
    for _ in range(months):
        after = after.next()
    return first.from_ms, after.from_ms
