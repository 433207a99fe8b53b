"""`fenglin voucher` against a scripted hub: what is asked for, and how answers look."""

import json
from pathlib import Path

import pytest

RULES = Path(__file__).parents[3] / "examples/vouchers/hangzhou.toml"
SCHEME = {"name": "ours", "title": "算力券", "reservation": "fifo"}
POOL = {
    "name": "ours-2026", "scheme": SCHEME, "commodity": "CNY", "budget_micro": 9_000_000,
    "free_micro": 4_000_000, "reserved_micro": 3_000_000, "paid_micro": 2_000_000, "waiting": 2,
    "opened_by": "ada", "opened_ms": 1_000,
}  # fmt: skip
VOUCHER = {
    "pool": "ours-2026", "id": "a1", "account": "lab", "state": "approved", "verdict": "reduced",
    "reasons": ["firm-cap"], "steps": [], "commodity": "CNY", "contract_micro": 9_000_000,
    "granted_micro": 5_000_000, "left_micro": 2_000_000, "used_micro": 3_000_000,
    "clawed_micro": 1_000_000, "valid_to_ms": 0, "filed_by": "ann", "filed_ms": 1_000,
}  # fmt: skip
OTHER = VOUCHER | {"id": "a2", "state": "refused"}
ASKED = """\
[[application]]
id = "a1"
account = "lab"
firm = "A"
seller = "S"
contract = "C"
line = [{ item = "compute", amount = "5" }]
"""
BASE = "/v1/voucher-pools/ours-2026"


def body(asked):
    return json.loads(asked.body)


def test_pools_are_listed_and_shown(fenglin, hub, play):
    hub.on("GET", "/v1/voucher-pools", play(body={"items": [POOL]}))
    hub.on("GET", BASE, play(body=POOL))
    done = fenglin("voucher", "pool", "list", "--no-header")
    assert done.code == 0, done.err
    assert done.out.split() == [
        "ours-2026", "fifo", "9.00", "CNY", "4.00", "CNY", "3.00", "CNY", "2.00", "CNY", "2",
    ]  # fmt: skip
    shown = fenglin("voucher", "pool", "show", "ours-2026").out
    assert "reserved   3.00 CNY" in shown
    assert "2 applications" in shown


def test_a_pool_is_opened_with_the_rules_of_a_file(fenglin, hub, play):
    hub.on("POST", "/v1/voucher-pools", play(status=201, body=POOL))
    done = fenglin("voucher", "pool", "add", RULES, "--year", "2026", "-o", "json")
    assert (done.code, json.loads(done.out)["name"]) == (0, "ours-2026")
    asked = body(hub.asked[-1])
    assert (asked["year"], asked["scheme"]["name"]) == (2026, "hangzhou")


def test_applications_are_read_in_the_pools_currency(fenglin, hub, play, tmp_path):
    (tmp_path / "asked.toml").write_text(ASKED)
    hub.on("GET", BASE, play(body=POOL))
    hub.on("POST", f"{BASE}/applications", play(status=201, body={"items": [VOUCHER]}))
    done = fenglin("voucher", "apply", "ours-2026", tmp_path / "asked.toml", "--no-header")
    assert done.code == 0, done.err
    assert done.out.split()[:4] == ["ours-2026", "a1", "lab", "approved"]
    assert "5.00 CNY  2.00 CNY  2.00 CNY" in done.out
    assert "firm-cap" in done.out
    (one,) = body(hub.asked[-1])["applications"]
    assert one["lines"] == [{"item": "compute", "amount_micro": 5_000_000, "domestic_bp": 0}]


def test_several_are_approved_one_after_another(fenglin, hub, play):
    for name in ("a1", "a2"):
        hub.on("POST", f"{BASE}/vouchers/{name}/approve", play(body=VOUCHER | {"id": name}))
    hub.on("POST", f"{BASE}/round", play(body={"items": [OTHER]}))
    done = fenglin("voucher", "approve", "ours-2026", "a1", "a2", "-o", "json")
    assert [one["id"] for one in json.loads(done.out)["items"]] == ["a1", "a2"]
    assert "refused" in fenglin("voucher", "round", "ours-2026").out


@pytest.mark.parametrize(
    ("words", "path", "sent"),
    [
        (("revoke", "ours-2026", "a1", "--why", "forged"), f"{BASE}/vouchers/a1/revoke",
         {"why": "forged"}),
        (("clawback", "ours-2026", "a1", "--why", "forged"), f"{BASE}/vouchers/a1/clawback",
         {"why": "forged"}),
        (("clawback", "ours-2026", "a1", "--why", "w", "--amount", "1 CNY", "--key", "k"),
         f"{BASE}/vouchers/a1/clawback", {"why": "w", "amount_micro": 1_000_000, "key": "k"}),
    ],
)  # fmt: skip
def test_taking_back_says_why_and_acts_once(fenglin, hub, play, words, path, sent):
    hub.on("POST", path, play(body=VOUCHER))
    done = fenglin("voucher", *words)
    assert done.code == 0, done.err
    assert "clawed   1.00 CNY" in done.out
    asked = body(hub.asked[-1])
    assert asked.items() >= sent.items()
    assert len(asked["key"]) == (32 if "--key" not in words else 1)


def test_use_names_what_was_paid(fenglin, hub, play):
    part = {"pool": "ours-2026", "voucher": "a1", "entry": "post:h/1", "amount_micro": 500_000}
    used = {
        "account": "lab", "period": "2026-11", "commodity": "CNY", "used_micro": 500_000,
        "parts": [part],
    }  # fmt: skip
    hub.on("POST", "/v1/vouchers:use", play(body=used))
    words = ("voucher", "use", "lab", "--period", "2026-11", "--amount", "0.5", "--key", "k")
    done = fenglin(*words)
    assert done.code == 0, done.err
    assert "ours-2026/a1  0.50 CNY of post:h/1" in done.out
    assert body(hub.asked[-1])["amount_micro"] == 500_000
    assert fenglin(*words[:5], "--amount", "0").code == 2
    assert len(hub.asked) == 1


def test_the_list_is_cut_by_the_hub_and_by_state(fenglin, hub, play):
    hub.on("GET", "/v1/vouchers", play(body={"items": [VOUCHER, OTHER], "next": "", "total": -1}))
    words = ("voucher", "list", "--pool", "ours-2026", "--account", "lab", "-o", "json")
    found = json.loads(fenglin(*words, "--state", "refused").out)
    assert [one["id"] for one in found["items"]] == ["a2"]
    assert {("pool", "ours-2026"), ("account", "lab")} <= set(hub.asked[-1].query)
    assert len(json.loads(fenglin(*words).out)["items"]) == 2


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 7)])
def test_an_audit_exits_by_what_it_finds(fenglin, hub, play, ok, code):
    row = {
        "time_ms": 1_000, "act": "refuse", "voucher": "a2", "account": "lab", "amount_micro": 0,
        "who": "hub", "why": "buyer and seller are one",
    }  # fmt: skip
    problems = [] if ok else ["voucher a1 stands otherwise"]
    audit = {"pool": POOL, "vouchers": [OTHER], "rows": [row], "ok": ok, "problems": problems}
    hub.on("GET", f"{BASE}/audit", play(body=audit))
    done = fenglin("voucher", "audit", "ours-2026", "--voucher", "a2")
    assert done.code == code
    assert "buyer and seller are one" in done.out
    assert ("stands otherwise" in done.err) is not ok
    assert ("voucher", "a2") in set(hub.asked[-1].query)
