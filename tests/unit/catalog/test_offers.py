"""The cheapest offer is what a plain scan over all rows finds, and refusals say why."""

import csv
import gzip
import os
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.catalog.offers.catalogue import build
from fenglin.catalog.offers.need import OfferNeed, alternatives, parse_bound, parse_cards
from fenglin.catalog.offers.read import read_skypilot_csv
from fenglin.catalog.offers.receipt import OfferReason, explain
from fenglin.catalog.offers.search import cheapest, cheapest_by_place, cheapest_of, offer_at
from fenglin.errors import InputError

HEADER = (
    "cloud,InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,"
    "Region,AvailabilityZone\n"
)
ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("FENGLIN_TEST_DATA", ROOT.parent / "shared" / "data")) / "prices"
N1_MOST = {("T4", 1): (48, 312), ("T4", 2): (48, 312), ("T4", 4): (96, 624),
           ("V100", 1): (12, 78), ("V100", 8): (96, 624)}  # fmt: skip
USUAL = {("T4", 1): 4, ("T4", 2): 8, ("T4", 4): 48, ("V100", 1): 8, ("V100", 8): 64}
A2 = {("A100", n): f"a2-highgpu-{n}g" for n in (1, 2, 4, 8)} | {("A100", 16): "a2-megagpu-16g"}


def catalogue(*rows, **more):
    text = HEADER + "".join(f"{row}\n" for row in rows)
    return build([read_skypilot_csv(text, "", "prices.csv", **more)])


def need(cards="", **more):
    for name in ("cpus", "memory"):
        if more.get(name):
            more[name] = parse_bound(more[name], name)
        else:
            more.pop(name, None)
    if not cards:
        return OfferNeed(**more)
    return alternatives([cards], OfferNeed(**more))[0]


# --- the scan, which shares nothing with the code under test ----------------------------------


def decimal(text):
    return Decimal(text) if text else None


def plain_rows(dicts):
    """Return dictionaries of what can be bought, hosts and cards put together."""
    dicts = list(dicts)
    found = []
    for row in dicts:
        if row["InstanceType"]:
            alone = row["InstanceType"].startswith("a2-") or row["InstanceType"].endswith("-tpu")
            if not (row["cloud"] == "gcp" and alone and not row["AcceleratorName"]):
                found.append((row, row["InstanceType"], row["vCPUs"], row["MemoryGiB"],
                              decimal(row["Price"]), decimal(row["SpotPrice"]), None))  # fmt: skip
            continue
        key = (row["AcceleratorName"], int(float(row["AcceleratorCount"])))
        for host in dicts:
            same = all(row[k] == host[k] for k in ("cloud", "Region", "AvailabilityZone"))
            name = host["InstanceType"]
            if not same or row["cloud"] != "gcp" or not fits(key, host, name):
                continue
            sums = [
                decimal(row[k]) + decimal(host[k]) if row[k] and host[k] else None
                for k in ("Price", "SpotPrice")
            ]
            usual = USUAL.get(key)
            found.append((row, name, host["vCPUs"], host["MemoryGiB"], *sums, usual))
    return found


def fits(key, host, name):
    if not name or host["AcceleratorName"]:
        return False
    if key in A2:
        return name == A2[key]
    most = N1_MOST.get(key)
    return (
        most is not None
        and bool(host["vCPUs"])
        and bool(host["MemoryGiB"])
        and name.startswith(("n1-standard-", "n1-highmem-", "n1-highcpu-"))
        and float(host["vCPUs"]) <= most[0]
        and float(host["MemoryGiB"]) <= most[1]
    )


def meets(word, text, cpus=None):
    if word is None:
        return True
    if not text:
        return False
    have = Decimal(text)
    if word.endswith("x"):
        return bool(cpus) and have >= Decimal(word[:-1]) * Decimal(cpus)
    return have >= Decimal(word[:-1]) if word.endswith("+") else have == Decimal(word)


def scan(rows, *, cards="", cpus=None, memory=None, regions=(), spot=False, most=None):
    """Return the least (price, provider, region, machine, zone); None without."""
    best = None
    for row, name, has_cpus, has_memory, price, spot_price, usual in rows:
        if not cards:
            if row["AcceleratorName"]:
                continue
        else:
            card, _, count = cards.partition(":")
            if row["AcceleratorName"].lower() != card.lower():
                continue
            if abs(float(row["AcceleratorCount"]) - float(count)) > 0.0100000001:
                continue
        cost = spot_price if spot else price
        floor_cpus, floor_memory = cpus, memory
        if usual and memory is None:
            floor_cpus = cpus or f"{usual}+"
            floor_memory = f"{int(float(floor_cpus.strip('+'))) * 4}+"
        if (
            cost is None
            or not meets(floor_cpus, has_cpus)
            or not meets(floor_memory, has_memory, has_cpus)
            or (regions and row["Region"] not in regions)
            or (most is not None and cost > most)
        ):
            continue
        key = (cost, row["cloud"], row["Region"], name, row.get("AvailabilityZone") or "")
        best = key if best is None else min(best, key)
    return best


