"""The baseline inventory on a real hub: what is declared, what is seen, what is measured."""

import json

import pytest

from fenglin.client.inventory import inventory
from fenglin.quantities.period import period_of
from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module, and its tests go through one closed loop in order.
pytestmark = pytest.mark.xdist_group("e2e-inventory")

DEVICES = """
[device.Small-1]
vendor = "Example"
cpu = true

[[device.Small-1.figure]]
measure = "cores"
value = 1
source = "made for this test"
date = "2026-11"

[[device.Small-1.figure]]
measure = "fp64"
value = 1000
source = "made for this test"
date = "2026-11"
"""
DECLARED = """
[facility.gz1]
owner = "Example Computing"
sites = ["one"]
grade = "declared"
date = "2026-11-20"
document = "delivery notes"
protection_level = 3
storage = {value = 2, unit = "PB"}

[facility.gz1.compute.cores]
class = "general"
device = "Small-1"
count = 2
nodes = 2

[facility.gz1.link.shanghai]
latency = 18.5
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    devices = tmp_path_factory.mktemp("devices") / "devices.toml"
    devices.write_text(DEVICES)
    sites = [LocalSite("one", cpu=1, nodes=2)]
    cards = "".join(
        f"""
[site.{name}]
driver = "local"
provider = "{name}"
[site.{name}.flavor.std]
class = "ai"
cpu = 1
memory = "1GiB"
accelerators = 1
accelerator = "{device}"
"""
        for name, device in (("foreign", "H20"), ("home", "BR104"))
    )
    return (
        hub_file(sites) + cards + f'\n[catalog]\ndevices = "{devices}"\n[books]\npatience = "1s"\n'
    )


@pytest.fixture
def declaration(tmp_path):
    """Return a function that writes a declaration and returns its path."""

    def write(old="", new=""):
        assert old in DECLARED
        path = tmp_path / "gz.toml"
        path.write_text(DECLARED.replace(old, new, 1))
        return path

    return write


def anomalies(client, *, every=False):
    return {one.rule: one for one in client.call(inventory(every=every)).anomalies}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('device = "Small-1"', 'device = "Small-9"', ["gz.toml", "device", "Small-9"]),
        ("count = 2", "count = -2", ["gz.toml:14", "compute.cores.count"]),
        ('unit = "PB"', 'unit = "TB"', ["gz.toml:9", "storage", "'TB'", "PB"]),
        (
            "[facility.gz1.link.shanghai]",
            "[facility.gz1.compute.cores]",
            ["gz.toml", "line 17"],
        ),
        ('sites = ["one"]', 'sites = ["one", "one"]', ["gz.toml:4", "stands in gz1 already"]),
        ("nodes = 2", "fp64 = {value = 9, dense = false}", ["gz.toml:15", "sparsity"]),
    ],
)
def test_a_wrong_declaration_names_file_line_and_field(
    fenglin, client, declaration, old, new, words
):
    done = fenglin("inventory", "declare", declaration(old, new))
    assert done.code == 2
    for word in words:
        assert word in done.err
    assert client.call(inventory(every=True)).facilities == []


def test_the_loop_is_closed(fenglin, client, declaration, eventually):
    wrong = declaration("nodes = 2", "nodes = 3")
    done = fenglin("inventory", "declare", wrong, "--document", "note 7")
    assert (done.code, done.err) == (0, "")
    assert "3 general nodes declared, drivers see 2" in done.out
    (order,) = client.call(inventory()).anomalies
    assert (order.rule, order.state) == ("nodes_as_declared", "open")

    # Neither a person's word nor a publication gets past an open anomaly.
    assert fenglin("inventory", "verify", "gz1", "--document", "visit").code == 5
    assert fenglin("inventory", "publish").code == 5
    assert fenglin("inventory", "declare", declaration()).code == 0
    eventually(lambda: anomalies(client)["nodes_as_declared"].agrees, within_s=60)
    assert anomalies(client)["nodes_as_declared"].state == "open"
    assert fenglin("inventory", "verify", "gz1", "--document", "visit").code == 5

    assert fenglin("inventory", "rectify", order.id, "--note", "a typing error").code == 0
    done = fenglin("inventory", "verify", "gz1", "--document", "visit of 2026-11-21")
    assert (done.code, done.out) == (0, "gz1: all checks hold\n")
    closed = anomalies(client, every=True)["nodes_as_declared"]
    assert (closed.state, closed.settled, closed.settled_by) == (
        "closed", "visit of 2026-11-21", "admin",
    )  # fmt: skip
    done = fenglin("inventory", "publish", "--note", "first", "-o", "json")
    assert done.json["snapshot"]["id"] == "s1"
    assert fenglin("inventory", "publish").code == 5  # nothing has changed


def test_a_drained_site_is_an_anomaly_until_it_is_verified(fenglin, client, eventually):
    assert fenglin("site", "drain", "one", "--reason", "new roof").code == 0
    order = eventually(lambda: anomalies(client).get("site_serves"), within_s=60)
    assert "new roof" in order.what
    assert fenglin("site", "resume", "one").code == 0
    eventually(lambda: anomalies(client)["site_serves"].agrees, within_s=60)

    assert fenglin("inventory", "rectify", order.id, "--note", "the roof is done").code == 0
    assert fenglin("inventory", "verify", "gz1", "--document", "photo 12").code == 0
    assert anomalies(client) == {}
    kinds = [one["kind"] for one in fenglin("inventory", "history", "-o", "json").json["items"]]
    last = kinds[kinds.index("publish") + 1 :]
    assert last == ["open", "agree", "rectify", "close", "verify"]


def test_a_probe_measures_and_is_its_own_evidence(fenglin, client):
    sizes = ["--size", 64, "--duration", "50ms", "--memory-mib", 2, "--disk-mib", 1]
    done = fenglin("inventory", "probe", "one", "--group", "cores", *sizes, "-o", "json")
    assert done.code == 0, done.err
    probe = done.json["measurement"]
    found = {one["what"]: one for one in probe["figures"]}
    assert {"memory_copy", "disk_write", "disk_read", "loopback_throughput"} <= set(found)
    assert all(one["milli"] >= 0 for one in found.values())
    named = {what for what, _ in probe["missing"]}
    assert "fp16" in named
    assert ("fp64" in found) != ("fp64" in named)
    assert (done.json["entered"], probe["whole"], probe["allocation"][0]) == (True, True, "a")

    rows = fenglin("inventory", "show", "--total", "general:fp64", "-o", "json").json
    (row,) = rows
    assert (row["count_milli"], row["total_gflops"]) == (2_000, 2_000_000)
    if "fp64" in found:
        assert row["measured_gflops"] == found["fp64"]["milli"] * 2
        assert probe["job"] in row["measured_evidence"]
    # Anybody can write a file of that name; only our script's word is taken.
    text = json.dumps(
        {"probe": 1, "node": "n", "cpu": "", "cores": 1, "card": "",
         "figures": [{"what": "fp64", "value": 9, "unit": "TFLOPS", "how": "said so"}]}
    )  # fmt: skip
    script = f"echo '{text}' > \"$FENGLIN_ARTIFACTS_DIR/probe.json\""
    forged = client.submit({"name": "forged", "script": script}).id
    assert client.wait(forged, 60).state == "succeeded"
    assert fenglin("inventory", "probe", "one", "--job", forged).code == 5


def test_changes_between_publications_must_be_explained(fenglin, client, declaration):
    grown = declaration("count = 2", "count = 4")
    assert fenglin("inventory", "declare", grown).code == 0
    assert fenglin("inventory", "verify", "gz1", "--document", "note 8").code == 0
    done = fenglin("inventory", "publish", "-o", "json")
    (order,) = done.json["anomalies"]
    assert (order["rule"], order["what"]) == (
        "change_of_devices", "2 x Small-1 became 4 x Small-1",
    )  # fmt: skip

    diff = fenglin("inventory", "diff", "--from", "s1", "-o", "json").json
    changed = {one["key"]: (one["before"], one["after"]) for one in diff["changes"]}
    assert changed["compute.cores.count"] == ("2 (verified)", "4 (verified)")
    reason = ["--reason", "two more were delivered"]
    assert fenglin("inventory", "waive", order["id"], *reason).code == 0
    assert anomalies(client) == {}

    month = fenglin("inventory", "show", "-o", "json").json["snapshots"][-1]["published_ms"]
    report = fenglin("inventory", "report", "--period", period_of(month), "-o", "json").json
    assert report["snapshot"]["id"] == "s2"
    totals = {(one["compute_class"], one["precision"]): one for one in report["totals"]}
    assert totals["general", "fp64"]["nominal_gflops"] == 4_000_000
    assert {one["rule"] for one in report["opened"]} == {
        "nodes_as_declared", "site_serves", "change_of_devices",
    }  # fmt: skip
    assert report["unsettled"] == []
    assert report["steps"]["publish"] == 2


def test_precisions_are_never_added(fenglin):
    done = fenglin("inventory", "total", "--precision", "all")
    assert done.code == 2
    assert "cannot be added" in done.err
    done = fenglin("inventory", "total", "--class", "general")
    assert done.code == 0
    assert "fp64" in done.out


def test_a_job_asks_by_capability_and_learns_why_not(client):
    need = {"accelerators": {"domestic": True, "memory": ">=32GiB", "fp16": ">=200"}}
    plan = client.dry_run({"name": "card", "command": ["true"], "resources": need})
    why = {one.site: (one.reason, one.evidence) for one in plan.receipt.options}
    assert why["one"][0] == "no_accelerator"
    assert why["foreign"][0] == "accelerator_not_domestic"
    assert "its cards are H20" in why["foreign"][1]
    assert why["home"][0] is None


def test_what_drivers_see_is_graded_live_and_never_added_to_the_rest(fenglin):
    rows = fenglin("inventory", "show", "--total", "ai:fp16", "-o", "json").json
    assert {(one["place"], one["basis"], one["total_gflops"]) for one in rows} == {
        ("foreign/std", "live", 148_000), ("home/std", "live", 512_000),
    }  # fmt: skip
    totals = fenglin(
        "inventory", "total", "--class", "ai", "--precision", "fp16", "-o", "json"
    ).json
    assert (totals[0]["nominal_gflops"], totals[0]["seen_gflops"]) == (0, 660_000)


def test_the_inventory_outlives_the_hub(hub, client):
    before = client.call(inventory(every=True))
    hub.stop()
    hub.start()
    assert hub.client().call(inventory(every=True)) == before
