"""Settlements, as the store makes and keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from fenglin.ledger.settlement import Settlement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.ledger.entry import Draft, Entry
    from fenglin.ledger.report import UsageSum
    from fenglin.ledger.settlement_check import ThreeWay
    from fenglin.ledger.settlement_deal import Deal
    from fenglin.ports.hub import Principal
    from fenglin.quantities.period import Period
    from fenglin.wire.account_views import MoneyMove
    from fenglin.wire.settling_views import DueList, MonthReport, ProviderPaid, SettledMonth


class Settled(Struct, frozen=True):
    """A settlement, and its entry if it was posted.

    Attributes:
        settlement: As it was posted, or as it would be.
        seq: Of the entry; 0 before.
        posted_by: Who posted it; empty before.
    """

    settlement: Settlement
    seq: int = 0
    posted_by: str = ""


class Due(Struct, frozen=True):
    """What a provider is owed.

    Attributes:
        provider: Who.
        commodity: Of the amounts.
        due_micro: What it has earned and not been paid, hub's fee and taxes of months that are
            not settled included.
        settled_micro: What posted settlements said is payable, of all months together.
        paid_micro: What was paid of that.
    """

    provider: str
    commodity: str
    due_micro: int = 0
    settled_micro: int = 0
    paid_micro: int = 0

    @property
    def payable_micro(self) -> int:
        """Return what may be paid now."""
        return self.settled_micro - self.paid_micro


class Settlings(Protocol):
    """Settles months of the ledger."""

    async def dues(self) -> tuple[Due, ...]:
        """Return what providers are owed, by name and commodity."""
        ...

    async def pay(self, epoch: int, draft: Draft, now_ms: int) -> Entry:
        """Enter money that went out to a provider; what is there is answered as it was.

        Raises:
            ConflictError: it is more than is payable, or the key is there with another body.
            StaleEpochError: another leader took over.
        """
        ...

    async def month(
        self, period: Period, deals: Mapping[str, Sequence[Deal]]
    ) -> tuple[tuple[Settled, ...], int]:
        """Return the month's settlements, and the number of the entry that closed it (0: open).

        One that was posted is made anew by the deal that was kept with it.

        Raises:
            DamageError: one comes to something else than what was posted, or entries are damaged.
        """
        ...

    async def post(
        self, epoch: int, made: Sequence[Settlement], who: str, now_ms: int
    ) -> tuple[Settled, ...]:
        """Enter settlements of a closed month; one that is there is answered as it was.

        Raises:
            ConflictError: one was posted otherwise.
            StaleEpochError: another leader took over.
        """
        ...

    async def check(self, period: Period) -> ThreeWay:
        """Reconcile a month from the rows of the ledger."""
        ...

    async def usage(self, period: Period) -> tuple[UsageSum, ...]:
        """Return what was used in a month, by account, site and flavor."""
        ...


class SettleDesk(Protocol):
    """Settlements of providers, and the reports of a month; only the operator may post."""

    async def month(self, period: str, provider: str, principal: Principal) -> SettledMonth:
        """Return a month's settlements, of all providers or of one; a provider sees its own.

        Raises:
            DeniedError: the caller is neither operator, auditor nor provider.
            InputError: the period is no month.
            NotFoundError: the month has not begun, or the provider has no part in it.
        """
        ...

    async def post(self, period: str, provider: str, principal: Principal) -> SettledMonth:
        """Enter a month's settlements; those that are posted stay as they are.

        Raises:
            ConflictError: the month is not closed.
        """
        ...

    async def check(self, period: str, principal: Principal) -> ThreeWay:
        """Reconcile a month: what tenants paid is what providers, hub and taxes got."""
        ...

    async def dues(self, principal: Principal) -> DueList:
        """Return what providers are owed; a provider sees its own.

        Raises:
            DeniedError: the caller is neither operator, auditor nor provider.
        """
        ...

    async def pay(self, provider: str, move: MoneyMove, principal: Principal) -> ProviderPaid:
        """Enter money that went out to a provider.

        Raises:
            ConflictError: it is more than is payable, or the key is there with another body.
            DeniedError: the caller is no operator.
            InputError: the amount or the key is out of range.
            NotFoundError: the ledger knows no such provider.
        """
        ...

    async def report(self, period: str, principal: Principal) -> MonthReport:
        """Return a month's operation report."""
        ...
