"""`finish`: the time until all waiting tasks would be done there, data brought first."""

from __future__ import annotations

from fenglin.catalog.network import ASSUMED_MBIT_S
from fenglin.planner.terms.rule import Figures, Rule
from fenglin.quantities.durations import format_duration
from fenglin.quantities.sizes import format_bytes


def _show(_: float, option: Figures) -> str:
    text = format_duration(option.finish_ms)
    moved = option.moved
    if not moved.size_bytes:
        return text
    line = f" at an assumed {ASSUMED_MBIT_S} Mbit/s" if moved.assumed else ""
    span = format_duration(moved.time_ms)
    return f"{text}, {span} of it to bring {format_bytes(moved.size_bytes)}{line}"


RULE = Rule(
    purpose="Sooner is better: all waiting tasks at the flavor's speed, after their data.",
    raw=lambda option: option.finish_ms,
    show=_show,
)
