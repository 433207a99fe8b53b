"""The orders of one site: numbered, handed out again until answered, withdrawn when given up."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import structlog

from fenglin.errors import ConflictError, DriverError, InputError, UnavailableError
from fenglin.wire.agent_views import MOST_ORDERS, POLL_S, UNSUPPORTED, Answer, Fault, Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.wire.agent_views import Answers, Hello, OrdersAsk

# An agent asks anew at least this often.
SILENCE_S = POLL_S + 10

_log = structlog.get_logger("fenglin.agent")


@dataclass(slots=True)
class _Call:
    order: Order
    answer: asyncio.Future[Answer]
    handed: bool = False


class Letters:
    """Orders and answers of one site; lives as long as the hub's process.

    Orders are numbered, and the agent says up to which it has them. So one that was lost on its
    way is sent again, and none overtakes another: what is asked after a start is answered by an
    agent that has heard of the start.

    Attributes:
        box: Random name of this numbering.
    """

    def __init__(
        self, site: str, wake: Callable[[], None], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Take whom to wake when there is news."""
        self.box = secrets.token_hex(8)
        self._where = f"site {site}"
        self._wake = wake
        self._clock_s = clock_s
        self._calls: dict[int, _Call] = {}
        self._last = 0
        self._session = self._agent = ""
        self._heard_s = 0.0
        self._news = asyncio.Event()
        self._met = asyncio.Event()

    def hello(self, hello: Hello) -> str:
        """Return a new session; see `ports.agent.Mailbox`."""
        if self._agent not in ("", hello.agent) and self._silent_s() < SILENCE_S:
            raise UnavailableError(
                "another agent speaks for this site",
                where=self._where,
                hint="run one agent per site; this one takes over when the other falls silent",
            )
        self._agent = hello.agent
        self._session = secrets.token_hex(8)
        self._heard_s = self._clock_s()
        self._met.set()
        self._ring()
        self._wake()
        _log.info("agent_connected", site=self._where[5:], agent=hello.agent, of=hello.version)
        return self._session

    async def orders(self, ask: OrdersAsk, wait_s: float) -> tuple[Order, ...]:
        """Return the orders after a number; see `ports.agent.Mailbox`."""
        end_s = self._clock_s() + wait_s
        while True:
            self._check(ask.session)
            found = [
                call
                for number, call in self._calls.items()
                if number > ask.after and not call.answer.done()
            ]
            left_s = end_s - self._clock_s()
            if found or left_s <= 0:
                for call in found[:MOST_ORDERS]:
                    call.handed = True
                return tuple(call.order for call in found[:MOST_ORDERS])
            try:
                async with asyncio.timeout(left_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    def take(self, answers: Answers) -> None:
        """Give answers to those who wait for them; nobody waits for one that is too late."""
        self._check(answers.session)
        for answer in answers.answers:
            call = self._calls.get(answer.id)
            if call is not None and not call.answer.done():
                call.answer.set_result(answer)
        if answers.news:
            self._wake()

    async def met(self, wait_s: float) -> None:
        """Wait until an agent has called since this hub was started.

        Raises:
            DriverError: none has, in this time.
        """
        try:
            async with asyncio.timeout(wait_s):
                await self._met.wait()
        except TimeoutError:
            raise DriverError(self._absent(), where=self._where, hint=_HINT) from None

    async def call(self, kind: str, body: object, deadline_s: float) -> bytes:
        """Have the agent make a call; return its answer's body.

        Raises:
            DriverError: it refused, or no answer came in time. Then the effect is unknown,
                unless the order was never handed out: it is withdrawn.
            InputError: it found a wrong argument.
        """
        self._last += 1
        order = Order(self._last, kind, msgspec.Raw(msgspec.json.encode(body)))
        call = _Call(order, asyncio.get_running_loop().create_future())
        self._calls[order.id] = call
        self._ring()
        try:
            async with asyncio.timeout(deadline_s):
                answer = await call.answer
        except TimeoutError:
            what = self._absent() if not call.handed else f"the agent has not answered {kind!r}"
            raise DriverError(
                what, where=self._where, hint=_HINT, effect_unknown=call.handed
            ) from None
        finally:
            del self._calls[order.id]
        if answer.fault is not None:
            raise self._error(answer.fault)
        return bytes(answer.body)

    def _check(self, session: str) -> None:
        if not self._session or session != self._session:
            raise ConflictError("this session is over", where=self._where, hint="say hello again")
        self._heard_s = self._clock_s()

    def _silent_s(self) -> float:
        return self._clock_s() - self._heard_s

    def _absent(self) -> str:
        if not self._agent:
            return "no agent has called yet"
        return f"the agent has not called for {self._silent_s():.0f} s"

    def _error(self, fault: Fault) -> DriverError | InputError:
        if fault.code == InputError.code:
            return InputError(fault.what, where=fault.where, hint=fault.hint)
        hint = fault.hint or ("upgrade the agent" if fault.code == UNSUPPORTED else "")
        return DriverError(
            fault.what,
            where=fault.where or self._where,
            hint=hint,
            effect_unknown=fault.effect_unknown,
            reason=fault.reason,
        )

    def _ring(self) -> None:
        """Wake all who wait now; who comes later waits for the next time."""
        news, self._news = self._news, asyncio.Event()
        news.set()


_HINT = "start `fenglin agent` at the site, or look at its log"
