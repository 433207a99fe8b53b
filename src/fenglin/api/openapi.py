"""The OpenAPI document: Litestar's, with what our own layer does put in.

Litestar knows paths and answers. Queries, bodies, errors and security are the door's, and are
written here from the same tables that the door works with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fenglin.api.caller import OPEN
from fenglin.api.pool import DrainRequest
from fenglin.ledger.bill import Bill
from fenglin.ledger.proof import ProofFile
from fenglin.ledger.settlement_check import ThreeWay
from fenglin.wire.account_views import CloseAsk, MoneyMove
from fenglin.wire.agent_views import Hello, Orders, OrdersAsk, Welcome
from fenglin.wire.inventory_views import InventoryAsk, MeasureAsk
from fenglin.wire.login_views import LoginAsk
from fenglin.wire.metering_views import DiscrepancyStep, GiveBack, LateUses
from fenglin.wire.price_views import PriceAsk
from fenglin.wire.proof_views import ProofAsk
from fenglin.wire.secret_views import SecretAsk
from fenglin.wire.settling_views import MonthReport, SettleAsk
from fenglin.wire.token_views import RotateAsk, TokenAsk
from fenglin.wire.views import Addresses, ErrorView
from fenglin.wire.voucher_views import ApplyAsk, PoolAsk, TakeBackAsk, UseAsk

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.handlers import HTTPRouteHandler

    from fenglin.api.query import Param

    Json = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"
_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}
_TEXT = {"type": "string"}
_HEALTHY = {"type": "object", "properties": {"status": {"type": "string"}}}
_DOCUMENT = {
    "type": "object",
    "description": "A native job document; see the reference of the job file.",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 128}},
}


def _counted(name: str) -> Json:
    """Describe an object of one number."""
    return {"type": "object", "required": [name], "properties": {name: {"type": "integer"}}}


# What stands in a body or an answer where Litestar cannot know it.
_BODIES: dict[str, tuple[bool, Json]] = {
    "submit": (True, {"application/json": {"schema": _DOCUMENT}}),
    "submitBatch": (
        True,
        {
            "application/json": {"schema": {"type": "array", "items": _DOCUMENT}},
            "application/x-ndjson": {"schema": _TEXT},
        },
    ),
    "plan": (True, {"application/json": {"schema": _DOCUMENT}}),
    "drainSite": (
        False,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="DrainRequest")}}},
    ),
    "missingBlobs": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="Addresses")}}},
    ),
    "deposit": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="MoneyMove")}}},
    ),
    "refund": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="MoneyMove")}}},
    ),
    "closePeriod": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="CloseAsk")}}},
    ),
    "login": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="LoginAsk")}}},
    ),
    "makeToken": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="TokenAsk")}}},
    ),
    "rotateToken": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="RotateAsk")}}},
    ),
    "setSecret": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="SecretAsk")}}},
    ),
    "payProvider": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="MoneyMove")}}},
    ),
    "settle": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="SettleAsk")}}},
    ),
    "proveEntries": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="ProofAsk")}}},
    ),
    "addPrice": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="PriceAsk")}}},
    ),
    "inventoryDeclare": (True, {"application/toml": {"schema": _TEXT}}),
    "inventoryStep": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="InventoryAsk")}}},
    ),
    "inventoryMeasure": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="MeasureAsk")}}},
    ),
    **{
        operation: (
            True,
            {"application/json": {"schema": {"$ref": REFERENCE.format(name=body)}}},
        )
        for operation, body in (
            ("openVoucherPool", "PoolAsk"),
            ("applyForVouchers", "ApplyAsk"),
            ("revokeVoucher", "TakeBackAsk"),
            ("clawBackVoucher", "TakeBackAsk"),
            ("useVouchers", "UseAsk"),
            ("agentHello", "Hello"),
            ("agentOrders", "OrdersAsk"),
        )
    },
    # What an answer's body is, its order's kind says.
    "agentAnswers": (True, {"application/json": {"schema": {"type": "object"}}}),
    "agentArtifact": (True, {"application/octet-stream": {"schema": _BINARY}}),
    "importPrices": (True, {"text/csv": {"schema": _TEXT}}),
    "importMetering": (True, {"text/plain": {"schema": _TEXT}}),
    "recordUse": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="LateUses")}}},
    ),
    "giveBackMetering": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="GiveBack")}}},
    ),
    "resolveDiscrepancy": (
        True,
        {"application/json": {"schema": {"$ref": REFERENCE.format(name="DiscrepancyStep")}}},
    ),
    "putBlob": (True, {"application/octet-stream": {"schema": _BINARY}}),
}
_ANSWERS: dict[str, Json] = {
    "agentHello": {"application/json": {"schema": {"$ref": REFERENCE.format(name="Welcome")}}},
    "agentOrders": {"application/json": {"schema": {"$ref": REFERENCE.format(name="Orders")}}},
    "agentAnswers": {"application/json": {"schema": _counted("taken")}},
    "agentInput": {"application/octet-stream": {"schema": _BINARY}},
    "agentArtifact": {"application/json": {"schema": _counted("size_bytes")}},
    "readPlan": {"application/octet-stream": {"schema": _BINARY}},
    "readLog": {"application/octet-stream": {"schema": _BINARY}},
    "readArtifact": {"application/octet-stream": {"schema": _BINARY}},
    "exportLedger": {
        "text/csv": {"schema": _TEXT},
        "application/x-ndjson": {"schema": _TEXT},
        "text/plain": {"schema": _TEXT},
    },
    "bill": {"application/json": {"schema": {"$ref": REFERENCE.format(name="Bill")}}},
    "proveEntries": {"application/json": {"schema": {"$ref": REFERENCE.format(name="ProofFile")}}},
    "checkSettlements": {
        "application/json": {"schema": {"$ref": REFERENCE.format(name="ThreeWay")}}
    },
    "monthReport": {"application/json": {"schema": {"$ref": REFERENCE.format(name="MonthReport")}}},
    "metrics": {"text/plain": {"schema": _TEXT}},
    "ready": {"application/json": {"schema": _HEALTHY}},
}
_LOG_HEADERS = {
    "Fenglin-Next-Offset": {
        "description": "Where to read on; absent with `follow`.",
        "schema": {"type": "integer"},
    },
    "Fenglin-Complete": {
        "description": "Whether nothing will follow; absent with `follow`.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body give the same jobs again, never more of them.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
}
_ERRORS = {
    "400": "The request is wrong; it says what, where and what is allowed.",
    "401": "No token, or an unknown one.",
    "403": "The token does not reach.",
    "404": "No such object, or not yours.",
    "408": "The body came too slowly.",
    "409": "It contradicts what is there, such as a key used for another body.",
    "413": "The body is too large.",
    "415": "The body is compressed.",
    "429": "Too many requests.",
    "500": "The hub failed; `where` holds the incident's number.",
    "502": "A site refused or failed.",
    "503": "The hub cannot serve now; try again after `Retry-After` seconds.",
}
_WITH_BODY = {"408", "413"}
_WITH_AUTH = {"401", "403"}


def document(app: Litestar) -> bytes:
    """Return the OpenAPI 3.1 document of the application as JSON."""
    schema: Json = app.openapi_schema.to_schema()
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schemas = components.setdefault("schemas", {})
    _, ours = msgspec.json.schema_components(
        [
            ErrorView,
            Hello,
            Welcome,
            OrdersAsk,
            Orders,
            DrainRequest,
            Addresses,
            CloseAsk,
            MoneyMove,
            DiscrepancyStep,
            GiveBack,
            LateUses,
            InventoryAsk,
            MeasureAsk,
            PriceAsk,
            ProofAsk,
            ProofFile,
            PoolAsk,
            ApplyAsk,
            TakeBackAsk,
            UseAsk,
            LoginAsk,
            RotateAsk,
            SecretAsk,
            TokenAsk,
            Bill,
            MonthReport,
            SettleAsk,
            ThreeWay,
        ],
        ref_template=REFERENCE,
    )
    schemas.update(ours)
    components["responses"] = {
        status: {
            "description": text,
            "content": {
                "application/json": {"schema": {"$ref": REFERENCE.format(name="ErrorView")}}
            },
        }
        for status, text in _ERRORS.items()
    }
    for route in app.routes:
        item = schema["paths"].get(getattr(route, "path_format", ""))
        if item is None:
            continue
        for method, (handler, _) in getattr(route, "route_handler_map", {}).items():
            operation = item.get(method.lower())
            if operation is not None:
                _complete(operation, handler)
    return msgspec.json.encode(schema)


def _complete(operation: Json, handler: HTTPRouteHandler) -> None:
    """Add to an operation what the door does for it."""
    name = operation["operationId"]
    opened = handler.opt["scope"] == OPEN
    parameters = operation.setdefault("parameters", [])
    parameters.extend(_parameter(param) for param in handler.opt["query"])
    if name in ("submit", "submitBatch"):
        parameters.append(_KEY)
    if name in _BODIES:
        required, content = _BODIES[name]
        operation["requestBody"] = {"required": required, "content": content}
    responses = operation["responses"]
    good = next(status for status in responses if status.startswith("2"))
    if name in _ANSWERS:
        responses[good]["content"] = _ANSWERS[name]
    if name == "readLog":
        responses[good]["headers"] = _LOG_HEADERS
    for status in _ERRORS:
        if (status in _WITH_AUTH and opened and name != "login") or (
            status in _WITH_BODY and name not in _BODIES
        ):
            continue
        responses[status] = {"$ref": f"#/components/responses/{status}"}
    operation["security"] = [] if opened else [{"token": []}]
    operation["x-scope"] = handler.opt["scope"]


def _parameter(param: Param) -> Json:
    """Describe a query parameter."""
    schema: Json = {"type": "string" if param.kind == "text" else param.kind}
    if param.allowed:
        schema["enum"] = list(param.allowed)
    if param.kind in ("integer", "number"):
        schema |= {"minimum": param.lowest, "maximum": param.highest}
    if param.filters:
        schema = {"type": "array", "items": schema}
    elif param.default != "":
        schema["default"] = param.default
    told: Json = {"name": param.name, "in": "query", "description": param.doc, "schema": schema}
    if param.allowed or param.kind != "text":
        told["allowEmptyValue"] = True  # it counts as left out
    return told
