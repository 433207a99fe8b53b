"""`money`: the price of all waiting tasks there, with what bringing their data costs."""

from __future__ import annotations

from fenglin.model.hours import is_hours
from fenglin.planner.terms.rule import Figures, Rule
from fenglin.quantities.money import format_money


def _total(option: Figures) -> int:
    """Return price and egress. Undeclared egress counts nothing here; the receipt says so.

    Egress is money, and is never added to a price in hours.
    """
    egress_micro = 0 if is_hours(option.currency) else option.moved.egress_micro
    return option.price_micro + egress_micro


def _show(_: float, option: Figures) -> str:
    text = format_money(_total(option), option.currency)
    moved = option.moved
    if moved.unpriced:
        return f"{text}, egress unknown"
    if moved.egress_micro:
        egress = format_money(moved.egress_micro, option.view.flavor.price.currency)
        return f"{text}, {egress} {'besides for' if is_hours(option.currency) else 'of it'} egress"
    return text


RULE = Rule(
    purpose="Cheaper is better: the price of all waiting tasks and of bringing their data.",
    raw=_total,
    show=_show,
)
