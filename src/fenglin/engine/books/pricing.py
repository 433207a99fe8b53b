"""The price book at the sites: flavors cost what the book says, from the moment it says so.

The planner, the hold and the allocation see, per flavor, the price of a shared use by an account
of no class, and the prices of other classes and service modes where they differ. What an account
pays beyond a tier is known when a use is settled; see `storage.tiers`. A unit that the book does
not price for a flavor costs what the configuration says. An item in another currency is exchanged
at the book's own dated rate; where it has none, the configuration's price goes on and the log
says so.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING

import msgspec
import structlog
from msgspec.structs import astuple, replace

from fenglin.catalog.pricebook.book import Ask, PriceBook
from fenglin.catalog.pricebook.items import TierPeriod, Unit
from fenglin.catalog.pricebook.quote import at_ratio, no_exchange, ratio_into
from fenglin.errors import FenglinError
from fenglin.model.job import Mode
from fenglin.model.site import Tiered, tariff_of
from fenglin.quantities.period import DEFAULT_OFFSET_MIN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fenglin.catalog.pricebook.items import PriceVersion
    from fenglin.engine.pool import Pool
    from fenglin.model.site import Flavor, Price, Site
    from fenglin.ports.clock import Clock
    from fenglin.ports.prices import Prices

# Bands change by the minute at most.
EVERY_S = 10.0
# A posting has a line for each tier that a use reaches, and room for so many.
MOST_TIERS = 6
_HOURS = (Unit.CORE_HOUR, Unit.MEMORY_GIB_HOUR, Unit.CARD_HOUR)
# Of whole nodes, which only the mode `exclusive` gives; the first that has a price is charged.
_NODES = (Unit.NODE_HOUR, Unit.NODE_DAY)
_log = structlog.get_logger("fenglin.prices")


def price_of(
    book: PriceBook,
    site: Site,
    flavor: Flavor,
    at_ms: int,
    offset_min: int,
    user_class: str = "",
    mode: Mode = Mode.SHARED,
) -> tuple[Price, tuple[str, ...]]:
    """Return the price of a flavor at a moment, and why items that apply are not used.

    Args:
        book: All versions of the site's provider, and of none.
        site: Whose it is.
        flavor: With the price of the configuration, whose currency the price is in.
        at_ms: When.
        offset_min: Minutes by which the books' clock is ahead of UTC.
        user_class: Of the account.
        mode: How it is served.
    """
    ask = Ask(
        at_ms=at_ms,
        offset_min=offset_min,
        provider=site.provider,
        site=site.name,
        region=site.region,
        flavor=flavor.name,
        model=flavor.accelerator,
        user_class=user_class,
        mode=mode.value,
    )
    price = flavor.price
    versions: list[str] = []
    tiers: list[Tiered] = []
    unused = []
    for unit in (*_NODES, *_HOURS, Unit.TASK):
        # A whole node's price is that of all that is in it.
        within = price.node_cpu_milli and unit is not Unit.TASK
        if within or (unit in _NODES and mode is not Mode.EXCLUSIVE):
            continue
        found = book.find(unit, ask)
        if found is None:
            continue
        ratio, names = ratio_into(book, found, ask, price.currency)
        if ratio is None:
            unused.append(no_exchange(found, price.currency))
            continue
        if len(found.terms.tiers) > MOST_TIERS:
            unused.append(f"p{found.number} has more than {MOST_TIERS} tiers")
            continue
        if unit in _NODES:
            none = {f"{one}_micro": 0 for one in _HOURS}
            price = replace(price, node_cpu_milli=flavor.node.cpu_milli, **none)
        versions += [name for name in names if name not in versions]
        price = replace(price, **{f"{unit}_micro": at_ratio(ratio, found.terms.price_micro)})
        if found.terms.tiers:
            tiers.append(_tiered(found, ratio, offset_min))
        if found.terms.memory_per_core_bytes:
            price = replace(price, memory_per_core_bytes=found.terms.memory_per_core_bytes)
    return replace(price, book=tuple(versions), tiers=tuple(tiers)), tuple(unused)


def _tiered(found: PriceVersion, ratio: tuple[int, int], offset_min: int) -> Tiered:
    """Return an item's tiers. Use is counted per item, whichever of its versions is in force."""
    return Tiered(
        item=found.key.unit,
        counter=msgspec.json.encode(astuple(found.key)).decode(),
        steps=tuple((above, at_ratio(ratio, micro)) for above, micro in found.terms.tiers),
        yearly=found.terms.tier_period == TierPeriod.YEAR,
        offset_min=offset_min,
    )


def _tariffs(
    versions: Iterable[PriceVersion], classes: Collection[str]
) -> list[tuple[str, str, Mode]]:
    """Return each tariff but the usual, with a class and a mode that a book prices like it."""
    said: set[str] = set()
    any_mode = False
    for one in versions:
        said.add(one.key.user_class)
        said.update(name for name, _ in one.terms.factors)
        any_mode = any_mode or bool(one.key.mode) or one.key.unit in _NODES
    return [
        (name, user_class if user_class in said else "", mode if any_mode else Mode.SHARED)
        for user_class in sorted({"", *classes})
        for mode in Mode
        if (name := tariff_of(user_class, mode))
    ]


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
        self._classes = frozenset(pool.classes.values())
        self._book = PriceBook(())
        self._tariffs: list[tuple[str, str, Mode]] = []
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
            versions = await self._prices.versions(providers)
            self._book = PriceBook(versions)
            self._tariffs = _tariffs(versions, self._classes)
            self._last = last
        if not last:
            return
        now_ms = self._clock.now_ms()
        unused: set[str] = set()
        for name, site in self._declared.items():
            status = self._pool.sites[name]
            flavors = tuple(self._priced(site, one, now_ms, unused) for one in site.flavors)
            if flavors != status.site.flavors:
                status.site = replace(status.site, flavors=flavors)
                _log.info("prices_changed", site=name)
        for why in sorted(unused - self._unused):
            _log.warning("price_not_used", what=why)
        self._unused = frozenset(unused)

    def _priced(self, site: Site, flavor: Flavor, now_ms: int, unused: set[str]) -> Flavor:
        """Return a flavor with what it costs now; add what is not used of the book, and why."""

        @cache
        def cost(user_class: str, mode: Mode) -> Price:
            price, reasons = price_of(
                self._book, site, flavor, now_ms, self._offset_min, user_class, mode
            )
            unused.update(reasons)
            return price

        usual = cost("", Mode.SHARED)
        others = [(name, cost(group, mode)) for name, group, mode in self._tariffs]
        tariffs = tuple((name, price) for name, price in others if price != usual)
        return replace(flavor, price=usual, tariffs=tariffs)
