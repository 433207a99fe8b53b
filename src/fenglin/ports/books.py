"""What the door may ask of the books: one small protocol for each of their rooms.

Every method that takes a principal checks it; a foreign object answers as a missing one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fenglin.ledger.bill import Bill
    from fenglin.ledger.proof import ProofFile
    from fenglin.ports.hub import Listing, Principal
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
    """Bills of tenants."""

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
    def proofs(self) -> ProofDesk:
        """Return who proves the ledger to people who do not trust the hub."""
        ...

    @property
    def bills(self) -> BillDesk:
        """Return who makes bills."""
        ...

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what a person must look at; empty when all is well."""
        ...
