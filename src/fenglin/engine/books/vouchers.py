"""Vouchers: who may file, approve and take back; what has expired goes back to its pool."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import structlog

from fenglin.errors import DeniedError, FenglinError, InputError, LimitError, NotFoundError
from fenglin.ledger.accounts import check_commodity
from fenglin.ledger.posting import CURRENCY
from fenglin.ledger.vouchers.pool import FOR_EVER_MS, Act
from fenglin.ports.vouchers import TakeBack, Use
from fenglin.quantities.money import MAX_MICRO
from fenglin.quantities.period import parse_period
from fenglin.wire.views import Page
from fenglin.wire.voucher_views import (
    AuditRow,
    AuditView,
    PoolList,
    PoolView,
    UsedView,
    VoucherList,
    VouchersUsed,
    VoucherView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fenglin.engine.books.accounts import AccountDesk
    from fenglin.ledger.vouchers.claim import Application
    from fenglin.ledger.vouchers.scheme import Scheme
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Listing, Principal
    from fenglin.ports.vouchers import Audit, PoolRecord, VoucherRecord, Vouchers
    from fenglin.wire.voucher_views import PoolAsk, TakeBackAsk, UseAsk

LAPSE_EVERY_S = 60.0
MOST_APPLICATIONS = 1_000
MOST_LINES = 1_000
MOST_TEXT_CHARS = 300
MOST_KEY_CHARS = 128
_SCHEME_NAME = re.compile(r"[a-z][a-z0-9-]{0,47}", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 2000, 9999
_log = structlog.get_logger("fenglin.vouchers")


class VoucherDesk:
    """Implements `ports.vouchers.VoucherDesk`."""

    def __init__(
        self,
        vouchers: Vouchers,
        accounts: AccountDesk,
        clock: Clock,
        epoch: Callable[[], int],
        offset_min: int,
    ) -> None:
        """Take the store's vouchers, who knows the accounts, the clock, epoch and zone."""
        self._vouchers = vouchers
        self._accounts = accounts
        self._clock = clock
        self._epoch = epoch
        self._offset_min = offset_min

    async def run(self) -> None:
        """Free what has expired, for ever; what goes wrong is told and tried again."""
        while True:
            await self.once()
            await asyncio.sleep(LAPSE_EVERY_S)

    async def once(self) -> None:
        """Free what has expired."""
        try:
            count = await self._vouchers.lapse(self._epoch(), self._clock.now_ms())
        except FenglinError as error:
            _log.warning("vouchers_not_freed", what=str(error))
        else:
            if count:
                _log.info("vouchers_expired", count=count)

    async def open(self, ask: PoolAsk, principal: Principal) -> PoolView:
        """See `ports.vouchers.VoucherDesk`."""
        _check_admin(principal, "open a voucher pool")
        _check_scheme(ask.scheme)
        if not _FIRST_YEAR <= ask.year <= _LAST_YEAR:
            raise InputError(f"{ask.year} is no year", where="year", hint="such as 2027")
        name = f"{ask.scheme.name}-{ask.year}"
        now_ms = self._clock.now_ms()
        return _pool_view(
            await self._vouchers.open(self._epoch(), name, ask.scheme, principal.name, now_ms)
        )

    async def pools(self) -> PoolList:
        """See `ports.vouchers.VoucherDesk`."""
        return PoolList(items=[_pool_view(one) for one in await self._vouchers.pools()])

    async def pool(self, name: str) -> PoolView:
        """See `ports.vouchers.VoucherDesk`."""
        (found,) = await self._vouchers.pools(name)
        return _pool_view(found)

    async def file(
        self, pool: str, asked: Sequence[Application], principal: Principal
    ) -> VoucherList:
        """See `ports.vouchers.VoucherDesk`."""
        lines = sum(len(one.lines) for one in asked)
        if len(asked) > MOST_APPLICATIONS or lines > MOST_LINES * MOST_APPLICATIONS:
            raise LimitError(f"{len(asked)} applications are too many", hint="file them in parts")
        if not asked:
            raise InputError("there is no application", where="applications")
        for account in dict.fromkeys(one.account for one in asked):
            await self._accounts.show(account, principal)  # missing, or another's
        now_ms = self._clock.now_ms()
        found = await self._vouchers.file(self._epoch(), pool, asked, principal.name, now_ms)
        return await self._listed(found)

    async def round(self, pool: str, principal: Principal) -> VoucherList:
        """See `ports.vouchers.VoucherDesk`."""
        _check_admin(principal, "decide on a round")
        now_ms = self._clock.now_ms()
        return await self._listed(
            await self._vouchers.round(self._epoch(), pool, principal.name, now_ms)
        )

    async def vouchers(self, listing: Listing, principal: Principal) -> Page[VoucherView]:
        """See `ports.vouchers.VoucherDesk`."""
        after = _number(listing.cursor) if listing.cursor else 0
        found = await self._vouchers.records(
            listing.filters, principal.account, after, listing.limit + 1
        )
        shown = found[: listing.limit]
        more = str(shown[-1].number) if len(found) > listing.limit else ""
        return Page((await self._listed(shown)).items, more)

    async def approve(self, pool: str, voucher: str, principal: Principal) -> VoucherView:
        """See `ports.vouchers.VoucherDesk`."""
        _check_admin(principal, "approve a voucher")
        now_ms = self._clock.now_ms()
        return await self._one(
            await self._vouchers.approve(self._epoch(), (pool, voucher), principal.name, now_ms)
        )

    async def take_back(
        self, pool: str, voucher: str, ask: TakeBackAsk, principal: Principal, *, used: bool
    ) -> VoucherView:
        """See `ports.vouchers.VoucherDesk`."""
        _check_admin(principal, "take a voucher back")
        _check_key(ask.key)
        _check_amount(ask.amount_micro)
        if ask.amount_micro and not used:
            raise InputError(
                "a voucher is revoked whole", where="amount_micro", hint="leave the amount out"
            )
        wanted = TakeBack(used, ask.why, ask.amount_micro, ask.key)
        found = await self._vouchers.take_back(
            self._epoch(), (pool, voucher), wanted, principal.name, self._clock.now_ms()
        )
        self._accounts.moved()
        return await self._one(found)

    async def use(self, ask: UseAsk, principal: Principal) -> VouchersUsed:
        """See `ports.vouchers.VoucherDesk`."""
        _check_admin(principal, "use an account's vouchers")
        _check_key(ask.key)
        _check_amount(ask.amount_micro)
        if bool(ask.pool) != bool(ask.voucher):
            raise InputError("a voucher is named by its pool and its id", where="voucher")
        await self._accounts.show(ask.account, principal)
        month = parse_period(ask.period, self._offset_min)
        wanted = Use(
            ask.account,
            CURRENCY,
            month.from_ms,
            month.to_ms,
            ask.amount_micro,
            (ask.pool, ask.voucher) if ask.voucher else None,
            ask.key,
        )
        parts = await self._vouchers.use(
            self._epoch(), wanted, principal.name, self._clock.now_ms()
        )
        self._accounts.moved()
        return VouchersUsed(
            account=ask.account,
            period=str(month),
            commodity=CURRENCY,
            used_micro=sum(one.amount_micro for one in parts),
            parts=[
                UsedView(
                    pool=one.pool,
                    voucher=one.voucher,
                    entry=one.entry,
                    amount_micro=one.amount_micro,
                )
                for one in parts
            ],
        )

    async def audit(self, pool: str, voucher: str, principal: Principal) -> AuditView:
        """See `ports.vouchers.VoucherDesk`."""
        found = await self._vouchers.audit(pool, voucher, principal.account)
        now_ms = self._clock.now_ms()
        commodity = found.pool.scheme.commodity
        rows = sorted(_rows(found, every_use=bool(voucher)), key=lambda one: one.time_ms)
        return AuditView(
            pool=_pool_view(found.pool),
            vouchers=[_view(one, commodity, now_ms) for one in found.records],
            rows=rows,
            ok=not found.problems,
            problems=found.problems,
        )

    async def _listed(self, found: Sequence[VoucherRecord]) -> VoucherList:
        """Return records as they are shown."""
        pools = await self._vouchers.pools()
        commodities = {one.name: one.scheme.commodity for one in pools}
        now_ms = self._clock.now_ms()
        return VoucherList(items=[_view(one, commodities[one.pool], now_ms) for one in found])

    async def _one(self, found: VoucherRecord) -> VoucherView:
        return (await self._listed([found])).items[0]


