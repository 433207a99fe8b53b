"""The audit trail, as the store keeps it and as the door may ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ports.hub import Principal
    from fenglin.wire.audit_views import AuditCheck, AuditPage, AuditQuestion, AuditView


class Audit(Protocol):
    """The trail, as the store keeps it."""

    async def page(self, asked: AuditQuestion) -> list[AuditView]:
        """Return records, oldest first."""
        ...

    async def check(self) -> AuditCheck:
        """Check each record against the chain."""
        ...


class AuditDesk(Protocol):
    """The trail, for auditors and operators."""

    async def page(self, asked: AuditQuestion, principal: Principal) -> AuditPage:
        """Return records, oldest first."""
        ...

    async def check(self, principal: Principal) -> AuditCheck:
        """Check the whole trail."""
        ...
