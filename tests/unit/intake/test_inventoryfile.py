"""Declarations of facilities: evidence on every figure, checks, totals of one precision."""

from __future__ import annotations

import pytest

from fenglin.catalog.devices import BUILT_IN
from fenglin.catalog.inventory.checks import PRECISIONS, check
from fenglin.catalog.inventory.totals import one_precision, parse_total, rows, total
from fenglin.errors import InputError
from fenglin.intake.inventoryfile import read_inventory_file
from fenglin.model.states import ComputeClass

GOOD = """
[facility.gz1]
owner = "Example"
period = "2026-10"
grade = "declared"
date = 2026-10-31
document = "report 10"
racks_built = 200
racks_in_use = 150
power_approved = 500
energy_it = {value = 40000, grade = "measured", document = "meter IT-1"}
energy_total = 50000
pue = 1.25
busy_card_hours = 40000

[facility.gz1.compute.a100]
class = "ai"
device = "A100 80GB"
count = 64
sellable = 60
reserved = 4
fp16 = 19968
measured_fp16 = {value = 251.5, grade = "measured", document = "test 7"}

[facility.gz1.compute.k100]
class = "ai"
device = "K100_AI"
count = 8

[facility.gz1.compute.epyc]
class = "general"
device = "EPYC-7763"
count = 10
"""


def test_a_good_declaration_has_no_finding_and_keeps_its_evidence() -> None:
    (facility,) = read_inventory_file(GOOD, "gz.toml")
    assert check(facility, BUILT_IN) == []
    assert facility.period_h == 31 * 24
    fact = facility.facts["energy_it"]
    assert (fact.milli, fact.grade, fact.date, fact.document) == (
        40_000_000, "measured", "2026-10-31", "meter IT-1",
    )  # fmt: skip
    assert facility.facts["pue"].grade == "declared"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("racks_in_use = 150", "racks_in_use = 201", "racks_within_built"),
        ("energy_total = 50000", "energy_total = 39999", "it_energy_within_total"),
        ("pue = 1.25", "pue = 1.2", "pue_is_energy_ratio"),
        ("power_approved = 500", "power_approved = 50", "it_energy_within_approved_power"),
        ("value = 40000", "value = 71000", "it_energy_within_installed_power"),
        ("busy_card_hours = 40000", "busy_card_hours = 53569", "card_hours_within_cards"),
        ("sellable = 60", "sellable = 61", "sellable_and_reserved_within_count"),
        ("fp16 = 19968", "fp16 = 39936", "peak_is_dense"),
        ("fp16 = 19968", "fp16 = 29936", "peak_is_count_times_nominal"),
        ("value = 251.5", "value = 312.5", "measured_within_nominal"),
        ('device = "K100_AI"', 'device = "K100"', "device_known"),
    ],
)
def test_what_cannot_be_true_is_found(old: str, new: str, rule: str) -> None:
    assert old in GOOD
    (facility,) = read_inventory_file(GOOD.replace(old, new), "gz.toml")
    assert rule in [one.rule for one in check(facility, BUILT_IN)]


def test_the_limits_themselves_pass() -> None:
    text = GOOD.replace("busy_card_hours = 40000", "busy_card_hours = 53568")  # 72 cards x 744 h
    (facility,) = read_inventory_file(text, "gz.toml")
    assert check(facility, BUILT_IN) == []


def test_totals_are_worked_by_hand() -> None:
    found = list(rows(read_inventory_file(GOOD, "gz.toml"), BUILT_IN, "fp16"))
    one = total(ComputeClass.AI, "fp16", found)
    assert (one.devices_milli, one.nominal_gflops) == (64_000, 64 * 312_000)
    assert one.unknown_milli == 8_000  # the K100_AI's peak is unknown, not nothing
    assert (one.measured_gflops, one.measured_of_gflops) == (64 * 251_500, 64 * 312_000)
    general = list(rows(read_inventory_file(GOOD, "gz.toml"), BUILT_IN, "fp64"))
    assert total(ComputeClass.GENERAL, "fp64", general).nominal_gflops == 25_090
    (row,) = [one for one in found if one.place == "gz1/a100"]
    assert (row.device, row.evidence) == ("A100-80", "report 10, 2026-10-31")
    assert "data sheet" in row.figure
    assert "test 7" in row.measured_evidence


def test_a_facility_that_is_not_in_use_counts_nothing() -> None:
    text = GOOD.replace('owner = "Example"', 'status = "building"')
    assert list(rows(read_inventory_file(text, "gz.toml"), BUILT_IN, "fp16")) == []


@pytest.mark.parametrize("asked", ["all", "", "fp16,fp64", "fp16+int8"])
def test_adding_precisions_is_an_error_that_explains_itself(asked: str) -> None:
    with pytest.raises(InputError, match="different precisions cannot be added"):
        one_precision(asked)


def test_rows_of_another_precision_are_not_added() -> None:
    facilities = read_inventory_file(GOOD, "gz.toml")
    mixed = [row for one in PRECISIONS for row in rows(facilities, BUILT_IN, one)]
    with pytest.raises(InputError, match="different precisions cannot be added"):
        total(ComputeClass.AI, "fp16", mixed)


def test_a_total_is_named() -> None:
    assert parse_total("general:fp64") == (ComputeClass.GENERAL, "fp64")
    with pytest.raises(InputError, match="no total"):
        parse_total("fp64")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("racks_built = 200", "racks = 200", "facility.gz1: unknown key 'racks'"),
        ('document = "report 10"', "", "has no document"),
        ("date = 2026-10-31", 'date = "October"', "no date"),
        ("racks_built = 200", "racks_built = -1", "facility.gz1.racks_built"),
        ("racks_built = 200", "racks_built = true", "facility.gz1.racks_built"),
        ('grade = "declared"', 'grade = "guessed"', "one of declared, verified, measured"),
        ('class = "ai"', 'class = "quantum"', "one of general, ai, super"),
        ("count = 64", "", "`count` is missing"),
        ('period = "2026-10"', 'period = "2026-13"', "facility.gz1.period"),
        ("compute.k100]", "compute.'a/b']", "cannot be a name"),
        ("[facility.gz1]", "[facility.gz1", "not TOML"),
    ],
)
def test_refused(old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        read_inventory_file(GOOD.replace(old, new), "gz.toml")
    assert words in str(caught.value)
    assert "gz.toml" in str(caught.value)
