"""Calls for the audit trail, for `Client.call` and `AsyncClient.call`."""

from __future__ import annotations

from urllib.parse import urlencode

from msgspec import structs

from fenglin.client.requests import API, Call
from fenglin.wire.audit_views import AuditCheck, AuditPage, AuditQuestion


def list_audit(asked: AuditQuestion) -> Call[AuditPage]:
    """List who changed what."""
    given = {name: value for name, value in structs.asdict(asked).items() if value}
    return Call("GET", f"{API}/audit?{urlencode(given)}", AuditPage)


def verify_audit() -> Call[AuditCheck]:
    """Check the whole trail."""
    return Call("GET", f"{API}/audit:verify", AuditCheck, extra_s=600.0)
