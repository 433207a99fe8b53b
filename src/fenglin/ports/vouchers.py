"""Voucher pools, as the store keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.ledger.vouchers.claim import Application, Decision
    from fenglin.ledger.vouchers.pool import Event, Pool
    from fenglin.ledger.vouchers.scheme import Scheme


class Vouchers(Protocol):
    """Every write checks and enters in one transaction, with its ledger entries or not at all."""

    async def open(self, epoch: int, name: str, scheme: Scheme, who: str, now_ms: int) -> Pool:
        """Open a pool; the same scheme again answers with the pool as it is.

        Raises:
            InputError: the scheme has blanks.
            ConflictError: a pool of that name has another scheme.
        """
        ...

    async def pools(self) -> tuple[Pool, ...]:
        """Return all pools, by name."""
        ...

    async def decide(
        self, epoch: int, pool: str, round_: Sequence[Application], who: str, now_ms: int
    ) -> tuple[Decision, ...]:
        """Decide on a round, and promise what was granted; what has expired lapses before.

        Raises:
            ConflictError: an application was decided on already.
            NotFoundError: there is no such pool.
        """
        ...

    async def pay(
        self, epoch: int, account: str, commodity: str, bill: tuple[str, int], now_ms: int
    ) -> int:
        """Pay a bill with an account's vouchers of all pools, soonest to expire first.

        Args:
            epoch: The leader's.
            account: Whose bill, and whose vouchers.
            commodity: Of the bill; vouchers of others do not count.
            bill: Its name, unique for ever, and what is owed in micro-units.
            now_ms: Unix time.

        Returns:
            What is left to be paid with money.

        Raises:
            ConflictError: vouchers have paid that bill already.
        """
        ...

    async def lapse(self, epoch: int, now_ms: int) -> int:
        """Free what expired vouchers hold; return how many lapsed."""
        ...

    async def withdraw(
        self, epoch: int, voucher: tuple[str, str], why: str, who: str, now_ms: int
    ) -> tuple[Event, ...]:
        """Take a voucher, named by (pool, id), back: used or not.

        Raises:
            NotFoundError: there is no such pool or voucher.
            ConflictError: nothing of it is left to take back.
        """
        ...

    async def decisions(self, pool: str) -> tuple[Decision, ...]:
        """Return every decision of a pool, in order, refusals too.

        Raises:
            NotFoundError: there is no such pool.
        """
        ...
