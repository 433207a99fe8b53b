"""Who may do what, on every route; and how a token may be shown."""

import pytest

SHA = "ab" * 32
DOCUMENT = b'{"name": "karst", "command": ["true"]}'
PRICE = b'{"unit": "core_hour", "currency": "CNY", "price": "0.12"}'
READ, WRITE, ADMIN, OPEN = "read", "write", "admin", "open"
TENANT, AUDIT, AGENT, ANY = "tenant", "audit", "agent", "any"

TOKEN = b'{"digest": "ab", "name": "ann"}'
MOVE = b'{"amount_micro": 5, "key": "bank-1"}'
TAKE = b'{"why": "forged", "key": "k"}'
USE = b'{"account": "lab", "period": "2027-03", "key": "k"}'
BACK = b'{"site": "west", "line": "l", "key": "k", "why": "twice"}'
STEP = b'{"state": "accepted", "why": "their clock"}'
ROUTES = [
    ("POST", "/v1/jobs", DOCUMENT, WRITE),
    ("POST", "/v1/jobs:batch", b"[" + DOCUMENT + b"]", WRITE),
    ("POST", "/v1/plan", DOCUMENT, READ),
    ("GET", "/v1/jobs", b"", READ),
    ("GET", "/v1/jobs:watch", b"", READ),
    ("GET", "/v1/jobs/j7", b"", READ),
    ("GET", "/v1/jobs/j7/explain", b"", READ),
    ("GET", "/v1/jobs/j7/events", b"", READ),
    ("POST", "/v1/jobs/j7/cancel", b"", WRITE),
    ("GET", "/v1/jobs/j7/wait?timeout_s=0", b"", READ),
    ("GET", "/v1/jobs/j7/logs", b"", READ),
    ("GET", "/v1/jobs/j7/artifacts", b"", READ),
    ("GET", "/v1/jobs/j7/artifacts/0/a.png", b"", READ),
    ("HEAD", f"/v1/blobs/{SHA}", b"", READ),
    ("GET", f"/v1/blobs/{SHA}", b"", READ),
    ("POST", "/v1/blobs:missing", b'{"sha256": []}', WRITE),
    ("PUT", f"/v1/blobs/{SHA}", b"abcd", WRITE),
    ("GET", "/v1/sites", b"", READ),
    ("GET", "/v1/sites/west", b"", READ),
    ("POST", "/v1/sites/west/drain", b"", ADMIN),
    ("POST", "/v1/sites/west/resume", b"", ADMIN),
    ("GET", "/v1/nodes", b"", READ),
    ("GET", "/v1/queues", b"", READ),
    ("GET", "/v1/plans", b"", ADMIN),
    ("GET", "/v1/plans/12", b"", ADMIN),
    ("GET", "/v1/overview", b"", READ),
    ("GET", "/v1/ledger/verify", b"", READ),
    ("GET", "/v1/ledger/statement?account=lab", b"", READ),
    ("GET", "/v1/ledger/export", b"", READ),
    ("GET", "/v1/ledger/checkpoint", b"", READ),
    ("GET", "/v1/ledger/consistency?old=1&new=3", b"", READ),
    ("GET", "/v1/ledger/bill?account=lab&period=2026-11", b"", READ),
    ("POST", "/v1/ledger/proof", b'{"account": "lab"}', READ),
    ("GET", "/v1/accounts", b"", READ),
    ("GET", "/v1/accounts/lab", b"", READ),
    ("POST", "/v1/accounts/lab/deposit", MOVE, ADMIN),
    ("POST", "/v1/accounts/lab/refund", MOVE, ADMIN),
    ("GET", "/v1/settlements?period=2026-11", b"", ANY),
    ("POST", "/v1/settlements", b'{"period": "2026-11"}', ADMIN),
    ("GET", "/v1/providers", b"", ANY),
    ("POST", "/v1/providers/gz/pay", b'{"amount_micro": 5, "key": "b"}', ADMIN),
    ("GET", "/v1/settlements:check?period=2026-11", b"", AUDIT),
    ("GET", "/v1/reports/month?period=2026-11", b"", AUDIT),
    ("POST", "/v1/ledger/close", b'{"period": "2027-03"}', ADMIN),
    ("GET", "/v1/safety", b"", ADMIN),
    ("POST", "/v1/safety/users/bo/release", b"", ADMIN),
    ("POST", "/v1/jobs/j7/release", b"", ADMIN),
    ("GET", "/v1/audit", b"", AUDIT),
    ("GET", "/v1/audit:verify", b"", AUDIT),
    ("POST", "/v1/agent/west/hello", b'{"protocol": 1, "agent": "a"}', AGENT),
    ("POST", "/v1/agent/west/orders", b'{"session": "s"}', AGENT),
    ("POST", "/v1/agent/west/answers", b'{"session": "s"}', AGENT),
    ("GET", "/v1/agent/west/inputs/h-a1-1/ab", b"", AGENT),
    ("PUT", "/v1/agent/west/artifacts/h-a1-1/0?path=a", b"x", AGENT),
    ("GET", "/v1/tokens", b"", TENANT),
    ("GET", "/v1/tokens/own", b"", ANY),
    ("POST", "/v1/tokens", TOKEN, TENANT),
    ("POST", "/v1/tokens/t7/rotate", b'{"digest": "ab"}', ANY),
    ("POST", "/v1/tokens/t7/revoke", b"", ANY),
    ("GET", "/v1/secrets", b"", READ),
    ("PUT", "/v1/secrets/db", b'{"value": "x"}', WRITE),
    ("DELETE", "/v1/secrets/db", b"", WRITE),
    ("GET", "/v1/voucher-pools", b"", READ),
    ("POST", "/v1/voucher-pools", b'{"year": 2027, "scheme": {"name": "g", "title": "G"}}', ADMIN),
    ("GET", "/v1/voucher-pools/gz-2027", b"", READ),
    ("POST", "/v1/voucher-pools/gz-2027/applications", b'{"applications": []}', WRITE),
    ("POST", "/v1/voucher-pools/gz-2027/round", b"", ADMIN),
    ("GET", "/v1/voucher-pools/gz-2027/audit", b"", READ),
    ("POST", "/v1/voucher-pools/gz-2027/vouchers/a1/approve", b"", ADMIN),
    ("POST", "/v1/voucher-pools/gz-2027/vouchers/a1/revoke", TAKE, ADMIN),
    ("POST", "/v1/voucher-pools/gz-2027/vouchers/a1/clawback", TAKE, ADMIN),
    ("GET", "/v1/vouchers", b"", READ),
    ("POST", "/v1/vouchers:use", USE, ADMIN),
    ("GET", "/metrics", b"", READ),
    ("GET", "/v1/inventory", b"", READ),
    ("GET", "/v1/inventory/steps", b"", READ),
    ("GET", "/v1/inventory/totals", b"", READ),
    ("GET", "/v1/inventory/rows", b"", READ),
    ("GET", "/v1/inventory/snapshots/s1", b"", READ),
    ("GET", "/v1/inventory/diff?from=s1", b"", READ),
    ("GET", "/v1/inventory/report?period=2026-11", b"", READ),
    ("POST", "/v1/inventory:declare", b"[facility.a]", ADMIN),
    ("POST", "/v1/inventory/steps", b'{"step": "publish"}', ADMIN),
    ("POST", "/v1/inventory/measurements", b'{"job": "j7"}', ADMIN),
    ("POST", "/v1/metering:import?site=west&format=sacct", b"JobID|\n", ADMIN),
    ("POST", "/v1/metering:collect?site=west&period=2026-11", b"", ADMIN),
    ("POST", "/v1/metering:check?period=2026-11", b"", ADMIN),
    ("POST", "/v1/metering/records", b'{"records": []}', ADMIN),
    ("GET", "/v1/metering/discrepancies", b"", READ),
    ("GET", "/v1/metering/discrepancies/d7", b"", READ),
    ("POST", "/v1/metering/discrepancies/d7/resolve", STEP, ADMIN),
    ("POST", "/v1/metering:give-back", BACK, ADMIN),
    ("GET", "/v1/metering/jobs/j7", b"", READ),
    ("GET", "/v1/metering/energy?period=2026-11", b"", READ),
    ("GET", "/v1/prices", b"", READ),
    ("GET", "/v1/prices/p7", b"", READ),
    ("POST", "/v1/prices", PRICE, ADMIN),
    ("POST", "/v1/prices:import", b"unit,currency,price\n", ADMIN),
    ("GET", "/v1/login", b"", OPEN),
    ("POST", "/v1/login", b'{"id_token": "a.b.c", "digest": "ab"}', OPEN),
    ("GET", "/healthz", b"", OPEN),
    ("GET", "/readyz", b"", OPEN),
    ("GET", "/openapi.json", b"", OPEN),
]
REACH = {
    "nothing": {OPEN, ANY},
    "read": {OPEN, ANY, READ},
    "write": {OPEN, ANY, READ, WRITE},
    "tenant": {OPEN, ANY, READ, WRITE, TENANT},
    "full": {OPEN, ANY, READ, WRITE, TENANT, AUDIT, AGENT, ADMIN},
}
names = [f"{method} {target.partition('?')[0]}" for method, target, _, _ in ROUTES]


