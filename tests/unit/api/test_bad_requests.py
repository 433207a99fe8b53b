"""What is wrong with a request is said in one form, with the right status, and changes nothing."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from fenglin.errors import (
    ConflictError,
    DamageError,
    DeniedError,
    DriverError,
    FenglinError,
    InputError,
    InputProblems,
    LimitError,
    NotFoundError,
    Problem,
    StaleEpochError,
    UnavailableError,
)

SHA = "ab" * 32
DOCUMENT = b'{"name": "karst", "command": ["true"]}'
PARTS = {"code", "what", "where", "hint", "problems"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputError("x", where="here", hint="do"), 400, "bad_input"),
        (DeniedError("x", http_status=401), 401, "denied"),
        (DeniedError("x"), 403, "denied"),
        (NotFoundError("x"), 404, "not_found"),
        (ConflictError("x"), 409, "conflict"),
        (LimitError("x"), 413, "over_limit"),
        (LimitError("x", http_status=429), 429, "over_limit"),
        (FenglinError("x"), 500, "error"),
        (DamageError("x"), 500, "damaged"),
        (DriverError("x"), 502, "site_error"),
        (UnavailableError("x"), 503, "unavailable"),
        (StaleEpochError("x"), 503, "stale_epoch"),
    ],
)
def test_each_error_has_its_status(both, hub, error, status, code):
    hub.fails = error
    for method, target, body in (
        ("POST", "/v1/jobs", DOCUMENT),
        ("GET", "/v1/jobs/j7/explain", b""),
    ):
        answer = both(method, target, body)
        assert answer.status == status
        view = answer.json()
        assert view.keys() == PARTS
        assert (view["code"], view["what"]) == (code, error.what)
        assert (view["where"], view["hint"]) == (error.where, error.hint)
        assert ("retry-after" in answer.headers) == (status in (429, 503))
        assert ("www-authenticate" in answer.headers) == (status == 401)


def test_all_problems_of_a_document_are_told(both, hub):
    hub.fails = InputProblems("request body", (Problem("a.b", "wrong", "try c", 2, 5),) * 2)
    view = both("POST", "/v1/jobs", DOCUMENT).json()
    assert view["code"] == "bad_document"
    assert view["problems"] == 2 * [
        {"path": "a.b", "what": "wrong", "hint": "try c", "line": 2, "column": 5}
    ]


def test_a_broken_hub_shows_a_number_and_logs_the_rest(both, hub):
    hub.fails = RuntimeError("SELECT secret FROM tokens")
    with capture_logs() as logs:
        answer = both("POST", "/v1/jobs", DOCUMENT)
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    (line,) = [log for log in logs if log["log_level"] == "error"]
    assert answer.json()["where"] == f"incident {line['incident']}"
    assert line["exc_info"] is hub.fails


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\\ud800", "command": ["true"]}',
        b'{"name": "a\\u0000b", "command": ["true"]}',
        b'{"name": "a", "command": ["true"], "tasks": 1e999}',
        b'{"name": "a", "command": ["true"], "tasks": NaN}',
        b'{"name": "a", "command": ["true"], "tasks": ' + b"9" * 900 + b"}",
        b'{"name": "a", "command": ["true"], "nmae": 1}',
        b'{"name": "a", "name": "b", "command": ["true"]}',
        b'{"name":' * 100,
        b"name: karst",
    ],
)
def test_a_bad_document_is_the_callers_fault(both, hub, body):
    for target in ("/v1/jobs", "/v1/plan", "/v1/jobs:batch"):
        if (target, body) == ("/v1/jobs:batch", b"[]"):
            continue
        answer = both("POST", target, body)
        assert (answer.status, answer.json().keys(), hub.calls) == (400, PARTS, [])


def test_deep_nesting_is_refused(hub, call):
    call.door._max_body_bytes, before = 10**7, call.door._max_body_bytes
    try:
        for text in (b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000):
            for target in ("/v1/jobs", "/v1/jobs:batch", "/v1/sites/west/drain"):
                assert call("POST", target, text).status == 400
    finally:
        call.door._max_body_bytes = before
    assert hub.calls == []


@pytest.mark.parametrize(
    "job",
    ["7", "j0", "j07", "J7", "a7", "j", "j" + "9" * 19, "j" + "9" * 9000, "j7\0", "j7\n",
     "j\uff17", "j-1", "\ud800", "j7%00", "..", "*"],
)  # fmt: skip
def test_a_bad_job_id_is_refused(both, hub, job):
    for tail in ("", "/explain", "/events", "/wait", "/logs", "/artifacts", "/artifacts/a"):
        assert both("GET", f"/v1/jobs/{job}{tail}").status in (400, 404)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("/v1/jobs?sort=price", "allowed: id, -id, name, -name, priority"),
        ("/v1/jobs?sort=id;drop", "allowed: id, -id"),
        ("/v1/jobs?state=done", "allowed: pending, held, running"),
        ("/v1/jobs?limit=0", "allowed: 1 to 1000"),
        ("/v1/jobs?limit=1001", "allowed: 1 to 1000"),
        ("/v1/jobs?limit=1000000000", "allowed: 1 to 1000"),
        ("/v1/jobs?limit=" + "9" * 5000, "allowed: 1 to 1000"),
        ("/v1/jobs?limit=%D9%A1", "allowed: 1 to 1000"),
        ("/v1/jobs?limit=1&limit=2", "give it once"),
        ("/v1/jobs?label=gpu", "key=value"),
        ("/v1/jobs?label==x", "key=value"),
        (
            "/v1/jobs?colour=red",
            "allowed: id, state, queue, account, name, label, sort, detail, limit, cursor",
        ),
        ("/v1/jobs?name=%00", "printable"),
        ("/v1/jobs?name=%ff", "percent-encoded UTF-8"),
        ("/v1/jobs?name=%ED%A0%80", "percent-encoded UTF-8"),
        ("/v1/jobs?name=" + "x" * 1025, "1024"),
        ("/v1/jobs?" + "&".join(["state=held"] * 201), "at most 200"),
        ("/v1/jobs/j7?x=1", "allowed: none"),
        ("/v1/jobs/j7/wait?timeout_s=61", "allowed: 0 to 60"),
        ("/v1/jobs/j7/wait?timeout_s=-1", "allowed: 0 to 60"),
        ("/v1/jobs/j7/wait?timeout_s=nan", "allowed: 0 to 60"),
        ("/v1/jobs/j7/wait?timeout_s=inf", "allowed: 0 to 60"),
        ("/v1/jobs/j7/logs?follow=yes", "allowed: true, false"),
        ("/v1/jobs/j7/logs?offset=-1", "allowed: 0 to"),
        ("/v1/jobs/j7/logs?offset=9223372036854775808", "allowed: 0 to 9223372036854775807"),
        ("/v1/jobs/j7/logs?task=10000000", "allowed: 0 to 9999999"),
        ("/v1/jobs/j7/events?limit=1_0", "allowed: 1 to 1000"),
        ("/v1/sites?class=huge", "allowed: general, ai, super"),
        ("/v1/nodes?up=1", "allowed: true, false"),
        ("/v1/ledger/export?format=xls", "allowed: csv, jsonl, beancount, focus"),
        ("/v1/ledger/statement", "name one"),
        ("/v1/ledger/statement?account=a&from_ms=9&to_ms=5", ""),
    ],
)
def test_a_bad_query_says_what_is_allowed(both, hub, target, hint):
    answer = both("GET", target)
    assert (answer.status, hub.calls) == (400, [])
    assert hint in answer.json()["hint"]


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("GET", "/v2/jobs", 404, None),
        ("GET", "/v1/jobs/j7/secrets", 404, None),
        ("GET", "/schema", 404, None),
        ("GET", "/openapi-of-litestar/swagger", 404, None),
        ("GET", "/v1/jobs/../../etc/passwd", 404, None),
        ("DELETE", "/v1/jobs", 405, "GET, POST"),
        ("DELETE", "/v1/jobs/j7", 405, "GET"),
        ("PATCH", "/v1/sites/west", 405, "GET"),
        ("GET", "/v1/plan", 405, "POST"),
        ("POST", "/healthz", 405, "GET"),
        ("HEAD", "/v1/jobs", 405, "GET, POST"),
        ("TRACE", "/v1/jobs", 405, "GET, POST"),
        ("BREW", "/v1/jobs", 405, "GET, POST"),
        ("OPTIONS", "/v1/jobs", 405, None),
    ],
)
def test_unknown_routes_and_methods(both, hub, method, target, status, allow):
    answer = both(method, target)
    assert (answer.status, answer.json().keys(), hub.calls) == (status, PARTS, [])
    assert answer.headers.get("allow") == allow


@pytest.mark.parametrize("key", ["", " " * 300, "x" * 201, "a\x01b", "sch\xfcssel"])
def test_a_bad_idempotency_key_is_refused(both, hub, key):
    for target, body in (("/v1/jobs", DOCUMENT), ("/v1/jobs:batch", b"[" + DOCUMENT + b"]")):
        assert both("POST", target, body, [("Idempotency-Key", key)]).status == 400
    assert hub.calls == []


@pytest.mark.parametrize("name", ["a b", "a\0", "a\nb", "x" * 201, "\x7f"])
def test_a_bad_site_name_is_refused(call, hub, name):
    for method, tail in (("GET", ""), ("POST", "/drain"), ("POST", "/resume")):
        assert call(method, f"/v1/sites/{name}{tail}").status == 400
    assert hub.calls == []


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"reason": 5}', b'{"why": ""}', b'{"reason": "\\u001b[2J"}',
             b'{"reason": "' + b"x" * 501 + b'"}', b"\xff"],
)  # fmt: skip
def test_a_bad_drain_is_refused(call, hub, body):
    answer = call("POST", "/v1/sites/west/drain", body)
    assert (answer.status, hub.calls) == (400, [])


@pytest.mark.parametrize("address", ["ab", "AB" * 32, "zz" * 32, "ab" * 33, "ab" * 31 + "\0\0"])
def test_a_bad_content_address_is_refused(call, hub, address):
    for method in ("HEAD", "GET", "PUT"):
        assert call(method, f"/v1/blobs/{address}").status == 400
    asked = json.dumps({"sha256": [SHA, address]}).encode()
    assert call("POST", "/v1/blobs:missing", asked).status == 400
    assert hub.calls == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"sha256": "a"}', b'{"sha256": [], "x": 1}', b"{"])
def test_a_bad_list_of_addresses_is_refused(call, hub, body):
    answer = call("POST", "/v1/blobs:missing", body)
    assert (answer.status, hub.calls) == (400, [])


class TestBodies:
    TARGETS = (
        ("POST", "/v1/jobs"),
        ("POST", "/v1/jobs:batch"),
        ("POST", "/v1/plan"),
        ("POST", "/v1/sites/west/drain"),
        ("PUT", f"/v1/blobs/{SHA}"),
    )

    @pytest.mark.parametrize("length", ["2001", "1073741824", "9" * 30])
    def test_an_announced_giant_is_refused_unread(self, both, hub, length):
        for method, target in self.TARGETS:
            answer = both(method, target, b"", [("Content-Length", length)])
            assert (answer.status, answer.json()["code"], hub.calls) == (413, "over_limit", [])
            assert answer.headers["connection"] == "close"

    @pytest.mark.parametrize("length", ["-1", "1e3", "five", "", "+5"])
    def test_a_length_that_is_none_is_refused(self, both, hub, length):
        answer = both("POST", "/v1/jobs", b"", [("Content-Length", length)])
        assert (answer.status, hub.calls) == (400, [])

    def test_an_endless_chunked_body_is_cut_off(self, both, hub):
        for method, target in self.TARGETS:
            sent = [b" " * 100] * 10_000
            answer = both(method, target, chunks=sent)
            assert (answer.status, hub.calls) == (413, [])
            assert answer.headers["connection"] == "close"

    def test_a_body_of_just_the_limit_passes(self, both, hub):
        padded = DOCUMENT + b" " * (1000 - len(DOCUMENT))
        assert both("POST", "/v1/jobs", padded).status == 201
        assert both("POST", "/v1/jobs", padded + b" ").status == 413
        assert both("POST", "/v1/jobs", chunks=[DOCUMENT[:9], DOCUMENT[9:]]).status == 201
        assert [call[4] for call in hub.calls] == [padded, DOCUMENT]

    def test_a_blob_has_a_limit_of_its_own(self, call):
        assert call("PUT", f"/v1/blobs/{SHA}", b"x" * 2000).status == 201
        assert call("PUT", f"/v1/blobs/{SHA}", chunks=[b"x" * 1000] * 2).status == 201
        assert call("PUT", f"/v1/blobs/{SHA}", b"x" * 2001).status == 413

    @pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x-unknown"])
    def test_compressed_bodies_are_refused(self, both, hub, encoding):
        for method, target in self.TARGETS:
            answer = both(method, target, b"\x1f\x8b", [("Content-Encoding", encoding)])
            assert (answer.status, hub.calls) == (415, [])

    def test_identity_is_no_encoding(self, both):
        headers = [("Content-Encoding", "Identity")]
        assert both("POST", "/v1/jobs", DOCUMENT, headers).status == 201

    def test_a_body_that_never_comes_is_given_up(self, both, hub, monkeypatch):
        monkeypatch.setattr("fenglin.api.bodies.BODY_SILENCE_S", 0.01)
        for method, target in self.TARGETS:
            answer = asyncio.run(stalled(both.door, method, target))
            assert (answer["status"], hub.calls) == (408, [])
            assert (b"connection", b"close") in answer["headers"]

    def test_a_body_that_drips_is_given_up(self, both, hub, monkeypatch):
        monkeypatch.setattr("fenglin.api.bodies.BODY_TOTAL_S", 0.02)
        answer = asyncio.run(stalled(both.door, "POST", "/v1/jobs", drip_s=0.005))
        assert (answer["status"], hub.calls) == (408, [])

    def test_nobody_is_told_when_the_client_hangs_up_midway(self, both, hub):
        for method, target in self.TARGETS:
            with capture_logs() as logs:
                assert asyncio.run(stalled(both.door, method, target, hangs_up=True)) == {}
            assert (logs, hub.calls) == ([], [])


async def stalled(door, method, target, *, drip_s=0.0, hangs_up=False):
    """Send the first bytes of a body and then nothing, or hardly anything; return the answer."""
    started = {}
    first = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive():
        if first:
            return first.pop()
        if hangs_up:
            return {"type": "http.disconnect"}
        await asyncio.sleep(drip_s or 3600)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message):
        started.update(message)

    headers = [
        (b"host", b"h"), (b"authorization", b"Bearer full"), (b"transfer-encoding", b"chunked"),
    ]  # fmt: skip
    scope = {
        "type": "http", "method": method, "path": target, "query_string": b"",
        "headers": headers, "root_path": "", "scheme": "http", "state": {},
    }  # fmt: skip
    await door(scope, receive, send)
    return started


def test_text_that_json_cannot_carry_does_not_break_an_error(call, hub):
    hub.fails = NotFoundError("no \ud800 here", where="\udfff")
    answer = call("GET", "/v1/jobs/j7/explain")
    assert (answer.status, answer.json()["what"], answer.json()["where"]) == (404, "no ? here", "?")


def test_a_websocket_is_closed(call):
    sent = []

    async def nothing():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(call.door({"type": "websocket", "path": "/v1/jobs"}, nothing, send))
    assert sent == [{"type": "websocket.close", "code": 1003}]
