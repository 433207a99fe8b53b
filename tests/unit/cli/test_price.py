"""The price book on the command line."""

import gzip
import json

import pytest

PRICE = {
    "id": "p7", "unit": "core_hour", "provider": "gz", "site": "", "region": "cn-gz", "zone": "a",
    "flavor": "std", "model": "", "user_class": "", "mode": "shared", "band": "",
    "currency": "CNY", "price_micro": 120_000,
    "tiers": [{"above": 100_000, "price_micro": 100_000}], "tier_period": "month",
    "memory_per_core_bytes": 4 * 2**30, "factors": [{"user_class": "school", "permille": 600}],
    "from_ms": 1_000, "end_ms": 0, "supersedes": "p3", "grade": "declared",
}  # fmt: skip
ADDED = {"first": "p8", "added": 1, "superseded": 1, "unchanged": 0}


def test_prices_are_listed(fenglin, hub, play):
    hub.on("GET", "/v1/prices", play(body={"items": [PRICE], "next": "", "total": -1}))
    done = fenglin("price", "list", "--provider", "gz", "--history", "--no-header")
    assert done.code == 0, done.err
    assert done.out.split()[:7] == ["p7", "gz", "cn-gz/a", "std", "-", "shared", "-"]
    assert "0.12 CNY  100000:0.10" in done.out
    (asked,) = hub.asked
    assert {("provider", "gz"), ("every", "true")} <= set(asked.query)


def test_a_price_is_shown(fenglin, hub, play):
    hub.on("GET", "/v1/prices/p7", play(body=PRICE))
    done = fenglin("price", "show", "p7")
    assert done.code == 0, done.err
    shown = dict(line.split(maxsplit=1) for line in done.out.splitlines() if len(line.split()) > 1)
    assert (shown["amount"], shown["factors"], shown["supersedes"]) == (
        "0.12 CNY", "school=60.0%", "p3",
    )  # fmt: skip


def test_a_price_is_superseded_by_its_own_terms(fenglin, hub, play):
    hub.on("GET", "/v1/prices/p7", play(body=PRICE))
    hub.on("POST", "/v1/prices", play(status=201, body=ADDED))
    done = fenglin("price", "supersede", "p7", "--price", "0.11", "--tiers", "9:0.1")
    assert done.code == 0, done.err
    asked = json.loads(hub.asked[-1].body)
    assert {name: value for name, value in asked.items() if value} == {
        "unit": "core_hour", "provider": "gz", "region": "cn-gz", "zone": "a", "flavor": "std",
        "mode": "shared", "currency": "CNY", "price": "0.11", "tiers": "9:0.1",
        "tier_period": "month", "memory_per_core": "4294967296B", "factors": "school=60.0%",
        "supersedes": "p7",
    }  # fmt: skip
    assert "superseded  1" in done.out


def test_a_price_is_set(fenglin, hub, play):
    hub.on("POST", "/v1/prices", play(status=201, body=ADDED))
    done = fenglin("price", "set", "--unit", "task", "--price", "0.5", "-o", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {**ADDED, "no_exchange": []}
    asked = json.loads(hub.asked[-1].body)
    assert (asked["unit"], asked["price"], asked["currency"]) == ("task", "0.5", "CNY")


def test_a_currency_without_a_rate_is_a_warning(fenglin, hub, play):
    hub.on("POST", "/v1/prices", play(status=201, body={**ADDED, "no_exchange": ["USD"]}))
    done = fenglin("price", "set", "--unit", "task", "--price", "0.5", "--currency", "USD")
    assert done.code == 0, done.err
    assert "warning: the hub does not charge by prices in USD" in done.err


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_imported(fenglin, hub, play, tmp_path, packed):
    text = b"unit,currency,price\ntask,CNY,1\n"
    path = tmp_path / ("p.csv.gz" if packed else "p.csv")
    path.write_bytes(gzip.compress(text) if packed else text)
    hub.on("POST", "/v1/prices:import", play(status=201, body=ADDED))
    done = fenglin("price", "import", path, "--format", "fenglin", "--supersede")
    assert done.code == 0, done.err
    (asked,) = hub.asked
    assert asked.body == text
    assert {("source", path.name), ("supersede", "true")} <= set(asked.query)


def test_one_bad_line_is_told_by_file_line_and_column(fenglin, hub, play, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("x")
    problem = {"path": "price", "what": "a price is never negative", "line": 5, "column": 3}
    body = {
        "code": "bad_document", "what": "1 problem found", "where": "p.csv",
        "problems": [problem],
    }  # fmt: skip
    hub.on("POST", "/v1/prices:import", play(status=400, body=body))
    done = fenglin("price", "import", path)
    assert done.code == 2
    assert "p.csv:5:3" in done.err
    assert "never negative" in done.err


@pytest.mark.parametrize("name", ["no.csv", "cut.csv.gz"])
def test_a_file_that_cannot_be_read(fenglin, hub, tmp_path, name):
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"x" * 99)[:20])
    done = fenglin("price", "import", tmp_path / name)
    assert (done.code, hub.asked) == (2, [])
    assert "cannot be read" in done.err
