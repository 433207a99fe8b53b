"""What a pool's events are in the ledger, so that its balances are the pool's own figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.ledger.accounts import GRANTS, available, voucher_budget, voucher_reserved
from fenglin.ledger.entry import MAX_TEXT_CHARS
from fenglin.ledger.moves import move_voucher
from fenglin.ledger.vouchers.pool import Act

if TYPE_CHECKING:
    from fenglin.ledger.entry import Draft
    from fenglin.ledger.vouchers.pool import Event, Pool
    from fenglin.ledger.vouchers.scheme import Rules


def opening(pool: str, rules: Rules) -> Draft:
    """Return the entry that gives a pool its budget; a second one of the pool is the first."""
    return move_voucher(
        GRANTS,
        voucher_budget(pool),
        rules.budget_micro,
        f"{pool}:open",
        commodity=rules.commodity,
    )


def entry_of(pool: Pool, event: Event, number: int) -> Draft:
    """Return the entry of one event.

    Args:
        pool: After the event, so that it knows the voucher.
        event: What happened.
        number: Of the event, unique in the pool.

    Raises:
        InputError: the reason is too long, or cannot be printed.
    """
    if len(event.why) > MAX_TEXT_CHARS or not event.why.isprintable():
        raise InputError(
            f"the reason is not printable, or longer than {MAX_TEXT_CHARS} characters",
            where=f"voucher {event.voucher}",
        )
    free, promised = voucher_budget(pool.name), voucher_reserved(pool.name)
    tenant = available(pool.voucher(event.voucher).account)
    source, target = {
        Act.GRANT: (free, promised),
        Act.USE: (promised, tenant),
        Act.LAPSE: (promised, free),
        Act.REVOKE: (promised, free),
        Act.CLAWBACK: (tenant, free),
    }[event.act]
    return move_voucher(
        source,
        target,
        event.amount_micro,
        f"{pool.name}:{number}",
        commodity=pool.rules.commodity,
        memo=event.why,
        details=(("act", event.act), ("voucher", event.voucher)),
    )
