"""Every route, asked by everybody: who gets in is one table, and a new route must be in it."""

import json

import pytest
from tests.attack.people import OUTSIDERS, ROLES

# One hub serves the whole module.
pytestmark = pytest.mark.xdist_group("attack-reach")

WHO = (
    "operator",
    "auditor",
    "team/tenant-admin",
    "team/member",
    "team/viewer",
    "provider",
    "agent",
)
# What each gets, in this order. All things that are named do not exist, so that nobody changes
# what the next one sees: 200, 201, 400, 404 and 409 mean "let in", 403 "refused".
TABLE = """
POST /v1/jobs                                              400 403 400 400 403 403 403
POST /v1/jobs:batch                                        400 403 400 400 403 403 403
POST /v1/plan                                              400 400 400 400 400 403 403
GET /v1/jobs                                               200 200 200 200 200 403 403
GET /v1/jobs:watch                                         200 200 200 200 200 403 403
GET /v1/jobs/{job}                                         404 404 404 404 404 403 403
GET /v1/jobs/{job}/explain                                 404 404 404 404 404 403 403
GET /v1/jobs/{job}/events                                  404 404 404 404 404 403 403
POST /v1/jobs/{job}/cancel                                 404 403 404 404 403 403 403
GET /v1/jobs/{job}/wait                                    404 404 404 404 404 403 403
GET /v1/jobs/{job}/logs                                    404 404 404 404 404 403 403
GET /v1/jobs/{job}/artifacts                               404 404 404 404 404 403 403
GET /v1/jobs/{job}/artifacts/{path}                        404 404 404 404 404 403 403
HEAD /v1/blobs/{sha256}                                    404 404 404 404 404 403 403
GET /v1/blobs/{sha256}                                     404 404 404 404 404 403 403
POST /v1/blobs:missing                                     200 403 200 200 403 403 403
PUT /v1/blobs/{sha256}                                     400 403 400 400 403 403 403
GET /v1/sites                                              200 200 200 200 200 403 403
GET /v1/sites/{site}                                       404 404 404 404 404 403 403
POST /v1/sites/{site}/drain                                404 403 403 403 403 403 403
POST /v1/sites/{site}/resume                               404 403 403 403 403 403 403
GET /v1/nodes                                              200 200 200 200 200 403 403
GET /v1/queues                                             200 200 200 200 200 403 403
GET /v1/plans                                              200 403 403 403 403 403 403
GET /v1/plans/{index}                                      404 403 403 403 403 403 403
GET /v1/overview                                           200 200 200 200 200 403 403
GET /v1/ledger/verify                                      200 200 200 200 200 403 403
GET /v1/ledger/statement                                   404 404 400 400 400 403 403
GET /v1/ledger/export                                      200 200 403 403 403 403 403
GET /v1/ledger/checkpoint                                  200 200 200 200 200 403 403
GET /v1/ledger/consistency                                 200 200 200 200 200 403 403
GET /v1/ledger/bill                                        404 404 404 404 404 403 403
POST /v1/ledger/proof                                      404 404 403 403 403 403 403
GET /v1/accounts                                           200 200 200 200 200 403 403
GET /v1/accounts/{account}                                 404 404 404 404 404 403 403
POST /v1/accounts/{account}/deposit                        404 403 403 403 403 403 403
POST /v1/accounts/{account}/refund                         404 403 403 403 403 403 403
GET /v1/settlements                                        200 200 403 403 403 404 403
POST /v1/settlements                                       409 403 403 403 403 403 403
GET /v1/providers                                          200 200 403 403 403 200 403
POST /v1/providers/{provider}/pay                          404 403 403 403 403 403 403
GET /v1/settlements:check                                  200 200 403 403 403 403 403
GET /v1/reports/month                                      200 200 403 403 403 403 403
POST /v1/ledger/close                                      400 403 403 403 403 403 403
POST /v1/agent/{site}/hello                                404 403 403 403 403 403 404
POST /v1/agent/{site}/orders                               404 403 403 403 403 403 404
POST /v1/agent/{site}/answers                              404 403 403 403 403 403 404
GET /v1/agent/{site}/inputs/{key}/{digest}                 404 403 403 403 403 403 404
PUT /v1/agent/{site}/artifacts/{key}/{task}                404 403 403 403 403 403 404
GET /v1/tokens                                             200 403 200 403 403 403 403
GET /v1/tokens/own                                         200 200 200 200 200 200 200
POST /v1/tokens                                            400 403 201 403 403 403 403
POST /v1/tokens/{token}/rotate                             404 403 404 403 403 403 403
POST /v1/tokens/{token}/revoke                             404 403 404 403 403 403 403
GET /v1/secrets                                            200 200 200 200 200 403 403
PUT /v1/secrets/{name}                                     400 403 400 400 403 403 403
DELETE /v1/secrets/{name}                                  404 403 404 404 403 403 403
GET /v1/voucher-pools                                      200 200 200 200 200 403 403
POST /v1/voucher-pools                                     400 403 403 403 403 403 403
GET /v1/voucher-pools/{pool}                               404 404 404 404 404 403 403
POST /v1/voucher-pools/{pool}/applications                 400 403 400 400 403 403 403
POST /v1/voucher-pools/{pool}/round                        404 403 403 403 403 403 403
GET /v1/voucher-pools/{pool}/audit                         404 404 404 404 404 403 403
POST /v1/voucher-pools/{pool}/vouchers/{voucher}/approve   404 403 403 403 403 403 403
POST /v1/voucher-pools/{pool}/vouchers/{voucher}/revoke    404 403 403 403 403 403 403
POST /v1/voucher-pools/{pool}/vouchers/{voucher}/clawback  404 403 403 403 403 403 403
GET /v1/vouchers                                           200 200 200 200 200 403 403
POST /v1/vouchers:use                                      404 403 403 403 403 403 403
GET /metrics                                               200 200 200 200 200 403 403
GET /v1/inventory                                          200 200 403 403 403 403 403
GET /v1/inventory/steps                                    200 200 403 403 403 403 403
GET /v1/inventory/totals                                   200 200 403 403 403 403 403
GET /v1/inventory/rows                                     200 200 403 403 403 403 403
GET /v1/inventory/snapshots/{snapshot}                     404 404 403 403 403 403 403
GET /v1/inventory/diff                                     404 404 403 403 403 403 403
GET /v1/inventory/report                                   200 200 403 403 403 403 403
POST /v1/inventory:declare                                 201 403 403 403 403 403 403
POST /v1/inventory/steps                                   409 403 403 403 403 403 403
POST /v1/inventory/measurements                            404 403 403 403 403 403 403
POST /v1/metering:import                                   404 403 403 403 403 403 403
POST /v1/metering:collect                                  404 403 403 403 403 403 403
POST /v1/metering:check                                    200 403 403 403 403 403 403
POST /v1/metering/records                                  200 403 403 403 403 403 403
GET /v1/metering/discrepancies                             200 200 200 200 200 403 403
GET /v1/metering/discrepancies/{item}                      404 404 404 404 404 403 403
POST /v1/metering/discrepancies/{item}/resolve             404 403 403 403 403 403 403
POST /v1/metering:give-back                                404 403 403 403 403 403 403
GET /v1/metering/jobs/{job}                                404 404 404 404 404 403 403
GET /v1/metering/energy                                    200 200 200 200 200 403 403
GET /v1/prices                                             200 200 200 200 200 403 403
GET /v1/prices/{price}                                     404 404 404 404 404 403 403
POST /v1/prices                                            201 403 403 403 403 403 403
POST /v1/prices:import                                     400 403 403 403 403 403 403
GET /v1/audit                                              200 200 403 403 403 403 403
GET /v1/audit:verify                                       200 200 403 403 403 403 403
POST /v1/jobs/{job}/release                                404 403 403 403 403 403 403
GET /v1/safety                                             200 403 403 403 403 403 403
POST /v1/safety/users/{user}/release                       404 403 403 403 403 403 403
GET /v1/login                                              404 404 404 404 404 404 404
POST /v1/login                                             404 404 404 404 404 404 404
GET /healthz                                               200 200 200 200 200 200 200
GET /readyz                                                200 200 200 200 200 200 200
GET /openapi.json                                          200 200 200 200 200 200 200
"""
QUERIES = {
    "DELETE /v1/secrets/{name}": "?account=team",
    "GET /v1/jobs/{job}/wait": "?timeout_s=0",
    "GET /v1/ledger/statement": "?account=nobody",
    "GET /v1/ledger/consistency": "?old=1&new=3",
    "GET /v1/ledger/bill": "?account=nobody&period=2026-11",
    "GET /v1/settlements": "?period=2026-11",
    "GET /v1/settlements:check": "?period=2026-11",
    "GET /v1/reports/month": "?period=2026-11",
    "GET /v1/inventory/diff": "?from=s1",
    "GET /v1/inventory/report": "?period=2026-11",
    "POST /v1/metering:import": "?site=west&format=sacct",
    "POST /v1/metering:collect": "?site=west&period=2026-11",
    "POST /v1/metering:check": "?period=2026-11",
    "GET /v1/metering/energy": "?period=2026-11",
}
BODIES = {
    "POST /v1/jobs": '{"name": "karst", "account": "nobody", "command": ["true"]}',
    "POST /v1/jobs:batch": '[{"name": "karst", "account": "nobody", "command": ["true"]}]',
    "POST /v1/plan": '{"name": "karst", "account": "nobody", "command": ["true"]}',
    "POST /v1/blobs:missing": '{"sha256": []}',
    "PUT /v1/blobs/{sha256}": "abcd",
    "PUT /v1/secrets/{name}": '{"value": ""}',
    "POST /v1/ledger/proof": '{"account": "nobody"}',
    "POST /v1/accounts/{account}/deposit": '{"amount_micro": 5, "key": "bank-1"}',
    "POST /v1/accounts/{account}/refund": '{"amount_micro": 5, "key": "bank-1"}',
    "POST /v1/providers/{provider}/pay": '{"amount_micro": 5, "key": "bank-1"}',
    "POST /v1/settlements": '{"period": "2026-11"}',
    "POST /v1/ledger/close": '{"period": "2027-03"}',
    "POST /v1/tokens": '{"digest": "' + "cd" * 32 + '", "name": "ann"}',
    "POST /v1/tokens/{token}/rotate": '{"digest": "' + "cd" * 32 + '"}',
    "POST /v1/voucher-pools": '{"year": 2027, "scheme": {"name": "g", "title": "G"}}',
    "POST /v1/voucher-pools/{pool}/applications": '{"applications": []}',
    "POST /v1/voucher-pools/{pool}/vouchers/{voucher}/revoke": '{"why": "forged", "key": "k"}',
    "POST /v1/voucher-pools/{pool}/vouchers/{voucher}/clawback": '{"why": "forged", "key": "k"}',
    "POST /v1/vouchers:use": '{"account": "nobody", "period": "2027-03", "key": "k"}',
    "POST /v1/inventory:declare": "[facility.a]",
    "POST /v1/inventory/steps": '{"step": "publish"}',
    "POST /v1/inventory/measurements": '{"job": "j7"}',
    "POST /v1/metering:import": "JobID|",
    "POST /v1/metering/records": '{"records": []}',
    "POST /v1/metering/discrepancies/{item}/resolve": '{"state": "accepted", "why": "their clock"}',
    "POST /v1/metering:give-back": '{"site": "west", "line": "l", "key": "k", "why": "twice"}',
    "POST /v1/prices": '{"unit": "core_hour", "currency": "CNY", "price": "0.12"}',
    "POST /v1/prices:import": "unit,currency,price",
    "POST /v1/login": '{"id_token": "a.b.c", "digest": "' + "cd" * 32 + '"}',
}
THINGS = {
    "{user}": "nobody",
    "{job}": "j99",
    "{item}": "d7",
    "{site}": "west",
    "{key}": "h-a1-1",
    "{digest}": "ab",
    "{task}": "0",
    "{sha256}": "ab" * 32,
    "{path}": "0/a.png",
    "{index}": "12",
    "{account}": "nobody",
    "{pool}": "gz-2027",
    "{voucher}": "a1",
    "{price}": "p7",
    "{snapshot}": "s1",
    "{token}": "t99",
    "{name}": "db",
}
OPEN = {"GET /v1/login", "POST /v1/login", "GET /healthz", "GET /readyz", "GET /openapi.json"}
# Not listed by itself in the document that it serves.
UNLISTED = {"GET /openapi.json"}
ROWS = [
    (f"{method} {path}", [int(status) for status in statuses])
    for method, path, *statuses in map(str.split, TABLE.strip().splitlines())
]


