"""Accounts: what they have, money in and back, and the closing of months."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from fenglin.errors import DeniedError, FenglinError, InputError, NotFoundError
from fenglin.ledger.moves import deposit, refund
from fenglin.ledger.posting import CURRENCY, grant
from fenglin.ledger.standing import Limits, room_micro, standing
from fenglin.ledger.statement import Funds
from fenglin.model.hours import hours_named, of_purse, purse
from fenglin.ports.accounts import HoursBack
from fenglin.quantities.money import MAX_MICRO
from fenglin.quantities.period import offset_text, parse_period, period_of
from fenglin.wire.account_views import (
    AccountList,
    AccountView,
    BudgetView,
    HoursView,
    MoneyMoved,
    PeriodClosed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from fenglin.ledger.budgets import Budget, BudgetUse
    from fenglin.ports.accounts import Accounts
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.quantities.period import Period
    from fenglin.wire.account_views import MoneyMove

MOST_KEY_CHARS = 128
RENEW_EVERY_S = 30.0
_log = structlog.get_logger("fenglin.accounts")


class AccountDesk:
    """Implements `ports.books.AccountDesk`."""

    def __init__(
        self,
        accounts: Accounts,
        clock: Clock,
        epoch: Callable[[], int],
        limits: Mapping[str, Limits],
        offset_min: int,
        budgets: Mapping[str, Sequence[Budget]] | None = None,
        hours_limits: Mapping[str, Limits] | None = None,
    ) -> None:
        """Take the store's accounts, the clock, the leader's epoch, and what is configured."""
        self._budgets = budgets or {}
        self._hours_limits = hours_limits or {}
        self._accounts = accounts
        self._clock = clock
        self._epoch = epoch
        self._limits = limits
        self._offset_min = offset_min
        self.moved: Callable[[], None] = _nobody

    @property
    def names(self) -> Collection[str]:
        """Return the accounts that are declared."""
        return self._limits.keys()

    def connect(self, moved: Callable[[], None]) -> None:
        """Take who must hear that an account has other money than before."""
        self.moved = moved

    async def run(self) -> None:
        """Renew budgets when a month turns, for ever; what goes wrong is told and tried again."""
        month: Period | None = None
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            now = period_of(self._clock.now_ms(), self._offset_min)
            if now == month:
                continue
            try:
                await self.renew()
                month = now
            except FenglinError as error:
                _log.warning("budgets_not_renewed", what=str(error))

    async def renew(self) -> None:
        """Reckon with the spans of today."""
        await self._accounts.set_budgets(
            self._epoch(), self._budgets, self._offset_min, self._clock.now_ms()
        )
        self.moved()

    async def list(self, principal: Principal) -> AccountList:
        """See `ports.books.AccountDesk`."""
        funds = await self._accounts.funds()
        uses = await self._accounts.budgets(self._clock.now_ms())
        hours = await self._accounts.hours()
        names = sorted(self._limits.keys() | funds.keys())
        mine = [name for name in names if principal.account in {"", name}]
        return AccountList(
            items=[
                self._view(name, funds.get(name, Funds()), uses.get(name, ()), hours.get(name, {}))
                for name in mine
            ]
        )

    async def show(self, account: str, principal: Principal) -> AccountView:
        """See `ports.books.AccountDesk`."""
        funds = await self._accounts.funds()
        if principal.account not in {"", account} or not (
            account in self._limits or account in funds
        ):
            raise _missing(account)
        return await self._now(account)

    async def deposit(self, account: str, move: MoneyMove, principal: Principal) -> MoneyMoved:
        """See `ports.books.AccountDesk`."""
        self._check(account, move, principal)
        if move.hours:
            kind = hours_named(move.hours)
            draft = grant(account, move.amount_micro, move.key, commodity=kind, memo=move.memo)
        else:
            draft = deposit(account, move.amount_micro, move.key, memo=move.memo)
        entry = await self._accounts.enter(
            self._epoch(), draft, self._clock.now_ms(), least_micro=0
        )
        return await self._told(account, entry.seq, entry.key, entry.time_ms)

    async def refund(self, account: str, move: MoneyMove, principal: Principal) -> MoneyMoved:
        """See `ports.books.AccountDesk`."""
        self._check(account, move, principal)
        now_ms = self._clock.now_ms()
        if move.hours:
            back = HoursBack(hours_named(move.hours), move.amount_micro, move.key, move.memo)
            entry = await self._accounts.take_back(self._epoch(), account, back, now_ms)
        else:
            draft = refund(account, move.amount_micro, move.key, memo=move.memo)
            entry = await self._accounts.enter(
                self._epoch(), draft, now_ms, least_micro=move.amount_micro
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
        check_money_key(move.key)
        if not 0 < move.amount_micro <= MAX_MICRO:
            raise InputError(
                f"an amount of {move.amount_micro} micro-units is out of range",
                where="amount_micro",
                hint=f"1 to {MAX_MICRO} is allowed",
            )

    async def _told(self, account: str, seq: int, key: str, time_ms: int) -> MoneyMoved:
        self.moved()
        return MoneyMoved(entry=seq, key=key, time_ms=time_ms, account=await self._now(account))

    async def _now(self, account: str) -> AccountView:
        funds = await self._accounts.funds()
        uses = await self._accounts.budgets(self._clock.now_ms())
        hours = await self._accounts.hours()
        return self._view(
            account, funds.get(account, Funds()), uses.get(account, ()), hours.get(account, {})
        )

    def _view(
        self, name: str, funds: Funds, uses: Sequence[BudgetUse], hours: Mapping[str, Funds]
    ) -> AccountView:
        limits = self._limits.get(name, Limits())
        mine = [one for one in uses if one.budget.commodity == CURRENCY]
        return AccountView(
            name=name,
            currency=CURRENCY,
            available_micro=funds.available_micro,
            held_micro=funds.held_micro,
            credit_limit_micro=limits.credit_micro,
            low_micro=limits.low_micro,
            standing=standing(funds.available_micro, limits),
            budgets=[_budget(one) for one in mine],
            room_micro=room_micro(funds.available_micro, limits, mine),
            hours=[
                self._hours(name, kind, hours.get(kind, Funds()), uses)
                for kind in self._kinds(name, uses, hours)
            ],
        )

    def _kinds(self, name: str, uses: Sequence[BudgetUse], had: Iterable[str]) -> Sequence[str]:
        """Return the kinds of hours that an account had, is lent or has budgets of."""
        purses = [of_purse(place) for place in self._hours_limits]
        lent = {kind for account, kind in purses if account == name}
        return sorted({*had, *lent} | {use.budget.commodity for use in uses} - {CURRENCY})

    def _hours(self, name: str, kind: str, funds: Funds, uses: Sequence[BudgetUse]) -> HoursView:
        limits = self._hours_limits.get(purse(name, kind), Limits())
        mine = [one for one in uses if one.budget.commodity == kind]
        return HoursView(
            kind=kind,
            available_micro=funds.available_micro,
            held_micro=funds.held_micro,
            credit_limit_micro=limits.credit_micro,
            low_micro=limits.low_micro,
            standing=standing(funds.available_micro, limits),
            budgets=[_budget(one) for one in mine],
            room_micro=room_micro(funds.available_micro, limits, mine),
        )


def check_money_key(key: str) -> None:
    """Refuse what cannot be the key of money that came or went.

    Raises:
        InputError: it is empty, too long or not printable.
    """
    if not 0 < len(key) <= MOST_KEY_CHARS or not key.isprintable():
        raise InputError(
            "the key is empty, too long or not printable",
            where="key",
            hint="such as the bank's reference, at most 128 characters",
        )


def _budget(use: BudgetUse) -> BudgetView:
    return BudgetView(
        span=use.budget.span,
        from_ms=use.from_ms,
        to_ms=use.to_ms,
        hard_micro=use.budget.hard_micro,
        soft_micro=use.budget.soft_micro,
        charged_micro=use.charged_micro,
        held_micro=use.held_micro,
        state=use.state,
    )


def _missing(account: str) -> NotFoundError:
    return NotFoundError(f"there is no account {account!r}", where="account")


def _nobody() -> None:
    """Nobody is connected yet."""
