"""`fenglin.toml`: what it gives, and how each error names the place."""

from pathlib import Path

import msgspec
import pytest

from fenglin.errors import InputError
from fenglin.intake import hubfile
from fenglin.intake.hubfile import read_hub_file
from fenglin.model.site import Link
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
ALONE = """
[site.a]
driver = "local"
provider = "lab"
flavor.f = {}
"""
SITE = ALONE.replace("flavor.f = {}", "[site.a.flavor.f]")
TREE = """
[queue.p]
quota = { cpu = 8 }
[queue.q]
parent = "p"
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


PLACES = """
[site.a]
driver = "local"
provider = "lab"
region = "cn-guizhou"
labels = { tier = "gold", floor = 2 }
carbon = "550 g/kWh"
pue = 1.25
[site.a.link.b]
latency = "12.5ms"
bandwidth = "10Gbit/s"
egress = "0.5 CNY"
[site.a.flavor.f]
nodes = 10
blocks = 4
power = "1.2kW"
labels = { disk = "nvme" }
[site.a.flavor.g]
nodes = 5
block_size = 2
power = 800
[site.b]
driver = "local"
provider = "lab"
[site.b.flavor.f]
nodes = 2
"""


def test_where_a_site_stands_and_what_it_draws():
    a, b = read_hub_file(PLACES, "x.toml").sites
    assert (a.region, a.labels) == ("cn-guizhou", (("floor", "2"), ("tier", "gold")))
    assert (a.carbon_g_kwh, a.pue_milli) == (550, 1_250)
    assert a.links == (Link("b", 12_500, 10_000, 500_000),)
    assert (a.flavor("f").power_watts, a.flavor("g").power_watts) == (1_200, 800)
    assert a.flavor("f").labels == (("disk", "nvme"),)
    blocks = {
        flavor: [node.block[-1] for node in a.nodes if node.flavor == flavor] for flavor in "fg"
    }
    assert blocks == {"f": list("0001122233"), "g": list("00112")}
    # What is not declared is unknown.
    assert (b.region, b.labels, b.carbon_g_kwh, b.pue_milli, b.links) == ("", (), 0, 1_000, ())
    assert [node.block for node in b.nodes] == ["", ""]


def test_a_tree_of_queues():
    text = SITE + TREE + "quota = { cpu = 4 }\nborrow = { cpu = 2 }\nlend = { cpu = 1 }"
    above, below = read_hub_file(text, "x.toml").queues
    free = 2**62
    assert (above.name, above.parent, above.borrow, above.lend) == ("p", "", None, None)
    assert (below.name, below.parent) == ("q", "p")
    assert below.borrow == Resources(2_000, free, free, free)
    assert below.lend == Resources(1_000, free, free, free)


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
        (SITE + "power = '1 horse'", "site.a.flavor.f.power", "1 horse"),
        (SITE + "power = 0.5", "site.a.flavor.f.power", "finer"),
        (SITE + "power = true", "site.a.flavor.f.power", "bool"),
        (SITE + "blocks = 2", "site.a.flavor.f.blocks", "range"),
        (SITE + "block_size = -1", "site.a.flavor.f.block_size", "range"),
        (SITE + "nodes = 4\nblocks = 2\nblock_size = 2", "site.a.flavor.f.blocks", "together"),
        (SITE + "labels = {'-x' = 'y'}", "site.a.flavor.f.labels", "-x"),
        (SITE + "labels = {x = true}", "site.a.flavor.f.labels[...]", "bool"),
        (SITE + 'labels = {x = "\\u0007"}', "site.a.flavor.f.labels.x", "not a value"),
        (ALONE + "carbon = 'thick'", "site.a.carbon", "thick"),
        (ALONE + "pue = 0.9", "site.a.pue", "range"),
        (ALONE + "region = 'a b'", "site.a.region", "a b"),
        (SITE + "[site.a.link.b]", "site.a.link.b", "no site is named 'b'"),
        (SITE + "[site.a.link.a]", "site.a.link.a", "to itself"),
        (SITE + "[site.a.link.b]\nlatency = 5", "site.a.link.b.latency", "5"),
        (SITE + "[site.a.link.b]\nlatency = '0.1us'", "site.a.link.b.latency", "finer"),
        (SITE + "[site.a.link.b]\nbandwidth = '1Gb'", "site.a.link.b.bandwidth", "1Gb"),
        (SITE + "[site.a.link.b]\negress = -1", "site.a.link.b.egress", "negative"),
        (SITE + "[site.a.link.b]\nspeed = 1", "site.a.link.b", "speed"),
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
        (SITE + "[queue.q]\nquota = {cpu = -1}", "queue.q.quota.cpu", "-1"),
        (SITE + "[queue.q]\nlend = {gpu = 1}", "queue.q.lend", "gpu"),
        (SITE + "[queue.q]\nborrow = {cpu = 'x'}", "queue.q.borrow.cpu", "x"),
        (SITE + "[queue.q]\nparent = 'p'", "queue.q.parent", "no queue 'p'"),
        (SITE + "[queue.q]\nparent = 'q'", "queue.q.parent", "q → q"),
        (SITE + TREE + "cohort = 'x'", "queue.q.cohort", "not both"),
        (SITE + TREE + "borrow = {cpu = 1}", "queue.q.borrow", "quota of its own"),
        (SITE + "[queue.q]\nquota = {cpu = 1}\nlend = {cpu = 1}", "queue.q.lend", "nobody"),
        (SITE + TREE + "quota = {cpu = 2}\nlend = {cpu = 3}", "queue.q.lend", "more cpu"),
        (SITE + TREE + "quota = {cpu = 9}\nlend = {cpu = 0}", "queue.p.quota", "keep more cpu"),
        (SITE + "[account.a]\ncredit = '1 USD'", "account.a.credit", "USD"),
        (SITE + "[account.a]\ncredit = -5", "account.a.credit", "negative"),
        (SITE + "[account.'a:b']", "account", "a:b"),
        (SITE + "[account.a]\ncredit = '999999999999'", "account.a.credit", "range"),
        (SITE + f"nodes = {'9' * 5000}", "", "TOML"),
        (f"x = {'[' * 100_000}", "", "TOML"),
    ],
)  # fmt: skip
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
    blocks = ("HubBlock", "_PriceBlock", "_FlavorBlock", "_SiteBlock", "_LinkBlock",
              "_QueueBlock", "_AccountBlock")  # fmt: skip
    keys = [
        found.encode_name
        for block in blocks
        for found in msgspec.structs.fields(getattr(hubfile, block))
    ]
    assert [
        key for key in keys if key not in ("flavor", "link") and f"| `{key}` |" not in page
    ] == []
    example = page.split("```toml\n")[1].split("```")[0]
    assert read_hub_file(example, "page").sites[0].name == "lab"
