"""What every tenant's account came to in a period, from one pass over sums of legs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.ledger.entry import Kind
from fenglin.ledger.statement import Funds

if TYPE_CHECKING:
    from collections.abc import Iterable

_HELD = "held"


class MonthTotals(Struct, frozen=True):
    """The figures of a `Statement`, without its lines; see there.

    Attributes:
        account: The tenant's account.
        opening: Before the period.
        granted_micro: Credit on trust.
        deposited_micro: Money that came in.
        refunded_micro: Money that went back.
        vouchers_micro: From voucher pools, less what they took back.
        charged_micro: Gone to providers.
        adjusted_micro: Corrections, positive in the tenant's favour.
        closing: After the period.
    """

    account: str
    opening: Funds
    granted_micro: int
    deposited_micro: int
    refunded_micro: int
    vouchers_micro: int
    charged_micro: int
    adjusted_micro: int
    closing: Funds


def month_totals(sums: Iterable[tuple[str, str, bool, int]]) -> dict[str, MonthTotals]:
    """Return the totals of each tenant's account, by its short name.

    Args:
        sums: (ledger account of a tenant, kind of entry, whether before the period, micro-units)
            of one commodity, in any order; the same place may come several times.
    """
    accounts: dict[str, dict[tuple[str, str, bool], int]] = {}
    for name, kind, before, amount_micro in sums:
        _, account, part = name.split(":")
        moved = accounts.setdefault(account, {})
        place = (part, kind, bool(before))
        moved[place] = moved.get(place, 0) + amount_micro
    return {account: _totals(account, accounts[account]) for account in sorted(accounts)}


def _totals(account: str, moved: dict[tuple[str, str, bool], int]) -> MonthTotals:
    def worth(kind: Kind) -> int:
        return sum(amount for (_, of, before), amount in moved.items() if of == kind and not before)

    def funds(*, closing: bool) -> Funds:
        free = kept = 0
        for (part, _, before), amount in moved.items():
            if before or closing:
                free, kept = (free, kept + amount) if part == _HELD else (free + amount, kept)
        return Funds(free, kept)

    return MonthTotals(
        account,
        funds(closing=False),
        worth(Kind.GRANT),
        worth(Kind.DEPOSIT),
        -worth(Kind.PAY),
        worth(Kind.VOUCHER),
        -worth(Kind.POST),
        worth(Kind.ADJUST),
        funds(closing=True),
    )
