"""`fragmentation`: how much of a node a task would leave that its like cannot use."""

from __future__ import annotations

from fenglin.planner.terms.rule import Figures, Rule


def _show(stranded_milli: float, option: Figures) -> str:
    unit = "cards" if option.view.flavor.node.accelerator_milli else "cores"
    return f"{stranded_milli / 10:.1f}% of a node's {unit} stranded"


RULE = Rule(
    purpose="Whole nodes stay whole: cards or cores that a task leaves but nobody can use.",
    raw=lambda option: option.scene.stranded_milli(option.shape_row, option.view),
    show=_show,
    # A tenth of a node.
    floor=100,
)
