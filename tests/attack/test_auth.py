"""Attack cases 1 to 25: tokens that must open nothing, and what may be learnt by trying."""

import json
import socket
import sqlite3
import subprocess
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.attack.conftest import FENGLIN
from tests.attack.people import CONFIG, SMALL, within

from fenglin.client.tokens import revoke_token, rotate_token
from fenglin.engine.tokens import digest_of, new_token
from fenglin.testing import HubProcess
from fenglin.wire.token_views import RotateAsk

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-auth")

REVOKED_WITHIN_S = 30
BAD_LOGINS = 10_000
BAD_LOGINS_AT_ONCE = 200
MOST_GROWTH_BYTES = 32 * 2**20


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "bearer\t", "Basic Og==", "Token x"])
def test_an_empty_bearer(town, value):
    """Attack 2."""
    answer = town.ask("GET", "/v1/jobs", "none", headers={"Authorization": value})

    assert (answer.status, answer.json["code"]) == (401, "denied")


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "Authorization"])
def test_a_token_in_the_query(town, name):
    """Attack 3: it would stand in every log on the way."""
    token = town.tokens["operator"]

    assert town.ask("GET", f"/v1/jobs?{name}={token}", "none").status == 401
    answer = town.ask("GET", f"/v1/jobs?{name}={token}")
    assert answer.status == 400
    assert token.encode() not in answer.body


def test_a_token_in_a_cookie(town):
    """Attack 3, by another way."""
    token = town.tokens["operator"]

    assert town.ask("GET", "/v1/jobs", "none", headers={"Cookie": f"token={token}"}).status == 401


@pytest.fixture
def passing(town):
    """Return a token of a member that a test may lose."""

    def make():
        name = f"passing-{len(town.ids)}"
        text = town.make(name, "member", account="team")
        shown = town.ask("GET", "/v1/tokens?limit=1000").json["items"]
        town.ids[name] = next(one["id"] for one in shown if one["name"] == name)
        town.tokens[name] = text
        return name

    return make


def test_a_revoked_token_loses_its_open_stream(town, passing):
    """Attack 5: a followed log that never pauses ends too, and so does a long poll."""
    name = passing()
    client = town.client("team/member")
    script = "while :; do echo flood; done"
    job = client.submit({"name": "flood", "account": "team", "script": script, **SMALL}).id
    within(lambda: client.read_log(job, 0).data)
    address = urlsplit(town.hub.url)
    given = {"Authorization": f"Bearer {town.tokens[name]}"}
    with closing(HTTPConnection(address.hostname, address.port, timeout=REVOKED_WITHIN_S)) as line:
        line.request("GET", f"/v1/jobs/{job}/logs?follow=true", headers=given)
        answer = line.getresponse()
        assert answer.status == 200
        assert answer.read(1)

        town.hub.client().call(revoke_token(town.ids[name]))

        # Its end, or its cut, is what is waited for: a stream that goes on reads for ever.
        def ended():
            with suppress(OSError, HTTPException):
                return len(answer.read(2**20)) == 0
            return True

        within(ended, REVOKED_WITHIN_S)
    client.cancel(job)
    client.wait(job, 60)
    assert town.ask("GET", f"/v1/jobs/{job}", name).status == 401


def test_a_revoked_token_is_refused_soon(town, passing):
    """Attack 5."""
    name = passing()
    assert town.ask("GET", "/v1/jobs", name).status == 200

    town.hub.client().call(revoke_token(town.ids[name]))

    within(lambda: town.ask("GET", "/v1/jobs", name).status == 401, REVOKED_WITHIN_S)


def test_a_session_after_a_reset(town, passing):
    """Attack 23: who was replaced without grace comes in no more; the new token does."""
    name, text = passing(), new_token()
    ask = RotateAsk(digest=digest_of(text).hex(), grace_ms=0)

    town.client(name).call(rotate_token(town.ids[name], ask))

    within(lambda: town.ask("GET", "/v1/jobs", name).status == 401, REVOKED_WITHIN_S)
    town.tokens[name] = text
    assert town.ask("GET", "/v1/jobs", name).status == 200


def test_a_revoked_token_cannot_renew_itself(town, passing):
    """Attack 23: neither rotation nor a new token outlives what was taken away."""
    name = passing()
    town.hub.client().call(revoke_token(town.ids[name]))
    within(lambda: town.ask("GET", "/v1/jobs", name).status == 401, REVOKED_WITHIN_S)
    body = {"digest": digest_of(new_token()).hex()}

    again = town.ask("POST", f"/v1/tokens/{town.ids[name]}/rotate", name, body)
    by_operator = town.ask("POST", f"/v1/tokens/{town.ids[name]}/rotate", "operator", body)

    assert (again.status, by_operator.status) == (401, 409)


@pytest.mark.parametrize("who", ["team/member", "team/viewer", "provider", "agent", "auditor"])
@pytest.mark.parametrize("role", ["operator", "tenant-admin", "member", "agent"])
def test_nobody_makes_a_token_beyond_ones_own(town, who, role):
    """Attacks 7 and 40."""
    body = {"digest": digest_of(new_token()).hex(), "name": "x", "role": role, "account": "team"}

    assert town.ask("POST", "/v1/tokens", who, body).status == 403


