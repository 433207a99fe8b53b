"""Vouchers on a real hub: from the pool to the bill, and what the auditor finds afterwards."""

import csv
import hashlib
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from fenglin.client import vouchers
from fenglin.client.requests import Filter
from fenglin.client.tokens import make_token
from fenglin.engine.tokens import new_token
from fenglin.errors import ConflictError, DeniedError, InputError, NotFoundError
from fenglin.ledger.vouchers.claim import Application, Line
from fenglin.quantities.period import DEFAULT_OFFSET_MIN, period_of
from fenglin.testing import HubProcess, LocalSite, hub_file
from fenglin.wire.token_views import TokenAsk
from fenglin.wire.voucher_views import ApplyAsk, TakeBackAsk, UseAsk

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("e2e-vouchers")

YUAN = 1_000_000
FEN = 10_000
TOKENS = {"lab": new_token(), "poor": new_token()}
RULES = """\
[voucher]
name = "ours"
title = "算力券"
"""
VALUES = {
    "budget": '"0.05"',
    "reservation": '"fifo"',
    "ratio": '[{ domestic_from = "0 %", ratio = "10 %" }]',
    "firm_cap": '"none"',
    "items": '["compute"]',
    "unrelated": "true",
    "once_per_contract": "true",
    "paid_proof": "false",
    "signed_from": '"none"',
    "valid_days": "180",
}
SCHEME = RULES + "".join(
    f'[{name}]\nvalue = {value}\nsource = "notice 7"\ndate = "2026-01"\n'
    for name, value in VALUES.items()
)
ASKED = """\
[[application]]
id = "lab-1"
account = "lab"
firm = "91A"
seller = "91S"
contract = "HT-1"
signed = "2026-03-01"
line = [{ item = "compute", amount = "0.10" }]

[[application]]
id = "lab-2"
account = "lab"
firm = "91S"
seller = "91S"
contract = "HT-2"
signed = "2026-03-01"
line = [{ item = "compute", amount = "0.10" }]
"""
# Each task is billed for a second of two cores: 200 micro-units.
WORK = {"name": "work", "command": ["true"], "resources": {"cpu": 2, "memory": "8MiB"}}