def found(offer):
    if offer is None:
        return None
    price = Decimal(offer.price_micro) / 1_000_000
    return (price, offer.provider, offer.region, offer.instance, offer.zone)


def ask(offers, *, most=None, **more):
    most_micro = None if most is None else int(most * 1_000_000)
    return found(cheapest(offers, need(most_micro=most_micro, **more)))


# --- made-up lists ------------------------------------------------------------------------------

PRICES = st.sampled_from(["", "0.1", "0.5", "0.500001", "1", "2.25"])
MACHINES = st.tuples(
    st.sampled_from(["aws", "azure", "gcp"]),
    st.sampled_from(["n1-standard-8", "n1-highmem-4", "a2-highgpu-1g", "m5", "m6"]),
    st.sampled_from([",", ",", "T4,1", "t4,2.0", "A100,1"]),
    st.sampled_from(["", "4", "8.0"]),
    st.sampled_from(["", "16", "32.0", "52"]),
    PRICES,
    PRICES,
    st.sampled_from(["r1", "r2"]),
    st.sampled_from(["", "a"]),
).map(",".join)
CARDS = st.tuples(
    st.just("gcp,"),
    st.sampled_from(["T4,1.0", "A100,1.0", "L4,1.0"]),
    st.just(","),
    PRICES,
    PRICES,
    st.sampled_from(["r1", "r2"]),
    st.sampled_from(["", "a"]),
).map(",".join)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "cards": st.sampled_from(["T4:1", "t4:2", "A100:1", "L4:1", "H100:8"]),
        "cpus": st.sampled_from(["4", "4+", "8+"]),
        "memory": st.sampled_from(["16", "32+", "4x", "6.5x"]),
        "regions": st.sampled_from([("r1",), ("r1", "r2")]),
        "spot": st.booleans(),
        "most": st.sampled_from([Decimal("0.5"), Decimal("1.1")]),
    },
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(rows=st.lists(st.one_of(MACHINES, CARDS), max_size=14), asked=ASKED)
def test_same_as_a_plain_scan(rows, asked):
    plain = plain_rows(csv.DictReader([HEADER, *rows]))
    wanted = scan(plain, **asked)
    offers = catalogue(*rows)
    assert ask(offers, **asked) == wanted
    most = asked.pop("most", None)
    receipt = explain(
        offers, need(most_micro=None if most is None else int(most * 1_000_000), **asked)
    )
    assert found(receipt.offer) == wanted
    card = asked.get("cards", "").partition(":")[0].lower()
    priced = any(
        row["AcceleratorName"].lower() == card and (price is not None or spot is not None)
        for row, _, _, _, price, spot, _ in plain
    )
    assert bool(receipt.near) is priced or wanted is not None


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(MACHINES, min_size=1, max_size=14), asked=ASKED)
def test_cheapest_of_each_region(rows, asked):
    asked.pop("most", None)
    asked.pop("regions", None)
    offers = catalogue(*rows)
    places, at, prices = cheapest_by_place(offers, [need(**asked)])
    spot = asked.get("spot", False)
    got = {
        offers.places[place]: found(offer_at(offers, row, spot=spot))
        for place, row in zip(places.tolist(), at.tolist(), strict=True)
    }
    parsed = list(csv.DictReader([HEADER, *rows]))
    wanted = {}
    for place in {(row["cloud"], row["Region"]) for row in parsed}:
        own = [row for row in parsed if (row["cloud"], row["Region"]) == place]
        best = scan(plain_rows(own), **asked)
        if best:
            wanted[place] = best
    assert got == wanted
    assert [int(price * 1_000_000) for price, *_ in got.values()] == prices.tolist()


# --- the real lists -----------------------------------------------------------------------------