@pytest.fixture(scope="module")
def kept_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "a.png"
    path.write_bytes(b"abcd")
    return path


@pytest.fixture(autouse=True)
def artifact(hub, kept_file):
    hub.artifact_path = kept_file


def test_the_table_names_every_route(call):
    found = {
        (method.upper(), path)
        for path, item in call("GET", "/openapi.json").json()["paths"].items()
        for method in item
    }
    fill = {
        "j7": "{job}",
        "d7": "{item}",
        "west": "{site}",
        SHA: "{sha256}",
        "0/a.png": "{path}",
        "12": "{index}",
        "lab": "{account}",
        "gz-2027": "{pool}",
        "a1": "{voucher}",
        "p7": "{price}",
        "s1": "{snapshot}",
        "t7": "{token}",
        "h-a1-1": "{key}",
        "ab": "{digest}",
        "gz": "{provider}",
        "0": "{task}",
        "bo": "{user}",
        "db": "{name}",
    }
    named = set()
    for method, target, _, _ in ROUTES:
        path = target.partition("?")[0]
        for concrete, slot in fill.items():
            path = path.replace("/" + concrete, "/" + slot)
        named.add((method, path))
    assert named - found == {("GET", "/openapi.json")}
    assert found - named == set()


SHOWN = {
    "none": [],
    "empty": [("Authorization", "Bearer ")],
    "unknown": [("Authorization", "Bearer stolen")],
    "basic": [("Authorization", "Basic full")],
    "cookie": [("Cookie", "token=full; Authorization=Bearer full")],
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "target", "body", "scope"), ROUTES, ids=names)
def test_without_a_good_token_only_health_is_open(both, hub, method, target, body, scope):
    for headers in SHOWN.values():
        answer = both(method, target, body, headers, token="")
        assert (answer.status in (200, 201)) if scope == OPEN else (answer.status == 401)
    assert scope == OPEN or hub.calls == []


