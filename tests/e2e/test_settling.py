"""A month's end: settle with two providers, reconcile, report; then somebody changes a row."""

import asyncio
import contextlib
import importlib.util
import sqlite3
import time
from pathlib import Path

import pytest

from fenglin.client.requests import Filter
from fenglin.ledger.posting import Hold, Terms, charge, grant, hold, post
from fenglin.model.job import DEFAULT_ACCOUNT
from fenglin.quantities.period import period_of
from fenglin.storage import books
from fenglin.storage.store import SqliteStore
from fenglin.testing import HubProcess, LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-settling")

PLACE = Path(__file__).parents[1] / "unit/cli/formulas.py"
SPEC = importlib.util.spec_from_file_location("formulas", PLACE)
formulas = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(formulas)

DEALS = """
[deal.provider-east]
share = "80 %"
tax = { vat = "6/106" }
"""
HOUR = 3_600_000
# The same for the whole module, whatever month it is when the last test runs.
NOW = period_of(time.time_ns() // 1_000_000)
LAST = NOW.previous()


@pytest.fixture(scope="module")
def config():
    return hub_file([LocalSite("east", cpu=2), LocalSite("west", cpu=2)]) + DEALS


@pytest.fixture(scope="module")
def hub(tmp_path_factory, config):
    """Return a hub whose ledger was there last month, when both providers earned."""
    with HubProcess(tmp_path_factory.mktemp("hub"), config) as process:
        process.data.mkdir()
        asyncio.run(_earn(process.data / "fenglin.db"))
        process.start()
        yield process


async def _earn(path):
    """Enter what was used last month: 1.234567 with each provider."""
    store = SqliteStore(path)
    drafts = [grant(DEFAULT_ACCOUNT, 10**9, "config:default")]
    for site in ("east", "west"):
        of = Hold(f"past-{site}", DEFAULT_ACCOUNT, "CNY", 2_000_000, 1)
        charges = [charge("core_hour", HOUR, HOUR, 1_234_567)]
        drafts.append(hold(of.account, of.amount_micro, of.attempt, job=1))
        drafts.append(post(of, f"provider-{site}", charges, Terms(site, "std", "1")))
    try:
        loaded = await store.load((), LAST.from_ms)
        await store.write(loaded.epoch, lambda conn: books.append(conn, drafts, LAST.from_ms + 1))
    finally:
        await store.close()


def test_both_providers_earn_this_month_and_nothing_is_posted_yet(fenglin, client, eventually):
    eventually(lambda: all(site.seen_ms for site in client.sites(Filter()).items), 60)
    # Four cores: both sites are needed at once.
    document = {"name": "both", "tasks": 4, "command": ["sleep", "2"], "resources": {"cpu": 1}}
    assert client.wait(client.submit(document).id, 60).state == "succeeded"
    month = fenglin("settle", "--period", NOW, "-o", "json").json
    assert month["closed"] == 0
    charged = {one["settlement"]["provider"]: one["settlement"] for one in month["items"]}
    assert charged.keys() == {"provider-east", "provider-west"}
    assert all(one["charged_micro"] > 0 for one in charged.values())
    assert all(one["entry"] == 0 for one in month["items"])
    refused = fenglin("settle", "--period", NOW, "--post")
    assert refused.code == 5
    assert f"fenglin ledger close --period {NOW}" in refused.err


def test_last_month_is_closed_settled_once_checked_and_reported(fenglin, tmp_path):
    assert fenglin("settle", "--period", LAST, "--check").code == 0
    assert fenglin("ledger", "close", "--period", LAST).code == 0
    posted = fenglin("settle", "--period", LAST, "--post", "-o", "json")
    assert posted.code == 0, posted.err
    east, west = posted.json["items"]
    # 123 fen and 4,567 micro: 98.4, 6.962… of tax, 17.637… to the hub.
    assert east["settlement"]["payable_micro"] == 980_000
    assert east["settlement"]["taxes"] == [["vat", 70_000]]
    assert east["settlement"]["fee_micro"] == 180_000
    assert east["settlement"]["remainder_micro"] == 4_567
    assert west["settlement"]["provider_micro"] == 1_234_567
    assert east["entry"] > 0
    assert west["entry"] == east["entry"] + 1
    again = fenglin("settle", "--period", LAST, "--post", "-o", "json")
    assert again.json == posted.json

    checked = fenglin("settle", "--period", LAST, "--check", "-o", "json")
    assert (checked.code, checked.json["ok"]) == (0, True)
    assert fenglin("ledger", "verify").code == 0

    out = tmp_path / "month.xlsx"
    made = fenglin("report", "month", "--period", LAST, "--out", out)
    assert made.code == 0, made.err
    book = formulas.Book(out.read_bytes())
    assert book.check() > 10
    rows = {row["provider"]: row for row in book.rows("ThreeWay")}
    assert float(rows["provider-east"]["fee"]) == 0.18
    assert all(row["difference"] == 0 for row in rows.values())


def test_a_provider_is_paid_what_was_settled_and_no_more(fenglin):
    shown = fenglin("provider", "show", "provider-east")
    assert "0.98 CNY" in shown.out
    command = ("provider", "pay", "provider-east")
    refused = fenglin(*command, "0.99 CNY", "--key", "bank-1")
    assert refused.code == 5
    assert "0.98 CNY is payable" in refused.err
    paid = fenglin(*command, "0.98 CNY", "--key", "bank-1", "-o", "json")
    assert paid.code == 0, paid.err
    assert (paid.json["due"]["paid_micro"], paid.json["due"]["payable_micro"]) == (980_000, 0)
    again = fenglin(*command, "0.98 CNY", "--key", "bank-1", "-o", "json")
    assert again.json == paid.json
    listed = fenglin("provider", "list", "-o", "json").json["items"]
    assert {one["provider"]: one["paid_micro"] for one in listed} == {
        "provider-east": 980_000,
        "provider-west": 0,
    }
    assert fenglin("provider", "show", "nobody").code == 3
    assert fenglin("ledger", "verify").code == 0
    assert fenglin("settle", "--period", LAST, "--check").code == 0


def test_this_month_is_reported_with_what_ran_in_it(fenglin):
    report = fenglin("report", "month", "--period", NOW, "-o", "json").json
    assert sum(row["tasks"] for row in report["usage"]) >= 4
    assert {row["grade"] for row in report["usage"]} == {"live"}
    assert {row["site"] for row in report["inventory"]} == {"east", "west"}
    assert report["three_way"]["ok"]


def test_a_changed_row_is_named(fenglin, hub):
    with contextlib.closing(sqlite3.connect(hub.data / "fenglin.db", timeout=30)) as conn:
        (seq,) = conn.execute(
            "SELECT seq FROM ledger_entry WHERE key = 'post:past-west'"
        ).fetchone()
        conn.execute("DROP TRIGGER ledger_leg_no_update")
        conn.execute(
            "UPDATE ledger_leg SET amount_micro = amount_micro + 10000"
            " WHERE seq = ? AND account = 'provider:provider-west:due'",
            (seq,),
        )
        conn.commit()
    checked = fenglin("settle", "--period", LAST, "--check")
    assert checked.code == 7
    assert f"entry {seq}" in checked.out
    assert f"entries {seq}" in checked.err
    shown = fenglin("settle", "--period", LAST)
    assert shown.code != 0
    assert f"entry {seq}" in shown.err
