"""Deals: what a provider gets of what its work was charged, from which month on.

    share    the provider gets a fixed share of each charge
    unit     it gets a fixed price for each unit of an item, whatever was charged for it
    tiered   its share of a charge depends on how the charge's price compares with the list price

Taxes are shares of the charge too, for prices include them: 6 % on top of a net price is the share
6/106 of the charge. The hub's fee is what provider and taxes leave. Without a deal the provider
gets everything.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.errors import InputError
from fenglin.ledger.posting import CURRENCY
from fenglin.quantities.shown import plain, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DECIMAL = re.compile(r"\d{1,3}(?:\.\d{1,9})?", re.ASCII)
_RATIO = re.compile(r"(\d{1,9}) ?/ ?(\d{1,9})", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,7})?) ?%", re.ASCII)


class DealKind(StrEnum):
    """By what a provider's part is reckoned."""

    SHARE = "share"
    UNIT = "unit"
    TIERED = "tiered"


class Rate(Struct, frozen=True):
    """An exact share, `part / whole` in lowest terms."""

    part: int
    whole: int = 1

    @property
    def exact(self) -> Fraction:
        """Return the share as a number."""
        return Fraction(self.part, self.whole)

    def __str__(self) -> str:
        """Return a percentage where it is a short one, else the ratio."""
        tenths, rest = divmod(self.part * 1_000, self.whole)
        if rest:
            return f"{self.part}/{self.whole}"
        whole, tenth = divmod(tenths, 10)
        return f"{whole}.{tenth} %" if tenth else f"{whole} %"


WHOLE = Rate(1)


class Tier(Struct, frozen=True):
    """From `least` (deal price by list price) up, the provider's share is `share`."""

    least: Rate
    share: Rate


class Deal(Struct, frozen=True, kw_only=True):
    """What was agreed with one provider.

    Attributes:
        provider: With whom.
        since: First month in which it holds, `YYYY-MM`; empty for as long as there are books.
        kind: By what the provider's part is reckoned.
        commodity: Of the charges to which it applies; others are the provider's whole.
        share: The provider's part of whatever `units` and `tiers` do not speak of.
        units: (item, micro-units that the provider gets for one priced unit), by item.
        lists: (item, list price of one priced unit in micro-units), by item.
        tiers: By rising `least`, the first at 0.
        taxes: (name, share of each charge), by name.
        declared: False for what holds where nobody has declared a deal.
    """

    provider: str
    since: str = ""
    kind: DealKind = DealKind.SHARE
    commodity: str = CURRENCY
    share: Rate = WHOLE
    units: tuple[tuple[str, int], ...] = ()
    lists: tuple[tuple[str, int], ...] = ()
    tiers: tuple[Tier, ...] = ()
    taxes: tuple[tuple[str, Rate], ...] = ()
    declared: bool = True

    @property
    def tax_share(self) -> Fraction:
        """Return the share of all taxes together."""
        return sum((rate.exact for _, rate in self.taxes), Fraction(0))

    def tier_share(self, item: str, price_micro: int) -> Rate | None:
        """Return the share at a price; None where the deal has no list price of the item."""
        listed_micro = dict(self.lists).get(item, 0)
        if not listed_micro or not self.tiers:
            return None
        ratio = Fraction(price_micro, listed_micro)
        return [tier.share for tier in self.tiers if tier.least.exact <= ratio][-1]


def parse_rate(value: str | float, most: int = 1) -> Rate:
    """Return the share of `0.8`, `"80 %"` or `"6/106"`.

    Args:
        value: As written.
        most: The largest that is allowed.

    Raises:
        InputError: it is none, or out of range.
    """
    text = "" if isinstance(value, bool) else plain(value)
    ratio, percent = _RATIO.fullmatch(text), _PERCENT.fullmatch(text)
    if ratio is not None and int(ratio[2]):
        exact = Fraction(int(ratio[1]), int(ratio[2]))
    elif percent is not None:
        exact = Fraction(percent[1]) / 100
    elif _DECIMAL.fullmatch(text):
        exact = Fraction(text)
    else:
        raise InputError(f"{shown(value)} is no share", hint='write 0.8, "80 %" or "6/106"')
    if exact > most:
        raise InputError(f"{shown(value)} is out of range", hint=f"0 to {most}, such as 0.8")
    return Rate(exact.numerator, exact.denominator)


def check_deal(deal: Deal) -> None:
    """Refuse a deal that gives away more than there is, or cannot be reckoned.

    Raises:
        InputError: says which key is wrong.
    """
    most = 1 - deal.tax_share
    if most < 0:
        raise InputError("the taxes are more than the whole", where="tax")
    shares = (("share", deal.share), *((f"tiers[{n}]", t.share) for n, t in enumerate(deal.tiers)))
    for where, share in shares:
        if share.exact > most:
            raise InputError(
                f"the provider's {share} and the taxes are more than the whole",
                where=where,
                hint=f"at most {Rate(most.numerator, most.denominator)} is left",
            )
    least = [tier.least.exact for tier in deal.tiers]
    if least and (least[0] or any(lower >= upper for lower, upper in pairwise(least))):
        raise InputError(
            "the tiers do not rise from 0",
            where="tiers",
            hint="the first has from = 0, each next one a higher one",
        )


def deal_of(
    deals: Mapping[str, Sequence[Deal]], provider: str, period: str, commodity: str
) -> Deal:
    """Return the deal with a provider that is in force in a month.

    Args:
        deals: By provider, in any order.
        provider: Whose.
        period: `YYYY-MM`.
        commodity: Of the charges.
    """
    known = [
        deal
        for deal in deals.get(provider, ())
        if deal.since <= period and deal.commodity == commodity
    ]
    if not known:
        return Deal(provider=provider, commodity=commodity, declared=False)
    return max(known, key=lambda deal: deal.since)
