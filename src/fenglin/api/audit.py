"""Routes of the audit trail."""

from __future__ import annotations

from litestar import get

from fenglin.api import query
from fenglin.api.caller import Asked, desk_of, needs, query_of
from fenglin.model.role import Scope
from fenglin.wire.audit_views import AuditCheck, AuditPage, AuditQuestion

_AUDIT = ["audit"]


@get(
    "/v1/audit",
    opt=needs(Scope.AUDIT, query.TRAIL),
    tags=_AUDIT,
    operation_id="listAudit",
    summary="List who changed what",
)
async def list_audit(request: Asked) -> AuditPage:
    """List who changed what, oldest first."""
    asked = query_of(request)
    question = AuditQuestion(
        after=asked.integer("after"),
        limit=asked.integer("limit"),
        actor=asked.text("actor"),
        what=asked.text("what"),
        from_ms=asked.integer("from_ms"),
    )
    return await desk_of(request).hub.audit.page(question, request.user)


@get(
    "/v1/audit:verify",
    opt=needs(Scope.AUDIT),
    tags=_AUDIT,
    operation_id="verifyAudit",
    summary="Verify the audit trail",
)
async def verify_audit(request: Asked) -> AuditCheck:
    """Check each record against the chain; may take a while."""
    return await desk_of(request).hub.audit.check(request.user)


ROUTES = (list_audit, verify_audit)
