"""`[account.NAME.budget.SPAN]` of `fenglin.toml`: what an account may use per span.

The same under `[account.NAME.hours.WHAT]`, in hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.budgets import Budget, Span
from fenglin.ledger.posting import CURRENCY
from fenglin.model.hours import is_hours
from fenglin.quantities.money import MAX_MICRO, MICRO, parse_money_micro
from fenglin.quantities.shown import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Amount = str | float | int


class BudgetBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[account.NAME.budget.month]`, or of a quarter or year.

    Attributes:
        hard: No start passes it.
        soft: People are told when a start passes it.
    """

    hard: Amount | None = None
    soft: Amount | None = None


def budgets_of(
    blocks: Mapping[str, BudgetBlock], where: str, commodity: str = CURRENCY
) -> tuple[Budget, ...]:
    """Check the budgets of one account in one commodity.

    Args:
        blocks: By span.
        where: `account.NAME.budget`, for errors.
        commodity: Of the limits.

    Raises:
        InputError: a span is none, a limit is out of range, or the soft one lies above the hard.
    """
    return tuple(
        _budget(name, blocks[name], f"{where}.{name}", commodity) for name in sorted(blocks)
    )


def _budget(name: str, block: BudgetBlock, where: str, commodity: str) -> Budget:
    if name not in tuple(Span):
        raise InputError(
            f"{shown(name)} is no span of time", where=where, hint=f"one of {', '.join(Span)}"
        )
    hard_micro = _limit(block.hard, f"{where}.hard", commodity)
    soft_micro = _limit(block.soft, f"{where}.soft", commodity)
    if hard_micro is None and soft_micro is None:
        raise InputError("it has no limit", where=where, hint="set hard, soft, or both")
    if hard_micro is not None and soft_micro is not None and soft_micro > hard_micro:
        raise InputError(
            "the soft limit lies above the hard one", where=where, hint="people are told too late"
        )
    return Budget(Span(name), hard_micro, soft_micro, commodity)


def _limit(value: Amount | None, where: str, commodity: str) -> int | None:
    if value is None:
        return None
    if is_hours(commodity):
        return hours_micro(value, commodity, where)
    try:
        limit_micro = parse_money_micro(value)
    except InputError as error:
        raise InputError(error.what, where=where, hint=error.hint) from error
    if limit_micro < 0:
        raise InputError("a limit is never negative", where=where, hint="0 lets nothing start")
    return limit_micro


def hours_micro(value: Amount, commodity: str, where: str) -> int:
    """Return millionths of an hour.

    Raises:
        InputError: no number, negative, finer than a millionth, or too large.
    """
    try:
        amount_micro = parse_money_micro(value, "hours")
    except InputError as error:
        raise InputError(
            f"{shown(value)} is no number of {commodity}",
            where=where,
            hint=f"such as 100 or 0.5: at most six decimals, and {MAX_MICRO // MICRO}",
        ) from error
    if amount_micro < 0:
        raise InputError(f"{shown(value)} {commodity} is negative", where=where, hint="0 for none")
    return amount_micro
