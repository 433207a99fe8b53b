"""`fenglin.toml`: what it gives, and how each error names the place."""

from pathlib import Path

import msgspec
import pytest

from fenglin.errors import InputError
from fenglin.intake import hubfile
from fenglin.intake.hubfile import read_hub_file
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources

GOOD = """
[hub]
listen = "127.0.0.1:9000"
data = "state"

[account."物理系"]
credit = "12.5 CNY"

[queue.urgent]
weight = 2
quota = { cpu = 8, memory = "16GiB" }

[site.a]
driver = "local"
provider = "lab"
licences = { lux = 3 }
settings = { root = "x" }

[site.a.flavor.small]
class = "ai"
nodes = 2
cpu = "500m"
memory = "1GiB"
speed = 1.5
price = { core_hour = "0.10", task_minimum_time = "1s" }
"""
SITE = """
[site.a]
driver = "local"
provider = "lab"
[site.a.flavor.f]
"""


def test_a_whole_file():
    found = read_hub_file(GOOD, "x.toml")
    site = found.sites[0]
    flavor = site.flavor("small")
    assert (found.hub.listen, found.hub.auth) == ("127.0.0.1:9000", True)
    assert found.credits_micro == {"物理系": 12_500_000}
    assert [node.name for node in site.nodes] == ["small-0", "small-1"]
    assert site.licences == (("lux", 3),)
    assert found.settings == {"a": {"root": "x"}}
    assert flavor.compute_class is ComputeClass.AI
    assert flavor.node == Resources(500, 2**30, 10 * 2**30, 0)
    assert (flavor.speed_milli, flavor.price.core_hour_micro) == (1_500, 100_000)
    assert flavor.price.task_minimum_ms == 1_000
    queue = found.queues[0]
    assert (queue.weight, queue.quota.cpu_milli) == (2_000, 8_000)
    # What a quota does not name, it does not limit.
    assert queue.quota.disk_bytes == 2**62


def test_without_accounts_there_is_a_default_one_without_credit():
    assert read_hub_file(SITE, "x.toml").credits_micro == {"default": 0}


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("", "site", "no site"),
        ("[hub", "", "not TOML"),
        ("[hub]\nport = 1", "hub", "port"),
        ("[hub]\nauth = 'yes'", "hub.auth", "bool"),
        ("[site.a]\ndriver='local'\nprovider='x'", "site.a", "no flavor"),
        ("[site.a]\nprovider='x'", "site.a", "driver"),
        ("[site.'../x']\ndriver='local'\nprovider='x'", "site", "../x"),
        ("[site.a]\ndriver='local'\nprovider='a:b'", "site.a.provider", "a:b"),
        (SITE + "cpus = 1", "site.a.flavor.f", "cpus"),
        (SITE + "cpu = true", "site.a.flavor.f.cpu", "bool"),
        (SITE + "cpu = nan", "site.a.flavor.f.cpu", "nan"),
        (SITE + "cpu = -1", "site.a.flavor.f.cpu", "-1"),
        (SITE + "cpu = 1e300", "site.a.flavor.f.cpu", "count"),
        (SITE + "memory = '4 GX'", "site.a.flavor.f.memory", "4 GX"),
        (SITE + "nodes = 0", "site.a.flavor.f.nodes", "range"),
        (SITE + "nodes = 1000000000", "site.a.flavor.f.nodes", "range"),
        (SITE + "speed = 0", "site.a.flavor.f.speed", "above 0"),
        (SITE + "class = 'gpu'", "site.a.flavor.f.class", "gpu"),
        (SITE + "price = {core_hour = -1}", "site.a.flavor.f.price.core_hour", "negative"),
        (SITE + "price = {currency = 'USD'}", "site.a.flavor.f.price.currency", "USD"),
        (SITE + "price = {version = 0}", "site.a.flavor.f.price.version", "range"),
        (SITE + "[queue.q]\nweight = 0", "queue.q.weight", "above 0"),
        (SITE + "[queue.q]\nquota = {gpu = 1}", "queue.q.quota", "gpu"),
        (SITE + "[account.a]\ncredit = '1 USD'", "account.a.credit", "USD"),
        (SITE + "[account.a]\ncredit = -5", "account.a.credit", "negative"),
        (SITE + "[account.'a:b']", "account", "a:b"),
        (SITE + "[account.a]\ncredit = '999999999999'", "account.a.credit", "range"),
        (SITE + f"nodes = {'9' * 5000}", "", "TOML"),
        (f"x = {'[' * 100_000}", "", "TOML"),
    ],
)
def test_each_error_names_the_place(text, place, word):
    with pytest.raises(InputError) as caught:
        read_hub_file(text, "x.toml")
    where = f"x.toml: {place}" if place else "x.toml"
    assert caught.value.where == where
    assert word in caught.value.what


def test_an_unknown_key_is_told_the_known_ones_and_the_page():
    with pytest.raises(InputError) as caught:
        read_hub_file("[hub]\nlisen = 'x'", "x.toml")
    assert "listen" in caught.value.hint
    assert "docs/reference/configuration.md" in caught.value.hint


def test_the_page_names_every_key_and_its_example_is_read():
    page = (Path(__file__).parents[3] / "docs/reference/configuration.md").read_text()
    blocks = ("HubBlock", "_PriceBlock", "_FlavorBlock", "_SiteBlock", "_QueueBlock",
              "_AccountBlock")  # fmt: skip
    keys = [
        found.encode_name
        for block in blocks
        for found in msgspec.structs.fields(getattr(hubfile, block))
    ]
    assert [key for key in keys if key != "flavor" and f"| `{key}` |" not in page] == []
    example = page.split("```toml\n")[1].split("```")[0]
    assert read_hub_file(example, "page").sites[0].name == "lab"
