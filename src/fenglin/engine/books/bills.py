"""Bills: who may see which, and that a checkpoint covers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import NotFoundError, UnavailableError
from fenglin.quantities.period import DEFAULT_OFFSET_MIN, parse_period

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fenglin.ledger.bill import Bill
    from fenglin.ports.bills import Bills
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal


class BillDesk:
    """Implements `ports.books.BillDesk`."""

    def __init__(
        self,
        bills: Bills,
        seal: Callable[[], Awaitable[str]],
        clock: Clock,
        offset_min: int = DEFAULT_OFFSET_MIN,
    ) -> None:
        """Take the store's bills, what signs a checkpoint, the clock, and the books' zone."""
        self._bills = bills
        self._seal = seal
        self._clock = clock
        self.offset_min = offset_min

    async def bill(self, account: str, period: str, principal: Principal) -> Bill:
        """See `ports.books.BillDesk`."""
        month = parse_period(period, self.offset_min)
        if principal.account and principal.account != account:
            # Exactly what an unknown account answers.
            raise NotFoundError(f"there is no account {account!r}")
        now_ms = self._clock.now_ms()
        if month.from_ms > now_ms:
            raise NotFoundError(f"the period {month} has not begun", where="period")
        final = month.to_ms <= now_ms
        made = await self._bills.bill(account, month, final=final)
        if made is None:
            await self._seal()
            made = await self._bills.bill(account, month, final=final)
        if made is None:
            raise UnavailableError("the account's entries grow faster than they are sealed")
        return made
