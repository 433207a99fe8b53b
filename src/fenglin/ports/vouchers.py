"""Voucher pools, as the store keeps them, and as the door may ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from fenglin.ledger.vouchers.claim import Application, Decision
from fenglin.ledger.vouchers.pool import Event, Voucher
from fenglin.ledger.vouchers.scheme import Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fenglin.ports.hub import Listing, Principal
    from fenglin.wire.views import Page
    from fenglin.wire.voucher_views import (
        AuditView,
        PoolAsk,
        PoolList,
        PoolView,
        TakeBackAsk,
        UseAsk,
        VoucherList,
        VouchersUsed,
        VoucherView,
    )


class PoolRecord(Struct, frozen=True, kw_only=True):
    """A pool as it is now.

    Attributes:
        name: `<scheme>-<year>`.
        scheme: Its rules, and where they come from.
        opened_by: Who opened it.
        time_ms: When.
        free_micro: What may still be promised.
        reserved_micro: What is promised and not yet used.
        paid_micro: What was used, less what was clawed back.
        waiting: Applications that were filed and not decided on.
    """

    name: str
    scheme: Scheme
    opened_by: str
    time_ms: int
    free_micro: int
    reserved_micro: int
    paid_micro: int
    waiting: int


class VoucherRecord(Struct, frozen=True, kw_only=True):
    """An application and what became of it.

    Attributes:
        number: Of the application, in the order of filing over all pools.
        pool: Where it was filed.
        application: As filed.
        filed_by: Who filed it.
        filed_ms: When.
        decision: None while it waits for its round.
        voucher: None before the decision, and of a refusal.
    """

    number: int
    pool: str
    application: Application
    filed_by: str
    filed_ms: int
    decision: Decision | None
    voucher: Voucher | None


class TakeBack(Struct, frozen=True):
    """What is taken back of a voucher.

    Attributes:
        used: Whether what was used is taken back; else what was not.
        why: For the auditor.
        amount_micro: How much of what was used; 0 for all, and for what was not used as well.
        key: The same key again takes nothing.
    """

    used: bool
    why: str
    amount_micro: int
    key: str


class Use(Struct, frozen=True):
    """What vouchers are to pay.

    Attributes:
        account: Whose charges, and whose vouchers.
        commodity: Of both.
        from_ms: First moment of the charges.
        to_ms: First moment after them.
        amount_micro: How much exactly; 0 for all that can be paid.
        voucher: The one to use, (pool, id); None for all, soonest to expire first.
        key: The same key again uses nothing.
    """

    account: str
    commodity: str
    from_ms: int
    to_ms: int
    amount_micro: int
    voucher: tuple[str, str] | None
    key: str


class UsedPart(Struct, frozen=True):
    """What one voucher paid of one posting.

    Attributes:
        pool: Of the voucher.
        voucher: Its id.
        entry: Key of the ledger's entry that was paid.
        amount_micro: How much.
    """

    pool: str
    voucher: str
    entry: str
    amount_micro: int


class EventRecord(Struct, frozen=True):
    """An event, and who entered it."""

    number: int
    event: Event
    who: str


class DecisionRecord(Struct, frozen=True):
    """A decision, and who had the rules decide."""

    decision: Decision
    who: str
    time_ms: int


class Audit(Struct, frozen=True, kw_only=True):
    """Everything that was entered of a pool, and whether it holds together.

    Attributes:
        pool: As it is now.
        records: Every application, in the order of filing.
        decisions: Every decision, refusals too, in order.
        events: Every change of a voucher, in order; of uses only those of the voucher asked for.
        uses: (voucher, how many uses, when the last was, their sum in micro-units).
        problems: Where rows, events and ledger contradict each other; empty when all is well.
    """

    pool: PoolRecord
    records: tuple[VoucherRecord, ...]
    decisions: tuple[DecisionRecord, ...]
    events: tuple[EventRecord, ...]
    uses: tuple[tuple[str, int, int, int], ...]
    problems: tuple[str, ...]


class Vouchers(Protocol):
    """Every write checks and enters in one transaction, with its ledger entries or not at all."""

    async def open(
        self, epoch: int, name: str, scheme: Scheme, who: str, now_ms: int
    ) -> PoolRecord:
        """Open a pool; the same scheme again answers with the pool as it is.

        Raises:
            InputError: the scheme has blanks.
            ConflictError: a pool of that name has another scheme.
        """
        ...

    async def pools(self, name: str = "") -> tuple[PoolRecord, ...]:
        """Return all pools by name, or the one that is named.

        Raises:
            NotFoundError: there is none of that name.
        """
        ...

    async def file(
        self, epoch: int, pool: str, asked: Sequence[Application], who: str, now_ms: int
    ) -> tuple[VoucherRecord, ...]:
        """File applications; all but those of a pool that is divided pro rata are decided on.

        What has expired lapses before. The same application again changes nothing.

        Raises:
            ConflictError: an id was filed with another content.
            InputError: an application cannot be judged.
            NotFoundError: there is no such pool.
        """
        ...

    async def round(
        self, epoch: int, pool: str, who: str, now_ms: int
    ) -> tuple[VoucherRecord, ...]:
        """Decide together on all that waits in a pool, in the order of filing.

        Raises:
            NotFoundError: there is no such pool.
        """
        ...

    async def approve(
        self, epoch: int, voucher: tuple[str, str], who: str, now_ms: int
    ) -> VoucherRecord:
        """Let a voucher, named by (pool, id), be used; one that may be used is left as it is.

        Raises:
            ConflictError: it was taken back.
            NotFoundError: there is no such pool or voucher.
        """
        ...

    async def take_back(
        self, epoch: int, voucher: tuple[str, str], ask: TakeBack, who: str, now_ms: int
    ) -> VoucherRecord:
        """Revoke a voucher, or claw back what was used of it.

        Raises:
            ConflictError: less than that is there to take, or the key stands for something else.
            InputError: no reason is given.
            NotFoundError: there is no such pool or voucher.
        """
        ...

    async def use(self, epoch: int, ask: Use, who: str, now_ms: int) -> tuple[UsedPart, ...]:
        """Pay charges of an account that no voucher has paid yet.

        Raises:
            ConflictError: the amount is more than vouchers or charges allow, the voucher cannot
                be used now, or the key stands for something else.
            NotFoundError: the account has no such voucher.
        """
        ...

    async def lapse(self, epoch: int, now_ms: int) -> int:
        """Free what expired vouchers hold; return how many lapsed."""
        ...

    async def records(
        self, wanted: Sequence[tuple[str, str]], account: str, after: int, limit: int
    ) -> list[VoucherRecord]:
        """Return applications by number.

        Args:
            wanted: (`pool` or `account` or `voucher`, value); any of equal names must hold.
            account: Only this account's; empty for all.
            after: Number after which to begin.
            limit: Most of them.
        """
        ...

    async def audit(self, pool: str, voucher: str, account: str) -> Audit:
        """Return what was entered of a pool, and check it against the ledger.

        Args:
            pool: Its name.
            voucher: One voucher, with every use of it; empty for all.
            account: Only this account's; empty for all.

        Raises:
            NotFoundError: there is no such pool, or no such application.
        """
        ...


class VoucherDesk(Protocol):
    """Vouchers: pools, applications and decisions, use, and the auditor's view."""

    async def open(self, ask: PoolAsk, principal: Principal) -> PoolView:
        """Open a pool for a year.

        Raises:
            ConflictError: there is one of that name with other rules.
            DeniedError: the caller is no admin.
            InputError: the scheme has blanks, or contradicts itself.
        """
        ...

    async def pools(self) -> PoolList:
        """List the pools by name."""
        ...

    async def pool(self, name: str) -> PoolView:
        """Return a pool.

        Raises:
            NotFoundError: there is none of that name.
        """
        ...

    async def file(
        self, pool: str, asked: Sequence[Application], principal: Principal
    ) -> VoucherList:
        """File applications; see `Vouchers.file`.

        Raises:
            NotFoundError: there is no such pool or account, or the account is another's.
        """
        ...

    async def round(self, pool: str, principal: Principal) -> VoucherList:
        """Decide on what waits; see `Vouchers.round`.

        Raises:
            DeniedError: the caller is no admin.
        """
        ...

    async def vouchers(self, listing: Listing, principal: Principal) -> Page[VoucherView]:
        """List applications and vouchers in the order of filing; a tenant sees its own."""
        ...

    async def approve(self, pool: str, voucher: str, principal: Principal) -> VoucherView:
        """Let a voucher be used; see `Vouchers.approve`.

        Raises:
            DeniedError: the caller is no admin.
        """
        ...

    async def take_back(
        self, pool: str, voucher: str, ask: TakeBackAsk, principal: Principal, *, used: bool
    ) -> VoucherView:
        """Revoke a voucher, or claw back what was used; see `Vouchers.take_back`.

        Raises:
            DeniedError: the caller is no admin.
        """
        ...

    async def use(self, ask: UseAsk, principal: Principal) -> VouchersUsed:
        """Pay charges with vouchers; see `Vouchers.use`.

        Raises:
            DeniedError: the caller is no admin.
            InputError: the period is no month, or the key is unusable.
        """
        ...

    async def audit(self, pool: str, voucher: str, principal: Principal) -> AuditView:
        """Return every decision with its reason, and whether books and ledger agree.

        Raises:
            NotFoundError: there is no such pool or voucher, or the voucher is another's.
        """
        ...
