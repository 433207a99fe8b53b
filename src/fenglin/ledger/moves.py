"""Entries that no attempt causes: money in and out, fees, vouchers, closed periods, the audit.

    deposit   hub:bank → available                              a tenant's money came in
    pay       provider due, available → hub:bank                money went out
    settle    provider due → hub:fee, tax                       what others get of earnings
    voucher   hub:grants, budget, reserved, available           in any direction
    close     nothing                                           the period's books are closed
    audit     nothing                                           what the audit trail was

Which accounts an entry may touch follows from its kind, so that a row of another meaning is
found by whoever verifies, also where its sums are right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fenglin.errors import InputError
from fenglin.ledger.accounts import BANK, FEE, GRANTS, available, due
from fenglin.ledger.entry import Draft, Kind, Leg
from fenglin.quantities.money import MAX_MICRO

if TYPE_CHECKING:
    from collections.abc import Sequence

CURRENCY = "CNY"
PERIOD = "period"
RECORDS, HEAD = "records", "head"


def deposit(
    account: str, amount_micro: int, key: str, *, commodity: str = CURRENCY, memo: str = ""
) -> Draft:
    """Enter a tenant's money that came in.

    Args:
        account: The tenant's account.
        amount_micro: More than zero.
        key: Such as the bank's own reference; a second deposit with it is the first.
        commodity: Of the amount.
        memo: For people.

    Raises:
        InputError: the amount is not positive or too large.
    """
    return Draft(
        Kind.DEPOSIT,
        f"deposit:{key}",
        _carry(BANK, available(account), commodity, amount_micro),
        memo=memo,
    )


def pay(
    provider: str, amount_micro: int, key: str, *, commodity: str = CURRENCY, memo: str = ""
) -> Draft:
    """Enter money that went out to a provider. Arguments and errors as for `deposit`."""
    return Draft(
        Kind.PAY, f"pay:{key}", _carry(due(provider), BANK, commodity, amount_micro), memo=memo
    )


def refund(
    account: str, amount_micro: int, key: str, *, commodity: str = CURRENCY, memo: str = ""
) -> Draft:
    """Enter money that went back to a tenant. Arguments and errors as for `deposit`."""
    return Draft(
        Kind.PAY, f"pay:{key}", _carry(available(account), BANK, commodity, amount_micro), memo=memo
    )


def settle(
    provider: str,
    period: str,
    shares: Sequence[tuple[str, int]],
    *,
    commodity: str = CURRENCY,
    details: Sequence[tuple[str, str]] = (),
) -> Draft:
    """Take from a provider's earnings of a period what is not the provider's.

    Args:
        provider: Whose earnings.
        period: `YYYY-MM`; a provider is settled once per period and commodity.
        shares: (ledger account, micro-units, not negative): of `hub:fee` and taxes.
        commodity: Of the amounts.
        details: Further (name, value) pairs, such as the deal that was applied.

    Raises:
        InputError: an amount is negative or too large, or there is none.
    """
    for account, amount_micro in shares:
        _check(amount_micro, 0, account)
    total = sum(amount for _, amount in shares)
    return Draft(
        Kind.SETTLE,
        f"settle:{provider}:{period}:{commodity}",
        (
            Leg(due(provider), commodity, -total),
            *(Leg(account, commodity, amount) for account, amount in shares),
        ),
        details=((PERIOD, period), *details),
    )


def move_voucher(
    source: str,
    target: str,
    amount_micro: int,
    key: str,
    *,
    commodity: str = CURRENCY,
    memo: str = "",
    details: Sequence[tuple[str, str]] = (),
) -> Draft:
    """Move voucher money between two ledger accounts that a VOUCHER may touch.

    Raises:
        InputError: the amount is not positive or too large.
    """
    legs = _carry(source, target, commodity, amount_micro)
    return Draft(Kind.VOUCHER, f"voucher:{key}", legs, memo=memo, details=tuple(details))


def close(period: str, details: Sequence[tuple[str, str]] = ()) -> Draft:
    """Say that a period is closed: what comes late for it goes to the next, as an adjustment."""
    nothing = (Leg(FEE, CURRENCY, 0), Leg(BANK, CURRENCY, 0))
    return Draft(Kind.CLOSE, f"close:{period}", nothing, details=((PERIOD, period), *details))


def audited(records: int, head: str) -> Draft:
    """Say what the hub's audit trail was, so that whoever keeps the ledger's head keeps it too.

    Args:
        records: How many there were.
        head: Hash of the last one, hexadecimal.
    """
    nothing = (Leg(FEE, CURRENCY, 0), Leg(BANK, CURRENCY, 0))
    details = ((RECORDS, str(records)), (HEAD, head))
    return Draft(Kind.AUDIT, f"audit:{records}", nothing, details=details)


def move_fault(kind: Kind, legs: Sequence[Leg]) -> str:
    """Return which account an entry of this kind touches against the rules; empty if none."""
    rule = _RULES.get(kind)
    if rule is None:
        return ""
    for leg in legs:
        side = rule[leg.amount_micro > 0] if leg.amount_micro else rule[0] + rule[1]
        if not any(_matches(leg.account, pattern) for pattern in side):
            way = "add to" if leg.amount_micro > 0 else "take from"
            return f"a {kind} may not {way} {leg.account}"
    if kind in (Kind.CLOSE, Kind.AUDIT) and any(leg.amount_micro for leg in legs):
        return f"{'a close' if kind is Kind.CLOSE else 'an audit'} moves nothing"
    return ""


_AVAILABLE = ("tenant", "available")
_DUE = ("provider", "due")
_BUDGET = ("voucher", "budget")
_RESERVED = ("voucher", "reserved")
_POOLS = (GRANTS, _BUDGET, _RESERVED, _AVAILABLE)
_Pattern = str | tuple[str, str]
# Kind → what it may take from, what it may add to: a whole name, or (root, last part).
_RULES: dict[Kind, tuple[tuple[_Pattern, ...], tuple[_Pattern, ...]]] = {
    Kind.DEPOSIT: ((BANK,), (_AVAILABLE,)),
    Kind.PAY: ((_DUE, _AVAILABLE), (BANK,)),
    Kind.SETTLE: ((_DUE,), (FEE, ("tax", ""))),
    Kind.VOUCHER: (_POOLS, _POOLS),
    Kind.CLOSE: ((FEE, BANK), (FEE, BANK)),
    Kind.AUDIT: ((FEE, BANK), (FEE, BANK)),
}


def _matches(account: str, pattern: _Pattern) -> bool:
    """Return whether a ledger account is the one, or one of those, that a pattern names."""
    if isinstance(pattern, str):
        return account == pattern
    root, last = pattern
    parts = account.split(":")
    return parts[0] == root and (len(parts) == 2 if not last else parts[2:] == [last])


def _carry(source: str, target: str, commodity: str, amount_micro: int) -> tuple[Leg, ...]:
    """Return the two legs that carry a positive amount."""
    _check(amount_micro, 1, target)
    return (Leg(source, commodity, -amount_micro), Leg(target, commodity, amount_micro))


def _check(amount_micro: int, least: int, where: str) -> None:
    if not least <= amount_micro <= MAX_MICRO:
        raise InputError(
            f"an amount of {amount_micro} micro-units is out of range",
            where=where,
            hint=f"{least} to {MAX_MICRO} is allowed",
        )
