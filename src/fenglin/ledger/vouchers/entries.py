"""What a pool's events are in the ledger, so that its balances are the pool's own figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fenglin.errors import InputError
from fenglin.ledger.accounts import GRANTS, available, voucher_budget, voucher_reserved
from fenglin.ledger.entry import MAX_TEXT_CHARS, Draft, Kind, Leg
from fenglin.ledger.moves import move_voucher
from fenglin.ledger.vouchers.pool import Act

if TYPE_CHECKING:
    from fenglin.ledger.vouchers.pool import Event, Voucher
    from fenglin.ledger.vouchers.scheme import Rules

PAYS = "pays"
GIVEN_BACK_BY = "given_back_by"


class Origin(Struct, frozen=True):
    """What an event's entry names besides the voucher.

    Attributes:
        number: Of the event, unique in its pool.
        decision: SHA-256 of the decision as stored, of a grant; empty for others.
        job: Number of the job whose charge was paid; 0 for none.
        given_back_by: Key of the entry that gave a charge back, of a return and of what comes of
            it at once; empty for others.
    """

    number: int
    decision: str = ""
    job: int = 0
    given_back_by: str = ""


def opening(pool: str, rules: Rules, scheme: str) -> Draft:
    """Return the entry that gives a pool its budget; a second one of the pool is the first.

    Args:
        pool: Name of the pool.
        rules: Of its scheme.
        scheme: SHA-256 of the scheme as stored.
    """
    return move_voucher(
        GRANTS,
        voucher_budget(pool),
        rules.budget_micro,
        f"{pool}:open",
        commodity=rules.commodity,
        details=(("act", "open"), ("pool", pool), ("scheme", scheme)),
    )


def refusal(pool: str, rules: Rules, application: str, decision: str) -> Draft:
    """Return the entry of a refusal: it moves nothing, and seals the decision's SHA-256."""
    named = (("act", "refuse"), ("pool", pool), ("voucher", application), ("decision", decision))
    return _still(pool, rules, f"{pool}:refuse:{application}", named)


def entry_of(pool: str, rules: Rules, after: Voucher, event: Event, origin: Origin) -> Draft:
    """Return the entry of one event.

    Args:
        pool: Name of the pool.
        rules: Of its scheme.
        after: The voucher after the event.
        event: What happened.
        origin: What else the entry names.

    Raises:
        InputError: the reason is too long, or cannot be printed.
    """
    if len(event.why) > MAX_TEXT_CHARS or not event.why.isprintable():
        raise InputError(
            f"the reason is not printable, or longer than {MAX_TEXT_CHARS} characters",
            where=f"voucher {event.voucher}",
        )
    used = event.act is Act.USE
    key = f"{pool}:{origin.number}"
    extra = (
        (PAYS, event.why if used else event.pays),
        ("decision", origin.decision),
        (GIVEN_BACK_BY, origin.given_back_by),
    )
    named = (
        ("act", event.act.value),
        ("pool", pool),
        ("voucher", event.voucher),
        *((name, value) for name, value in extra if value),
    )
    if event.act is Act.APPROVE:
        return _still(pool, rules, key, named)
    free, promised, tenant = voucher_budget(pool), voucher_reserved(pool), available(after.account)
    source, target = {
        Act.GRANT: (free, promised),
        Act.USE: (promised, tenant),
        Act.LAPSE: (promised, free),
        Act.REVOKE: (promised, free),
        Act.CLAWBACK: (tenant, free),
        Act.RETURN: (tenant, promised),
    }[event.act]
    memo = f"voucher {pool}/{event.voucher}" if used else event.why
    made = move_voucher(
        source,
        target,
        event.amount_micro,
        key,
        commodity=rules.commodity,
        memo=memo,
        details=named,
    )
    return replace(made, job=origin.job)


def _still(pool: str, rules: Rules, key: str, named: tuple[tuple[str, str], ...]) -> Draft:
    """Return an entry that moves nothing and says what was decided."""
    legs = (
        Leg(voucher_budget(pool), rules.commodity, 0),
        Leg(voucher_reserved(pool), rules.commodity, 0),
    )
    return Draft(Kind.VOUCHER, f"voucher:{key}", legs, details=named)