@pytest.mark.parametrize("role", ["operator", "auditor", "provider", "agent"])
def test_a_tenants_administrator_stays_within_the_tenant(town, role):
    """Attack 6."""
    body = {"digest": digest_of(new_token()).hex(), "name": "x", "role": role, "party": "only"}
    assert town.ask("POST", "/v1/tokens", "team/tenant-admin", body).status == 403

    body = {"digest": digest_of(new_token()).hex(), "name": "x", "account": "team-a"}
    foreign = town.ask("POST", "/v1/tokens", "team/tenant-admin", body)
    missing = town.ask("POST", "/v1/tokens", "team/tenant-admin", {**body, "account": "nobody"})
    assert (foreign.status, foreign.body) == (404, missing.body)


@pytest.mark.parametrize("verb", ["rotate", "revoke"])
def test_a_foreign_token_answers_as_a_missing_one(town, verb):
    """Attack 6."""
    body = {"digest": digest_of(new_token()).hex()} if verb == "rotate" else b""
    theirs = town.ids["team-a/member"]

    foreign = town.ask("POST", f"/v1/tokens/{theirs}/{verb}", "team/tenant-admin", body)
    missing = town.ask("POST", f"/v1/tokens/t99999/{verb}", "team/tenant-admin", body)

    assert (foreign.status, missing.status) == (404, 404)
    assert foreign.body.replace(theirs.encode(), b"") == missing.body.replace(b"t99999", b"")
    assert town.ask("GET", "/v1/jobs", "team-a/member").status == 200


def memory_bytes(pid):
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("it has ended")


def bad_logins(town, count):
    """Send so many requests, each with another well-formed token; return the statuses."""
    address = urlsplit(town.hub.url)
    statuses = []
    with socket.create_connection((address.hostname, address.port), timeout=60) as line:
        answers = line.makefile("rb")
        for _ in range(count // BAD_LOGINS_AT_ONCE):
            line.sendall(
                b"".join(
                    b"GET /v1/jobs HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "
                    + new_token().encode()
                    + b"\r\n\r\n"
                    for _ in range(BAD_LOGINS_AT_ONCE)
                )
            )
            for _ in range(BAD_LOGINS_AT_ONCE):
                statuses.append(int(answers.readline().split()[1]))
                length = 0
                while (head := answers.readline()) != b"\r\n":
                    name, _, value = head.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                answers.read(length)
    return statuses


def test_ten_thousand_bad_logins(town):
    """Attack 18: all refused, nobody else is shut out, and the hub remembers none of them."""
    bad_logins(town, BAD_LOGINS_AT_ONCE)
    before_bytes = memory_bytes(town.hub.pid)

    assert bad_logins(town, BAD_LOGINS) == [401] * BAD_LOGINS

    assert memory_bytes(town.hub.pid) - before_bytes < MOST_GROWTH_BYTES
    assert town.ask("GET", "/v1/jobs").status == 200


def test_nothing_tells_a_token_that_was_from_one_that_never_was(town):
    """Attack 19. Tokens are found by their hash, so time tells nothing of their text either."""
    answers = {
        town.ask("GET", "/v1/jobs", who).body for who in ("unknown", "expired", "revoked")
    } | {town.ask("GET", "/v1/jobs", "none", headers={"Authorization": "Bearer fgl_x"}).body}

    assert len(answers) == 1


@pytest.mark.parametrize(
    "value",
    ["admin", "fenglin", "changeme", "fgl_" + "a" * 38, "fgl_" + "0" * 38, "admin:admin", "null"],
)
def test_no_default_credentials(town, value):
    """Attack 20: the first token is random, and only its owner's file holds it."""
    given = {"Authorization": f"Bearer {value}"}
    assert town.ask("GET", "/v1/jobs", "none", headers=given).status == 401
    kept = town.hub.data / "admin.token"
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.read_text().strip() not in town.hub.config.read_text()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
def test_an_open_hub_listens_on_this_machine_only(tmp_path, listen):
    """Attack 21."""
    open_to_all = CONFIG.replace('listen = "127.0.0.1:0"', f'listen = "{listen}"\nauth = false')
    hub = HubProcess(tmp_path, open_to_all)
    done = subprocess.run(
        [FENGLIN, "hub", "start", "--config", hub.config],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 4, done.stderr
    assert "hub.auth" in done.stderr


def test_a_dump_of_the_database_holds_no_token(town):
    """Attack 22: not in a row, not in the file, not in what lies beside it."""
    for who in ("team/member", "operator", "agent"):
        assert town.ask("GET", "/healthz", who).status == 200
    secrets = {token.encode() for token in town.tokens.values() if token}
    files = [path for path in town.hub.data.rglob("*") if path.is_file()]
    holding = [
        path.name
        for path in files
        if path.name != "admin.token" and any(one in path.read_bytes() for one in secrets)
    ]

    assert holding == []
    with closing(sqlite3.connect(f"file:{town.hub.data}/fenglin.db?mode=ro", uri=True)) as conn:
        dump = "\n".join(conn.iterdump())
    assert not any(one.decode() in dump for one in secrets)
    assert digest_of(town.tokens["team/member"]).hex().upper() in dump.upper()


def test_the_hub_never_answers_with_a_token(town):
    """Attack 22: neither its owner nor an operator can read one back."""
    answers = [
        town.ask("GET", "/v1/tokens/own", "team/member"),
        town.ask("GET", "/v1/tokens?limit=1000"),
    ]

    for answer in answers:
        assert answer.status == 200
        assert b"fgl_" not in answer.body
        assert "digest" not in json.dumps(answer.json)
