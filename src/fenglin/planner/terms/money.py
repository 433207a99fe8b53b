"""`money`: the price of all waiting tasks there, with what bringing their data costs."""

from __future__ import annotations

from fenglin.planner.terms.rule import Figures, Rule
from fenglin.quantities.money import format_money


def _total(option: Figures) -> int:
    """Return price and egress. Undeclared egress counts nothing here; the receipt says so."""
    return option.price_micro + option.moved.egress_micro


def _show(_: float, option: Figures) -> str:
    text = format_money(_total(option), option.currency)
    moved = option.moved
    if moved.unpriced:
        return f"{text}, egress unknown"
    if moved.egress_micro:
        return f"{text}, {format_money(moved.egress_micro, option.currency)} of it egress"
    return text


RULE = Rule(
    purpose="Cheaper is better: the price of all waiting tasks and of bringing their data.",
    raw=_total,
    show=_show,
)
