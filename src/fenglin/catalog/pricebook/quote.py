"""What one unit costs an account at a moment, in the currency that it pays in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from fenglin.catalog.pricebook.book import Ask, PriceBook
from fenglin.catalog.pricebook.items import FULL_PERMILLE, PriceTerms, TierPeriod, Unit
from fenglin.catalog.pricebook.rating import factor_of
from fenglin.quantities.money import MICRO, rate_micro

if TYPE_CHECKING:
    from fenglin.catalog.pricebook.items import PriceVersion

# Of things that are metered by whoever sells them. All others are charged per attempt, by what the
# hub sees itself.
METERED = (Unit.STORAGE_TB_MONTH, Unit.EGRESS_GB, Unit.FRAME)


class Quote(Struct, frozen=True):
    """The price that is in force for a use.

    Attributes:
        versions: Numbers of the versions that it is from, such as `p7`: the item's, and that of
            the rate of exchange.
        terms: In the currency asked for, with what the class of user pays; no factors are left.
        yearly: Whether use counts towards tiers in the year, not in the month.
    """

    versions: tuple[str, ...]
    terms: PriceTerms
    yearly: bool


def quote(book: PriceBook, unit: Unit, ask: Ask, currency: str) -> Quote | str:
    """Return what a use costs, or why the book cannot say.

    Args:
        book: All versions of the provider, and of none.
        unit: What is used.
        ask: By whom, where and when.
        currency: In which it is paid.
    """
    found = book.find(unit, ask)
    if found is None:
        return f"the book has no price for {unit}"
    ratio, versions = ratio_into(book, found, ask, currency)
    if ratio is None:
        return no_exchange(found, currency)
    terms = PriceTerms(
        currency,
        at_ratio(ratio, found.terms.price_micro),
        tuple((above, at_ratio(ratio, micro)) for above, micro in found.terms.tiers),
    )
    return Quote(versions, terms, found.terms.tier_period == TierPeriod.YEAR)


def ratio_into(
    book: PriceBook, found: PriceVersion, ask: Ask, currency: str
) -> tuple[tuple[int, int] | None, tuple[str, ...]]:
    """Return by which ratio an item's prices are taken, and the versions that this is from.

    That is what the class of user pays of them, exchanged into a currency; None without a rate.
    """
    own = f"p{found.number}"
    factor = factor_of(found.terms, ask.user_class)
    if found.terms.currency == currency:
        return (factor, FULL_PERMILLE), (own,)
    wanted = Ask(
        at_ms=ask.at_ms,
        offset_min=ask.offset_min,
        provider=ask.provider,
        model=found.terms.currency,
    )
    rate = book.find(Unit.EXCHANGE, wanted)
    if rate is None or rate.terms.currency != currency:
        return None, ()
    ratio = (factor * rate.terms.price_micro, FULL_PERMILLE * MICRO)
    return ratio, (own, f"p{rate.number}")


def at_ratio(ratio: tuple[int, int], price_micro: int) -> int:
    """Return a price, rounded once, half to even at the micro-unit: charges come from that."""
    return rate_micro(price_micro, ratio[1], ratio[0])


def no_exchange(found: PriceVersion, currency: str) -> str:
    """Return why an item in another currency costs nothing that could be charged."""
    return (
        f"p{found.number} is in {found.terms.currency}, of which the book has no exchange"
        f" into {currency}"
    )