def this_month():
    return str(period_of(int(time.time() * 1_000), DEFAULT_OFFSET_MIN))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Return a hub with a token for each of two accounts."""
    accounts = {"default": "10 CNY", "lab": "10 CNY", "poor": "0.0002 CNY"}
    config = hub_file([LocalSite("only", cpu=2)], accounts=accounts)
    with HubProcess(tmp_path_factory.mktemp("vouchers"), config) as process:
        with process.start().client() as admin:
            for name, text in TOKENS.items():
                digest = hashlib.sha256(text.encode()).hexdigest()
                admin.call(make_token(TokenAsk(digest=digest, name=f"{name}'s", account=name)))
        yield process


@pytest.fixture
def told(fenglin):
    """Run a command that must work; return what it says, as data."""

    def run(*words, token=None):
        done = fenglin(*words, "-o", "json", token=token)
        assert done.code == 0, done.err
        return done.json

    return run


@pytest.fixture
def pool(told, tmp_path):
    """Open a pool of five fen; the same again changes nothing."""
    (tmp_path / "rules.toml").write_text(SCHEME)
    return told("voucher", "pool", "add", tmp_path / "rules.toml", "--year", 2026)


def application(name, yuan, account="poor"):
    line = Line("compute", int(yuan * YUAN))
    return Application(
        id=name, account=account, firm=f"91{account}", seller="91S", contract=name,
        signed="2026-03-01", lines=(line,),
    )  # fmt: skip


def asking(name, yuan, account="poor"):
    return ApplyAsk(applications=(application(name, yuan, account),))


def run_tasks(client, count, account="lab"):
    job = client.submit({**WORK, "tasks": count, "account": account}).id
    assert client.wait(job, 60).state == "succeeded"
    return job


def test_from_the_pool_to_the_bill_to_the_audit(client, fenglin, told, pool, tmp_path):
    assert (pool["name"], pool["free_micro"]) == ("ours-2026", 5 * FEN)
    asked = tmp_path / "asked.toml"
    asked.write_text(ASKED)
    for _ in range(2):  # the second time changes nothing
        filed = told("voucher", "apply", "ours-2026", asked, token=TOKENS["lab"])["items"]
        assert [(one["state"], one["granted_micro"]) for one in filed] == [
            ("reserved", FEN),
            ("refused", 0),
        ]
    assert filed[1]["reasons"] == ["related-parties"]
    before = run_tasks(client, 3)
    told("voucher", "approve", "ours-2026", "lab-1")
    after = run_tasks(client, 60)

    path = tmp_path / "bill.json"
    words = ("statement", "--tenant", "lab", "--period", this_month())
    assert fenglin(*words, "-o", "json", "--out", path).code == 0
    bill = json.loads(path.read_text())
    costs = {job: client.job(job).cost_micro for job in (before, after)}
    assert costs[after] > FEN
    assert bill["charged_micro"] == sum(costs.values())
    assert bill["credits_micro"] == FEN
    assert bill["due_micro"] == sum(costs.values()) - FEN
    credited = [one for one in bill["entries"] if one["kind"] == "voucher"]
    assert {(one["voucher"], f"j{one['job']}") for one in credited} == {("ours-2026/lab-1", after)}
    paid = {one["key"] for one in bill["entries"] if one["kind"] == "post"}
    assert {one["pays"] for one in credited} <= paid
    assert fenglin("ledger", "prove", "--statement", path).code == 0

    rows = list(csv.DictReader(io.StringIO(fenglin(*words, "-o", "csv").out)))
    given = sum(Decimal(row["amount"]) for row in rows if row["category"] == "credit")
    used = sum(Decimal(row["amount"]) for row in rows if row["category"] == "usage")
    assert -used - given == Decimal(bill["due_micro"]) / YUAN
    focus = list(csv.DictReader(io.StringIO(fenglin("ledger", "export", "--format", "focus").out)))
    mine = [row for row in focus if row["BillingAccountId"] == "lab"]
    assert sum(Decimal(row["BilledCost"]) for row in mine) == -used - given
    assert {row["ChargeCategory"] for row in mine} == {"Usage", "Credit"}
    assert fenglin("ledger", "verify").code == 0

    audit = told("voucher", "audit", "ours-2026")
    assert audit["ok"]
    done = [row["act"] for row in audit["rows"]]
    assert [done.count(act) for act in ("open", "file", "grant", "refuse", "approve")] == [
        1, 2, 1, 1, 1,
    ]  # fmt: skip
    refusal = next(row for row in audit["rows"] if row["act"] == "refuse")
    assert (refusal["voucher"], refusal["who"]) == ("lab-2", "hub")
    assert "buyer and seller are one" in refusal["why"]


def use(account="lab", **more):
    plain = {"account": account, "period": this_month(), "key": f"k{more}"}
    return vouchers.use(UseAsk(**(plain | more)))


def take(**more):
    return TakeBackAsk(**({"why": "w", "key": f"t{more}"} | more))


WRONG = [
    (lambda: use(amount_micro=YUAN), ConflictError, r"not 1\.00 CNY"),
    (lambda: use("poor", pool="ours-2026", voucher="poor-0"), ConflictError, "not approved"),
    (lambda: use("lab", pool="ours-2026", voucher="poor-0"), NotFoundError, "poor-0"),
    (lambda: use("nobody"), NotFoundError, "nobody"),
    (lambda: use(period="2026-13"), InputError, "2026-13"),
    (lambda: use(key=""), InputError, "key"),
    (lambda: vouchers.approve("none-2026", "a"), NotFoundError, "none-2026"),
    (lambda: vouchers.approve("ours-2026", "none"), NotFoundError, "none"),
    (lambda: vouchers.claw_back("ours-2026", "poor-0", take()), ConflictError, "nothing of it"),
    (lambda: vouchers.revoke("ours-2026", "poor-0", take(why=" ")), InputError, "why"),
]
FOREIGN = [
    (lambda: vouchers.audit("ours-2026", "poor-0"), NotFoundError, "no voucher 'poor-0'"),
    (lambda: vouchers.audit("ours-2026", "none"), NotFoundError, "no voucher 'none'"),
    (lambda: vouchers.apply("ours-2026", asking("x", 1)), NotFoundError, "no account 'poor'"),
    (lambda: vouchers.approve("ours-2026", "poor-0"), DeniedError, "admin"),
    (lambda: use("lab"), DeniedError, "admin"),
]


def test_what_is_wrong_is_refused_and_a_foreign_voucher_is_a_missing_one(
    hub, client, fenglin, pool
):
    name = pool["name"]
    client.call(vouchers.apply(name, asking("poor-0", 0.1)))
    with hub.client(token=TOKENS["lab"]) as lab, hub.client(token=TOKENS["poor"]) as poor:
        for who, cases in ((client, WRONG), (lab, FOREIGN)):
            for ask, error, what in cases:
                with pytest.raises(error, match=what):
                    who.call(ask())
        seen = poor.call(vouchers.vouchers(Filter()))
        assert {one.account for one in seen.items} == {"poor"}
        own = poor.call(vouchers.audit(name))
        assert {row.account for row in own.rows if row.voucher} == {"poor"}
    words = ("use", "lab", "--period", this_month(), "--amount", "1 CNY")
    assert fenglin("voucher", *words).code == 5
    assert fenglin("voucher", "revoke", name, "poor-0", "--why", "a test").code == 0


def test_what_vouchers_pay_is_there_for_the_next_job_at_once(client, told, pool, eventually):
    name = pool["name"]
    # It reserves 200 of 200 for a second of two cores, and uses no less.
    shape = {**WORK, "account": "poor", "timeout": "1s"}
    first = client.submit(shape).id
    client.wait(first, 60)
    second = client.submit(shape).id
    eventually(lambda: client.job(second).reason == "budget_exhausted", 60)
    client.call(vouchers.apply(name, asking("poor-1", 0.1)))
    told("voucher", "approve", name, "poor-1")
    used = told("voucher", "use", "poor", "--period", this_month(), "--key", "notice-1")
    assert used["used_micro"] == client.job(first).cost_micro
    assert client.wait(second, 60).cost_micro >= 200
    again = told("voucher", "use", "poor", "--period", this_month(), "--key", "notice-1")
    assert again == used


def test_a_clawback_is_owed_again(told, pool):
    name = pool["name"]
    words = ("statement", "--tenant", "poor", "--period", this_month())
    before = told(*words)
    back = told("voucher", "clawback", name, "poor-1", "--why", "forged contract")
    assert back["state"] == "clawed-back"
    after = told(*words)
    assert before["credits_micro"] == back["clawed_micro"] > 0
    assert (after["credits_micro"], after["due_micro"]) == (0, after["charged_micro"])
    shown = told("account", "show", "poor")
    assert shown["available_micro"] == 200 - after["charged_micro"]


def test_many_at_once_are_promised_no_more_than_the_budget(hub, pool):
    def one(number):
        asked = asking(f"crowd-{number}", 0.13, "default")
        with hub.client() as own:
            return own.call(vouchers.apply(pool["name"], asked)).items[0].granted_micro

    with ThreadPoolExecutor(8) as threads:
        granted = list(threads.map(one, range(8)))
    with hub.client() as own:
        now = own.call(vouchers.read_pool(pool["name"]))
    assert sum(granted) <= now.budget_micro - now.paid_micro
    assert now.free_micro == 0
    assert now.free_micro + now.reserved_micro + now.paid_micro == 5 * FEN


def test_the_books_of_vouchers_outlive_a_kill(hub, told, fenglin, pool):
    before = told("voucher", "list", "--all")
    hub.kill()
    hub.start()
    assert told("voucher", "list", "--all") == before
    assert told("voucher", "audit", pool["name"])["ok"]
    assert fenglin("ledger", "verify").code == 0
    changed = asking("crowd-1", 0.14, "default")
    with hub.client() as own, pytest.raises(ConflictError, match="another content"):
        own.call(vouchers.apply(pool["name"], changed))
