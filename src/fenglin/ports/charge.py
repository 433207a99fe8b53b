"""What a provider says that it charges, for capability COSTS."""

from __future__ import annotations

from msgspec import Struct


class Charge(Struct, frozen=True):
    """One line of what a provider charges.

    Attributes:
        line: The provider's own id of the line; the same line has the same id for ever.
        key: Attempt it belongs to; empty for what none alone has caused, such as an idle node.
        started_ms: Unix time from which it is charged.
        ended_ms: Unix time up to which.
        amount_micro: Millionths of the currency; negative for a credit.
        currency: ISO 4217 code.
        what: The provider's words.
    """

    line: str
    key: str
    started_ms: int
    ended_ms: int
    amount_micro: int
    currency: str
    what: str
