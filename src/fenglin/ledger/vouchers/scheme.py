"""The rules of a voucher scheme, each with the document it comes from.

What no document says stays blank. A scheme with blanks can be read and shown, but decides
nothing: whoever runs it fills them first, and signs for that in the file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.quantities.money import MAX_MICRO, MICRO

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
WHOLE_BP = 10_000
ANY_ITEM = "any"
NO_CAP_MICRO = MAX_MICRO
NO_EXPIRY_DAYS = 0
# A voucher is worth whole fen: a bank carries no smaller coin.
UNIT_MICRO = MICRO // 100


class Reservation(StrEnum):
    """How a budget is divided among those who are entitled to it.

    FIFO: in the order of filing, until it is spent. QUOTA: each account has a share of its own.
    PRO_RATA: all that were filed for one round get the same fraction, if not all can have all.
    """

    FIFO = "fifo"
    QUOTA = "quota"
    PRO_RATA = "pro-rata"


class Fact(Struct, frozen=True):
    """Where a rule comes from.

    Attributes:
        rule: Name of the field of `Scheme`.
        source: The document, in words.
        date: Of the document, `YYYY-MM` or `YYYY-MM-DD`.
    """

    rule: str
    source: str
    date: str


class Ratio(Struct, frozen=True):
    """What part of a price is paid for.

    Attributes:
        domestic_from_bp: Least domestic share of the item, in hundredths of a percent.
        ratio_bp: Part paid for, in hundredths of a percent.
    """

    domestic_from_bp: int
    ratio_bp: int


class Rules(Struct, frozen=True, kw_only=True):
    """A scheme that leaves nothing open.

    Attributes:
        commodity: Of all amounts.
        budget_micro: Of one pool, that is of one year.
        reservation: How it is divided.
        ratios: Of equals the one with the highest `domestic_from_bp` that is reached holds.
        firm_cap_micro: Most that one firm is promised in the year; `NO_CAP_MICRO` for no cap.
        items: Kinds of items that are paid for; `any` for all.
        unrelated: Whether buyer and seller must be unrelated.
        once_per_contract: Whether a contract is subsidised at most once, by anybody.
        paid_proof: Whether only what was paid counts.
        signed_from: First day on which a contract may have been signed; empty for any.
        valid_days: How long a voucher may be used; `NO_EXPIRY_DAYS` for ever.
        quotas: (account, micro-units) where the budget is divided by quota.
    """

    commodity: str
    budget_micro: int
    reservation: Reservation
    ratios: tuple[Ratio, ...]
    firm_cap_micro: int
    items: tuple[str, ...]
    unrelated: bool
    once_per_contract: bool
    paid_proof: bool
    signed_from: str
    valid_days: int
    quotas: tuple[tuple[str, int], ...] = ()

    def ratio_bp(self, domestic_bp: int) -> int:
        """Return the part that is paid for of an item with this domestic share."""
        reached = [one for one in self.ratios if one.domestic_from_bp <= domestic_bp]
        return max(reached, key=lambda one: one.domestic_from_bp).ratio_bp if reached else 0


class Scheme(Struct, frozen=True, kw_only=True):
    """A scheme as published; None is what no document says. Fields as in `Rules`.

    Attributes:
        name: Short; pools are called `<name>-<year>`.
        title: For people.
        facts: Where each rule that is there comes from.
    """

    name: str
    title: str
    commodity: str = "CNY"
    budget_micro: int | None = None
    reservation: Reservation | None = None
    ratios: tuple[Ratio, ...] | None = None
    firm_cap_micro: int | None = None
    items: tuple[str, ...] | None = None
    unrelated: bool | None = None
    once_per_contract: bool | None = None
    paid_proof: bool | None = None
    signed_from: str | None = None
    valid_days: int | None = None
    quotas: tuple[tuple[str, int], ...] | None = None
    facts: tuple[Fact, ...] = ()

    @property
    def blanks(self) -> tuple[str, ...]:
        """Return the rules that no document says."""
        return tuple(self._blanks())

    def _blanks(self) -> Iterator[str]:
        for name in Rules.__struct_fields__:
            unused = name == "quotas" and self.reservation is not Reservation.QUOTA
            if getattr(self, name) is None and not unused:
                yield name


def complete(scheme: Scheme) -> Rules:
    """Return the rules of a scheme that leaves nothing open.

    Raises:
        InputError: it has blanks, or rules that contradict each other.
    """
    if scheme.blanks:
        raise InputError(
            f"the scheme does not say: {', '.join(scheme.blanks)}",
            where=f"voucher scheme {scheme.name}",
            hint='write the value, or "none" where there is deliberately no limit',
        )
    rules = Rules(
        commodity=scheme.commodity,
        budget_micro=_said(scheme.budget_micro),
        reservation=_said(scheme.reservation),
        ratios=_said(scheme.ratios),
        firm_cap_micro=_said(scheme.firm_cap_micro),
        items=_said(scheme.items),
        unrelated=_said(scheme.unrelated),
        once_per_contract=_said(scheme.once_per_contract),
        paid_proof=_said(scheme.paid_proof),
        signed_from=_said(scheme.signed_from),
        valid_days=_said(scheme.valid_days),
        quotas=scheme.quotas or (),
    )
    _check(rules, scheme.name)
    return rules


def _said(value: T | None) -> T:
    if value is None:  # `blanks` was empty, so this is a field that it does not cover
        raise InputError("a rule of the scheme is missing")
    return value


def _check(rules: Rules, name: str) -> None:
    """Refuse rules that no pool can keep."""
    levels = [one.domestic_from_bp for one in rules.ratios]
    shares = (*levels, *(one.ratio_bp for one in rules.ratios))
    faults = (
        (not 0 < rules.budget_micro <= MAX_MICRO, "the budget is not positive, or too large"),
        (rules.budget_micro % UNIT_MICRO != 0, "the budget is not in whole fen"),
        (rules.firm_cap_micro <= 0, "the cap of a firm is not positive"),
        (not rules.ratios or not rules.items, "it pays for nothing"),
        (any(not 0 <= one <= WHOLE_BP for one in shares), "a share is not within 0 % to 100 %"),
        (len(set(levels)) != len(levels), "two ratios hold for the same domestic share"),
        (rules.valid_days < 0, "the validity is negative"),
        (any(part < 0 for _, part in rules.quotas), "a quota is negative"),
        (len({who for who, _ in rules.quotas}) != len(rules.quotas), "an account has two quotas"),
        (sum(part for _, part in rules.quotas) > rules.budget_micro, "quotas exceed the budget"),
    )
    for wrong, what in faults:
        if wrong:
            raise InputError(what, where=f"voucher scheme {name}")