def _pool_view(one: PoolRecord) -> PoolView:
    return PoolView(
        name=one.name,
        scheme=one.scheme,
        commodity=one.scheme.commodity,
        budget_micro=one.free_micro + one.reserved_micro + one.paid_micro,
        free_micro=one.free_micro,
        reserved_micro=one.reserved_micro,
        paid_micro=one.paid_micro,
        waiting=one.waiting,
        opened_by=one.opened_by,
        opened_ms=one.time_ms,
    )


def _view(one: VoucherRecord, commodity: str, now_ms: int) -> VoucherView:
    """Return an application, and the voucher that came of it."""
    asked, decision, voucher = one.application, one.decision, one.voucher
    state = "filed" if decision is None else "refused"
    valid_to_ms = 0
    if voucher is not None:
        state = voucher.state(now_ms).value
        valid_to_ms = voucher.valid_to_ms if voucher.valid_to_ms < FOR_EVER_MS else 0
    return VoucherView(
        pool=one.pool,
        id=asked.id,
        account=asked.account,
        state=state,
        verdict="" if decision is None else decision.verdict.value,
        reasons=() if decision is None else tuple(why.value for why in decision.reasons),
        steps=() if decision is None else decision.steps,
        commodity=commodity,
        contract_micro=sum(line.amount_micro for line in asked.lines),
        granted_micro=0 if decision is None else decision.granted_micro,
        left_micro=0 if voucher is None else voucher.left_micro,
        used_micro=0 if voucher is None else voucher.used_micro,
        clawed_micro=0 if voucher is None else voucher.clawed_micro,
        valid_to_ms=valid_to_ms,
        filed_by=one.filed_by,
        filed_ms=one.filed_ms,
    )


