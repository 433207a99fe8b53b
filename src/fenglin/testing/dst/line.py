"""The line between one hub and one site, and what can happen to a call on it.

A request travels, has its effect at the site, and its answer travels back; each part takes time
and may be lost. A request that was sent arrives even when its hub has died meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar

from fenglin.errors import DriverError, FenglinError
from fenglin.ports.driver import Capability, LogChunk
from fenglin.testing.dst.virtual import this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from fenglin.model.allocation import Usage
    from fenglin.ports.driver import Observation, SiteReport, StartOrder
    from fenglin.testing.dst.site import TrueSite
    from fenglin.testing.dst.trace import Trace
    from fenglin.testing.dst.virtual import SeededLoop

T = TypeVar("T")
CAPABILITIES = frozenset({Capability.ARRAYS, Capability.GANGS, Capability.FENCE})


@dataclass(slots=True)
class Weather:
    """How the lines to one site behave now.

    Attributes:
        latency_s: Each way takes up to this long.
        lose_call: Chance that a request never arrives.
        lose_answer: Chance that an answer never comes back.
        repeat: Chance that a request arrives twice.
        cut: Nothing gets through.
        hangs: No answer ever, whether or not it has had its effect.
        refuses: Every call is refused at once, as by a rate limit.
        broken: Every call fails with an error that is none of ours.
        sleepy: News do not wake the hub.
    """

    latency_s: float = 0.02
    lose_call: float = 0.0
    lose_answer: float = 0.0
    repeat: float = 0.0
    cut: bool = False
    hangs: bool = False
    refuses: bool = False
    broken: bool = False
    sleepy: bool = False

    @property
    def fair(self) -> bool:
        """Return whether nothing is wrong."""
        return self == Weather()

    def clear(self) -> None:
        """Let all be well again, for the lines that look at this weather."""
        for one in fields(self):
            setattr(self, one.name, one.default)


class Line:
    """A driver whose calls travel. Implements `ports.driver.Driver`.

    Attributes:
        heard: (call, key, time) of every request that had its effect at the site.
    """

    kind = "dst"
    capabilities: frozenset[Capability] = CAPABILITIES

    def __init__(
        self, site: TrueSite, weather: Weather, loop: SeededLoop, random: Random, trace: Trace
    ) -> None:
        """Take both ends."""
        self._site = site
        self._weather = weather
        self._loop = loop
        self._random = random
        self._trace = trace
        process = this_process()
        self._hub = process.name if process else "?"
        self.on_call: Callable[[str, str, str], None] = lambda _site, _call, _key: None
        self.on_start: Callable[[StartOrder], None] = lambda _order: None
        self.refusal: Callable[[StartOrder], Exception | None] = lambda _order: None
        self.on_seen: Callable[[str, Sequence[Observation]], None] = lambda _site, _seen: None

    async def inventory(self) -> SiteReport:
        """See `ports.driver.Driver`."""
        return await self._call("inventory", "", self._site.inventory)

    async def start(self, order: StartOrder) -> None:
        """See `ports.driver.Driver`."""
        self.on_start(order)
        if refused := self.refusal(order):
            self.on_call(self._site.name, "start", order.key)
            raise refused
        await self._call("start", order.key, lambda: self._site.start(order))

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """See `ports.driver.Driver`."""
        asked = dict(cursors)
        seen = await self._call("observe", "", lambda: self._site.observe(asked))
        self.on_seen(self._site.name, seen)
        return seen

    async def stop(self, key: str, grace_ms: int) -> None:
        """See `ports.driver.Driver`."""
        await self._call("stop", key, lambda: self._site.stop(key, grace_ms))

    async def usage(self, key: str) -> Usage:
        """See `ports.driver.Driver`."""
        return await self._call("usage", key, lambda: self._site.usage(key))

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """See `ports.driver.Driver`; payloads here say nothing."""
        del task, limit
        return await self._call("log", key, lambda: LogChunk(b"", offset, complete=True))

    async def keys(self) -> frozenset[str]:
        """See `ports.driver.Driver`."""
        return await self._call("keys", "", self._site.keys)

    async def forget(self, key: str) -> None:
        """See `ports.driver.Driver`."""
        await self._call("forget", key, lambda: self._site.forget(key))

    async def close(self) -> None:
        """See `ports.driver.Driver`."""

    async def _call(self, call: str, key: str, act: Callable[[], T]) -> T:
        weather, random = self._weather, self._random
        self.on_call(self._site.name, call, key)
        if weather.refuses:
            raise DriverError("too many requests", where=f"site {self._site.name}")
        if weather.broken:
            raise RuntimeError("the driver has a fault of its own")
        answer: asyncio.Future[T] = self._loop.create_future()
        if not weather.cut and random.random() >= weather.lose_call:
            # It travels by itself: neither the caller's end nor its hub's stops it.
            process = this_process()
            context = process.outside() if process else None
            for _ in range(1 + (random.random() < weather.repeat)):
                self._loop.call_later(
                    random.random() * weather.latency_s,
                    self._arrive, call, key, act, answer,
                    context=context,
                )  # fmt: skip
        return await answer

    def _arrive(self, call: str, key: str, act: Callable[[], T], answer: asyncio.Future[T]) -> None:
        """Have the effect, and send the answer back."""
        weather, random = self._weather, self._random
        if weather.cut:
            return
        error: FenglinError | None = None
        value: T | None = None
        try:
            value = act()
        except DriverError as raised:
            error = raised
        if call not in ("observe", "inventory"):
            self._trace.note(self._site.name, f"{call} {key} of {self._hub}: {error or 'done'}")
        if weather.hangs or random.random() < weather.lose_answer:
            return
        self._loop.call_later(random.random() * weather.latency_s, _settle, answer, value, error)


def _settle(answer: asyncio.Future[T], value: T, error: FenglinError | None) -> None:
    """Give the answer to whoever still waits; one whose hub died waits for ever."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(value)
