"""The audit trail, for those whose task it is to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import DeniedError
from fenglin.model.role import Scope
from fenglin.wire.audit_views import AuditPage

if TYPE_CHECKING:
    from fenglin.ports.audit import Audit
    from fenglin.ports.hub import Principal
    from fenglin.wire.audit_views import AuditCheck, AuditQuestion


class AuditDesk:
    """Implements `ports.audit.AuditDesk`."""

    def __init__(self, audit: Audit) -> None:
        """Take the store's trail."""
        self._audit = audit

    async def page(self, asked: AuditQuestion, principal: Principal) -> AuditPage:
        """See `ports.audit.AuditDesk`."""
        _check(principal)
        items = await self._audit.page(asked)
        full = len(items) == asked.limit
        return AuditPage(items=items, next_after=items[-1].seq if full else 0)

    async def check(self, principal: Principal) -> AuditCheck:
        """See `ports.audit.AuditDesk`."""
        _check(principal)
        return await self._audit.check()


def _check(principal: Principal) -> None:
    if not principal.may(Scope.AUDIT):
        raise DeniedError("only auditors and operators see the audit trail")
