"""`egress`: what bringing the job's data costs, alone."""

from __future__ import annotations

from fenglin.planner.terms.rule import Figures, Rule
from fenglin.quantities.money import MICRO, format_money
from fenglin.quantities.sizes import format_bytes


def _raw(option: Figures) -> int | None:
    return None if option.moved.unpriced else option.moved.egress_micro


def _show(_: float, option: Figures) -> str:
    # Egress is paid in money, also where the job is paid in hours.
    text = format_money(option.moved.egress_micro, option.view.flavor.price.currency)
    size = option.moved.size_bytes
    return f"{text} for {format_bytes(size)}" if size else f"{text}, the data is there"


RULE = Rule(
    purpose="Data stays where it is: money paid for bringing it, alone.",
    raw=_raw,
    show=_show,
    # One unit of money: no job is moved for a few cents.
    floor=MICRO,
    applies=lambda shape: bool(shape.data),
)
