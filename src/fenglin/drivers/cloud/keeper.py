"""The site's own rounds: buy, see what is up, hand attempts over, bring output, give back.

1. look      What does the provider say there is? Without an answer nothing is bought or given
             back, and all else goes on.
2. lose      Attempts on instances that are gone are over there.
3. buy       What was wanted and is not known to be bought is asked for again.
4. probe     Does SSH reach what is bought, and is it what it should be?
5. hand over Attempts whose nodes are all up are given to the ssh driver.
6. logs      Output of what is forgotten is brought to the hub.
7. give back What has had no work for a while is released.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

import structlog

from fenglin.drivers.cloud.attempts import Stage
from fenglin.drivers.cloud.purchases import Phase
from fenglin.errors import DriverError, FenglinError
from fenglin.model.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from pathlib import Path
    from typing import Any

    from fenglin.drivers.cloud.attempts import Attempt, Attempts
    from fenglin.drivers.cloud.groups import Groups
    from fenglin.drivers.cloud.logs import Logs
    from fenglin.drivers.cloud.market import Market
    from fenglin.drivers.cloud.purchases import Book, Purchase
    from fenglin.drivers.cloud.settings import CloudSettings
    from fenglin.drivers.cloud.stock import Stock
    from fenglin.ports.driver import DriverContext

# Between two looks while nothing is coming up or going away, in pauses of the setting.
CALM_POLLS = 5
EMPTY_S = 300.0
PROBE_WITHIN_S = 10.0
HAND_WITHIN_S = 20.0
# An order that its nodes refuse is no accident after so many times.
MOST_REFUSALS = 5
# Output that cannot be brought keeps its instance for this long and no longer.
LOGS_WITHIN_S = 600.0
OWNER_FILE = "owner"

_log = structlog.get_logger("fenglin.cloud")


class Keeper:
    """Goes its rounds until it is closed, or another one has taken over the site's folder."""

    def __init__(
        self,
        context: DriverContext,
        settings: CloudSettings,
        *,
        book: Book,
        attempts: Attempts,
        groups: Groups,
        market: Market,
        stock: Stock,
        logs: Logs,
    ) -> None:
        """Take the parts, and the folder for this keeper alone.

        Raises:
            OSError: the folder cannot be used.
        """
        self._context = context
        self._settings = settings
        self._book = book
        self._attempts = attempts
        self._groups = groups
        self._market = market
        self._stock = stock
        self._logs = logs
        self._owner = os.urandom(8).hex()
        _owner_file(context).write_text(self._owner)
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._idle_s: dict[int, float] = {}
        self._refusals: dict[str, int] = {}
        self._said: dict[str, str] = {}

    def begin(self) -> None:
        """Have the rounds run; called on the loop by every call of the driver."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Go the next round soon."""
        self._wake.set()

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while await asyncio.to_thread(self._is_owner):
            self._wake.clear()
            try:
                await self._round()
            except Exception:  # noqa: BLE001 - whatever it is, the next round may go better
                _log.exception("cloud_round", site=self._context.site)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
        _log.info("cloud_replaced", site=self._context.site)
        await self._groups.close()

    def _is_owner(self) -> bool:
        try:
            return _owner_file(self._context).read_text() == self._owner
        except OSError:
            return _owner_file(self._context).parent.exists()

    async def _round(self) -> None:
        looked = await self._step("look", self._stock.look(self._pause_s() / 2))
        await self._step("lose", self.lose())
        if looked:
            await self._step("buy", self._buy())
        await self._step("probe", self._probe())
        await self._step("hand_over", self._hand_over())
        await self._step("logs", self._bring_logs())
        if looked:
            await self._step("give_back", self._give_back())
        await self._step("tidy", self._groups.keep(self._groups_in_use()))

    async def _step(self, name: str, work: Coroutine[Any, Any, None]) -> bool:
        """Do a step; what fails is said once, and tried again in the next round."""
        try:
            await work
        except (FenglinError, OSError) as error:
            if self._said.get(name) != str(error):
                _log.warning("cloud_step", site=self._context.site, step=name, error=str(error))
            self._said[name] = str(error)
            return False
        self._said.pop(name, None)
        return True

    def _pause_s(self) -> float:
        """Return how long nothing need be done, unless somebody wakes us."""
        purchases = self._book.open()
        busy = any(not one.ready for one in purchases)
        if busy or any(one.waits for one in self._attempts.live()):
            return self._settings.poll_s
        if not purchases and not self._stock.strangers:
            return EMPTY_S
        idle_s = self._settings.idle_ms / 1_000
        now_s = time.monotonic()
        due = [max(self._settings.poll_s, at + idle_s - now_s) for at in self._idle_s.values()]
        return min([CALM_POLLS * self._settings.poll_s, *due])

    # --- the steps --------------------------------------------------------------------------

    async def lose(self) -> None:
        """End what runs on instances that are gone or never came to be of use."""
        for attempt in self._attempts.live():
            for number in attempt.numbers:
                purchase = self._book[number]
                over = purchase.phase is Phase.GONE or (
                    purchase.phase is Phase.LEAVING and purchase.reason is not None
                )
                if over and number not in attempt.lost and attempt.reason is None:
                    await self._lose(attempt.key, purchase)

    async def _lose(self, key: str, purchase: Purchase) -> None:
        reason = purchase.reason or Reason.SITE_LOST
        async with self._attempts.lock(key):
            attempt = self._attempts.get(key)
            if attempt is None or attempt.reason is not None or attempt.forgotten:
                return
            lost = tuple(sorted({*attempt.lost, purchase.number}))
            why = attempt.why or reason
            # One that may have reached some of its nodes goes on there.
            whole = attempt.stage is Stage.QUEUED or len(lost) == len(attempt.numbers)
            ended = (Reason.CANCELLED if attempt.stopping else why) if whole else None
            await self._attempts.change(key, lost=lost, why=why, reason=ended)
        _log.info("cloud_lost", site=self._context.site, attempt=key, node=purchase.node,
                  reason=reason)  # fmt: skip
        self._context.wake()

    async def _buy(self) -> None:
        """Ask again for what no listing shows and somebody still needs."""
        needed = {n for one in self._attempts.live() if one.waits for n in one.numbers}
        again = [
            one.number
            for one in self._book.open()
            if one.phase is Phase.WANTED
            and one.number in needed
            and (not one.asked_ms or self._stock.missing(one.number))
            and self._market.may_repeat(one)
        ]
        await asyncio.gather(
            *(self._market.buy(number) for number in again), return_exceptions=True
        )
        await self.lose()

    async def _probe(self) -> None:
        """See which instances have come up, and give those up that do not."""
        coming = [
            one for one in self._book.open() if one.phase is Phase.BOUGHT and not one.ready_ms
        ]
        await asyncio.gather(*(self._probe_one(one) for one in coming))

    async def _probe_one(self, purchase: Purchase) -> None:
        number, said = purchase.number, "it has no address yet"
        if purchase.address:
            said = await self.problem(number)
            if not said:
                await self._book.change(number, ready_ms=self._context.now_ms())
                self._market.good(purchase.flavor)
                _log.info("cloud_ready", site=self._context.site, node=purchase.node,
                          instance=purchase.instance, address=purchase.address)  # fmt: skip
                return
            await self._groups.drop(number)
        if self._context.now_ms() - purchase.bought_ms > self._settings.boot_ms:
            await self._stock.fail(purchase, Reason.START_FAILED, said)
            await self.lose()

    async def problem(self, number: int) -> str:
        """Return why an instance cannot run tasks now; empty when it can."""
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                driver = await self._groups.of((number,))
                if driver is None:
                    return "it is gone"
                await driver.inventory()
        except TimeoutError:
            return "no answer in time"
        except FenglinError as error:
            return error.what
        return ""

    async def _hand_over(self) -> None:
        """Give attempts to their nodes when all of them are up."""
        keys = [one.key for one in self._attempts.live() if one.waits and self.is_up(one)]
        await asyncio.gather(*(self._hand_in_round(key) for key in keys))

    def is_up(self, attempt: Attempt) -> bool:
        """Return whether all nodes of an attempt can run tasks."""
        return all(self._book[number].ready for number in attempt.numbers)

    async def _hand_in_round(self, key: str) -> None:
        async with self._attempts.lock(key):
            try:
                async with asyncio.timeout(HAND_WITHIN_S):
                    await self.hand(key)
            except TimeoutError:
                return
            except DriverError as error:
                count = self._refusals[key] = self._refusals.get(key, 0) + 1
                _log.warning("cloud_hand_over", site=self._context.site, attempt=key,
                             error=str(error))  # fmt: skip
                if not error.effect_unknown and count >= MOST_REFUSALS:
                    await self._attempts.change(key, reason=Reason.START_FAILED)
                    self._context.wake()
            else:
                self._context.wake()

    async def hand(self, key: str) -> None:
        """Give one attempt to the ssh driver; the caller holds its lock.

        Raises:
            DriverError: as that driver says.
        """
        attempt = self._attempts.get(key)
        if attempt is None or not attempt.waits or attempt.order is None:
            return
        await self._attempts.change(key, stage=Stage.ASKED)
        driver = await self._groups.of(attempt.numbers)
        if driver is not None:
            await driver.start(attempt.order)
            await self._attempts.change(key, stage=Stage.ANSWERED)
            self._refusals.pop(key, None)

    async def _bring_logs(self) -> None:
        """Bring the output of what the hub has done with."""
        done = [one for one in self._attempts if one.forgotten and not one.logged]
        for attempt in done:
            driver = await self._groups.of(attempt.numbers) if attempt.numbers else None
            if driver is not None and attempt.stage is not Stage.QUEUED:
                await self._logs.bring(attempt, driver)
            async with self._attempts.lock(attempt.key):
                await self._attempts.change(attempt.key, logged=True)

    async def _give_back(self) -> None:
        """Release what has been idle, and ask again for what was to go."""
        now_s = time.monotonic()
        idle_s = self._settings.idle_ms / 1_000
        used = {n for one in self._attempts.live() for n in one.numbers}
        owed = {n for one in self._attempts if not one.logged for n in one.numbers}
        for purchase in self._book.open():
            number = purchase.number
            if purchase.phase is Phase.LEAVING:
                await self._stock.release(purchase)
            elif purchase.phase is not Phase.BOUGHT or number in used:
                self._idle_s.pop(number, None)
            else:
                since_s = self._idle_s.setdefault(number, now_s)
                patience_s = idle_s + (LOGS_WITHIN_S if number in owed else 0)
                if now_s - since_s >= patience_s:
                    await self._leave(purchase)

    async def _leave(self, purchase: Purchase) -> None:
        """Begin to give an instance back, unless it has just got work."""
        async with self._market.lock:
            number = purchase.number
            if any(number in one.numbers for one in self._attempts.live()):
                return
            await self._book.change(number, phase=Phase.LEAVING)
        self._idle_s.pop(number, None)
        _log.info("cloud_idle", site=self._context.site, node=purchase.node,
                  instance=purchase.instance)  # fmt: skip
        await self._stock.release(self._book[number])

    def _groups_in_use(self) -> Iterable[tuple[int, ...]]:
        yield from ((one.number,) for one in self._book.open() if one.phase is Phase.BOUGHT)
        yield from (one.numbers for one in self._attempts if not one.logged and one.numbers)


def _owner_file(context: DriverContext) -> Path:
    return context.directory / OWNER_FILE
