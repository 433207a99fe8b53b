"""Energy and CO2 of work, modelled from declared power and the grid's intensity.

A task is charged the part of its node's full-load power that its dominant share of the node is,
as the Software Carbon Intensity specification (ISO/IEC 21031) reserves a machine's emissions by
the part that is held, times the facility's overhead (PUE, ISO/IEC 30134-2). What a node draws
when idle is nobody's here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fenglin.model.site import Flavor, Site
    from fenglin.quantities.resources import Resources

_MS_PER_KWH_W = 3_600_000 * 1_000


def power_milliwatts(site: Site, flavor: Flavor, need: Resources) -> int:
    """Return the power of the whole facility for one task's part on one node; 0 if unknown.

    Dominant share of the node × full-load power × PUE, rounded half up.
    """
    parts = [
        (want, have)
        for want, have in zip(need.values(), flavor.node.values(), strict=True)
        if have > 0
    ]
    if not parts or not flavor.power_watts:
        return 0
    want, have = max(parts, key=lambda part: part[0] / part[1])
    scaled = flavor.power_watts * site.pue_milli * want
    return (2 * scaled + have) // (2 * have)


def task_carbon_mg(site: Site, flavor: Flavor, need: Resources, wall_ms: int) -> int:
    """Return the CO2 of one task's part on one node, in mg; 0 if power or grid is unknown.

    Power × time × grid intensity: mW × ms × g/kWh / 3.6 × 10^9 = mg.
    """
    energy = power_milliwatts(site, flavor, need) * wall_ms
    return energy * site.carbon_g_kwh // _MS_PER_KWH_W
