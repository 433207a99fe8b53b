"""`[account.NAME.hours.WHAT]` of `fenglin.toml`: how far hours are lent, and their budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.intake.hubbudgets import Amount, BudgetBlock, budgets_of, hours_micro
from fenglin.ledger.standing import Limits
from fenglin.model.hours import hours_named, purse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.ledger.budgets import Budget


class HoursBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """`[account.NAME.hours.core]`, or of a model of cards.

    Attributes:
        credit_limit: How far new holds may take the hours below zero.
        low: From here down they count as low.
        budget: What may be used per span, as for money.
    """

    credit_limit: Amount = 0
    low: Amount = 0
    budget: dict[str, BudgetBlock] = {}


class HoursRules(Struct, frozen=True):
    """What is set for one account's hours.

    Attributes:
        limits: By `model.hours.purse`.
        budgets: Of all its kinds of hours.
    """

    limits: dict[str, Limits]
    budgets: tuple[Budget, ...]


def hours_of(account: str, blocks: Mapping[str, HoursBlock]) -> HoursRules:
    """Check what is set for the hours of one account.

    Args:
        account: Its name.
        blocks: By `core`, or model of cards.

    Raises:
        InputError: no such hours, two names of the same, an amount is out of range, or a budget
            makes no sense.
    """
    limits: dict[str, Limits] = {}
    budgets: list[Budget] = []
    for name in sorted(blocks):
        where, block = f"account.{account}.hours.{name}", blocks[name]
        try:
            kind = hours_named(name)
        except InputError as error:
            raise InputError(error.what, where=where, hint=f"core, or {error.hint}") from error
        place = purse(account, kind)
        if place in limits:
            raise InputError(f"{kind} is set twice", where=where, hint="keep one of the blocks")
        limits[place] = Limits(
            hours_micro(block.credit_limit, kind, f"{where}.credit_limit"),
            hours_micro(block.low, kind, f"{where}.low"),
        )
        budgets += budgets_of(block.budget, f"{where}.budget", kind)
    return HoursRules(limits, tuple(budgets))
