"""`[deal.PROVIDER]`: what it gives, and the line, key and word of each error."""

from pathlib import Path

import msgspec
import pytest

from fenglin.errors import InputError
from fenglin.intake import hubdeals
from fenglin.intake.hubfile import read_hub_file
from fenglin.ledger.settlement_deal import DealKind, Rate, Tier, deal_of

SITE = """\
[site.a]
driver = "local"
provider = "gz"
flavor.f = {}
"""
FIRST_LINE = SITE.count("\n") + 1
GOOD = """
[[deal.gz]]
share = "85 %"
tax = { vat = "6/106" }

[[deal.gz]]
since = "2027-01"
unit = { core_hour = "0.03 CNY", card_hour = 2 }
hub_fee = 0.1

[deal."云上"]
since = "2026-06"
list = { core_hour = 0.12 }
tiers = [{ share = 0.9 }, { from = 0.8, share = 0.85 }, { from = "3/2", share = 0.5 }]
"""


def test_deals_by_provider_and_month():
    deals = read_hub_file(SITE + GOOD, "x.toml").deals
    old, new = deals["gz"]
    assert (old.kind, old.share, old.taxes) == (
        DealKind.SHARE, Rate(17, 20), (("vat", Rate(3, 53)),),
    )  # fmt: skip
    assert new.units == (("card_hour", 2_000_000), ("core_hour", 30_000))
    assert new.share == Rate(9, 10)
    assert deals["云上"][0].tiers == (
        Tier(Rate(0), Rate(9, 10)), Tier(Rate(4, 5), Rate(17, 20)), Tier(Rate(3, 2), Rate(1, 2)),
    )  # fmt: skip
    assert deal_of(deals, "gz", "2026-12", "CNY") == old
    assert deal_of(deals, "gz", "2027-01", "CNY") == new
    for provider, period, commodity in (("云上", "2026-05", "CNY"), ("gz", "2027-01", "CARD-HOUR")):
        none = deal_of(deals, provider, period, commodity)
        assert (none.declared, none.share, none.taxes) == (False, Rate(1), ())


def test_no_deals_are_none():
    assert read_hub_file(SITE, "x.toml").deals == {}


@pytest.mark.parametrize(
    ("block", "line", "key", "word"),
    [
        ("[deal.gz]\nshar = 1", 0, "deal.gz", "unknown field `shar`"),
        ("[deal.gz]", 0, "deal.gz", "nothing"),
        ("[deal.gz]\nshare = 1.5", 1, "deal.gz.share", "out of range"),
        ("[deal.gz]\nshare = 'half'", 1, "deal.gz.share", "no share"),
        ("[deal.gz]\nshare = true", 1, "deal.gz.share", "Expected"),
        ("[deal.gz]\nshare = '1/0'", 1, "deal.gz.share", "no share"),
        ("[deal.gz]\nshare = -0.5", 1, "deal.gz.share", "no share"),
        ("[deal.gz]\n\nshare = 0.5\nhub_fee = 0.5", 3, "deal.gz.hub_fee", "both"),
        ("[deal.gz]\nshare = 0.98\ntax = {vat = 0.06}", 1, "deal.gz.share", "more than the whole"),
        ("[deal.gz]\nhub_fee = 0.98\ntax = {vat = 0.06}", 1, "deal.gz.hub_fee", "whole"),
        ("[deal.gz]\ntax = {a = 0.6, b = 0.6}", 1, "deal.gz.tax", "more than the whole"),
        ("[deal.gz]\ntax = {'a:b' = 0.1}", 1, "deal.gz.tax.a:b", "a:b"),
        ("[deal.gz]\nsince = '2027-13'\nshare = 1", 1, "deal.gz.since", "2027-13"),
        ("[deal.gz]\nunit = {'core-hour' = 1}", 1, "deal.gz.unit", "core-hour"),
        ("[deal.gz.unit]\ncore_hour = '1 USD'", 1, "deal.gz.unit.core_hour", "USD"),
        ("[deal.gz]\nunit = {core_hour = 0}", 1, "deal.gz.unit.core_hour", "above 0"),
        ("[deal.gz]\ntiers = [{share = 1}]", 0, "deal.gz.list", "need each other"),
        ("[deal.gz]\nlist = {core_hour = 1}\nshare = 1", 1, "deal.gz.list", "need each other"),
        ("[deal.gz]\nlist = {core_hour = 1}\nunit = {core_hour = 1}\ntiers = [{share = 1}]", 0,
         "deal.gz", "both"),
        ("[deal.gz]\nlist = {core_hour = 1}\ntiers = [{from = 0.5, share = 1}]", 2,
         "deal.gz.tiers", "rise from 0"),
        ("[deal.gz]\nlist = {core_hour = 1}\ntiers = [{share = 1}, {share = 2}]", 2,
         "deal.gz.tiers[1].share", "range"),
        ("[[deal.gz]]\nshare = 1\n[[deal.gz]]\nshare = 0.5", 2, "deal.gz[1].since", "two deals"),
        ("[[deal.gz]]\nshare = 1\n[[deal.gz]]\nshare = 2", 3, "deal.gz[1].share", "range"),
        ("[deal]\ngz = 5", 1, "deal.gz", "Expected `object`"),
        ("[deal.'a:b']\nshare = 1", 0, "deal.a:b", "a:b"),
    ],
)  # fmt: skip
def test_each_error_names_line_and_key(block, line, key, word):
    with pytest.raises(InputError) as caught:
        read_hub_file(SITE + block, "x.toml")
    assert caught.value.where == f"x.toml:{FIRST_LINE + line}: {key}"
    assert word in caught.value.what


def test_the_page_names_every_key():
    page = (Path(__file__).parents[3] / "docs/reference/configuration.md").read_text()
    for block in (hubdeals.DealBlock, hubdeals.TierBlock):
        for found in msgspec.structs.fields(block):
            assert f"`{found.encode_name}`" in page
