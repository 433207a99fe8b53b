"""What the registry knows, and what follows from what it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fenglin.catalog.device import Grade, Measure
from fenglin.catalog.device_facts import CPUS, DEVICES
from fenglin.catalog.devices import BUILT_IN, lookup, qualifies, shortfalls
from fenglin.model.job import AcceleratorNeed
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from fenglin.catalog.device import Device

GB, GIB = 10**9, 2**30


def test_names_and_aliases_are_unambiguous() -> None:
    names = [name for device in DEVICES for name in (device.key, *device.aliases)]
    for device in DEVICES:
        for name in (device.key, *device.aliases):
            assert lookup(name) is device
    assert len({name.casefold() for name in names}) == len(names)


def test_figures_are_positive_or_unknown() -> None:
    for device in DEVICES:
        assert device.figures
        assert all(one.source and one.date for one in device.figures)
        for figure in (
            device.fp32_gflops, device.fp16_gflops, device.int8_gops, device.memory_gib,
            device.bandwidth_gb_s, device.power_w,
        ):  # fmt: skip
            assert figure is None or figure > 0


@pytest.mark.parametrize("spelling", ["RTX4090", "rtx 4090", "RTX-4090", "nvidia_geforce_rtx_4090"])
def test_usual_spellings_mean_the_same_card(spelling: str) -> None:
    device = lookup(spelling)
    assert device is not None
    assert device.key == "RTX4090"


@pytest.mark.parametrize("name", ["", "A100", "910B", "H100", "H200"])
def test_a_name_that_could_mean_several_cards_means_none(name: str) -> None:
    assert lookup(name) is None


@pytest.mark.parametrize(
    ("device", "need", "reason"),
    [
        ("A100-80", AcceleratorNeed(), None),
        ("", AcceleratorNeed(), Reason.NO_ACCELERATOR),
        ("A100 80GB", AcceleratorNeed(model="A100-80"), None),
        ("A800-80", AcceleratorNeed(model="A100-80"), Reason.ACCELERATOR_MODEL_DIFFERS),
        ("Own Card", AcceleratorNeed(model="own-card"), None),
        ("Own Card", AcceleratorNeed(model="A100-80"), Reason.ACCELERATOR_MODEL_DIFFERS),
        ("A100-80", AcceleratorNeed(model="Own Card"), Reason.ACCELERATOR_MODEL_DIFFERS),
        ("RTX4090", AcceleratorNeed(memory_bytes=24 * GB, fp16_gflops=100_000), None),
        ("RTX4090", AcceleratorNeed(memory_bytes=24 * GIB), None),
        ("RTX4090", AcceleratorNeed(memory_bytes=24 * GIB + 1), Reason.ACCELERATOR_TOO_SMALL),
        ("RTX4090", AcceleratorNeed(fp64_gflops=1), Reason.ACCELERATOR_UNKNOWN),
        ("BR104", AcceleratorNeed(fp64_gflops=1), Reason.ACCELERATOR_TOO_SMALL),
        ("H20", AcceleratorNeed(fp64_gflops=1_001), Reason.ACCELERATOR_TOO_SMALL),
        ("L20", AcceleratorNeed(fp16_gflops=1), Reason.ACCELERATOR_UNKNOWN),
        ("L20", AcceleratorNeed(memory_bytes=64 * GB, fp16_gflops=1), Reason.ACCELERATOR_TOO_SMALL),
        ("Own Card", AcceleratorNeed(memory_bytes=1), Reason.ACCELERATOR_UNKNOWN),
        ("Ascend910C", AcceleratorNeed(vendor="ascend", domestic=True), None),
        ("H20", AcceleratorNeed(vendor="Huawei"), Reason.ACCELERATOR_VENDOR_DIFFERS),
        ("H20", AcceleratorNeed(domestic=True), Reason.ACCELERATOR_NOT_DOMESTIC),
        ("Own Card", AcceleratorNeed(domestic=True), Reason.ACCELERATOR_UNKNOWN),
        ("Own Card", AcceleratorNeed(vendor="Huawei"), Reason.ACCELERATOR_UNKNOWN),
    ],
)
def test_qualifies(device: str, need: AcceleratorNeed, reason: Reason | None) -> None:
    assert qualifies(device, need) is reason


@pytest.mark.parametrize("device", DEVICES, ids=lambda one: one.key)
def test_words_and_reason_agree(device: Device) -> None:
    for need in (
        AcceleratorNeed(memory_bytes=48 * GIB, fp16_gflops=300_000),
        AcceleratorNeed(fp64_gflops=5_000),
        AcceleratorNeed(vendor="cuda"),
        AcceleratorNeed(domestic=True, memory_bytes=GIB),
        AcceleratorNeed(model="H20"),
    ):
        assert bool(shortfalls(device, need)) == (qualifies(device.key, need) is not None)


def test_a_conflict_stays_visible_and_the_careful_figure_rules() -> None:
    device = lookup("Ascend910A")
    assert device is not None
    assert {one.value for one in device.figures if one.measure is Measure.POWER} == {310, 350}
    assert device.conflicts() == (Measure.POWER,)
    assert device.power_w == 350


def test_a_test_that_stays_below_the_peak_contradicts_nobody() -> None:
    device = lookup("A100-80")
    assert device is not None
    measured = [one.value for one in device.figures if one.grade is Grade.MEASURED]
    assert measured == [251_500]
    assert (device.fp16_gflops, device.conflicts()) == (312_000, ())


def test_a_cpu_is_no_accelerator() -> None:
    for cpu in CPUS:
        assert lookup(cpu.key) is None
        assert BUILT_IN.part(cpu.key) is cpu
