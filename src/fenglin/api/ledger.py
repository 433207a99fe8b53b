"""Routes of the ledger, and those that tell how the hub is."""

from __future__ import annotations

from litestar import Response, get
from litestar.response import Stream

from fenglin.api import query
from fenglin.api.caller import OPEN, Asked, desk_of, needs, query_of
from fenglin.api.streams import primed
from fenglin.errors import InputError
from fenglin.wire.views import ErrorView, LedgerCheck, ProblemView, Statement

_LEDGER = ["ledger"]
_HEALTH = ["health"]
_EXPORTS = {
    "csv": ("text/csv", "csv"),
    "jsonl": ("application/x-ndjson", "jsonl"),
    "beancount": ("text/plain", "beancount"),
    "focus": ("text/csv", "focus.csv"),
}


@get(
    "/v1/ledger/verify",
    opt=needs("read"),
    tags=_LEDGER,
    operation_id="verifyLedger",
    summary="Verify the whole ledger",
)
async def verify(request: Asked) -> LedgerCheck:
    """Check every entry's balance and the chain over all of them. May take minutes."""
    return await desk_of(request).hub.ledger_verify(request.user)


@get(
    "/v1/ledger/statement",
    opt=needs("read", query.STATEMENT),
    tags=_LEDGER,
    operation_id="statement",
    summary="Show an account's statement",
)
async def statement(request: Asked) -> Statement:
    """Return what an account was charged in a period."""
    asked = query_of(request)
    from_ms, to_ms = asked.integer("from_ms"), asked.integer("to_ms")
    if to_ms and to_ms < from_ms:
        raise InputError("the period ends before it begins", where="query parameter to_ms")
    account = asked.text("account") or request.user.account
    if not account:
        raise InputError(
            "the account is missing",
            where="query parameter account",
            hint="name one, such as account=default",
        )
    return await desk_of(request).hub.ledger_statement(account, from_ms, to_ms, request.user)


@get(
    "/v1/ledger/export",
    opt=needs("read", query.EXPORT),
    tags=_LEDGER,
    operation_id="exportLedger",
    summary="Export the ledger",
)
async def export(request: Asked) -> Stream:
    """Stream all entries as CSV, JSON lines or beancount text, or what was charged as FOCUS 1.2."""
    form = query_of(request).text("format")
    media_type, suffix = _EXPORTS[form]
    pieces = desk_of(request).hub.ledger_export(form, request.user)
    return Stream(
        await primed(pieces),
        media_type=media_type,
        headers={"content-disposition": f'attachment; filename="ledger.{suffix}"'},
    )


@get(
    "/healthz",
    opt=needs(OPEN),
    tags=_HEALTH,
    operation_id="alive",
    summary="Ask whether the process serves",
)
async def healthz() -> dict[str, str]:
    """Answer 200 as long as the process serves requests at all."""
    return {"status": "ok"}


@get(
    "/readyz",
    opt=needs(OPEN),
    tags=_HEALTH,
    operation_id="ready",
    summary="Ask whether the hub can do its work",
)
async def readyz(request: Asked) -> Response[dict[str, str]] | Response[ErrorView]:
    """Answer 200, or 503 with what hinders the hub."""
    health = desk_of(request).hub.health()
    if health.ready:
        notes = "; ".join(health.notes)
        return Response({"status": "ready", "notes": notes} if notes else {"status": "ready"})
    view = ErrorView(
        code="not_ready",
        what="the hub is not ready",
        problems=[ProblemView(path="", what=problem) for problem in health.problems],
    )
    return Response(view, status_code=503, headers={"retry-after": "1"})


@get(
    "/metrics",
    opt=needs("read"),
    tags=_HEALTH,
    operation_id="metrics",
    summary="Read the hub's metrics",
)
async def metrics(request: Asked) -> Response[bytes]:
    """Return the Prometheus exposition."""
    return Response(desk_of(request).hub.metrics(), media_type="text/plain; version=0.0.4")


ROUTES = (verify, statement, export, healthz, readyz, metrics)
