"""Energy of an attempt, measured by its site or modelled from power, use and overhead.

    energy = power × wall time × PUE
    power  = share × P_full × (idle + (1 - idle) × use)

Linear power between idle and full load is the model of Fan, Weber and Barroso, "Power
Provisioning for a Warehouse-sized Computer" (ISCA 2007), who found a server at rest to draw
about half of its full power; `share`, the dominant part of the node that the task holds, is how
ISO/IEC 21031 (Software Carbon Intensity) reserves a machine; PUE is that of ISO/IEC 30134-2. Use
is CPU time over cores × wall time where the site measured it, else 1: never too small.

Where the node's power is undeclared its cards' power stands in, from the device registry, times
cards held; what the rest of the node draws is then missing, and the basis says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.catalog.carbon_factors import factor_of
from fenglin.catalog.devices import lookup
from fenglin.model.energy import MEASURED, MODELLED, Energy

if TYPE_CHECKING:
    from fenglin.model.allocation import Usage
    from fenglin.model.site import Flavor, Site
    from fenglin.quantities.resources import Resources

IDLE_PERMILLE = 500
_FULL = 1_000
# mW × ms = 10^-6 J; power is scaled by use (‰) and PUE (‰) on top.
_PER_JOULE = 10**6 * _FULL * _FULL
_J_PER_KWH = 3_600_000


def use_permille(need: Resources, usage: Usage) -> int | None:
    """Return how busy the held cores were; None where nobody measured it."""
    held = need.cpu_milli * usage.wall_ms
    if not usage.cpu_ms or not held:
        return None
    return min(_FULL, usage.cpu_ms * _FULL * 1_000 // held)


def model_energy(
    site: Site, flavor: Flavor, need: Resources, nodes: int, usage: Usage
) -> Energy | None:
    """Return the modelled energy of an attempt; None where no power is known.

    Args:
        site: Where it ran: its PUE, and its grid.
        flavor: On what.
        need: Of one task on one node.
        nodes: Per task.
        usage: Its total.
    """
    use = use_permille(need, usage)
    full_mw, what = _full_load_mw(flavor, need)
    if not full_mw:
        return None
    load = _FULL
    said = "full load assumed"
    if use is not None and not need.accelerator_milli:
        load = IDLE_PERMILLE + (_FULL - IDLE_PERMILLE) * use // _FULL
        said = f"cores {use / 10:g} % busy"
    scaled = full_mw * nodes * usage.wall_ms * load * site.pue_milli
    energy_j = (2 * scaled + _PER_JOULE) // (2 * _PER_JOULE)
    return with_carbon(site, energy_j, MODELLED, f"{what}, {said}, PUE {site.pue_milli / _FULL:g}")


def measured_energy(site: Site, it_j: int) -> Energy:
    """Return the energy of an attempt whose machines the site has measured, times PUE."""
    scaled = it_j * site.pue_milli
    energy_j = (2 * scaled + _FULL) // (2 * _FULL)
    return with_carbon(
        site, energy_j, MEASURED, f"measured by the site, PUE {site.pue_milli / _FULL:g}"
    )


def with_carbon(site: Site, energy_j: int, grade: str, basis: str) -> Energy:
    """Return energy with its CO2: by the factor that the operator declared, else the published."""
    mg_kwh = site.carbon_g_kwh * 1_000
    factor = f"{site.carbon_g_kwh} g/kWh, declared by the operator" if mg_kwh else ""
    if not mg_kwh:
        published = factor_of(site.region)
        if published is None:
            return Energy(energy_j, grade, basis)
        mg_kwh, factor = published.mg_kwh, str(published)
    carbon_mg = (2 * energy_j * mg_kwh + _J_PER_KWH) // (2 * _J_PER_KWH)
    return Energy(energy_j, grade, basis, carbon_mg, MODELLED, factor)


def _full_load_mw(flavor: Flavor, need: Resources) -> tuple[int, str]:
    """Return the full-load power of a task's part of one node, and what it was taken from."""
    parts = [
        (want, have)
        for want, have in zip(need.values(), flavor.node.values(), strict=True)
        if have > 0
    ]
    if flavor.power_watts and parts:
        want, have = max(parts, key=lambda part: part[0] / part[1])
        return flavor.power_watts * 1_000 * want // have, f"{flavor.power_watts} W node, declared"
    device = lookup(flavor.accelerator) if flavor.accelerator else None
    if device is None or not device.power_w or not need.accelerator_milli:
        return 0, ""
    return device.power_w * need.accelerator_milli, f"{device.power_w} W cards only, registry"
