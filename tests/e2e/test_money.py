"""Money: what may be spent, what was spent, and that every record of it says the same."""

import csv
import io
import json

import pytest

from fenglin.client.requests import Filter
from fenglin.errors import InputError
from fenglin.testing import LocalSite, hub_file

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-money")

# One core costs 0.36 an hour, 100 micro-units a second.
PER_CORE_S = 100


@pytest.fixture(scope="module")
def config():
    accounts = {"default": "1000 CNY", "poor": "0.001 CNY", "broke": "0 CNY"}
    return hub_file([LocalSite("only")], accounts=accounts)


def test_task_costs_its_time_and_at_least_the_minimum(client):
    job = client.submit(
        {"name": "paid", "tasks": 3, "command": ["true"], "resources": {"cpu": 2}}
    ).id

    view = client.wait(job, 30)

    # Billed for at least one second each.
    assert view.cost_micro == 3 * 2 * PER_CORE_S
    assert view.held_micro == 0


def test_a_job_waits_for_budget_and_goes_on_when_a_hold_is_resolved(client, truth, running):
    # The account has 1000; each job reserves 8 s of one core, so only one can run at once.
    shape = {"account": "poor", "resources": {"cpu": 1}, "timeout": "8s", "sleep_s": 1}
    first, second = (client.submit(truth.job(name, **shape)).id for name in ("a", "b"))
    running(first)

    view = client.wait(second, 0.3)
    assert (view.state, view.reason) == ("pending", "budget_exhausted")
    refused = client.explain(second).receipt.options[0]
    assert refused.reason == "budget_exhausted"
    assert "poor" in refused.evidence or "CNY" in refused.evidence

    assert client.wait(first, 30).state == "succeeded"
    assert client.wait(second, 30).state == "succeeded"
    runs = {run.job: run for run in truth.runs()}
    assert runs[second].began_s >= runs[first].ended_s


def test_an_account_without_money_waits(client):
    document = {"name": "none", "account": "broke", "command": ["true"]}
    job = client.submit(document).id

    view = client.wait(job, 0.5)

    assert (view.state, view.reason) == ("pending", "budget_exhausted")
    assert client.cancel(job).state == "cancelled"


def test_an_unknown_account_is_refused(client):
    with pytest.raises(InputError, match="account"):
        client.submit({"name": "who", "account": "nobody", "command": ["true"]})


def test_statement_exports_jobs_and_verification_agree(fenglin, client):
    for account in ("default", "poor"):
        client.submit({"name": "more", "account": account, "timeout": "2s", "command": ["true"]})
    for job in client.jobs(Filter()).items:
        client.wait(job.id, 30)
    jobs = client.jobs(Filter()).items
    assert sum(job.cost_micro for job in jobs) > 0

    check = fenglin("ledger", "verify", "-o", "json")
    assert (check.code, check.json["ok"]) == (0, True)
    charged = {}
    for account in ("default", "poor", "broke"):
        shown = fenglin("ledger", "statement", "--account", account, "-o", "json")
        assert shown.code == 0, shown.err
        bill = shown.json
        charged[account] = bill["charged_micro"]
        assert sum(line["amount_micro"] for line in bill["lines"]) == bill["charged_micro"]
        assert (
            bill["opening_micro"] + bill["granted_micro"] - bill["charged_micro"]
            == (bill["closing_micro"])
        )
        assert bill["held_micro"] == 0
        mine = [job.cost_micro for job in jobs if job.account == account]
        assert sum(mine) == bill["charged_micro"]
        assert bill["ledger_hash"] == check.json["head_hash"]

    entries = [
        json.loads(line)
        for line in fenglin("ledger", "export", "--format", "jsonl").out.splitlines()
    ]
    assert len(entries) == check.json["entries"]
    earned = sum(
        amount_micro
        for entry in entries
        for account, _, amount_micro in entry["legs"]
        if account.startswith("provider:")
    )
    assert earned == sum(charged.values())
    rows = list(csv.DictReader(io.StringIO(fenglin("ledger", "export").out)))
    assert len({row["seq"] for row in rows}) == len(entries)
    assert sum(int(row["amount_micro"] or 0) for row in rows) == 0
    beans = fenglin("ledger", "export", "--format", "beancount").out
    assert beans.count("hold:") >= 1
