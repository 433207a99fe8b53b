"""The agent's loop: dial, say hello, fetch orders and answer them, and begin again when cut off."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import structlog

from fenglin import __version__
from fenglin.agent.files import Files
from fenglin.agent.worker import Worker, refused
from fenglin.client.retry import Retry
from fenglin.errors import (
    ConflictError,
    DeniedError,
    FenglinError,
    InputError,
    NotFoundError,
    StaleEpochError,
)
from fenglin.ports.driver import DriverContext
from fenglin.wire.agent_views import PROTOCOL, Answer, Answers, Hello, OrdersAsk, Welcome, agree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fenglin.agent.link import Link
    from fenglin.agent.state import State
    from fenglin.ports.driver import Driver, DriverFactory
    from fenglin.wire.agent_views import Order, Orders

MOST_AT_ONCE = 64
MOST_ANSWERS_BYTES = 8 * 2**20
BACKOFF = Retry(base_s=0.2, cap_s=10.0)

# No pause helps against these: a wrong name, no right, no common protocol, another's folder.
_FOR_GOOD = (ConflictError, DeniedError, InputError, NotFoundError)

_log = structlog.get_logger("fenglin.agent")


class Agent:
    """One site's agent.

    Args:
        link: To the hub.
        state: What it remembers.
        folder: Of its data.
        site: Name of the site.
        factory: Builds the driver.
        settings: Of the driver; what the hub declares of the site is added.
        now_ms: Unix time in milliseconds.
        backoff: Pauses between tries to reach the hub.
    """

    def __init__(
        self,
        link: Link,
        state: State,
        folder: Path,
        *,
        site: str,
        driver: tuple[str, DriverFactory],
        settings: Mapping[str, object],
        now_ms: Callable[[], int],
        backoff: Retry = BACKOFF,
    ) -> None:
        self._link = link
        self._state = state
        self._folder = folder
        self._site = site
        self._kind, self._factory = driver
        self._settings = dict(settings)
        self._now_ms = now_ms
        self._backoff = backoff
        self._files = Files(folder, link, self._wake)
        self._worker: Worker | None = None
        self._declared: tuple[object, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._box = self._session = ""
        self._last = 0
        self._answers: list[Answer] = []
        self._has_news = False
        self._to_tell = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Serve the hub for ever.

        Raises:
            FenglinError: the hub refuses for good: no such site, no right, no common protocol,
                or the folder is another site's.
        """
        failed = 0
        while True:
            try:
                await self._begin()
                failed = 0
                await self._serve()
            except FenglinError as error:
                if isinstance(error, _FOR_GOOD):
                    raise
                _log.warning("hub_unreachable", error=str(error), tries=failed + 1)
            failed += 1
            await self._pause(failed)

    async def close(self) -> None:
        """Give up what is under way; attempts run on, and the next agent adopts them."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._files.close()
        if self._worker is not None:
            await self._worker.driver.close()
        self._link.close()

    async def _begin(self) -> None:
        """Say hello, and make sure that driver and numbering fit the answer."""
        welcome = await self._link.hello(
            Hello(PROTOCOL, self._state.memory.agent, __version__, self._kind)
        )
        agree(PROTOCOL, welcome.protocol, agent=True)
        self._state.check(welcome.hub, self._site, welcome.epoch)
        await self._build(welcome)
        if welcome.box != self._box:
            # Nobody waits any more for answers to the orders of a hub that has ended.
            self._box, self._last, self._answers = welcome.box, 0, []
        self._session = welcome.session
        _log.info("hub_reached", hub=welcome.hub, epoch=welcome.epoch, site=self._site)
        self._poll_s = welcome.poll_s

    async def _build(self, welcome: Welcome) -> None:
        """Build the driver, anew when the hub's configuration of the site has changed."""
        declared = (welcome.flavors, welcome.nodes, welcome.licences)
        if self._worker is not None:
            if declared == self._declared:
                return
            await self._worker.driver.close()
        directory = self._folder / "sites" / self._site
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        context = DriverContext(welcome.hub, self._site, directory, self._wake, self._now_ms)
        own = {"flavors": welcome.flavors, "nodes": welcome.nodes, "licences": welcome.licences}
        driver: Driver = self._factory(context, {**self._settings, **own})
        self._worker = Worker(driver, self._files, self._state.memory.agent)
        self._declared = declared

    async def _serve(self) -> None:
        """Fetch and answer until the line breaks or the session is over.

        Raises:
            UnavailableError: the line broke.
        """
        both = [asyncio.create_task(self._fetch()), asyncio.create_task(self._tell())]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        except ConflictError:
            _log.info("session_over", site=self._site)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _fetch(self) -> None:
        while True:
            ask = OrdersAsk(self._session, self._last)
            self._accept(await self._link.orders(ask, self._poll_s))

    def _accept(self, batch: Orders) -> None:
        """Take orders in their order; none before all that came earlier are known."""
        worker = self._worker
        try:
            self._state.check(batch.hub, self._site, batch.epoch)
        except StaleEpochError as error:
            _log.warning("orders_refused", error=str(error))
            for order in batch.orders:
                self._answer(refused(order, error))
                self._last = max(self._last, order.id)
            return
        for order in batch.orders:
            if worker is None or order.id <= self._last:
                continue
            self._last = order.id
            worker.accept(order)
            task = asyncio.create_task(self._carry_out(worker, order))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, worker: Worker, order: Order) -> None:
        box = self._box
        async with self._gate:
            answer = await worker.carry_out(order)
        if box == self._box:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._to_tell.set()

    async def _tell(self) -> None:
        """Bring answers and news; they are dropped only when the hub has them."""
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            while self._answers or self._has_news:
                some, news = self._some(), self._has_news
                self._has_news = False
                try:
                    await self._link.answers(Answers(self._session, some, news))
                except FenglinError:
                    self._has_news = self._has_news or news
                    self._to_tell.set()
                    raise
                del self._answers[: len(some)]

    def _some(self) -> tuple[Answer, ...]:
        """Return the first answers, as many as one request takes."""
        room = MOST_ANSWERS_BYTES
        for number, answer in enumerate(self._answers):
            room -= len(bytes(answer.body))
            if room < 0 and number:
                return tuple(self._answers[:number])
        return tuple(self._answers)

    def _wake(self) -> None:
        """Tell the hub that there is news; called from any thread."""
        self._loop.call_soon_threadsafe(self._note_news)

    def _note_news(self) -> None:
        self._has_news = True
        self._to_tell.set()

    async def _pause(self, failed: int) -> None:
        dice = secrets.randbelow(1 << 20) / (1 << 20)
        await asyncio.sleep(self._backoff.pause_s(min(failed, 16), dice))
