"""Accounts: what they have, money in and back, and the closing of months."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import DeniedError, InputError, NotFoundError
from fenglin.ledger.moves import deposit, refund
from fenglin.ledger.posting import CURRENCY
from fenglin.ledger.standing import Limits, standing
from fenglin.ledger.statement import Funds
from fenglin.quantities.period import offset_text, parse_period
from fenglin.wire.account_views import AccountList, AccountView, MoneyMoved, PeriodClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fenglin.ports.accounts import Accounts
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.wire.account_views import MoneyMove

MOST_KEY_CHARS = 128


class AccountDesk:
    """Implements `ports.books.AccountDesk`."""

    def __init__(
        self,
        accounts: Accounts,
        clock: Clock,
        epoch: Callable[[], int],
        limits: Mapping[str, Limits],
        offset_min: int,
    ) -> None:
        """Take the store's accounts, the clock, the leader's epoch, and what is configured."""
        self._accounts = accounts
        self._clock = clock
        self._epoch = epoch
        self._limits = limits
        self._offset_min = offset_min
        self.moved: Callable[[], None] = _nobody

    def connect(self, moved: Callable[[], None]) -> None:
        """Take who must hear that an account has other money than before."""
        self.moved = moved

    async def list(self, principal: Principal) -> AccountList:
        """See `ports.books.AccountDesk`."""
        funds = await self._accounts.funds()
        names = sorted(self._limits.keys() | funds.keys())
        mine = [name for name in names if principal.account in {"", name}]
        return AccountList(items=[self._view(name, funds.get(name, Funds())) for name in mine])

    async def show(self, account: str, principal: Principal) -> AccountView:
        """See `ports.books.AccountDesk`."""
        funds = await self._accounts.funds()
        if principal.account not in {"", account} or not (
            account in self._limits or account in funds
        ):
            raise _missing(account)
        return self._view(account, funds.get(account, Funds()))

    async def deposit(self, account: str, move: MoneyMove, principal: Principal) -> MoneyMoved:
        """See `ports.books.AccountDesk`."""
        self._check(account, move, principal)
        draft = deposit(account, move.amount_micro, move.key, memo=move.memo)
        entry = await self._accounts.enter(
            self._epoch(), draft, self._clock.now_ms(), least_micro=0
        )
        return await self._told(account, entry.seq, entry.key, entry.time_ms)

    async def refund(self, account: str, move: MoneyMove, principal: Principal) -> MoneyMoved:
        """See `ports.books.AccountDesk`."""
        self._check(account, move, principal)
        draft = refund(account, move.amount_micro, move.key, memo=move.memo)
        entry = await self._accounts.enter(
            self._epoch(), draft, self._clock.now_ms(), least_micro=move.amount_micro
        )
        return await self._told(account, entry.seq, entry.key, entry.time_ms)

    async def close(self, period: str, principal: Principal) -> PeriodClosed:
        """See `ports.books.AccountDesk`."""
        if principal.account:
            raise DeniedError("only an admin may close a month")
        month = parse_period(period, self._offset_min)
        now_ms = self._clock.now_ms()
        if now_ms < month.to_ms:
            raise InputError(f"{month} is not over", where="period", hint="close it afterwards")
        entry, open_holds = await self._accounts.close(self._epoch(), month, now_ms)
        return PeriodClosed(
            period=str(month),
            zone=offset_text(self._offset_min),
            from_ms=month.from_ms,
            to_ms=month.to_ms,
            entry=entry.seq,
            open_holds=open_holds,
        )

    def _check(self, account: str, move: MoneyMove, principal: Principal) -> None:
        if principal.account:
            raise DeniedError("only an admin may move an account's money")
        if account not in self._limits:
            raise _missing(account)
        if not 0 < len(move.key) <= MOST_KEY_CHARS or not move.key.isprintable():
            raise InputError(
                "the key is empty, too long or not printable",
                where="key",
                hint="such as the bank's reference, at most 128 characters",
            )

    async def _told(self, account: str, seq: int, key: str, time_ms: int) -> MoneyMoved:
        self.moved()
        funds = await self._accounts.funds()
        return MoneyMoved(
            entry=seq,
            key=key,
            time_ms=time_ms,
            account=self._view(account, funds.get(account, Funds())),
        )

    def _view(self, name: str, funds: Funds) -> AccountView:
        limits = self._limits.get(name, Limits())
        return AccountView(
            name=name,
            currency=CURRENCY,
            available_micro=funds.available_micro,
            held_micro=funds.held_micro,
            credit_limit_micro=limits.credit_micro,
            low_micro=limits.low_micro,
            standing=standing(funds.available_micro, limits),
        )


def _missing(account: str) -> NotFoundError:
    return NotFoundError(f"there is no account {account!r}", where="account")


def _nobody() -> None:
    """Nobody is connected yet."""
