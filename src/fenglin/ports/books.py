"""What the door may ask of the books: one small protocol for each of their rooms.

Every method that takes a principal checks it; a foreign object answers as a missing one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ledger.bill import Bill
    from fenglin.ledger.proof import ProofFile
    from fenglin.ports.hub import Listing, Principal
    from fenglin.ports.inventory import InventoryDesk
    from fenglin.ports.metering import MeteringDesk
    from fenglin.ports.settling import SettleDesk
    from fenglin.ports.vouchers import VoucherDesk
    from fenglin.wire.account_views import (
        AccountList,
        AccountView,
        MoneyMove,
        MoneyMoved,
        PeriodClosed,
    )
    from fenglin.wire.price_views import PriceAsk, PricesAdded, PriceView
    from fenglin.wire.proof_views import CheckpointView, ConsistencyView
    from fenglin.wire.views import Page


class ProofDesk(Protocol):
    """Checkpoints of the ledger, and proofs that lead to them."""

    async def checkpoint(self, principal: Principal, *, fresh: bool) -> CheckpointView:
        """Return the last signed checkpoint; with `fresh`, one of what the ledger is now.

        Raises:
            ConflictError: the ledger contradicts an earlier checkpoint.
        """
        ...

    async def consistency(self, old: int, new: int) -> ConsistencyView:
        """Prove that the ledger of `new` entries goes on from the one of `old`."""
        ...

    async def prove(
        self, account: str, from_ms: int, to_ms: int, earlier: str, principal: Principal
    ) -> ProofFile:
        """Return a proof file of an account's entries; `to_ms` 0 means now."""
        ...


class AccountDesk(Protocol):
    """Accounts: what they have, money in and back, and the closing of months."""

    async def list(self, principal: Principal) -> AccountList:
        """Return the accounts that the caller may see, by name."""
        ...

    async def show(self, account: str, principal: Principal) -> AccountView:
        """Return an account.

        Raises:
            NotFoundError: there is none of that name, or it is another's.
        """
        ...

    async def deposit(self, account: str, move: MoneyMove, principal: Principal) -> MoneyMoved:
        """Enter money that came in.

        Raises:
            ConflictError: the key is there with another body.
            DeniedError: the caller is no admin.
            InputError: the amount or the key is out of range.
            NotFoundError: there is no such account.
        """
        ...

    async def refund(self, account: str, move: MoneyMove, principal: Principal) -> MoneyMoved:
        """Enter money that went back. Errors as for `deposit`.

        Raises:
            ConflictError: less than that is available.
        """
        ...

    async def close(self, period: str, principal: Principal) -> PeriodClosed:
        """Close a month; one that is closed is answered as it was then.

        Raises:
            ConflictError: months would not be closed one after another.
            DeniedError: the caller is no admin.
            InputError: the month is none, or not over.
        """
        ...


class PriceDesk(Protocol):
    """The price book: read by all, added to by administrators, never edited."""

    async def prices(self, listing: Listing, *, every: bool) -> Page[PriceView]:
        """List versions by number: those in force now, or with `every` all that ever were."""
        ...

    async def price(self, name: str) -> PriceView:
        """Return one version, such as `p7`."""
        ...

    async def add(self, ask: PriceAsk, principal: Principal) -> PricesAdded:
        """Add one item; nothing is added where the book says the same already.

        Raises:
            ConflictError: it overlaps a version that it does not supersede.
            DeniedError: the caller is no administrator.
            InputError: it is no item.
        """
        ...

    async def load(
        self,
        data: bytes,
        principal: Principal,
        *,
        form: str,
        source: str,
        provider: str,
        supersede: bool,
    ) -> PricesAdded:
        """Add all items of a file, or none.

        Args:
            data: Its content.
            principal: Who asks.
            form: `fenglin` or `skypilot`.
            source: Its name, for messages and the record.
            provider: Whose price list it is, where it does not say so itself.
            supersede: Whether items may end versions that they meet.

        Raises:
            DeniedError: the caller is no administrator.
            InputProblems: every line that is wrong or overlaps, by line and column.
            LimitError: it holds too many items.
        """
        ...


class BillDesk(Protocol):
    """Bills of tenants.

    Attributes:
        offset_min: Minutes by which the books' clock is ahead of UTC; months begin by it.
    """

    offset_min: int

    async def bill(self, account: str, period: str, principal: Principal) -> Bill:
        """Return an account's bill of a month, with its proof.

        Raises:
            InputError: the period is no month.
            NotFoundError: there is no such account, or the month has not begun.
        """
        ...


class Books(Protocol):
    """The rooms."""

    @property
    def prices(self) -> PriceDesk:
        """Return who keeps the price book."""
        ...

    @property
    def accounts(self) -> AccountDesk:
        """Return who keeps the accounts."""
        ...

    @property
    def proofs(self) -> ProofDesk:
        """Return who proves the ledger to people who do not trust the hub."""
        ...

    @property
    def bills(self) -> BillDesk:
        """Return who makes bills."""
        ...

    @property
    def vouchers(self) -> VoucherDesk:
        """Return who keeps voucher pools."""
        ...

    @property
    def settling(self) -> SettleDesk:
        """Return who settles with providers."""
        ...

    @property
    def inventory(self) -> InventoryDesk:
        """Return who keeps the baseline inventory."""
        ...

    @property
    def metering(self) -> MeteringDesk:
        """Return who keeps the meters."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what a person must look at; empty when all is well."""
        ...
