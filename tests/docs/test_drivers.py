"""The pages about drivers name every fault, capability, hook and attribute that there is."""

import inspect
import re
from pathlib import Path

from fenglin.drivers.mock import Fault
from fenglin.drivers.mock.site import ALLOWED
from fenglin.ports import driver
from fenglin.testing.conformance import Harness

ROOT = Path(__file__).parents[2]
MOCK = (ROOT / "docs/reference/mock-driver.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs/how-to/write-a-driver.md").read_text(encoding="utf-8")


def rows(text):
    """Return the names in the first cells of all tables."""
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


def test_every_fault_and_setting_of_the_mock_is_told():
    blocks = {"flavors", "licences", "nodes"}
    assert {fault.value for fault in Fault} | (set(ALLOWED) - blocks) <= rows(MOCK)


def test_every_capability_is_told():
    table = GUIDE.partition("## What a driver may leave out")[2].partition("\n## ")[0]
    assert rows(table) == {capability.value for capability in driver.Capability}


def test_every_method_of_the_contract_is_told():
    table = GUIDE.partition("## The methods")[2].partition("\n## ")[0]
    known = {name for name, one in vars(driver.Driver).items() if inspect.isfunction(one)}
    assert rows(table.partition("\n\nAll are")[0]) == {n for n in known if not n.startswith("_")}


def test_every_attribute_and_hook_of_the_harness_is_told():
    table = rows(GUIDE.partition("## Test it")[2])
    known = {name for name in vars(Harness) if not name.startswith("_")}
    plain = {"elapsed_s", "now_ms", "rest", "runs", "truth"}  # for sites in memory; see the code
    assert known - plain <= table
    assert table - known == {"flavors", "nodes", "licences"}