def ask(town, route, who, **more):
    """Return the answer to a route's example request."""
    method, _, path = route.partition(" ")
    for slot, value in THINGS.items():
        path = path.replace(slot, value)
    return town.ask(
        method, path + QUERIES.get(route, ""), who, BODIES.get(route, "").encode(), **more
    )


def test_the_table_names_every_route(town):
    paths = town.ask("GET", "/openapi.json", "none").json["paths"]
    served = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}

    assert {route for route, _ in ROWS} == served | UNLISTED
    assert len(ROWS) == len({route for route, _ in ROWS})
    assert [who.rpartition("/")[2] for who in WHO] == list(ROLES)
    assert all(len(statuses) == len(ROLES) for _, statuses in ROWS)


@pytest.mark.parametrize(("route", "statuses"), ROWS, ids=[route for route, _ in ROWS])
def test_every_role(town, route, statuses):
    """Attacks 7, 8 and 38: each role reaches what is its own, and nothing else."""
    answers = [ask(town, route, who) for who in WHO]

    assert [answer.status for answer in answers] == statuses
    if not route.startswith("HEAD"):
        refused = [answer.json for answer in answers if answer.status == 403]
        assert {one["code"] for one in refused} <= {"denied"}
        assert all(one["what"] for one in refused)


@pytest.mark.parametrize("route", [route for route, _ in ROWS])
@pytest.mark.parametrize("who", OUTSIDERS)
def test_every_route_without_a_good_token(town, route, who):
    """Attacks 1, 4 and 5: no token, an unknown, an expired and a revoked one open nothing."""
    answer = ask(town, route, who)

    if route in OPEN:
        assert answer.status in (200, 404)
        return
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="fenglin"'
    if not route.startswith("HEAD"):
        assert json.loads(answer.body)["code"] == "denied"
