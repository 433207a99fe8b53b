"""What the door says of prices."""

from __future__ import annotations

from msgspec import Struct

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceVersion


class TierView(Struct, frozen=True):
    """A step of a price.

    Attributes:
        above: Units in the tier period above which it holds.
        price_micro: Price of one unit there.
    """

    above: int
    price_micro: int


class FactorView(Struct, frozen=True):
    """What a class of user pays.

    Attributes:
        user_class: Its name.
        permille: Thousandths of the price.
    """

    user_class: str
    permille: int


class PriceView(Struct, frozen=True, kw_only=True):
    """A version of a price item; an empty name applies everywhere.

    Attributes:
        id: Such as `p7`.
        unit: What one price is for.
        provider: Who sells.
        site: Of the pool.
        region: As the site declares it.
        zone: Within the region.
        flavor: Class of nodes.
        model: Registry name of a card.
        user_class: Of the tenant.
        mode: shared, exclusive, urgent or spot.
        band: Hours of the week.
        currency: ISO 4217 code.
        price_micro: One unit, before tiers.
        tiers: Marginal.
        tier_period: In which use counts towards tiers: month or year.
        memory_per_core_bytes: A use counts at least as many cores as its memory fills; 0 off.
        factors: What classes of user pay.
        from_ms: First millisecond.
        end_ms: First millisecond after it, as far as is known; 0 for no end.
        supersedes: The version that it ended; empty for none.
        grade: What the figure rests on: declared by whoever sells.
    """

    id: str
    unit: str
    provider: str
    site: str
    region: str
    zone: str
    flavor: str
    model: str
    user_class: str
    mode: str
    band: str
    currency: str
    price_micro: int
    tiers: list[TierView]
    tier_period: str
    memory_per_core_bytes: int
    factors: list[FactorView]
    from_ms: int
    end_ms: int
    supersedes: str
    grade: str = "declared"

    @classmethod
    def of(cls, version: PriceVersion) -> PriceView:
        """Return the view of a version."""
        key, terms = version.key, version.terms
        return cls(
            id=f"p{version.number}",
            unit=key.unit,
            provider=key.provider,
            site=key.site,
            region=key.region,
            zone=key.zone,
            flavor=key.flavor,
            model=key.model,
            user_class=key.user_class,
            mode=key.mode,
            band=key.band,
            currency=terms.currency,
            price_micro=terms.price_micro,
            tiers=[TierView(*tier) for tier in terms.tiers],
            tier_period=terms.tier_period,
            memory_per_core_bytes=terms.memory_per_core_bytes,
            factors=[FactorView(*factor) for factor in terms.factors],
            from_ms=version.from_ms,
            end_ms=0 if version.end_ms == FOREVER_MS else version.end_ms,
            supersedes=f"p{version.supersedes}" if version.supersedes else "",
        )


class PriceAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item to add, in the words of the book's own file format; see there.

    Attributes:
        unit: What one price is for.
        currency: ISO 4217 code.
        price: Of one unit, such as `0.12`.
        provider: Who sells.
        site: Of the pool.
        region: As the site declares it.
        zone: Within the region.
        flavor: Class of nodes.
        model: Registry name of a card.
        user_class: Of the tenant.
        mode: shared, exclusive, urgent or spot.
        band: Hours of the week.
        tiers: Such as `100000:0.10 500000:0.08`.
        tier_period: month or year.
        memory_per_core: Such as `4GiB`.
        factors: Such as `school=60%`.
        valid_from: First moment; empty for now.
        valid_to: First moment after it; empty for no end.
        supersedes: The version that it ends, such as `p7`; empty for none.
    """

    unit: str
    currency: str
    price: str
    provider: str = ""
    site: str = ""
    region: str = ""
    zone: str = ""
    flavor: str = ""
    model: str = ""
    user_class: str = ""
    mode: str = ""
    band: str = ""
    tiers: str = ""
    tier_period: str = ""
    memory_per_core: str = ""
    factors: str = ""
    valid_from: str = ""
    valid_to: str = ""
    supersedes: str = ""


class PricesAdded(Struct, frozen=True, kw_only=True):
    """What an addition came to.

    Attributes:
        first: The first new version, such as `p7`; empty for none.
        added: New versions.
        superseded: How many of them ended an older one.
        unchanged: Items that the book had already.
        no_exchange: Currencies of the items of which the book has no rate into the hub's own
            today: the hub does not charge by such items.
    """

    first: str
    added: int
    superseded: int
    unchanged: int
    no_exchange: list[str] = []
