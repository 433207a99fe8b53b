"""Opens the rooms of the books."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fenglin.engine.books.accounts import AccountDesk
from fenglin.engine.books.bills import BillDesk
from fenglin.engine.books.inventory import InventoryDesk
from fenglin.engine.books.metering import MeteringDesk
from fenglin.engine.books.prices import PriceDesk
from fenglin.engine.books.proofs import ProofDesk, Sealer
from fenglin.engine.books.rooms import BookRooms
from fenglin.engine.books.settling import SettleDesk
from fenglin.engine.books.vouchers import VoucherDesk
from fenglin.ledger.posting import grant
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.bills import SqliteBills
from fenglin.storage.books import ledger_id
from fenglin.storage.inventory import SqliteInventory
from fenglin.storage.ledger_key import ledger_key
from fenglin.storage.metering import SqliteMetering
from fenglin.storage.prices import SqlitePrices
from fenglin.storage.proofs import SqliteProofs
from fenglin.storage.settlements import SqliteSettlings
from fenglin.storage.vouchers import SqliteVouchers
from fenglin.witness.outlets import FolderOutlet, WitnessOutlet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fenglin.engine.pool import Pool
    from fenglin.intake.hubfile import HubConfig
    from fenglin.ports.clock import Clock
    from fenglin.ports.driver import Driver
    from fenglin.ports.proofs import Outlet
    from fenglin.storage.store import SqlStore


async def open_books(
    settings: HubConfig,
    folder: Path,
    store: SqlStore,
    pool: Pool,
    drivers: Mapping[str, Driver],
    clock: Clock,
) -> BookRooms:
    """Open the rooms of the books."""
    desk = ProofDesk(
        SqliteProofs(store, ledger_key(folder, await store.read(ledger_id))),
        clock,
        lambda: pool.epoch,
    )
    offset_min = settings.offset_min
    accounts = AccountDesk(
        SqliteAccounts(store),
        clock,
        lambda: pool.epoch,
        settings.limits,
        offset_min,
        settings.budgets,
        settings.hours_limits,
    )
    inventory = InventoryDesk(SqliteInventory(store), pool, clock, settings.patience_ms, offset_min)
    metering = MeteringDesk(
        SqliteMetering(store, offset_min),
        pool,
        drivers,
        clock,
        settings.tolerances,
        offset_min,
        accounts,
    )
    return BookRooms(
        proofs=desk,
        inventory=inventory,
        sealer=Sealer(desk, _outlets(settings), settings.sealing.every_ms / 1_000),
        bills=BillDesk(SqliteBills(store, desk.proofs.key), desk.seal, clock, offset_min),
        prices=PriceDesk(SqlitePrices(store), clock, lambda: pool.epoch, offset_min),
        accounts=accounts,
        metering=metering,
        settling=SettleDesk(
            SqliteSettlings(store),
            clock,
            pool,
            settings.deals,
            inventory.summary,
            offset_min,
            metering.energy,
        ),
        vouchers=VoucherDesk(
            SqliteVouchers(store), accounts, clock, lambda: pool.epoch, offset_min
        ),
    )


def _outlets(settings: HubConfig) -> list[Outlet]:
    """Return the places outside that keep the ledger's checkpoints."""
    sealing = settings.sealing
    return [
        *(FolderOutlet(Path(folder)) for folder in sealing.folders),
        *(WitnessOutlet(url, key) for url, key in sealing.witnesses),
    ]


async def granted(store: SqlStore, settings: HubConfig, epoch: int, now_ms: int) -> dict[str, int]:
    """Grant each account its credit when it is first seen; return what may be spent."""
    known = await store.balances()
    drafts = [
        grant(name, credit_micro, f"config:{name}", memo="credit from the configuration")
        for name, credit_micro in sorted(settings.credits_micro.items())
        if name not in known and credit_micro > 0
    ]
    if drafts:
        await store.post(epoch, drafts, now_ms)
    limits = {name: one.credit_micro for name, one in settings.limits.items()}
    lent = {purse: one.credit_micro for purse, one in settings.hours_limits.items()}
    accounts = SqliteAccounts(store)
    await accounts.set_limits(epoch, limits | lent)
    await accounts.set_budgets(epoch, settings.budgets, settings.offset_min, now_ms)
    return {**limits, **await store.balances()}
