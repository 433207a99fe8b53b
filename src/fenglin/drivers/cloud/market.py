"""Buying: which node becomes which purchase, what it may cost, and when not to ask again."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from fenglin.drivers.cloud.provider import Wanted, refused, unclear
from fenglin.drivers.cloud.purchases import Phase, Purchase, token
from fenglin.drivers.cloud.userdata import cloud_config, new_host_key
from fenglin.errors import DriverError
from fenglin.model.reason import Reason
from fenglin.ports.crashpoint import crash_point
from fenglin.quantities.money import format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fenglin.drivers.cloud.provider import Provider
    from fenglin.drivers.cloud.purchases import Book
    from fenglin.drivers.cloud.settings import CloudSettings
    from fenglin.ports.driver import DriverContext

T = TypeVar("T")
FIRST_REST_S = 15.0
MOST_REST_S = 900.0
# A request that is still on its way is not repeated where that could buy twice.
REPEAT_AFTER_MS = 60_000
THREADS = 8

_log = structlog.get_logger("fenglin.cloud")


class Calls:
    """The provider's calls, in threads of their own: a cloud that hangs holds up nobody else."""

    def __init__(self) -> None:
        """Make the threads."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fenglin-cloud")

    async def make(self, call: Callable[..., T], *words: object) -> T:
        """Make a call; one that is given up ends by its own time-outs."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *words)

    def close(self) -> None:
        """Begin no more calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Market:
    """Buys what attempts need.

    Attributes:
        lock: Held while it is decided which purchases an attempt gets, or that one is idle.
    """

    def __init__(
        self,
        context: DriverContext,
        settings: CloudSettings,
        provider: Provider,
        book: Book,
        calls: Calls,
        public_key: str,
    ) -> None:
        """Take what to buy, of whom, where it is written down, and the key that is let in."""
        self._context = context
        self._settings = settings
        self._provider = provider
        self._book = book
        self._calls = calls
        self._public_key = public_key
        self._where = f"site {context.site}"
        self.lock = asyncio.Lock()
        self._buying: dict[int, asyncio.Task[None]] = {}
        # Flavor → (monotonic end of its rest, refusals so far, the last refusal).
        self._rests: dict[str, tuple[float, int, DriverError]] = {}

    def resting(self, flavor: str) -> DriverError | None:
        """Return why a flavor is not asked for now; None when it may be."""
        until_s, _, error = self._rests.get(flavor, (0.0, 0, None))
        return error if time.monotonic() < until_s else None

    def rest(self, flavor: str, error: DriverError) -> None:
        """Do not ask for a flavor for a while, twice as long each time."""
        _, count, _ = self._rests.get(flavor, (0.0, 0, error))
        rest_s = min(MOST_REST_S, FIRST_REST_S * 2 ** min(count, 10))
        self._rests[flavor] = (time.monotonic() + rest_s, count + 1, error)
        _log.warning("cloud_refused", site=self._context.site, flavor=flavor, error=str(error),
                     reason=error.reason, rest_s=rest_s)  # fmt: skip

    def good(self, flavor: str) -> None:
        """A node of the flavor has come up: it is asked for again without a rest."""
        self._rests.pop(flavor, None)

    def spent_micro(self) -> int:
        """Return what an hour of all that is not gone costs."""
        return sum(one.hour_micro for one in self._book.open())

    def affordable(self) -> set[str]:
        """Return the nodes that are bought or may be, cheapest first come under the ceiling."""
        settings = self._settings
        left = settings.ceiling_micro - self.spent_micro() if settings.ceiling_micro else None
        nodes = set()
        for node in settings.nodes:
            if self._book.of(node.name) is not None:
                nodes.add(node.name)
                continue
            price = settings.offers[node.flavor].hour_micro
            if self.resting(node.flavor) is None and (left is None or price <= left):
                nodes.add(node.name)
                left = left - price if left is not None else None
        return nodes

    async def choose(self, nodes: Sequence[str], least: int) -> list[Purchase]:
        """Return a purchase for each node, new ones written down and not yet bought.

        The caller holds `lock`.

        Args:
            nodes: Different nodes of the site.
            least: Numbers up to this one were used, whatever the book says.

        Raises:
            DriverError: refused: a rest, the ceiling, the hub's own disk.
        """
        settings = self._settings
        missing = [node for node in nodes if self._book.of(node) is None]
        offers = {node: settings.offers[settings.flavor_of(node)] for node in missing}
        for node in missing:
            error = self.resting(settings.flavor_of(node))
            if error is not None:
                raise DriverError(
                    error.what, where=error.where, hint=error.hint, reason=error.reason
                )
        more_micro = sum(offer.hour_micro for offer in offers.values())
        total_micro = self.spent_micro() + more_micro
        if missing and settings.ceiling_micro and total_micro > settings.ceiling_micro:
            asked = format_money(total_micro, settings.currency)
            allowed = format_money(settings.ceiling_micro, settings.currency)
            raise refused(
                f"an hour would cost {asked}, at most {allowed} are allowed",
                self._where, Reason.PRICE_CEILING, "raise max_price_per_hour, or wait",
            )  # fmt: skip
        for node in missing:
            private, public, fingerprint = await asyncio.to_thread(new_host_key)
            offer = offers[node]
            purchase = Purchase(
                number=max(self._book.last, least) + 1,
                node=node,
                flavor=settings.flavor_of(node),
                machine=offer.machine,
                spot=offer.spot,
                hour_micro=offer.hour_micro,
                fingerprint=fingerprint,
                user_data=cloud_config(settings.user, self._public_key, (private, public)),
            )
            await self._book.add(purchase)
        found = [self._book.of(node) for node in nodes]
        return [one for one in found if one is not None]

    async def buy(self, number: int) -> None:
        """Have a purchase bought, once; who gives up waiting does not stop it.

        Raises:
            DriverError: refused for certain, and the purchase is gone; or unclear.
        """
        if number not in self._buying:
            task = self._buying[number] = asyncio.create_task(self._buy(number))
            task.add_done_callback(partial(self._done, number))
        await asyncio.shield(self._buying[number])

    def may_repeat(self, purchase: Purchase) -> bool:
        """Return whether a purchase that no listing shows can be asked for again."""
        if purchase.number in self._buying or self.resting(purchase.flavor) is not None:
            return False
        waited_ms = self._context.now_ms() - purchase.asked_ms
        return self._provider.repeatable or not 0 <= waited_ms < REPEAT_AFTER_MS

    async def close(self) -> None:
        """Give up waiting; what was asked for is found again by its tags."""
        tasks = list(self._buying.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, number: int, task: asyncio.Task[None]) -> None:
        self._buying.pop(number, None)
        if not task.cancelled():
            task.exception()  # Whoever waits has it too; nobody may.

    async def _buy(self, number: int) -> None:
        purchase = self._book[number]
        if purchase.phase is not Phase.WANTED:
            return
        first = not purchase.asked_ms
        await self._book.change(number, asked_ms=self._context.now_ms())
        try:
            instance = await self._calls.make(self._provider.buy, self._wanted(purchase))
        except DriverError as error:
            if not error.effect_unknown:
                self.rest(purchase.flavor, error)
            if error.effect_unknown or not first:
                # An earlier request may have been carried out: a listing tells.
                raise unclear(error.what, self._where) from error
            await self._book.change(number, **self._nothing(error))
            raise
        except Exception as error:  # whatever an SDK does with an answer it does not know
            _log.exception("cloud_fault", site=self._context.site)
            raise unclear(f"{type(error).__name__}: {error}", self._where) from error
        crash_point("c4")
        _log.info("cloud_bought", site=self._context.site, node=purchase.node, number=number,
                  instance=instance, machine=purchase.machine)  # fmt: skip
        await self.bought(number, instance)

    async def bought(self, number: int, instance: str, **more: Any) -> None:  # noqa: ANN401
        """Write down that a purchase is an instance."""
        purchase = self._book[number]
        if purchase.phase is Phase.WANTED:
            more = {"bought_ms": self._context.now_ms(), **more}
            await self._book.change(
                number, phase=Phase.BOUGHT, instance=instance, user_data="", **more
            )

    def _nothing(self, error: DriverError) -> dict[str, Any]:
        return {
            "phase": Phase.GONE,
            "gone_ms": self._context.now_ms(),
            "user_data": "",
            "reason": Reason(error.reason or Reason.START_FAILED),
            "said": error.what[:200],
        }

    def _wanted(self, purchase: Purchase) -> Wanted:
        most = ""
        if purchase.spot and purchase.hour_micro:
            most = format_money(purchase.hour_micro, "").strip()
        return Wanted(
            token=token(self._context.hub, self._context.site, purchase.node, purchase.number),
            node=purchase.node,
            number=purchase.number,
            machine=purchase.machine,
            spot=purchase.spot,
            most_per_hour=most,
            user_data=purchase.user_data,
        )