def _rows(found: Audit, *, every_use: bool) -> Iterator[AuditRow]:
    """Yield what was done, kind by kind; within a kind in order."""
    pool = found.pool
    accounts = {one.application.id: one.application.account for one in found.records}

    def row(time_ms: int, act: str, voucher: str, micro: int, who: str, why: str) -> AuditRow:
        return AuditRow(
            time_ms=time_ms,
            act=act,
            voucher=voucher,
            account=accounts.get(voucher, ""),
            amount_micro=micro,
            who=who,
            why=why,
        )

    rules = f"rules of {len(pool.scheme.facts)} documented facts"
    budget_micro = pool.free_micro + pool.reserved_micro + pool.paid_micro
    yield row(pool.time_ms, "open", "", budget_micro, pool.opened_by, rules)
    for one in found.records:
        price_micro = sum(line.amount_micro for line in one.application.lines)
        contract = f"contract {one.application.contract} of {one.application.seller}"
        yield row(one.filed_ms, "file", one.application.id, price_micro, one.filed_by, contract)
    for made in found.decisions:
        decision = made.decision
        act = Act.GRANT.value if decision.granted_micro else "refuse"
        why = "; ".join(step.text for step in decision.steps)
        name, micro = decision.application.id, decision.granted_micro
        yield row(made.time_ms, act, name, micro, made.who, why)
    for entered in found.events:
        event = entered.event
        if event.act is not Act.GRANT:  # the decision has said it
            yield row(
                event.time_ms,
                event.act.value,
                event.voucher,
                event.amount_micro,
                entered.who,
                f"{event.pays}: {event.why}" if event.pays else event.why,
            )
    if not every_use:
        for name, count, last_ms, micro in found.uses:
            yield row(last_ms, Act.USE.value, name, micro, "", f"in {count} uses")


def _check_admin(principal: Principal, what: str) -> None:
    if principal.account or not principal.may("admin"):
        raise DeniedError(f"only an admin may {what}")


def _check_key(key: str) -> None:
    if not 0 < len(key) <= MOST_KEY_CHARS or not key.isprintable():
        raise InputError(
            "the key is empty, too long or not printable",
            where="key",
            hint=f"such as the notice's number, at most {MOST_KEY_CHARS} characters",
        )


def _check_amount(amount_micro: int) -> None:
    if not 0 <= amount_micro <= MAX_MICRO:
        raise InputError(f"{amount_micro} micro-units are out of range", where="amount_micro")


def _check_scheme(scheme: Scheme) -> None:
    """Refuse a scheme whose names cannot be shown or addressed; the store checks its rules."""
    if _SCHEME_NAME.fullmatch(scheme.name) is None:
        raise InputError(
            f"{scheme.name[:80]!r} cannot name a scheme",
            where="scheme.name",
            hint="small letters, digits and hyphens, 48 at most",
        )
    check_commodity(scheme.commodity)
    texts = [scheme.title, *(scheme.items or ()), *(who for who, _ in scheme.quotas or ())]
    texts += [text for fact in scheme.facts for text in (fact.rule, fact.source, fact.date)]
    if any(len(text) > MOST_TEXT_CHARS or not text.isprintable() for text in texts):
        raise InputError(
            f"a text is not printable, or longer than {MOST_TEXT_CHARS} characters", where="scheme"
        )


def _number(cursor: str) -> int:
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise NotFoundError(f"{cursor[:40]!r} is no page of vouchers", where="cursor")
    return int(cursor)
