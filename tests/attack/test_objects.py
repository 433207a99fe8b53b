"""Attack cases 26 to 43: another tenant's things, by every road that leads to them."""

import json

import pytest
from tests.attack.people import SMALL

from fenglin.errors import NotFoundError

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-objects")

MARK = "CANARY-of-team"


@pytest.fixture(scope="module")
def job(town):
    """Return a job of `team` that bears a mark wherever a tenant can write."""
    return town.ended_job(
        "team/member",
        name=f"{MARK}-name",
        labels={"mark": f"{MARK}-label"},
        env={"MARK": f"{MARK}-env"},
        script=f"echo {MARK}-log; echo {MARK}-file > {MARK}-path",
        artifacts=[f"{MARK}-path"],
    )


OF_A_JOB = {
    "GET": ["", "/explain", "/events", "/wait?timeout_s=0", "/logs", "/logs?follow=true",
            "/artifacts", f"/artifacts/0/{MARK}-path"],
    "POST": ["/cancel"],
    "PUT": [""],
    "DELETE": [""],
    "PATCH": [""],
}  # fmt: skip


@pytest.mark.parametrize("method", OF_A_JOB)
def test_a_foreign_job(town, job, method):
    """Attacks 26 and 32: each answer is, byte by byte, that of a job which does not exist."""
    for tail in OF_A_JOB[method]:
        foreign, missing = (
            town.ask(method, f"/v1/jobs/{one}{tail}", "team-a/tenant-admin")
            for one in (job, "j99999")
        )
        assert foreign.status == missing.status, tail
        assert foreign.status in (404, 405), tail
        assert foreign.body.replace(job.encode(), b"ID") == missing.body.replace(b"j99999", b"ID")
    assert town.ask("GET", f"/v1/jobs/{job}", "team/viewer").json["state"] == "succeeded"


IN_A_BODY = {
    "after": lambda job: {"after": [job]},
    "files": lambda job: {"files": [{"artifacts_of": job, "target": "in"}]},
}


@pytest.mark.parametrize("field", IN_A_BODY)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/plan"])
def test_a_foreign_id_in_a_body(town, job, field, path):
    """Attack 27: a foreign job is as unknown as none; a dry run does not look it up at all."""
    plain = {"name": "x", "account": "team-a", "command": ["true"], **SMALL}
    foreign, missing = (
        town.ask("POST", path, "team-a/member", {**plain, **IN_A_BODY[field](one)})
        for one in (job, "j99999")
    )

    assert foreign.status == missing.status == (400 if path == "/v1/jobs" else 200)
    assert MARK.encode() not in foreign.body
    if path == "/v1/jobs":
        assert foreign.body.replace(job.encode(), b"ID") == missing.body.replace(b"j99999", b"ID")


def test_a_batch_with_one_foreign_job_is_refused_whole(town):
    """Attack 28: neither the foreign one nor those beside it are stored."""
    mine = {"name": "batch", "account": "team-a", "command": ["true"], **SMALL}
    batch = [mine, {**mine, "account": "team"}, mine]

    assert town.ask("POST", "/v1/jobs:batch", "team-a/member", batch).status == 400

    assert town.ask("GET", "/v1/jobs?name=batch").json["items"] == []


SEARCHES = [
    "account=team", "account=team&account=team-a", f"name={MARK}", "name=CANARY", "state=succeeded",
    f"label=mark={MARK}-label", "sort=-id&limit=1000", "detail=true", "name=%25", "name=_",
    "name=*", "cursor=0", "cursor=1",
]  # fmt: skip


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("query", SEARCHES)
def test_no_search_finds_it(town, query):
    """Attacks 29, 30 and 68."""
    found = town.ask("GET", f"/v1/jobs?{query}", "team-a/tenant-admin")

    assert found.status in (200, 400)
    assert MARK.encode() not in found.body
    assert not [one for one in found.json.get("items", []) if one["account"] != "team-a"]