@pytest.mark.parametrize(("method", "target", "body", "scope"), ROUTES, ids=names)
def test_a_token_in_the_query_is_not_looked_at(both, hub, method, target, body, scope):
    answer = both(method, target + ("&" if "?" in target else "?") + "token=full", body, token="")
    if scope == OPEN:
        assert answer.status == 400
        return
    assert (answer.status, answer.json()["code"], hub.calls) == (401, "denied", [])
    assert answer.headers["www-authenticate"] == 'Bearer realm="fenglin"'


@pytest.mark.parametrize(("method", "target", "body", "scope"), ROUTES, ids=names)
def test_a_token_reaches_as_far_as_its_scopes(both, hub, method, target, body, scope):
    for token, scopes in REACH.items():
        hub.calls.clear()
        answer = both(method, target, body, token=token)
        if scope in scopes:
            assert answer.status in (200, 201), token
        else:
            assert (answer.status, answer.json()["code"], hub.calls) == (403, "denied", []), token


@pytest.mark.parametrize(
    "value",
    ["full", "Bearer", "Bearer\tfull", "Bearer f\xfcll", "Bearer " + "x" * 5000, "Token full"],
)
def test_other_shapes_of_the_header_are_refused(call, value):
    assert call("GET", "/v1/overview", b"", [("Authorization", value)], token="").status == 401


def test_the_word_bearer_is_read_in_any_case(call):
    assert (
        call("GET", "/v1/overview", b"", [("Authorization", "bEaReR full")], token="").status == 200
    )


def test_two_tokens_are_no_token(both, hub):
    answer = both("GET", "/v1/jobs", b"", [("Authorization", "Bearer read")])
    assert (answer.status, hub.calls) == (400, [])


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override"])
def test_the_method_cannot_be_overridden(call, hub, header):
    call("GET", "/v1/jobs/j7", b"", [(header, "POST")])
    assert hub.calls == [("job", 7, "ada")]


class TestWithoutAuthentication:
    @pytest.mark.slow
    @pytest.mark.parametrize(("method", "target", "body", "scope"), ROUTES, ids=names)
    def test_everything_is_served_to_programs(self, open_call, method, target, body, scope):
        del scope
        assert open_call(method, target, body, token="").status in (200, 201)

    @pytest.mark.parametrize(
        "header",
        [("Origin", "https://evil.example"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
    )
    def test_a_web_page_elsewhere_cannot_post(self, open_call, hub, header):
        answer = open_call("POST", "/v1/jobs", DOCUMENT, [header], token="")
        assert (answer.status, hub.calls) == (403, [])

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:8642", 200),
            ("localhost:8642", 200),
            ("[::1]:8642", 200),
            ("rebound.evil.example:8642", 403),
            ("127.0.0.1.evil.example", 403),
            ("", 403),
        ],
    )
    def test_a_rebound_name_is_refused(self, open_call, host, status):
        answer = open_call("GET", "/v1/overview", b"", [("Host", host)], token="")
        assert answer.status == status
