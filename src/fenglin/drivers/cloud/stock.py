"""What the provider says there is, held against the book of purchases.

An instance is known by our tags. One that no purchase is about is given back after a grace, a
second one of the same purchase at once. A purchase is gone when the provider says so; that it
is missing counts only after complete listings have agreed on it for five minutes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from fenglin.drivers.cloud.provider import Instance, Life
from fenglin.drivers.cloud.purchases import Phase
from fenglin.errors import DriverError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from fenglin.drivers.cloud.market import Calls, Market
    from fenglin.drivers.cloud.provider import Provider
    from fenglin.drivers.cloud.purchases import Book, Purchase
    from fenglin.drivers.cloud.settings import CloudSettings
    from fenglin.ports.driver import DriverContext

ABSENT_S = 300.0
RELEASE_AGAIN_S = 30.0

_log = structlog.get_logger("fenglin.cloud")


class Stock:
    """The listing, and what follows from it.

    Attributes:
        strangers: Instances with our tags of which the book does not know, since when.
        highest: Highest purchase number that was seen on any instance.
    """

    def __init__(
        self,
        context: DriverContext,
        settings: CloudSettings,
        provider: Provider,
        book: Book,
        market: Market,
        calls: Calls,
    ) -> None:
        """Take whom to ask; nothing is asked yet."""
        self._context = context
        self._settings = settings
        self._provider = provider
        self._book = book
        self._market = market
        self._calls = calls
        self.strangers: dict[str, float] = {}
        self.highest = 0
        self._listed_s = 0.0
        self._listing: asyncio.Task[None] | None = None
        self._absent_s: dict[int, float] = {}
        self._released_s: dict[str, float] = {}
        self._missing: set[int] = set()

    @property
    def listed(self) -> bool:
        """Whether there ever was a complete listing."""
        return self._listed_s > 0

    async def look(self, most_age_s: float) -> None:
        """Have a listing that is not older than this; one at a time is made.

        Raises:
            DriverError: the provider cannot be asked.
        """
        if self._listed_s and time.monotonic() - self._listed_s < most_age_s:
            return
        if self._listing is None:
            self._listing = asyncio.create_task(self._look())
            self._listing.add_done_callback(self._looked)
        await asyncio.shield(self._listing)

    def missing(self, number: int) -> bool:
        """Return whether the newest listing does not show a purchase."""
        return number in self._missing

    async def release(self, purchase: Purchase) -> None:
        """Ask the provider to take an instance back, from time to time until it has."""
        await self._release(purchase.instance)

    async def close(self) -> None:
        """Give up a listing that is under way."""
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.gather(self._listing, return_exceptions=True)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._listing = None
        if not task.cancelled():
            task.exception()  # Whoever waits has it too; nobody may.

    async def _look(self) -> None:
        asked_s = time.monotonic()
        known = {one.number for one in self._book.open()}
        try:
            instances = await self._calls.make(self._provider.instances)
        except DriverError:
            raise
        except Exception as error:  # whatever an SDK does with an answer it does not know
            _log.exception("cloud_fault", site=self._context.site)
            raise DriverError(
                f"{type(error).__name__}: {error}", where=f"site {self._context.site}"
            ) from error
        self.highest = max([self.highest, *(one.number for one in instances)])
        await self._reconcile(instances, known, asked_s)
        self._listed_s = asked_s

    async def _reconcile(self, instances: list[Instance], known: set[int], asked_s: float) -> None:
        by_id = {one.id: one for one in instances}
        self._missing = set()
        for number in sorted(known):
            purchase = self._book[number]
            mine = by_id.get(purchase.instance) if purchase.instance else _first(instances, number)
            if mine is None:
                await self._absent(purchase, asked_s)
                continue
            self._absent_s.pop(number, None)
            await self._seen(purchase, mine)
        claimed = {one.instance for one in self._book.open() if one.instance}
        loose = [one for one in instances if one.life is not Life.GONE and one.id not in claimed]
        for one in loose:
            await self._unclaimed(one)
        for gone in set(self.strangers) - {one.id for one in loose}:
            del self.strangers[gone]

    async def _seen(self, purchase: Purchase, mine: Instance) -> None:
        """Believe what the provider says of a purchase."""
        number = purchase.number
        if purchase.phase is Phase.WANTED:
            launched = {"bought_ms": mine.launched_ms} if mine.launched_ms else {}
            await self._market.bought(number, mine.id, **launched)
            purchase = self._book[number]
        if mine.life is Life.GONE:
            await self._gone(purchase, mine.reason or Reason.SITE_LOST, mine.said)
        elif mine.life is Life.FAILED and purchase.phase is Phase.BOUGHT:
            await self.fail(purchase, mine.reason or Reason.START_FAILED, mine.said)
        elif mine.address and mine.address != purchase.address:
            await self._book.change(number, address=mine.address)

    async def fail(self, purchase: Purchase, reason: Reason, said: str) -> None:
        """Give an instance up that never came to be of use, and rest its flavor."""
        error = DriverError(
            f"{purchase.instance} did not come up: {said}"[:300],
            where=f"site {self._context.site}",
            reason=reason.value,
        )
        self._market.rest(purchase.flavor, error)
        await self._book.change(
            purchase.number, phase=Phase.LEAVING, reason=reason, said=said[:200]
        )

    async def _absent(self, purchase: Purchase, asked_s: float) -> None:
        """Deal with a purchase that a complete listing lacks."""
        number = purchase.number
        self._missing.add(number)
        if purchase.phase is Phase.LEAVING:
            # It was asked to go before the listing was made.
            released_s = self._released_s.get(purchase.instance)
            if released_s is not None and released_s < asked_s:
                await self._gone(purchase, purchase.reason, purchase.said)
            return
        since_s = self._absent_s.setdefault(number, asked_s)
        if asked_s - since_s < ABSENT_S:
            return
        if purchase.phase is Phase.BOUGHT:
            await self._gone(purchase, Reason.SITE_LOST, "no complete listing shows it any more")
        else:
            # Should a request for it arrive after all, what it buys is given back at once.
            await self._gone(purchase, Reason.START_FAILED, "it was never bought")

    async def _gone(self, purchase: Purchase, reason: Reason | None, said: str) -> None:
        """Write the end of a purchase down; one that we gave back has no reason."""
        if purchase.phase is Phase.LEAVING:
            reason, said = purchase.reason, purchase.said
        _log.info("cloud_gone", site=self._context.site, node=purchase.node,
                  instance=purchase.instance, reason=reason, said=said)  # fmt: skip
        await self._book.change(
            purchase.number,
            phase=Phase.GONE,
            gone_ms=self._context.now_ms(),
            reason=reason,
            said=said[:200],
            user_data="",
        )
        self._absent_s.pop(purchase.number, None)
        self._released_s.pop(purchase.instance, None)

    async def _unclaimed(self, one: Instance) -> None:
        """Give back what nobody needs.

        At once what its purchase is done with, or a second one of it; after the grace one of
        which nothing is known.
        """
        since_s = self.strangers.setdefault(one.id, time.monotonic())
        if one.number in self._book:
            # One that is wanted just now was bought after this listing had begun.
            if self._book[one.number].phase is not Phase.WANTED:
                await self._release(one.id, "its purchase has another, or has ended")
        elif (time.monotonic() - since_s) * 1_000 >= self._settings.orphan_ms:
            await self._release(one.id, "no record tells of it")

    async def _release(self, instance: str, why: str = "") -> None:
        now_s = time.monotonic()
        if now_s - self._released_s.get(instance, -RELEASE_AGAIN_S) < RELEASE_AGAIN_S:
            return
        try:
            await self._calls.make(self._provider.release, instance)
        except DriverError as error:
            _log.warning("cloud_release", site=self._context.site, instance=instance,
                         error=str(error))  # fmt: skip
            return
        self._released_s[instance] = time.monotonic()
        _log.info("cloud_released", site=self._context.site, instance=instance, why=why)


def _first(instances: list[Instance], number: int) -> Instance | None:
    """Return the instance of a purchase whose id is not known: the oldest that is there."""
    mine = [one for one in instances if one.number == number]
    mine.sort(key=lambda one: (one.life is Life.GONE, one.launched_ms, one.id))
    return mine[0] if mine else None
