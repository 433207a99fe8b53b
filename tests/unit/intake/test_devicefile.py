"""What an operator may add to the registry, and what is refused with a reason."""

from __future__ import annotations

import pytest

from fenglin.catalog.device import Grade, Measure
from fenglin.catalog.devices import BUILT_IN
from fenglin.errors import InputError
from fenglin.intake.devicefile import read_device_file

OWN = """
[device.OwnCard]
vendor = "Own"
domestic = true
aliases = ["Own Card Pro"]
kubernetes = ["own.example/card"]
[[device.OwnCard.figure]]
measure = "fp16"
value = 12.5
dense = true
source = "acceptance report 7"
date = "2026-10-31"
grade = "verified"
"""
MORE = """
[device.A100-80]
vendor = "nvidia"
[[device.A100-80.figure]]
measure = "%s"
value = %s
%s
source = "a leaflet"
date = "%s"
"""


def test_a_part_is_added() -> None:
    known = read_device_file(OWN, "own.toml", BUILT_IN)
    part = known.part("own-card-pro")
    assert part is not None
    assert (part.fp16_gflops, part.fp64_gflops, part.domestic) == (12_500, None, True)
    assert part.figures[0].grade is Grade.VERIFIED
    assert BUILT_IN.part("OwnCard") is None


def test_a_second_source_is_kept_beside_the_first() -> None:
    text = MORE % ("power", 410, "", "2026-10")
    part = read_device_file(text, "more.toml", BUILT_IN).part("A100-80")
    assert part is not None
    assert part.conflicts() == (Measure.POWER,)
    assert part.power_w == 400  # the maker is nearer to it
    assert part.aliases


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MORE % ("fp16", 300, "dense = false", "2026-10"), "said to be sparse"),
        (MORE % ("fp16", 300, "", "2026-10"), "may be sparse"),
        (MORE % ("fp16", 624, "dense = true", "2026-10"), "twice the dense one"),
        (MORE % ("power", 400, "", "October"), "no date"),
        (MORE % ("power", -1, "", "2026-10"), "more.toml: device.A100-80.figure[0].value"),
        (MORE % ("speed", 1, "", "2026-10"), "speed"),
        ('[device.A100-80]\nvendor = "AMD"', "made by NVIDIA"),
        ('[device.Other]\nvendor = "X"\naliases = ["H20"]', "would mean both H20 and Other"),
        ('[device."  "]\nvendor = "X"', "cannot be a name"),
        ("[device", "more.toml"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_device_file(text, "more.toml", BUILT_IN)
    assert words in str(caught.value)
