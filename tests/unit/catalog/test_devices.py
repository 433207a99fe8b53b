"""What the registry knows, and what follows from what it does not know."""

from __future__ import annotations

import pytest

from fenglin.catalog.device_facts import DEVICES, Grade
from fenglin.catalog.devices import lookup, qualifies
from fenglin.model.job import AcceleratorNeed
from fenglin.model.reason import Reason

GB, GIB = 10**9, 2**30


def test_names_and_aliases_are_unambiguous() -> None:
    names = [name for device in DEVICES for name in (device.key, *device.aliases)]
    for device in DEVICES:
        for name in (device.key, *device.aliases):
            assert lookup(name) is device
    assert len({name.casefold() for name in names}) == len(names)


def test_figures_are_positive_or_unknown() -> None:
    for device in DEVICES:
        assert device.source
        for figure in (
            device.fp32_gflops, device.fp16_gflops, device.int8_gops, device.memory_gib,
            device.bandwidth_gb_s, device.power_w,
        ):  # fmt: skip
            assert figure is None or figure > 0


@pytest.mark.parametrize("spelling", ["RTX4090", "rtx 4090", "RTX-4090", "nvidia_geforce_rtx_4090"])
def test_usual_spellings_mean_the_same_card(spelling: str) -> None:
    device = lookup(spelling)
    assert device is not None
    assert (device.key, device.grade) == ("RTX4090", Grade.NOMINAL)


@pytest.mark.parametrize("name", ["", "A100", "910B", "Ascend910B4", "H200"])
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
    ],
)
def test_qualifies(device: str, need: AcceleratorNeed, reason: Reason | None) -> None:
    assert qualifies(device, need) is reason
