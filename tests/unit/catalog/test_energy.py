"""Energy and CO2 of attempts, worked by hand."""

import pytest
from msgspec.structs import replace

from fenglin.catalog.carbon_factors import FACTORS, factor_of
from fenglin.catalog.energy import measured_energy, model_energy, use_permille
from fenglin.model.allocation import Usage
from fenglin.model.site import Flavor, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

HOUR_MS = 3_600_000
NODE = Resources(8_000, 64 * 2**30, 0, 2_000)
SITE = Site("gz", "hub", "slurm", region="cn-guizhou", pue_milli=1_200)
CPU = Flavor("cpu", ComputeClass.GENERAL, NODE, power_watts=400)
CARD = Flavor("card", ComputeClass.AI, NODE, accelerator="A100-80")


def test_full_load_of_the_dominant_share_times_overhead_and_published_factor():
    # Half of the cores of a 400 W node for an hour: 200 Wh, with PUE 240 Wh = 864,000 J;
    # 0.24 kWh × 498.9 g = 119.736 g.
    made = model_energy(SITE, CPU, Resources(4_000, 2**30), 1, Usage(tasks=1, wall_ms=HOUR_MS))
    assert (made.energy_j, made.grade, made.carbon_mg) == (864_000, "modelled", 119_736)
    assert "full load assumed" in made.basis
    assert "cn-guizhou 2022" in made.factor


def test_measured_use_of_the_cores_lowers_it_to_no_less_than_idle():
    need = Resources(4_000, 2**30)
    busy = Usage(tasks=1, wall_ms=HOUR_MS, cpu_ms=HOUR_MS * 2)
    assert use_permille(need, busy) == 500
    # 0.5 + 0.5 × 0.5 of full load.
    assert model_energy(SITE, CPU, need, 1, busy).energy_j == 648_000
    assert model_energy(SITE, CPU, need, 3, busy).energy_j == 3 * 648_000
    lazy = Usage(tasks=1, wall_ms=HOUR_MS, cpu_ms=1)
    assert model_energy(SITE, CPU, need, 1, lazy).energy_j == 432_000


def test_cards_of_the_registry_stand_in_where_the_node_is_undeclared():
    used = Usage(tasks=1, wall_ms=HOUR_MS)
    made = model_energy(SITE, CARD, Resources(1_000, 0, 0, 1_000), 1, used)
    assert made.energy_j == 400 * 3_600 * 12 // 10
    assert "cards only" in made.basis
    # Nothing known, nothing said.
    assert model_energy(SITE, CARD, Resources(1_000), 1, used) is None
    plain = replace(CPU, power_watts=0)
    assert model_energy(SITE, plain, Resources(1_000), 1, used) is None


def test_a_declared_grid_factor_rules_and_an_unknown_region_has_none():
    declared = measured_energy(replace(SITE, carbon_g_kwh=100), 3_000_000)
    assert (declared.energy_j, declared.grade, declared.carbon_mg) == (
        3_600_000, "measured", 100_000,
    )  # fmt: skip
    assert declared.carbon_grade == "modelled"
    unknown = measured_energy(replace(SITE, region="mars"), 1_000)
    assert (unknown.carbon_mg, unknown.carbon_grade, unknown.factor) == (None, "", "")


@pytest.mark.parametrize(
    ("region", "mg_kwh"),
    [("cn-yunnan", 107_300), ("CN-Hebei-2", 725_200), ("cn", None), ("", None), ("cn-x", None)],
)
def test_factors_are_found_by_province(region, mg_kwh):
    found = factor_of(region)
    assert (found and found.mg_kwh) == mg_kwh


def test_every_factor_says_whence_and_of_when():
    assert len(FACTORS) == 30
    assert all(one.source and one.published == "2024-12-20" and one.grade for one in FACTORS)
    assert all(50_000 < one.mg_kwh < 900_000 for one in FACTORS)
