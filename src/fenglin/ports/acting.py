"""On whose behalf this is done: what the audit trail writes beside each change.

The door says it once per request; whatever the request leads to, in the same task, finds it.
"""

from __future__ import annotations

from contextvars import ContextVar

from msgspec import Struct


class Act(Struct, frozen=True):
    """A request that changes something.

    Attributes:
        time_ms: Unix time.
        actor: Name of who asks.
        token: Number of their token; 0 for none.
        account: Their account; empty for all.
        what: The operation, as the API's document names it.
        subject: The request's path.
    """

    time_ms: int
    actor: str
    token: int
    account: str
    what: str
    subject: str


ACTING: ContextVar[Act | None] = ContextVar("acting", default=None)
"""The request that this task serves; None where the hub acts by itself."""
