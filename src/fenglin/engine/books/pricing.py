"""The price book at the sites: flavors cost what the book says, from the moment it says so.

The planner, the hold and the allocation see one price per flavor, that of a shared use by any
class of user, without tiers. A unit that the book does not price for a flavor costs what the
configuration says. An item in another currency is exchanged at the book's own dated rate; where
it has none, the configuration's price goes on and the log says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

from fenglin.catalog.pricebook.book import Ask, PriceBook
from fenglin.catalog.pricebook.items import Unit
from fenglin.errors import FenglinError
from fenglin.quantities.money import MICRO, rate_micro
from fenglin.quantities.period import DEFAULT_OFFSET_MIN

if TYPE_CHECKING:
    from fenglin.catalog.pricebook.items import PriceVersion
    from fenglin.engine.pool import Pool
    from fenglin.model.site import Flavor, Price, Site
    from fenglin.ports.clock import Clock
    from fenglin.ports.prices import Prices

# Bands change by the minute at most.
EVERY_S = 10.0
_FIELDS = {
    Unit.CORE_HOUR: "core_hour_micro",
    Unit.MEMORY_GIB_HOUR: "memory_gib_hour_micro",
    Unit.CARD_HOUR: "card_hour_micro",
}
_log = structlog.get_logger("fenglin.prices")


def price_of(
    book: PriceBook, site: Site, flavor: Flavor, at_ms: int, offset_min: int
) -> tuple[Price, tuple[str, ...]]:
    """Return the price of a flavor at a moment, and why items that apply are not used.

    Args:
        book: All versions of the site's provider, and of none.
        site: Whose it is.
        flavor: With the price of the configuration, whose currency the price is in.
        at_ms: When.
        offset_min: Minutes by which the books' clock is ahead of UTC.
    """
    ask = Ask(
        at_ms=at_ms,
        offset_min=offset_min,
        provider=site.provider,
        site=site.name,
        region=site.region,
        flavor=flavor.name,
        model=flavor.accelerator,
    )
    price = flavor.price
    versions: list[str] = []
    unused = []
    for unit, field in _FIELDS.items():
        found = book.find(unit, ask)
        if found is None:
            continue
        price_micro, names = _exchanged(book, found, ask, price.currency)
        if price_micro is None:
            unused.append(
                f"p{found.number} is in {found.terms.currency}, of which the book has no exchange"
                f" into {price.currency}"
            )
            continue
        versions += [name for name in names if name not in versions]
        price = replace(price, **{field: price_micro})
        if found.terms.memory_per_core_bytes:
            price = replace(price, memory_per_core_bytes=found.terms.memory_per_core_bytes)
    return replace(price, book=tuple(versions)), tuple(unused)


def _exchanged(
    book: PriceBook, found: PriceVersion, ask: Ask, currency: str
) -> tuple[int | None, tuple[str, ...]]:
    """Return an item's price in a currency, None without a rate, and the versions it is from.

    A price is rounded half to even at the micro-unit once it is exchanged; charges are then
    reckoned from that price, which the ledger notes.
    """
    own = f"p{found.number}"
    if found.terms.currency == currency:
        return found.terms.price_micro, (own,)
    wanted = Ask(
        at_ms=ask.at_ms,
        offset_min=ask.offset_min,
        provider=ask.provider,
        model=found.terms.currency,
    )
    rate = book.find(Unit.EXCHANGE, wanted)
    if rate is None or rate.terms.currency != currency:
        return None, ()
    price_micro = rate_micro(found.terms.price_micro, MICRO, rate.terms.price_micro)
    return price_micro, (own, f"p{rate.number}")


class Pricing:
    """Keeps the prices of the pool's flavors at what the book says."""

    def __init__(
        self, pool: Pool, prices: Prices, clock: Clock, offset_min: int = DEFAULT_OFFSET_MIN
    ) -> None:
        """Take the pool with the prices of the configuration, which hold where the book is mute."""
        self._pool = pool
        self._prices = prices
        self._clock = clock
        self._offset_min = offset_min
        self._declared = {name: status.site for name, status in pool.sites.items()}
        self._book = PriceBook(())
        self._last = 0
        self._told = ""
        self._unused: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look for ever; what goes wrong is told and tried again."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.once()
            except FenglinError as error:
                if self._told != str(error):
                    self._told = str(error)
                    _log.warning("prices_not_read", what=str(error))

    async def once(self) -> None:
        """Read what was added to the book, and set the price of each flavor."""
        last = await self._prices.last()
        if last != self._last:
            providers = {site.provider for site in self._declared.values()} | {""}
            self._book = PriceBook(await self._prices.versions(providers))
            self._last = last
        if not last:
            return
        now_ms = self._clock.now_ms()
        unused: set[str] = set()
        for name, site in self._declared.items():
            status = self._pool.sites[name]
            found = [
                price_of(self._book, site, one, now_ms, self._offset_min) for one in site.flavors
            ]
            flavors = tuple(
                replace(one, price=price)
                for one, (price, _) in zip(site.flavors, found, strict=True)
            )
            unused.update(why for _, reasons in found for why in reasons)
            if flavors != status.site.flavors:
                status.site = replace(status.site, flavors=flavors)
                _log.info("prices_changed", site=name)
        for why in sorted(unused - self._unused):
            _log.warning("price_not_used", what=why)
        self._unused = frozenset(unused)
