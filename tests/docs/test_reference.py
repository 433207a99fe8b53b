"""The reference pages name all that the code knows, and their examples are accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fenglin.drivers.local import settings as local
from fenglin.drivers.ssh import settings as ssh
from fenglin.engine.meters import Meters
from fenglin.intake import hubbooks, hubfile, policyfile
from fenglin.intake.hubfile import read_hub_file
from fenglin.intake.things import RETRYABLE
from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.planner import terms
from fenglin.planner.policy import BALANCED, BUILT_IN
from fenglin.ports import crashpoint

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "docs/reference/configuration.md"
METRICS = ROOT / "docs/reference/metrics.md"
_TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "block",
    [
        "HubBlock",
        "_AccountBlock",
        "_QueueBlock",
        "_SiteBlock",
        "_LinkBlock",
        "_FlavorBlock",
        "_PriceBlock",
        "CatalogBlock",
    ],
)
def test_every_key_of_the_configuration_is_told(block):
    text = CONFIGURATION.read_text(encoding="utf-8")
    for key in getattr(hubfile, block).__struct_encode_fields__:
        assert f"`{key}`" in text or f".{key}." in text, f"{CONFIGURATION.name} lacks `{key}`"


@pytest.mark.parametrize("block", ["LedgerBlock", "WitnessBlock"])
def test_every_key_of_the_books_is_told(block):
    text = CONFIGURATION.read_text(encoding="utf-8").partition("## `[ledger]`")[2]
    for key in getattr(hubbooks, block).__struct_encode_fields__:
        assert f"`{key}`" in text


def test_every_setting_of_the_local_driver_is_told():
    text = CONFIGURATION.read_text(encoding="utf-8")
    # The first three come from the blocks around the settings.
    own = set(local.ALLOWED) - {"flavors", "nodes", "licences"}
    assert own
    assert not [name for name in sorted(own) if f"`{name}`" not in text]


@pytest.mark.parametrize("block", ["_Block", "_HostBlock"])
def test_every_setting_of_the_ssh_driver_is_told(block):
    text = CONFIGURATION.read_text(encoding="utf-8").partition("of the `ssh` driver")[2]
    own = set(getattr(ssh, block).__struct_fields__) - {"flavors", "nodes", "licences"}
    assert own
    assert not [name for name in sorted(own) if f"`{name}`" not in text]


def test_every_policy_key_and_term_is_told():
    text = (ROOT / "docs/reference/policies.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `\[?(\w+)\]?` \|", text, re.MULTILINE))
    assert told == {*BUILT_IN, *policyfile.KEYS, "base", *terms.BUILT_IN}
    for name, key in policyfile.KEYS.items():
        row = re.search(rf"^\| `{name}` \| `(.*?)` \|", text, re.MULTILINE)
        if row:
            assert json.loads(row[1]) == key.write(getattr(BALANCED, key.field)), name


def test_examples_of_configurations_are_accepted():
    pages = [p for p in (ROOT / "docs").rglob("*.md") if "# fenglin.toml\n" in p.read_text()]
    examples = [
        body
        for page in (*pages, CONFIGURATION)
        for body in _TOML.findall(page.read_text(encoding="utf-8"))
        if re.search(r"^\[site\.\w+\.flavor\.", body, re.MULTILINE)
    ]
    assert len(examples) > len(pages)
    for body in examples:
        assert read_hub_file(body, "example").sites


def test_every_metric_is_told():
    text = METRICS.read_text(encoding="utf-8")
    meters = Meters()
    told = set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    known = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in meters.registry.collect()
    }
    assert told == known


def test_every_crash_point_is_told():
    text = (ROOT / "docs/explanation/reliability.md").read_text(encoding="utf-8")
    assert not [point for point in crashpoint.POINTS if not re.search(rf"\b{point}\b", text)]


def test_every_reason_is_told_with_what_becomes_of_the_task():
    text = (ROOT / "docs/reference/reasons.md").read_text(encoding="utf-8")
    assert not [reason.value for reason in Reason if f"`{reason.value}`" not in text]
    ended = text.partition("## How a task or an attempt ended")[2]
    again = {
        name: last.strip()
        for first, last in re.findall(r"^\| (`[^|]*) \|.*\|([^|]*)\|$", ended, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", first)
    }
    told = {name for name, what in again.items() if what == "always"}
    assert told == {reason.value for reason in SITE_FAULTS - {Reason.NODE_RECLAIMED}}
    told = {name for name, what in again.items() if what == "by the job"}
    assert told == {reason.value for reason in set(RETRYABLE) - SITE_FAULTS}