def test_no_stream_of_changes_tells_of_it(town):
    """Attack 31: whatever is asked for, only what is one's own comes."""
    start = town.ask("GET", "/v1/jobs:watch?timeout_s=0", "team/viewer").json["next"]
    town.ended_job("team/member", name=f"{MARK}-news")

    for query in (
        "",
        "&account=team",
        f"&name={MARK}",
        "&account=*",
        "&name=*",
        "&state=succeeded",
    ):
        for after in (start, "0.0", ""):
            target = f"/v1/jobs:watch?timeout_s=0&after={after}{query}"
            seen = town.ask("GET", target, "team-a/viewer")
            assert seen.status in (200, 400), target
            assert MARK.encode() not in seen.body, target
    own = town.ask("GET", f"/v1/jobs:watch?timeout_s=0&after={start}", "team/viewer")
    assert MARK.encode() in own.body


MONEY = [
    "/v1/ledger/statement?account=NAME", "/v1/ledger/bill?account=NAME&period=2026-11",
    "/v1/accounts/NAME",
]  # fmt: skip


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("target", MONEY)
def test_the_bill_of_another(town, target):
    """Attack 33."""
    foreign, missing = (
        town.ask("GET", target.replace("NAME", name), "team-a/tenant-admin")
        for name in ("team", "none")
    )

    assert foreign.status == missing.status
    assert foreign.status in (400, 404)
    assert foreign.body.replace(b"'team'", b"N") == missing.body.replace(b"'none'", b"N")


@pytest.mark.usefixtures("job")
def test_metrics_name_no_tenant(town):
    """Attack 34: not to operators either, since metrics go to systems with readers of their own."""
    for who in ("operator", "team-a/viewer"):
        text = town.ask("GET", "/metrics", who).body.decode()
        assert "fenglin_tasks_ended_total" in text
        assert MARK not in text
        labels = [line for line in text.splitlines() if "{" in line and not line.startswith("#")]
        assert not [line for line in labels if '"team' in line or "account=" in line]


EXPORTS = [
    ("GET", f"/v1/ledger/export?format={kind}", b"")
    for kind in ("csv", "jsonl", "beancount", "focus")
] + [
    ("POST", "/v1/ledger/proof", b'{"account": "team"}'),
    ("GET", "/v1/plans", b""),
    ("GET", "/v1/plans/now", b""),
    ("GET", "/v1/inventory/rows", b""),
    ("GET", "/v1/reports/month?period=2026-11", b""),
]


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(("method", "target", "body"), EXPORTS)
def test_exports_of_all_tenants(town, method, target, body):
    """Attack 35."""
    for who in ("team-a/tenant-admin", "provider", "agent"):
        answer = town.ask(method, target, who, body)
        assert (answer.status, answer.json["code"]) == (403, "denied")


READABLE = [
    "/v1/overview", "/v1/queues", "/v1/nodes", "/v1/sites", "/v1/sites/only", "/v1/accounts",
    "/v1/metering/energy?period=2026-11", "/v1/metering/discrepancies", "/v1/vouchers",
    "/v1/voucher-pools", "/v1/prices", "/v1/tokens", "/v1/ledger/verify", "/v1/ledger/checkpoint",
]  # fmt: skip


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("target", READABLE)
def test_what_all_may_read_tells_of_nobody(town, target):
    """S2: the same lists, cut to the tenant who asks."""
    text = town.ask("GET", target, "team-a/tenant-admin").body.decode()

    assert MARK not in text
    assert '"team"' not in text
    assert "team/" not in text


VARIANTS = [
    "TEAM",
    "Team",
    "te\u0430m",
    "team\u200b",
    " team",
    "team ",
    "te%61m",
    "\uff54\uff45\uff41\uff4d",
    "team.",
]


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_a_name_are_other_names(town, name):
    """Attack 36: none of them is the account that it looks like."""
    document = {"name": "x", "account": name, "command": ["true"], **SMALL}
    for who in ("team/member", "team-a/member", "operator"):
        assert town.ask("POST", "/v1/jobs", who, document).status == 400


