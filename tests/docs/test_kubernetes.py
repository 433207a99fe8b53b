"""The page of the Kubernetes driver and its reference tell what the driver does."""

import re
from pathlib import Path

import pytest

from fenglin.drivers.kubernetes import CAPABILITIES, settings
from fenglin.ports.driver import Capability

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/add-a-kubernetes-cluster.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", ["_Block", "Group"])
def test_every_setting_is_told(block):
    text = (ROOT / "docs/reference/configuration.md").read_text(encoding="utf-8")
    section = text.partition("of the `kubernetes` driver")[2].partition("\n### ")[0]
    own = getattr(settings, block).__struct_fields__
    assert own
    assert not [name for name in own if f"`{name}`" not in section]


def test_every_capability_is_told():
    words = {Capability.MEMORY_LIMIT: "memory limit"}
    table = PAGE.partition("| capability | how |")[2].partition("\n\n")[0]
    lacks = [c for c in CAPABILITIES if words.get(c, c.value) not in table]
    assert lacks == []


def test_every_setting_that_the_page_names_is_one():
    known = {*settings._Block.__struct_fields__, *settings.Group.__struct_fields__}
    named = set(re.findall(r"`([a-z]+_[a-z_]+)(?: = [^`]*)?`", PAGE))
    reasons = {"memory_exceeded", "image_failed", "start_failed", "disk_exceeded", "runner_lost"}
    assert named - reasons <= known
