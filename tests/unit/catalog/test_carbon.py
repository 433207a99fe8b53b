"""Energy and CO2, worked by hand."""

from __future__ import annotations

from fenglin.catalog.carbon import power_milliwatts, task_carbon_mg
from fenglin.model.site import Flavor, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

NODE = Resources(cpu_milli=64_000, memory_bytes=2**38)
FLAVOR = Flavor("f", ComputeClass.GENERAL, NODE, power_watts=800)
SITE = Site("a", "p", "local", flavors=(FLAVOR,), carbon_g_kwh=500, pue_milli=1_250)
HOUR_MS = 3_600_000


def test_an_eighth_of_a_node_for_an_hour() -> None:
    need = Resources(cpu_milli=8_000, memory_bytes=2**30)
    # 800 W / 8 × 1.25 = 125 W; for an hour 0.125 kWh; at 500 g/kWh 62.5 g.
    assert power_milliwatts(SITE, FLAVOR, need) == 125_000
    assert task_carbon_mg(SITE, FLAVOR, need, HOUR_MS) == 62_500


def test_the_dominant_share_counts() -> None:
    need = Resources(cpu_milli=1_000, memory_bytes=2**37)
    assert power_milliwatts(SITE, FLAVOR, need) == 500_000


def test_what_is_unknown_is_zero() -> None:
    dark = Flavor("f", ComputeClass.GENERAL, NODE)
    nowhere = Site("a", "p", "local", flavors=(FLAVOR,))
    need = Resources(cpu_milli=1_000)
    assert power_milliwatts(SITE, dark, need) == 0
    assert task_carbon_mg(nowhere, FLAVOR, need, HOUR_MS) == 0
    assert power_milliwatts(nowhere, FLAVOR, need) > 0
