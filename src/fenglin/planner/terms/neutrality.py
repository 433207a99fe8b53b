"""`neutrality`: whether a provider carries more of the load than its part of the pool."""

from __future__ import annotations

from fenglin.planner.terms.rule import Figures, Rule


def _raw(option: Figures) -> float:
    """Return part of the load / part of the pool: 1 is neither favoured nor passed over."""
    load, part = option.scene.load_and_part(option.view.site.provider)
    return load / part if part else 0.0


def _show(_: float, option: Figures) -> str:
    provider = option.view.site.provider
    load, part = option.scene.load_and_part(provider)
    if not part:
        return "nothing is in use"
    return f"{provider} carries {load:.0%} of the load with {part:.0%} of the pool"


RULE = Rule(
    purpose="No provider is favoured: its part of the load against its part of the pool.",
    raw=_raw,
    show=_show,
    floor=1.0,
)