def test_a_name_that_begins_like_anothers(town, job):
    """Attack 37: `team` and `team-a` share nothing."""
    own = town.ended_job("team-a/member", name="own")
    documents = {
        "team/member": {"name": "x", "account": "team-a", "command": ["true"], **SMALL},
        "team-a/member": {"name": "x", "account": "team", "command": ["true"], **SMALL},
    }
    for who, document in documents.items():
        assert town.ask("POST", "/v1/jobs", who, document).status == 400
    seen = {
        who: {one["id"] for one in town.ask("GET", "/v1/jobs?limit=1000", who).json["items"]}
        for who in documents
    }
    assert job in seen["team/member"]
    assert own in seen["team-a/member"]
    assert not seen["team/member"] & seen["team-a/member"]


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_the_method_cannot_be_overridden(town, job, header):
    """Attack 39."""
    answer = town.ask("GET", f"/v1/jobs/{job}/cancel", "operator", headers={header: "POST"})
    assert answer.status == 405
    answer = town.ask("GET", "/v1/tokens", "team/viewer", headers={header: "POST"})
    assert answer.status == 403


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("who", ["team/tenant-admin", "operator"])
def test_a_role_cannot_be_changed(town, method, who):
    """Attack 40: a token is what it was made as."""
    token = town.ids["team/member"]
    body = {"role": "operator", "scopes": ["admin"]}

    assert town.ask(method, f"/v1/tokens/{token}", who, body).status in (404, 405)
    assert town.ask("GET", "/v1/tokens/own", "team/member").json["role"] == "member"


EXTRA = ["price", "price_micro", "state", "epoch", "id", "owner", "principal", "submitted_ms",
         "cost_micro", "site_key", "hold_micro", "role", "scopes", "digest"]  # fmt: skip


@pytest.mark.parametrize("field", EXTRA)
def test_fields_that_are_not_the_callers(town, field):
    """Attack 41: refused by name, not stored and not passed over in silence."""
    document = {"name": "x", "account": "team", "command": ["true"], **SMALL, field: 1}

    answer = town.ask("POST", "/v1/jobs", "team/member", document)

    assert answer.status == 400
    assert field in json.dumps(answer.json["problems"])


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/tokens", {"digest": "ab" * 32, "name": "x", "scopes": ["admin"]}),
        ("/v1/tokens", {"digest": "ab" * 32, "name": "x", "created_ms": 1}),
        ("/v1/accounts/team/deposit", {"amount_micro": 1, "key": "k1", "account": "team-a"}),
        ("/v1/prices", {"unit": "core_hour", "currency": "CNY", "price": "1", "id": "p1"}),
        ("/v1/settlements", {"period": "2026-10", "fee_micro": 0}),
    ],
)
def test_fields_that_other_bodies_do_not_have(town, target, body):
    """Attack 41."""
    assert town.ask("POST", target, "operator", body).status == 400


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/jobs", b'{"name": "x", "account": "team", "account": "team-a", "command": ["true"]}'),
        ("/v1/jobs", b'{"name": "x", "\\u006eame": "y", "command": ["true"]}'),
        ("/v1/tokens", b'{"digest": "%s", "name": "x", "role": "viewer", "role": "member",'
         b' "account": "team"}' % (b"ef" * 32)),
        ("/v1/accounts/team/deposit", b'{"amount_micro": 1, "key": "k2", "amount_micro": 9}'),
    ],
)  # fmt: skip
def test_the_same_key_twice(town, target, body):
    """Attack 42: two readers of one document must not see two documents."""
    answer = town.ask("POST", target, "operator", body)

    assert answer.status == 400, answer.body


def test_ids_are_never_given_twice(town):
    """Attack 43: nothing deletes a job, and after a restart the numbers go on."""
    before = town.ended_job("team/member", name="first")
    town.hub.stop()
    town.hub.start()
    after = town.ended_job("team-a/member", name="second")

    assert int(after[1:]) > int(before[1:])
    assert town.ask("DELETE", f"/v1/jobs/{before}").status == 405
    with pytest.raises(NotFoundError):
        town.client("team-a/member").job(before)


COMMANDS = [
    ("job", "show", "JOB"), ("job", "explain", "JOB"), ("job", "logs", "JOB"),
    ("job", "artifacts", "JOB"), ("job", "cancel", "JOB"), ("job", "wait", "JOB"),
    ("ledger", "statement", "--account", "team"), ("account", "show", "team"),
    ("ledger", "export"), ("plan", "list"), ("site", "drain", "only"), ("token", "add", "x",
     "--role", "operator"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words[:2]) for words in COMMANDS])
def test_the_command_line_opens_no_other_door(town, job, fenglin, words):
    """Attacks 26, 33, 35 and 38, as a person would try them."""
    done = fenglin(*(job if word == "JOB" else word for word in words), who="team-a/member")

    assert done.code in (2, 3, 4), done.err
    assert MARK not in done.out + done.err
    assert "Traceback" not in done.err
    assert town.ask("GET", "/v1/sites/only").json["state"] != "drained"
