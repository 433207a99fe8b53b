"""The OpenAPI document is whole, valid, and says what the door does."""

import re

import jsonschema
import pytest

from fenglin.api import query

METHODS = {"get", "put", "post", "head", "delete"}


@pytest.fixture
def document(call):
    return call("GET", "/openapi.json", token="").json()


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_it_is_openapi_3_1_with_resolvable_references(document):
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "Fenglin"
    seen = []

    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                seen.append(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    assert seen
    for reference in seen:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]


def test_every_schema_is_json_schema_2020_12(document):
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_is_complete(document):
    names = set()
    for path, method, operation in operations(document):
        assert method in METHODS
        assert operation["summary"]
        names.add(operation["operationId"])
        slots = set(re.findall(r"\{(\w+)\}", path))
        parameters = operation.get("parameters", [])
        assert {p["name"] for p in parameters if p["in"] == "path"} == slots
        assert all(p["required"] for p in parameters if p["in"] == "path")
        responses = operation["responses"]
        assert any(status.startswith("2") for status in responses)
        assert {"400", "404", "500", "503"} <= responses.keys()
        opened = path in ("/healthz", "/readyz", "/v1/login")
        assert operation["security"] == ([] if opened else [{"token": []}])
        # Who logs in shows no token, and may yet not be believed.
        assert ("401" in responses) != (opened and operation["operationId"] != "login")
        assert ("413" in responses) == ("requestBody" in operation)
    assert len(names) == len(list(operations(document)))


def test_queries_are_told_as_they_are_read(document):
    told = {p["name"]: p for p in document["paths"]["/v1/jobs"]["get"]["parameters"]}
    assert told.keys() == {param.name for param in query.JOBS}
    assert told["limit"]["schema"] == {
        "type": "integer", "minimum": 1, "maximum": 1000, "default": 100,
    }  # fmt: skip
    assert told["sort"]["schema"]["enum"][:2] == ["id", "-id"]
    assert told["state"]["schema"]["items"]["enum"][0] == "pending"
    empty = {name for name, parameter in told.items() if parameter.get("allowEmptyValue")}
    assert empty == {"limit", "sort", "state", "detail"}
    read = query.read_query("&".join(f"{name}=" for name in sorted(told)).encode(), query.JOBS)
    assert read == query.read_query(b"", query.JOBS)


def test_bodies_and_raw_answers_are_told(document):
    bodies = {
        operation["operationId"]: set(operation["requestBody"]["content"])
        for _, _, operation in operations(document)
        if "requestBody" in operation
    }
    assert bodies == {
        "submit": {"application/json"},
        "submitBatch": {"application/json", "application/x-ndjson"},
        "plan": {"application/json"},
        "drainSite": {"application/json"},
        "missingBlobs": {"application/json"},
        "addPrice": {"application/json"},
        "importPrices": {"text/csv"},
        "importMetering": {"text/plain"},
        "recordUse": {"application/json"},
        "resolveDiscrepancy": {"application/json"},
        "giveBackMetering": {"application/json"},
        "inventoryDeclare": {"application/toml"},
        "inventoryMeasure": {"application/json"},
        "inventoryStep": {"application/json"},
        "putBlob": {"application/octet-stream"},
        "deposit": {"application/json"},
        "refund": {"application/json"},
        "closePeriod": {"application/json"},
        "proveEntries": {"application/json"},
        "payProvider": {"application/json"},
        "settle": {"application/json"},
        "setSecret": {"application/json"},
        "openVoucherPool": {"application/json"},
        "applyForVouchers": {"application/json"},
        "revokeVoucher": {"application/json"},
        "clawBackVoucher": {"application/json"},
        "useVouchers": {"application/json"},
        "login": {"application/json"},
        "agentHello": {"application/json"},
        "agentOrders": {"application/json"},
        "agentAnswers": {"application/json"},
        "agentArtifact": {"application/octet-stream"},
        "makeToken": {"application/json"},
        "rotateToken": {"application/json"},
    }
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                # What Litestar makes of bytes and streams of which it knows no more.
                guessed = answer.get("content", {}).get("application/json", {}).get("schema")
                assert guessed not in ({"type": "string"}, {}), (method, path)
    log = document["paths"]["/v1/jobs/{job}/logs"]["get"]["responses"]["200"]
    assert set(log["content"]) == {"application/octet-stream"}
    assert set(log["headers"]) == {"Fenglin-Next-Offset", "Fenglin-Complete"}


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/jobs", "/v1/jobs"),
        ("/v1/jobs/j7", "/v1/jobs/{job}"),
        ("/v1/jobs/j7/events", "/v1/jobs/{job}/events"),
        ("/v1/sites", "/v1/sites"),
        ("/v1/nodes", "/v1/nodes"),
        ("/v1/queues", "/v1/queues"),
        ("/v1/overview", "/v1/overview"),
        ("/v1/ledger/verify", "/v1/ledger/verify"),
        ("/v1/ledger/bill?account=lab&period=2026-11", "/v1/ledger/bill"),
        ("/v1/prices", "/v1/prices"),
        ("/v1/prices/p7", "/v1/prices/{price}"),
        ("/v1/settlements", "/v1/settlements"),
        ("/v1/settlements:check", "/v1/settlements:check"),
        ("/v1/reports/month", "/v1/reports/month"),
        ("/v1/accounts", "/v1/accounts"),
        ("/v1/accounts/lab", "/v1/accounts/{account}"),
        ("/v1/voucher-pools", "/v1/voucher-pools"),
        ("/v1/voucher-pools/gz-2027/audit", "/v1/voucher-pools/{pool}/audit"),
        ("/v1/vouchers", "/v1/vouchers"),
        ("/healthz", "/healthz"),
    ],
)
def test_answers_are_what_the_document_says(call, document, target, path):
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    whole = schema | {"components": document["components"]}
    jsonschema.validate(call("GET", target).json(), whole)


def test_errors_are_what_the_document_says(call, document):
    schema = {"$ref": "#/components/schemas/ErrorView", "components": document["components"]}
    for target in ("/nowhere", "/v1/jobs?limit=0", "/v1/jobs/j8"):
        jsonschema.validate(call("GET", target).json(), schema)
