"""Accounts as the store keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.ledger.budgets import Budget, BudgetUse
    from fenglin.ledger.entry import Draft, Entry
    from fenglin.ledger.statement import Funds
    from fenglin.quantities.period import Period


class HoursBack(Struct, frozen=True):
    """Hours that are taken back.

    Attributes:
        commodity: `CORE-HOUR` or `CARD.<MODEL>`.
        amount_micro: Millionths of an hour, more than zero.
        key: The operator's own.
        memo: For people.
    """

    commodity: str
    amount_micro: int
    key: str
    memo: str


class Accounts(Protocol):
    """Balances, limits, and entries that operators make."""

    async def funds(self) -> dict[str, Funds]:
        """Return what each account has in money, of those that the ledger knows."""
        ...

    async def hours(self) -> dict[str, dict[str, Funds]]:
        """Return what accounts have in each kind of hours, by account and commodity."""
        ...

    async def set_limits(self, epoch: int, credits_micro: Mapping[str, int]) -> None:
        """Say how far each account may fall below zero; others may not.

        Args:
            epoch: The leader's.
            credits_micro: By account for money, by `model.hours.purse` for hours.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...

    async def set_budgets(
        self, epoch: int, budgets: Mapping[str, Sequence[Budget]], offset_min: int, now_ms: int
    ) -> None:
        """Say what accounts may use, instead of what was said before.

        Args:
            epoch: The leader's.
            budgets: By account, of money and of hours; others have none.
            offset_min: Minutes by which the books' clock, which begins spans, is ahead of UTC.
            now_ms: Unix time, for the spans by which `ports.store.Store.balances` reckons.

        Raises:
            StaleEpochError: another leader took over.
        """
        ...

    async def budgets(self, now_ms: int) -> dict[str, list[BudgetUse]]:
        """Return each account's budgets, and what has been used of them."""
        ...

    async def enter(self, epoch: int, draft: Draft, now_ms: int, *, least_micro: int) -> Entry:
        """Enter money that came in or went out.

        Args:
            epoch: The leader's.
            draft: Of a deposit or refund.
            now_ms: Unix time.
            least_micro: What must be available before, unless the entry is there already.

        Raises:
            ConflictError: too little is available, or the key is there with another body.
            StaleEpochError: another leader took over.
        """
        ...

    async def take_back(self, epoch: int, account: str, hours: HoursBack, now_ms: int) -> Entry:
        """Take back hours that an account was granted: correct its last grant of them.

        Args:
            epoch: The leader's.
            account: Whose.
            hours: What, and under which key; a second time it enters nothing.
            now_ms: Unix time.

        Raises:
            ConflictError: too little is available, or the key is there with another body.
            InputError: the amount is not positive or too large.
            StaleEpochError: another leader took over.
        """
        ...

    async def close(self, epoch: int, period: Period, now_ms: int) -> tuple[Entry, int]:
        """Close a month; return its entry, and how many holds of it were open then.

        Raises:
            ConflictError: the month before it is open though the ledger was there, or a later
                month is closed.
            StaleEpochError: another leader took over.
        """
        ...
