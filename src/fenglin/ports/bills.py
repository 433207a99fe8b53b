"""Bills of tenants, as the store can make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ledger.bill import Bill
    from fenglin.quantities.period import Period


class Bills(Protocol):
    """Reads the ledger for bills."""

    async def bill(self, account: str, period: Period, *, final: bool) -> Bill | None:
        """Return an account's bill with its proof; None until a checkpoint covers its entries.

        Args:
            account: The tenant's account.
            period: The month.
            final: Whether it is over.

        Raises:
            NotFoundError: there is no such account.
            DamageError: the entries cannot be read.
        """
        ...
