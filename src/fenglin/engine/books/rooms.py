"""The rooms of the books, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from fenglin.engine.books.accounts import AccountDesk
    from fenglin.engine.books.bills import BillDesk
    from fenglin.engine.books.inventory import InventoryDesk
    from fenglin.engine.books.metering import MeteringDesk
    from fenglin.engine.books.prices import PriceDesk
    from fenglin.engine.books.proofs import ProofDesk, Sealer
    from fenglin.engine.books.settling import SettleDesk
    from fenglin.engine.books.vouchers import VoucherDesk


@dataclass(frozen=True, slots=True)
class BookRooms:
    """Implements `ports.books.Books`."""

    proofs: ProofDesk
    sealer: Sealer
    bills: BillDesk
    prices: PriceDesk
    accounts: AccountDesk
    settling: SettleDesk
    inventory: InventoryDesk
    metering: MeteringDesk
    vouchers: VoucherDesk

    def background(self) -> list[Coroutine[None, None, None]]:
        """Return what the rooms do by themselves, for as long as the hub runs."""
        rooms = (self.sealer, self.metering, self.accounts, self.inventory, self.vouchers)
        return [room.run() for room in rooms]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what a person must look at."""
        return self.sealer.problems
