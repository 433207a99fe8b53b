"""Every route's good answer, and what the hub was asked for it."""

import hashlib

import pytest

from fenglin.errors import UnavailableError
from fenglin.ports.hub import Health, Listing
from fenglin.wire.audit_views import AuditQuestion
from fenglin.wire.login_views import LoginAsk
from fenglin.wire.token_views import RotateAsk, TokenAsk

SHA = hashlib.sha256(b"karst").hexdigest()
DOCUMENT = b'{"name": "karst", "command": ["true"]}'

MANY_FILTERS = (
    "/v1/jobs?state=failed&state=held&queue=q&account=lab&name=ka%20r&label=a=b"
    "&sort=-name&limit=1000&cursor=c1"
)

# method, target, body, status, what the hub was asked, part of the answer
GOOD = [
    ("POST", "/v1/jobs", DOCUMENT, 201,
     ("submit", ["karst"], "ada", "", DOCUMENT),
     {"id": "j1", "state": "pending", "repeated": False}),
    ("POST", "/v1/jobs:batch", b"[" + DOCUMENT + b"," + DOCUMENT + b"]", 201,
     ("submit", ["karst", "karst"], "ada", "", b"[" + DOCUMENT + b"," + DOCUMENT + b"]"),
     {"items": [{"id": "j1", "state": "pending", "repeated": False},
                {"id": "j2", "state": "pending", "repeated": False}]}),
    ("POST", "/v1/jobs:batch", DOCUMENT + b"\n" + DOCUMENT + b"\n", 201,
     ("submit", ["karst", "karst"], "ada", "", DOCUMENT + b"\n" + DOCUMENT + b"\n"), {}),
    ("POST", "/v1/plan", DOCUMENT, 200, ("dry_run", "karst", "ada"), {"price_micro": 5}),
    ("GET", "/v1/jobs", b"", 200, ("jobs", Listing(), "ada"), {"next": "c2", "total": 2}),
    ("GET", MANY_FILTERS, b"", 200,
     ("jobs", Listing(1000, "c1", "-name", (
         ("state", "failed"), ("state", "held"), ("queue", "q"), ("account", "lab"),
         ("name", "ka r"), ("label", "a=b"))), "ada"), {}),
    ("GET", "/v1/jobs?queue=&limit=", b"", 200, ("jobs", Listing(), "ada"), {}),
    ("GET", "/v1/jobs?id=j7&id=j8&detail=true", b"", 200,
     ("jobs", Listing(filters=(("id", "j7"), ("id", "j8")), detail=True), "ada"), {}),
    ("GET", "/v1/jobs:watch?after=1.1&label=a=b=c&timeout_s=5", b"", 200,
     ("watch", "1.1", [("label", "a=b=c")], 5.0, "ada"), {"next": "1.2", "reset": False}),
    ("GET", "/v1/jobs/j7", b"", 200, ("job", 7, "ada"), {"id": "j7", "name": "karst"}),
    ("GET", "/v1/jobs/j7/explain", b"", 200, ("explain", 7, "ada"), {"receipt": None}),
    ("GET", "/v1/jobs/j7/events?after=2&limit=9", b"", 200, ("events", 7, 2, 9, "ada"),
     {"items": [{"seq": 3, "time_ms": 1_700_000_000_000, "kind": "submitted",
                 "text": "by ada"}]}),
    ("POST", "/v1/jobs/j7/cancel", b"", 200, ("cancel", 7, "ada"), {"state": "cancelling"}),
    ("POST", "/v1/jobs/j7/cancel?tasks=3-5,9", b"", 200, ("cancel", 7, "3-5,9", "ada"),
     {"state": "cancelling"}),
    ("GET", "/v1/jobs/j7/wait?timeout_s=0.01", b"", 200, ("wait", 7, 0.01, "ada"),
     {"state": "running"}),
    ("GET", "/v1/jobs/j7/artifacts", b"", 200, ("artifacts", 7, "ada"),
     {"items": [{"path": "0/left.png", "size_bytes": 4, "modified_ms": 1_700_000_000_000}]}),
    ("GET", f"/v1/blobs/{SHA}", b"", 200, ("has_blob", SHA, "ada"),
     {"sha256": SHA, "size_bytes": 4}),
    ("POST", "/v1/blobs:missing", b'{"sha256": ["%b", "%b"]}' % (SHA.encode(), b"0" * 64), 200,
     ("missing_blobs", (SHA, "0" * 64), "ada"), {"sha256": ["0" * 64]}),
    ("PUT", f"/v1/blobs/{SHA}", b"karst", 201, ("put_blob", SHA, 5, "ada"),
     {"sha256": SHA, "size_bytes": 5}),
    ("GET", "/v1/sites?state=down&provider=p&driver=local&class=ai", b"", 200,
     ("sites", Listing(filters=(("state", "down"), ("provider", "p"), ("driver", "local"),
                                ("class", "ai"))), "ada"), {}),
    ("GET", "/v1/sites/west", b"", 200, ("site", "west", "ada"), {"name": "west"}),
    ("POST", "/v1/sites/west/drain", b'{"reason": "new memory"}', 200,
     ("set_site", "west", True, "new memory", "ada"), {"state": "drained"}),
    ("POST", "/v1/sites/west/drain", b"", 200, ("set_site", "west", True, "", "ada"), {}),
    ("POST", "/v1/sites/west/resume", b"", 200, ("set_site", "west", False, "", "ada"),
     {"state": "active"}),
    ("GET", "/v1/nodes?site=west&up=true", b"", 200,
     ("nodes", Listing(filters=(("site", "west"), ("up", "true"))), "ada"), {}),
    ("GET", "/v1/queues", b"", 200, ("queues", Listing(), "ada"), {}),
    ("GET", "/v1/overview", b"", 200, ("overview", "ada"), {"cycle": 1}),
    ("GET", "/v1/ledger/verify", b"", 200, ("ledger_verify", "ada"), {"ok": True}),
    ("GET", "/v1/ledger/statement?account=lab&from_ms=5&to_ms=9", b"", 200,
     ("ledger_statement", "lab", 5, 9, "ada"), {"account": "lab"}),
    ("GET", "/v1/ledger/checkpoint", b"", 200, ("checkpoint", False, "ada"), {"size": 3}),
    ("GET", "/v1/ledger/checkpoint?fresh=true", b"", 200, ("checkpoint", True, "ada"),
     {"checkpoint": "note"}),
    ("GET", "/v1/ledger/consistency?old=1&new=3", b"", 200, ("consistency", 1, 3),
     {"old": 1, "new": 3}),
    ("POST", "/v1/ledger/proof", b'{"account": "lab", "to_ms": 9}', 200,
     ("prove", "lab", 0, 9, "", "ada"), {"account": "lab", "entries": ["{}"]}),
    ("GET", "/v1/ledger/bill?account=lab&period=2026-11", b"", 200,
     ("bill", "lab", "2026-11", "ada"), {"account": "lab", "period": "2026-11"}),
    ("GET", "/v1/accounts", b"", 200, ("accounts", "ada"), {}),
    ("GET", "/v1/accounts/lab", b"", 200, ("account", "lab", "ada"), {"standing": "ok"}),
    ("POST", "/v1/accounts/lab/deposit", b'{"amount_micro": 5, "key": "bank-1"}', 200,
     ("deposit", "lab", 5, "bank-1", "ada"), {"entry": 3}),
    ("POST", "/v1/accounts/lab/refund", b'{"amount_micro": 6, "key": "r"}', 200,
     ("refund", "lab", 6, "r", "ada"), {"key": "deposit:bank-1"}),
    ("GET", "/v1/settlements?period=2026-11&provider=gz", b"", 200,
     ("settlements", "2026-11", "gz", "ada"), {"closed": 0}),
    ("POST", "/v1/settlements", b'{"period": "2026-11"}', 200,
     ("settle", "2026-11", "", "ada"), {"closed": 7}),
    ("GET", "/v1/settlements:check?period=2026-11", b"", 200,
     ("check_settlements", "2026-11", "ada"), {"ok": True}),
    ("GET", "/v1/reports/month?period=2026-11", b"", 200, ("report", "2026-11", "ada"),
     {"hub": "h"}),
    ("POST", "/v1/ledger/close", b'{"period": "2027-03"}', 200, ("close", "2027-03", "ada"),
     {"period": "2027-03"}),
    ("POST", "/v1/agent/west/hello", b'{"protocol": 1, "agent": "a", "later": 2}', 200,
     ("agent_hello", "west", 1, "ada"), {"epoch": 3, "session": "s"}),
    ("POST", "/v1/agent/west/orders", b'{"session": "s", "after": 3}', 200,
     ("agent_orders", "west", 3, "ada"), {"hub": "hub", "epoch": 3}),
    ("POST", "/v1/agent/west/answers", b'{"session": "s", "news": true}', 200,
     ("agent_answers", "west", (), True, "ada"), {"taken": 0}),
    ("PUT", "/v1/agent/west/artifacts/h-a1-1/2?path=a%2520b/c&executable=true", b"xyz", 201,
     ("agent_artifact", ("h-a1-1", 2, "a b/c"), True), {"size_bytes": 3}),
    ("GET", "/v1/tokens?after=3&limit=2", b"", 200, ("tokens", 3, 2, "ada"), {"next_after": 0}),
    ("GET", "/v1/secrets?account=lab", b"", 200, ("secrets", "lab", "ada"), {}),
    ("PUT", "/v1/secrets/db?account=lab", b'{"value": "hush hush"}', 200,
     ("set_secret", "db", "lab", "hush hush", "ada"), {"version": 2}),
    ("DELETE", "/v1/secrets/db", b"", 200, ("remove_secret", "db", "", "ada"), {"name": "db"}),
    ("GET", "/v1/login", b"", 200, ("login_settings",), {"client_id": "fenglin"}),
    ("POST", "/v1/login", b'{"id_token": "a.b.c", "digest": "ab"}', 201,
     ("enter", LoginAsk(id_token="a.b.c", digest="ab")), {"id": "t7"}),
    ("GET", "/v1/audit?after=3&actor=ann&limit=9", b"", 200,
     ("audit", AuditQuestion(after=3, limit=9, actor="ann"), "ada"), {"next_after": 7}),
    ("GET", "/v1/audit:verify", b"", 200, ("verify_audit", "ada"), {"head": "ab"}),
    ("GET", "/v1/safety", b"", 200, ("safety", "ada"), {"starts_per_s": 9}),
    ("POST", "/v1/safety/users/bo/release", b"", 200, ("release_user", "bo", "ada"), {"id": "bo"}),
    ("POST", "/v1/jobs/j7/release", b"", 200, ("release", 7, "ada"), {"id": "j7"}),
    ("GET", "/v1/tokens/own", b"", 200, ("own_token", "ada"), {"id": "t7"}),
    ("POST", "/v1/tokens", b'{"digest": "ab", "name": "bo", "account": "lab"}', 201,
     ("make_token", TokenAsk(digest="ab", name="bo", account="lab"), "ada"), {"id": "t7"}),
    ("POST", "/v1/tokens/t7/rotate", b'{"digest": "ab", "grace_ms": 5}', 200,
     ("rotate_token", "t7", RotateAsk(digest="ab", grace_ms=5), "ada"), {"id": "t7"}),
    ("POST", "/v1/tokens/t7/revoke", b"", 200, ("revoke_token", "t7", "ada"), {"live": True}),
    ("GET", "/v1/inventory?every=true", b"", 200, ("inventory", True, "ada"), {"anomalies": []}),
    ("GET", "/v1/inventory/steps?facility=gz1&after=3&limit=2", b"", 200,
     ("inventory_history", "gz1", 3, 2, "ada"), {"next": 0}),
    ("GET", "/v1/inventory/totals?class=ai&precision=fp16", b"", 200,
     ("inventory_totals", "ai", "fp16", "ada"), {"totals": []}),
    ("GET", "/v1/inventory/rows?total=ai:fp16", b"", 200,
     ("inventory_rows", "ai:fp16", "ada"), {"rows": []}),
    ("GET", "/v1/inventory/snapshots/s1", b"", 200, ("inventory_snapshot", "s1", "ada"),
     {"facilities": []}),
    ("GET", "/v1/inventory/diff?from=s1&to=2026-11", b"", 200,
     ("inventory_diff", "s1", "2026-11", "ada"), {"changes": []}),
    ("GET", "/v1/inventory/report?period=2026-11", b"", 200,
     ("inventory_report", "2026-11", "ada"), {"period": "2026-11"}),
    ("POST", "/v1/inventory:declare?source=gz.toml&document=letter", b"x", 201,
     ("inventory_declare", b"x", "gz.toml", "letter", "ada"), {"facilities": ["gz1"]}),
    ("POST", "/v1/inventory/steps", b'{"step": "waive", "anomaly": "a3"}', 200,
     ("inventory_step", "waive", "", "a3", "ada"), {"anomalies": []}),
    ("POST", "/v1/metering:import?site=west&format=sacct&source=s&file=a.txt&zone=%2B08:00", b"x",
     201, ("load_metering", b"x", ("west", "s", "sacct", "a.txt"), "+08:00", "ada"), {"number": 3}),
    ("POST", "/v1/metering:check?period=2026-11&site=west", b"", 200,
     ("check_metering", "west", "2026-11", "ada"), {"found": 0}),
    ("POST", "/v1/metering/records",
     b'{"records": [{"attempt": "h-a1-1", "task": 2, "started_ms": 1, "wall_ms": 5}]}', 200,
     ("record_use", ["h-a1-1/2"], "ada"), {"billed": 1}),
    ("GET", "/v1/metering/discrepancies?state=open&state=disputed&job=j7&limit=5", b"", 200,
     ("discrepancies", Listing(
         limit=5, filters=(("state", "open"), ("state", "disputed"), ("job", "j7"))), "ada"),
     {"next": ""}),
    ("GET", "/v1/metering/discrepancies/d7", b"", 200, ("discrepancy", "d7", "ada"),
     {"kind": "duration"}),
    ("POST", "/v1/metering/discrepancies/d7/resolve", b'{"state": "disputed", "why": "no"}', 200,
     ("resolve", "d7", "disputed", "no", "ada"), {"id": "d7"}),
    ("POST", "/v1/metering:give-back",
     b'{"site": "west", "line": "l", "key": "k", "why": "no", "quantity": "5"}', 200,
     ("give_back", "l", "5", None, "ada"), {"entry": 9, "key": "adjust:back:k"}),
    ("GET", "/v1/metering/jobs/j7", b"", 200, ("job_metering", 7, "ada"), {"job": "j7"}),
    ("GET", "/v1/metering/energy?period=2026-11", b"", 200, ("energy", "2026-11", "ada"),
     {"period": "2026-11"}),
    ("GET", "/v1/prices?provider=gz&every=true", b"", 200,
     ("prices", Listing(filters=(("provider", "gz"),)), True), {"next": ""}),
    ("GET", "/v1/prices/p7", b"", 200, ("price", "p7"), {"id": "p7", "price_micro": 120_000}),
    ("POST", "/v1/prices", b'{"unit": "task", "currency": "CNY", "price": "1"}', 201,
     ("add_price", "task", "1", "ada"), {"first": "p8"}),
    ("GET", "/v1/voucher-pools", b"", 200, ("voucher_pools",), {}),
    ("POST", "/v1/voucher-pools", b'{"year": 2027, "scheme": {"name": "gz", "title": "G"}}', 201,
     ("open_pool", 2027, "gz", "ada"), {"free_micro": 4}),
    ("GET", "/v1/voucher-pools/gz-2027", b"", 200, ("voucher_pool", "gz-2027"),
     {"name": "gz-2027"}),
    ("POST", "/v1/voucher-pools/gz-2027/applications", b'{"applications": []}', 201,
     ("apply", "gz-2027", [], "ada"), {}),
    ("POST", "/v1/voucher-pools/gz-2027/round", b"", 200, ("round", "gz-2027", "ada"), {}),
    ("GET", "/v1/voucher-pools/gz-2027/audit?voucher=a1", b"", 200,
     ("audit", "gz-2027", "a1", "ada"), {"ok": True}),
    ("POST", "/v1/voucher-pools/gz-2027/vouchers/a1/approve", b"", 200,
     ("approve", "gz-2027", "a1", "ada"), {"id": "a1"}),
    ("POST", "/v1/voucher-pools/gz-2027/vouchers/a1/revoke", b'{"why": "forged", "key": "k"}', 200,
     ("take_back", "gz-2027", "a1", "forged", 0, False, "ada"), {"id": "a1"}),
    ("POST", "/v1/voucher-pools/gz-2027/vouchers/a1/clawback",
     b'{"why": "forged", "key": "k", "amount_micro": 7}', 200,
     ("take_back", "gz-2027", "a1", "forged", 7, True, "ada"), {"id": "a1"}),
    ("GET", "/v1/vouchers?pool=gz-2027&account=lab", b"", 200,
     ("vouchers", Listing(filters=(("pool", "gz-2027"), ("account", "lab"))), "ada"), {"next": ""}),
    ("POST", "/v1/vouchers:use", b'{"account": "lab", "period": "2027-03", "key": "k"}', 200,
     ("use", "lab", "2027-03", 0, "k", "ada"), {"used_micro": 0}),
    ("POST", "/v1/prices:import?format=skypilot&source=a.csv&provider=aws&supersede=true", b"x",
     201, ("load_prices", b"x", "skypilot", "a.csv", "aws", True, "ada"), {"added": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "asked", "part"),
    GOOD,
    ids=[f"{case[0]} {case[1].partition('?')[0]} {i}" for i, case in enumerate(GOOD)],
)
def test_good_answers(both, hub, method, target, body, status, asked, part):
    answer = both(method, target, body)
    assert (answer.status, answer.cut) == (status, False)
    assert hub.calls == [asked]
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().items() >= part.items()


def test_every_answer_is_kept_from_caches_frames_and_sniffing(call):
    for target in ("/v1/jobs/j7", "/v1/overview", "/nowhere", "/healthz"):
        headers = call("GET", target).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")


def test_an_idempotency_key_reaches_the_hub_with_the_body(both, hub):
    for target, body in (("/v1/jobs", DOCUMENT), ("/v1/jobs:batch", b"[" + DOCUMENT + b"]")):
        assert both("POST", target, body, [("Idempotency-Key", "k-1")]).status == 201
        assert hub.calls.pop() == ("submit", ["karst"], "ada", "k-1", body)


def test_a_statement_falls_back_to_the_callers_only_account(call, hub):
    assert call("GET", "/v1/ledger/statement", token="read").status == 200
    assert hub.calls == [("ledger_statement", "lab", 0, 0, "rhea")]


def test_a_blob_is_asked_for_without_its_body(call, hub):
    assert call("HEAD", f"/v1/blobs/{SHA}").status == 200
    assert hub.calls == [("has_blob", SHA, "ada")]


def test_health(call, hub):
    assert call("GET", "/healthz", token="").json() == {"status": "ok"}
    assert call("GET", "/readyz", token="").json() == {"status": "ready"}
    hub.ready = Health(ready=False, problems=("the disk is full", "no leader"))
    answer = call("GET", "/readyz", token="")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert [found["what"] for found in answer.json()["problems"]] == list(hub.ready.problems)
    assert call("GET", "/healthz", token="").status == 200


def test_metrics(call):
    answer = call("GET", "/metrics")
    assert (answer.status, answer.body) == (200, b"fenglin_jobs 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("jsonl", "application/x-ndjson"),
        ("beancount", "text/plain; charset=utf-8"),
    ],
)
def test_the_ledger_is_exported_in_pieces(call, hub, form, media_type):
    answer = call("GET", f"/v1/ledger/export?format={form}")
    assert (answer.status, answer.body, answer.pieces) == (200, b"first\nsecond\n", 2)
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="ledger.{form}"'
    assert hub.calls == [("ledger_export", form, "ada")]


def test_an_export_that_cannot_begin_is_a_proper_error(call, hub):
    hub.fails = UnavailableError("the store is away")
    assert call("GET", "/v1/ledger/export").status == 503


def test_plans_are_listed_and_read_as_bytes(call, hub):
    page = call("GET", "/v1/plans?limit=5").json()
    assert [item["index"] for item in page["items"]] == [12]
    answer = call("GET", "/v1/plans/12")
    assert (answer.body, answer.headers["content-type"]) == (b"cycle", "application/octet-stream")
    assert call("GET", "/v1/plans/now").status == 200
    asked = [one[1] for one in hub.calls if one[0] == "plan_record"]
    assert asked == [12, None]
    assert call("GET", "/v1/plans/latest").status == 400
