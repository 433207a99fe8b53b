"""How terms rate a use: exactly, and in whatever order uses come.

The charge of a use is what the account's use in the tier period costs with it, less what it
costs without it. Every tier of such a sum is rounded once, half to even at the micro-unit. So the
charges of a period add up to the rated sum of its use, whichever came first, and the first use of
an account, or one without tiers, is rounded exactly as `fenglin.catalog.prices` does.
"""

from __future__ import annotations

from msgspec import Struct

from fenglin.catalog.pricebook.items import FULL_PERMILLE, PER_UNIT, PriceTerms, Unit
from fenglin.quantities.money import rate_micro


class RatedTier(Struct, frozen=True):
    """One line of a charge.

    Attributes:
        above: Units above which the tier's price holds; 0 for the first.
        quantity: Use in this tier, in the quantities of `PER_UNIT`.
        price_micro: Price of one unit.
        factor_permille: Thousandths of it that the class of user pays.
        amount_micro: What it comes to.
    """

    above: int
    quantity: int
    price_micro: int
    factor_permille: int
    amount_micro: int


def factor_of(terms: PriceTerms, user_class: str) -> int:
    """Return the thousandths of the price that a class of user pays; all of it by default."""
    return dict(terms.factors).get(user_class, FULL_PERMILLE)


def price_for(terms: PriceTerms, user_class: str) -> int:
    """Return the price of one unit before tiers, for a class of user, rounded half to even."""
    return rate_micro(factor_of(terms, user_class), FULL_PERMILLE, terms.price_micro)


def cores_billed_milli(cpu_milli: int, memory_bytes: int, memory_per_core_bytes: int) -> int:
    """Return for how many thousandths of a core a use counts.

    `max(cpus, ceil(memory / memory_per_core))`: who fills the memory of a core pays for it.
    """
    if not memory_per_core_bytes:
        return cpu_milli
    return max(cpu_milli, -(-memory_bytes // memory_per_core_bytes) * 1_000)


def rate(
    unit: Unit, terms: PriceTerms, quantity: int, *, before: int = 0, user_class: str = ""
) -> tuple[RatedTier, ...]:
    """Return the lines of one use, without tiers that it does not reach.

    Args:
        unit: Of the item.
        terms: The frozen version's.
        quantity: The use, in the quantities of `PER_UNIT`; not negative.
        before: What the account had used of it in the tier period.
        user_class: Of the tenant.
    """
    per = PER_UNIT[unit]
    factor = factor_of(terms, user_class)
    starts = [0, *(above * per for above, _ in terms.tiers)]
    prices = [terms.price_micro, *(price_micro for _, price_micro in terms.tiers)]
    lines = []
    for n, (start, price_micro) in enumerate(zip(starts, prices, strict=True)):
        end = starts[n + 1] if n + 1 < len(starts) else None
        old = _within(before, start, end)
        new = _within(before + quantity, start, end)
        if new == old:
            continue
        whole, paid = per * FULL_PERMILLE, price_micro * factor
        amount_micro = rate_micro(new, whole, paid) - rate_micro(old, whole, paid)
        lines.append(RatedTier(start // per, new - old, price_micro, factor, amount_micro))
    return tuple(lines)


def _within(total: int, start: int, end: int | None) -> int:
    """Return how much of a total lies in a tier."""
    return max(0, (total if end is None else min(total, end)) - start)
