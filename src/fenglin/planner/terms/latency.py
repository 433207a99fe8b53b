"""`latency`: the round trip to the site whose users the job serves."""

from __future__ import annotations

from fenglin.planner.terms.rule import Figures, Rule
from fenglin.quantities.sizes import format_milli


def _raw(option: Figures) -> int | None:
    """Return microseconds; None where neither end declares the link."""
    return option.view.network.round_trip_us(option.view.site.name, option.shape.near)


def _show(round_trip_us: float, option: Figures) -> str:
    return f"{format_milli(int(round_trip_us))}ms to {option.shape.near}"


RULE = Rule(
    purpose="Nearer is better: the round trip to the site that the job names in `near`.",
    raw=_raw,
    show=_show,
    # 10 ms: what a person does not notice.
    floor=10_000,
    applies=lambda shape: bool(shape.near),
)
