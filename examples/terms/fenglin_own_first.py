"""The term `foreign`: machines of our own, labelled `owner = "us"`, before those we rent."""

from __future__ import annotations

from fenglin.planner.terms import Figures, Rule


def foreign(option: Figures) -> int:
    """Return 0 for a site of our own, 1 for any other."""
    return int(("owner", "us") not in option.view.site.labels)


RULE = Rule(
    purpose="Our own machines first.",
    raw=foreign,
    show=lambda figure, option: "rented" if figure else f"{option.view.site.name} is ours",
    floor=1.0,
)
