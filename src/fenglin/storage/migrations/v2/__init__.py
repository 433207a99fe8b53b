"""From version 1 to version 2: the books."""

from __future__ import annotations

from fenglin.storage.migrations.v2 import (
    accounts,
    audit,
    budgets,
    identity,
    inventory,
    ledger,
    metering,
    parts,
    possession,
    prices,
    proofs,
    quarantine,
    settlements,
    tiers,
    vault,
    vouchers,
)

V2: tuple[str, ...] = (
    *ledger.STATEMENTS,
    *parts.STATEMENTS,
    *proofs.STATEMENTS,
    *audit.STATEMENTS,
    *identity.STATEMENTS,
    *accounts.STATEMENTS,
    *budgets.STATEMENTS,
    *prices.STATEMENTS,
    *settlements.STATEMENTS,
    *tiers.STATEMENTS,
    *vouchers.STATEMENTS,
    *inventory.STATEMENTS,
    *metering.STATEMENTS,
    *quarantine.STATEMENTS,
    *vault.STATEMENTS,
    *possession.STATEMENTS,
)
