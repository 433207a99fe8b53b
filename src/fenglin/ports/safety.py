"""What the door may ask about jobs, users and sites that are held back for safety."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ports.hub import Principal
    from fenglin.wire.safety_views import ReleasedView, SafetyView


class SafetyDesk(Protocol):
    """For operators."""

    async def show(self, principal: Principal) -> SafetyView:
        """Return what is set aside or held back."""
        ...

    async def release(self, job: int, principal: Principal) -> ReleasedView:
        """Try a job again that was set aside.

        Raises:
            NotFoundError: it is not set aside.
            ConflictError: it still cannot be read.
        """
        ...

    async def release_user(self, user: str, principal: Principal) -> ReleasedView:
        """Slow a user no longer.

        Raises:
            NotFoundError: it is not slowed.
        """
        ...
