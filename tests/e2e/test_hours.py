"""Hours that an account was granted pay before its money, and have totals of their own."""

import time

import pytest

from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-hours")

GRANTED_MICRO = 400


@pytest.fixture(scope="module")
def config():
    accounts = dict.fromkeys(("default", "lab", "owes"), "0 CNY")
    lent = f"[account.owes.hours.core]\ncredit_limit = {GRANTED_MICRO / 1e6:.6f}\n"
    return hub_file([LocalSite("only")], accounts=accounts) + lent


def test_hours_are_used_up_before_money(fenglin, client):
    job = {"name": "h", "account": "lab", "command": ["true"], "resources": {"cpu": 1}}
    granted = fenglin("account", "grant", "lab", "0.0004", "--key", "quota-1")
    assert granted.code == 0, granted
    assert "core-hour" in granted.out

    # 1.4 s of one core, nearly all that was granted, are held; there is no money at all. On a
    # busy machine it may take too long: it is paid for all the same.
    first = client.wait(client.submit({**job, "timeout": "1400ms"}).id, 60)
    assert first.state in {"succeeded", "failed"}
    assert (first.cost_micro, first.held_micro) == (0, 0)
    (allocation,) = client.job(first.id).allocations
    assert allocation.currency == "CORE-HOUR"
    used_micro = allocation.cost_micro
    # Billed for at least a second: 1 / 3600 of an hour.
    assert used_micro >= 278

    # What is left is too little for a second, so money has to pay, of which there is none.
    second = client.submit(job).id
    end_s = time.monotonic() + 30
    while (view := client.wait(second, 0.2)).reason != "budget_exhausted":
        assert view.state == "pending"
        assert time.monotonic() < end_s
    assert fenglin("account", "deposit", "lab", "1 CNY", "--key", "bank-1").code == 0
    view = client.wait(second, 60)
    assert view.state == "succeeded"
    assert view.cost_micro > 0

    told = fenglin("ledger", "statement", "--account", "lab", "-o", "json").json
    assert told["charged_micro"] == view.cost_micro
    (hours,) = told["hours"]
    assert hours["kind"] == "CORE-HOUR"
    assert hours["granted_micro"] == GRANTED_MICRO
    assert hours["charged_micro"] == used_micro
    assert hours["closing_micro"] == GRANTED_MICRO - used_micro
    assert hours["held_micro"] == 0
    assert sum(line["amount_micro"] for line in hours["lines"]) == used_micro
    assert "paid in" in fenglin("ledger", "statement", "--account", "lab").out

    account = fenglin("account", "show", "lab", "-o", "json").json
    (purse,) = account["hours"]
    assert (purse["kind"], purse["held_micro"]) == ("CORE-HOUR", 0)
    assert purse["available_micro"] == hours["closing_micro"]
    assert fenglin("ledger", "verify").code == 0
    assert "CORE-HOUR" in fenglin("ledger", "export", "--format", "beancount").out
    assert "CORE-HOUR" not in fenglin("ledger", "export", "--format", "focus").out


def test_hours_that_were_granted_by_mistake_are_taken_back(fenglin):
    assert fenglin("account", "grant", "default", "7.5", "--key", "typo").code == 0
    back = ("account", "refund", "default", "7", "--of", "core", "--key", "typo-back")
    for _ in range(2):
        done = fenglin(*back, "-o", "json")
        assert done.code == 0, done.err
        (left,) = done.json["account"]["hours"]
        assert left["available_micro"] == 500_000
    over = fenglin("account", "refund", "default", "1", "--of", "core", "--key", "more")
    assert over.code == 5
    assert "only 0.50 CORE-HOUR is available" in over.err
    money = fenglin("account", "refund", "default", "1 CNY", "--of", "core", "--key", "odd")
    assert money.code == 2
    (hours,) = fenglin("ledger", "statement", "--account", "default", "-o", "json").json["hours"]
    assert (hours["granted_micro"], hours["adjusted_micro"]) == (7_500_000, -7_000_000)
    assert fenglin("ledger", "verify").code == 0


def test_hours_are_lent_up_to_their_limit_and_made_good_by_a_grant(fenglin, client):
    # 1.4 s of one core: of hours that were never granted, and nearly all that are lent.
    job = {"name": "o", "account": "owes", "command": ["true"], "timeout": "1400ms"}
    first = client.wait(client.submit(job).id, 60)
    assert first.state in {"succeeded", "failed"}
    assert [one.currency for one in first.allocations] == ["CORE-HOUR"]
    (hours,) = fenglin("account", "show", "owes", "-o", "json").json["hours"]
    assert hours["available_micro"] == -first.allocations[0].cost_micro < 0
    assert hours["credit_limit_micro"] == GRANTED_MICRO
    assert hours["standing"] in {"overdue", "frozen"}
    assert "credit limit 0.0004" in fenglin("account", "show", "owes").out

    second = client.submit(job).id
    end_s = time.monotonic() + 30
    while (view := client.wait(second, 0.2)).reason != "budget_exhausted":
        assert view.state == "pending"
        assert time.monotonic() < end_s
    assert fenglin("account", "grant", "owes", "1", "--key", "made-good").code == 0
    assert client.wait(second, 60).state in {"succeeded", "failed"}
    statement = fenglin("ledger", "statement", "--account", "owes", "-o", "json").json
    (told,) = statement["hours"]
    assert told["granted_micro"] - told["charged_micro"] == told["closing_micro"] > 0
    assert statement["charged_micro"] == 0
    assert fenglin("ledger", "verify").code == 0


def test_what_is_no_hours_is_refused(fenglin):
    odd = fenglin("account", "grant", "lab", "5", "--of", "a model", "--key", "quota-2")
    assert odd.code != 0
    assert "card-hours" in odd.err
    assert fenglin("account", "grant", "lab", "0", "--key", "quota-3").code != 0
