"""Settlements of providers, their reconciliation, and the report of a month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.engine.books.accounts import check_money_key
from fenglin.errors import ConflictError, DeniedError, NotFoundError
from fenglin.ledger.moves import CURRENCY, pay
from fenglin.ledger.report import SiteStock, load_rows, stock_rows, usage_rows
from fenglin.model.role import Scope
from fenglin.quantities.period import offset_text, parse_period
from fenglin.wire.settling_views import (
    DueList,
    DueView,
    MonthReport,
    ProviderPaid,
    SettledMonth,
    SettlementView,
)
from fenglin.wire.views import PromiseView

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from fenglin.engine.pool import Pool
    from fenglin.ledger.settlement_check import ThreeWay
    from fenglin.ledger.settlement_deal import Deal
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.settling import Due, Settled, Settlings
    from fenglin.quantities.period import Period
    from fenglin.wire.account_views import MoneyMove
    from fenglin.wire.inventory_views import InventoryReport
    from fenglin.wire.metering_views import EnergyReport

# The driver that scripts faults; nothing real runs there.
SIMULATED_DRIVER = "mock"


class SettleDesk:
    """Implements `ports.settling.SettleDesk`."""

    def __init__(
        self,
        settlings: Settlings,
        clock: Clock,
        pool: Pool,
        deals: Mapping[str, Sequence[Deal]],
        inventory: Callable[[str], Awaitable[InventoryReport]],
        offset_min: int,
        energy: Callable[[str, Principal], Awaitable[EnergyReport]] | None = None,
    ) -> None:
        """Take the store's settlements, the clock, the pool, what is configured.

        `inventory` is asked for a month's baseline inventory, `energy` for what it took.
        """
        self._settlings = settlings
        self._clock = clock
        self._pool = pool
        self._deals = deals
        self._inventory = inventory
        self._offset_min = offset_min
        self._energy = energy

    async def month(self, period: str, provider: str, principal: Principal) -> SettledMonth:
        """See `ports.settling.SettleDesk`."""
        if not principal.may(Scope.AUDIT) and principal.may(Scope.PROVIDER):
            if provider not in {"", principal.party}:
                raise _nothing(provider, period)
            provider = principal.party
            month = self._parsed(period)
        else:
            month = self._month(period, principal)
        settled, closed = await self._settlings.month(month, self._deals)
        return _view(month, _of(settled, provider, month), closed)

    async def post(self, period: str, provider: str, principal: Principal) -> SettledMonth:
        """See `ports.settling.SettleDesk`."""
        if not principal.may(Scope.ADMIN):
            raise DeniedError("only the operator may settle")
        month = self._parsed(period)
        settled, closed = await self._settlings.month(month, self._deals)
        if not closed:
            raise ConflictError(
                f"{month} is not closed: entries may still come",
                where="period",
                hint=f"when it is over, run `fenglin ledger close --period {month}`",
            )
        wanted = _of(settled, provider, month)
        # Nothing enters a closed month, so what was made of it a moment ago is what it is.
        fresh = [one.settlement for one in wanted]
        posted = await self._settlings.post(
            self._pool.epoch, fresh, principal.name, self._clock.now_ms()
        )
        return _view(month, posted, closed)

    async def dues(self, principal: Principal) -> DueList:
        """See `ports.settling.SettleDesk`."""
        if not (principal.may(Scope.AUDIT) or principal.may(Scope.PROVIDER)):
            raise DeniedError("only the operator, auditors and providers may see dues")
        mine = "" if principal.may(Scope.AUDIT) else principal.party
        found = await self._settlings.dues()
        return DueList(items=[_due(one) for one in found if mine in {"", one.provider}])

    async def pay(self, provider: str, move: MoneyMove, principal: Principal) -> ProviderPaid:
        """See `ports.settling.SettleDesk`."""
        if not principal.may(Scope.ADMIN):
            raise DeniedError("only the operator may pay a provider")
        if not any(one.provider == provider for one in await self._settlings.dues()):
            raise NotFoundError(f"the ledger knows no provider {provider!r}", where="provider")
        check_money_key(move.key)
        draft = pay(provider, move.amount_micro, move.key, memo=move.memo)
        entry = await self._settlings.pay(self._pool.epoch, draft, self._clock.now_ms())
        found = await self._settlings.dues()
        (due,) = (one for one in found if (one.provider, one.commodity) == (provider, CURRENCY))
        return ProviderPaid(entry=entry.seq, key=entry.key, time_ms=entry.time_ms, due=_due(due))

    async def check(self, period: str, principal: Principal) -> ThreeWay:
        """See `ports.settling.SettleDesk`."""
        return await self._settlings.check(self._month(period, principal))

    async def report(self, period: str, principal: Principal) -> MonthReport:
        """See `ports.settling.SettleDesk`."""
        month = self._month(period, principal)
        settled, closed = await self._settlings.month(month, self._deals)
        three_way = await self._settlings.check(month)
        used = await self._settlings.usage(month)
        now_ms = self._clock.now_ms()
        stock = self._stock()
        view = _view(month, settled, closed)
        return MonthReport(
            period=view.period,
            zone=view.zone,
            from_ms=month.from_ms,
            to_ms=month.to_ms,
            made_ms=now_ms,
            hub=self._pool.hub,
            closed=closed,
            inventory=stock_rows(stock),
            declared=await self._inventory(str(month)),
            usage=usage_rows(used, stock),
            load=load_rows(used, stock, min(now_ms, month.to_ms) - month.from_ms),
            promises=PromiseView(*self._pool.foresight.kept()),
            settlements=view.items,
            three_way=three_way,
            energy=await self._energy(str(month), principal) if self._energy else None,
        )

    def _month(self, period: str, principal: Principal) -> Period:
        """Return the month that was asked for, if the caller may see all of it."""
        if not principal.may(Scope.AUDIT):
            raise DeniedError("only the operator, auditors and providers may see settlements")
        return self._parsed(period)

    def _parsed(self, period: str) -> Period:
        """Return the month of `YYYY-MM`, which has begun."""
        month = parse_period(period, self._offset_min)
        if month.from_ms > self._clock.now_ms():
            raise NotFoundError(f"the period {month} has not begun", where="period")
        return month

    def _stock(self) -> list[SiteStock]:
        """Return what there is, as it is declared."""
        found = []
        for status in self._pool.sites.values():
            site = status.site
            for flavor in site.flavors:
                nodes = sum(node.flavor == flavor.name for node in site.nodes)
                have = flavor.node.times(nodes)
                found.append(
                    SiteStock(
                        provider=site.provider,
                        site=site.name,
                        flavor=flavor.name,
                        compute_class=flavor.compute_class,
                        nodes=nodes,
                        cpu_milli=have.cpu_milli,
                        memory_bytes=have.memory_bytes,
                        card_milli=have.accelerator_milli,
                        card_model=flavor.accelerator,
                        simulated=site.driver == SIMULATED_DRIVER,
                    )
                )
        return found


def _due(one: Due) -> DueView:
    return DueView(
        provider=one.provider,
        currency=one.commodity,
        due_micro=one.due_micro,
        settled_micro=one.settled_micro,
        paid_micro=one.paid_micro,
        payable_micro=one.payable_micro,
    )


def _of(settled: Sequence[Settled], provider: str, month: Period) -> Sequence[Settled]:
    """Return one provider's part, or all for no name."""
    mine = [one for one in settled if provider in {"", one.settlement.provider}]
    if provider and not mine:
        raise _nothing(provider, str(month))
    return mine


def _nothing(provider: str, period: str) -> NotFoundError:
    return NotFoundError(
        f"nothing was charged for the work of {provider!r} in {period}", where="provider"
    )


def _view(month: Period, settled: Sequence[Settled], closed: int) -> SettledMonth:
    return SettledMonth(
        period=str(month),
        zone=offset_text(month.offset_min),
        closed=closed,
        items=[
            SettlementView(settlement=one.settlement, entry=one.seq, posted_by=one.posted_by)
            for one in settled
        ],
    )
