"""`carbon`: the CO2 that all waiting tasks would emit there."""

from __future__ import annotations

from fenglin.catalog.carbon import task_carbon_mg
from fenglin.planner.terms.rule import Figures, Rule


def _raw(option: Figures) -> int | None:
    """Return milligrams; None where the draw of the nodes or the grid is not declared."""
    site, flavor = option.view.site, option.view.flavor
    if not flavor.power_watts or not site.carbon_g_kwh:
        return None
    busy_ms = option.tasks * option.shape.nodes * option.task_ms
    return task_carbon_mg(site, flavor, option.shape.resources, busy_ms)


def _show(carbon: float, option: Figures) -> str:
    grid = f"{option.view.site.carbon_g_kwh} g/kWh"
    if carbon >= 1_000_000:
        return f"{carbon / 1_000_000:.2f} kg CO2 at {grid}"
    return f"{carbon / 1_000:.2f} g CO2 at {grid}"


RULE = Rule(
    purpose="Cleaner is better: part of the node × runtime × PUE × CO2 of the site's grid.",
    raw=_raw,
    show=_show,
)