@cache
def real():
    files = sorted(DATA.glob("skypilot_v5_*.csv.gz"))
    if not files:
        pytest.skip(f"no price lists in {DATA}: set FENGLIN_TEST_DATA")
    sheets, dicts = [], []
    for path in files:
        text = gzip.decompress(path.read_bytes()).decode()
        sheets.append(read_skypilot_csv(text, "", path.name))
        dicts += csv.DictReader(text.splitlines())
    cards = [row for row in dicts if row["AcceleratorName"] in {"A100", "T4", "V100"}]
    hosts = [
        row
        for row in dicts
        if row["cloud"] == "gcp" and row["InstanceType"].startswith(("a2-", "n1-"))
    ]
    # A scan of every pair would take minutes: cards meet hosts zone by zone, as in reality.
    zones = {}
    for row in [*(c for c in cards if not c["InstanceType"]), *hosts]:
        zones.setdefault(row["AvailabilityZone"], []).append(row)
    rows = [one for own in zones.values() for one in plain_rows(own) if one[0]["AcceleratorName"]]
    rows += plain_rows(row for row in dicts if row["InstanceType"])
    return build(sheets), rows


@pytest.mark.parametrize(
    "asked",
    [
        {"cards": "A100:8"},
        {"cards": "A100:8", "spot": True},
        {"cards": "A100:16"},
        {"cards": "A100:8", "memory": "1000+"},
        {"cards": "A100:8", "regions": ("us-central1", "europe-west4")},
        {"cards": "T4:1"},
        {"cards": "T4:2", "regions": ("us-central1",)},
        {"cards": "T4:1", "regions": ("us-central1",), "cpus": "2+"},
        {"cards": "V100:8", "spot": True},
        {"cards": "V100:1", "regions": ("us-west1",), "memory": "6x"},
        {"cards": "V100:3"},
        {"cpus": "4+", "memory": "32+"},
        {"cpus": "96", "spot": True, "regions": ("us-east-1", "eastus", "us-east1")},
        {"cpus": "4+", "most": Decimal("0.01")},
    ],
    ids=str,
)
def test_real_lists_as_a_plain_scan(asked):
    offers, rows = real()
    assert ask(offers, **asked) == scan(rows, **asked)


def test_real_lists_known_answers():
    offers, _ = real()
    best = cheapest(offers, need("A100:8"))
    assert (best.provider, best.instance, best.price_micro) == ("lambda", "gpu_8x_a100", 8_800_000)
    # Google: 3.69325 × 4 for the machine is no price at all without the 8 cards.
    google = cheapest(offers, need("A100:8", providers=("gcp",), regions=("us-central1",)))
    assert (google.instance, google.price_micro) == ("a2-highgpu-8g", 29_387_080)
    assert offers.rounded == 0
    assert offers.listed == 46_453
    assert {card for _, card, _ in offers.hostless} == {"L4"}


# --- rules one by one ---------------------------------------------------------------------------


def test_ties_go_to_provider_then_region_then_machine():
    offers = catalogue(
        "b,m,,,1,1,0.1,,r1,z1",
        "a,n,,,1,1,0.1,,r2,z1",
        "a,n,,,1,1,0.1,,r1,z2",
        "a,n,,,1,1,0.1,,r1,z1",
        "a,m,,,1,1,0.1,,r1,z9",
    )
    assert ask(offers) == (Decimal("0.1"), "a", "r1", "m", "z9")
    places, rows, _ = cheapest_by_place(offers, [need()])
    assert [offer_at(offers, row, spot=False).instance for row in rows.tolist()] == ["m", "n", "m"]
    assert places.tolist() == [0, 1, 2]


def test_any_of_takes_the_cheapest_and_says_which():
    offers = catalogue("a,m,A,1,4,4,2,,r,", "a,n,B,1,4,4,1,,r,", "a,o,C,2,4,4,1,,r,")
    assert cheapest_of(offers, [need("A:1"), need("C:2"), need("B:1")])[0] == 2
    assert cheapest_of(offers, [need("A:2"), need("D:1")]) == (-1, None)
    assert cheapest(offers, need("C:1+")).instance == "o"
    assert cheapest(offers, need("C:1")) is None


def test_region_may_name_its_provider():
    offers = catalogue("a,m,,,1,1,1,,East,", "b,m,,,1,1,2,,east,")
    assert cheapest(offers, need(regions=("b:EAST",))).provider == "b"
    assert cheapest(offers, need(regions=("east",))).provider == "a"


@pytest.mark.parametrize(
    ("asked", "reason", "change"),
    [
        ({"cards": "A100:16"}, OfferReason.COUNT_TOO_SMALL, "take A100:8"),
        ({"cards": "A100:4"}, OfferReason.COUNT_DIFFERS, "take A100:8"),
        ({"cards": "A100:8", "memory": "900+"}, OfferReason.MEMORY, "take 800 GiB of memory"),
        ({"cards": "A100:8", "cpus": "97+"}, OfferReason.CPUS, "take 96 vCPUs"),
        (
            {"cards": "A100:8", "regions": ("x",)},
            OfferReason.REGION_NOT_ALLOWED,
            "allow region a:r",
        ),
        ({"cards": "A100:8", "spot": True}, OfferReason.SPOT_NOT_OFFERED, "pay the full price"),
        (
            {"cards": "A100:8", "most_micro": 1},
            OfferReason.OVER_CEILING,
            "pay up to 9.50 USD/h",
        ),
        (
            {"cards": "A100:8", "providers": ("b",)},
            OfferReason.PROVIDER_NOT_ALLOWED,
            "allow provider a",
        ),
    ],
)
def test_refusals_and_near_misses(asked, reason, change):
    offers = catalogue("a,big,A100,8,96,800,9.5,,r,", "b,small,T4,1,4,16,0.5,,r,")
    receipt = explain(offers, need(**asked))
    assert receipt.offer is None
    assert {refusal.provider: refusal.reason for refusal in receipt.refused}["a"] is reason
    assert [miss.change for miss in receipt.near] == [change]
    assert receipt.near[0].offer.instance == "big"
    assert receipt.near[0].offer.price_micro == 9_500_000


def test_two_changes_when_one_is_not_enough():
    offers = catalogue("a,big,A100,8,96,800,9.5,,r,")
    (miss,) = explain(offers, need("A100:8", cpus="97+", spot=True)).near
    assert miss.reasons == (OfferReason.CPUS, OfferReason.SPOT_NOT_OFFERED)
    assert miss.change == "take 96 vCPUs and pay the full price"
    assert miss.offer.spot is False


def test_what_is_near_an_offer_is_cheaper():
    offers = catalogue("a,m,,,4,16,2,0.5,r,", "a,n,,,4,8,1,,r,", "a,o,,,2,16,3,,r,")
    receipt = explain(offers, need(cpus="4", memory="16+"))
    assert receipt.offer.instance == "m"
    assert [(miss.change, miss.offer.instance) for miss in receipt.near] == [
        ("take 8 GiB of memory", "n")
    ]
    assert [(one.instance, one.reason) for one in receipt.refused] == [
        ("n", OfferReason.MEMORY),
        ("o", OfferReason.CPUS),
    ]


def test_unknown_cards_name_similar_ones():
    offers = catalogue("a,m,A100-80GB,8,96,800,9.5,,r,", "a,n,V100,8,96,800,9,,r,")
    receipt = explain(offers, need("A100:8"))
    assert receipt.similar[0] == "A100-80GB"
    assert [one.reason for one in receipt.refused] == [OfferReason.NO_SUCH_ACCELERATOR]


def test_cards_without_a_machine_are_no_offer():
    offers = catalogue("gcp,,L4,1,,,0.5,0.2,r,a", "ibm,,X,1,,,0.5,0.2,r,a")
    assert offers.rows == 0
    assert offers.hostless == (("gcp", "L4", 1_000_000), ("ibm", "X", 1_000_000))
    reasons = {one.provider: one.reason for one in explain(offers, need("L4:1")).refused}
    assert reasons == {
        "gcp": OfferReason.NO_HOST,
        "ibm": OfferReason.NO_SUCH_ACCELERATOR,
    }


def test_tpus_come_with_their_host():
    offers = catalogue("gcp,,tpu-v2-8,1,,,4.5,1.35,r,a")
    best = cheapest(offers, need("tpu-v2-8"))
    assert (best.instance, best.price_micro, best.cpus_micro) == ("TPU-VM", 4_500_000, None)
    assert cheapest(offers, need("tpu-v2-8", cpus="1+")) is None


def test_empty_catalogue_answers():
    assert cheapest(build([]), need("A100:8")) is None
    assert explain(build([]), need("A100:8", regions=("x",))).refused == ()


@pytest.mark.parametrize("text", ["", ":8", "A100:0", "A100:x", "A100:1e3", "A 100:1", "A100:-1"])
def test_wrong_cards(text):
    with pytest.raises(InputError, match="names no accelerators"):
        parse_cards(text)


@pytest.mark.parametrize("text", ["", "+", "0", "-4", "4++", "4x", "inf", True, 0.0000001])
def test_wrong_cpus(text):
    with pytest.raises(InputError, match="no amount of cpus"):
        parse_bound(text, "cpus")


def test_right_words():
    assert parse_cards(" A100:0.5+ ") == ("A100", 500_000, True)
    assert parse_cards("T4") == ("T4", 1_000_000, False)
    assert parse_bound(4.5, "cpus").micro == 4_500_000
    assert parse_bound("4x", "memory").per_cpu
