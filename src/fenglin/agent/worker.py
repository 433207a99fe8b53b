"""Orders carried out on the site's own driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
import structlog
from msgspec.structs import replace

from fenglin.errors import DriverError, FenglinError
from fenglin.ports.agent import KeyAsk, LogAsk, ObserveAsk, StartAsk, TasksAsk, Told
from fenglin.ports.driver import Capability, Presence
from fenglin.quantities.taskset import TaskSet
from fenglin.wire.agent_views import UNSUPPORTED, Answer, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fenglin.agent.files import Files
    from fenglin.ports.driver import Driver, StopsTasks
    from fenglin.wire.agent_views import Order

MOST_LOG_BYTES = 2**20

_log = structlog.get_logger("fenglin.agent")


class Worker:
    """Carries out orders; each call is one of the driver's, and as harmless to repeat."""

    def __init__(self, driver: Driver, files: Files, agent: str) -> None:
        """Take the driver, the files, and the agent's own id."""
        self.driver = driver
        self._files = files
        self._agent = agent
        # Keys whose start is under way here: what is not found of them is not absent.
        self._starting: dict[str, int] = {}
        self._kinds: dict[str, Callable[[bytes], Awaitable[object]]] = {
            "inventory": self._inventory,
            "start": self._start,
            "observe": self._observe,
            "stop": self._stop,
            "stop_tasks": self._stop_tasks,
            "usage": self._usage,
            "read_log": self._read_log,
            "keys": self._keys,
            "forget": self._forget,
        }

    def accept(self, order: Order) -> None:
        """Hear of an order, before any that came after it is carried out."""
        if order.kind == "start":
            key = _key_of(order)
            self._starting[key] = self._starting.get(key, 0) + 1

    async def carry_out(self, order: Order) -> Answer:
        """Return what came of an order that was accepted; never raises."""
        call = self._kinds.get(order.kind)
        try:
            if call is None:
                return _failed(
                    order, UNSUPPORTED, f"this agent does not know the order {order.kind[:40]!r}"
                )
            found = await call(bytes(order.body))
            return Answer(order.id, msgspec.Raw(msgspec.json.encode(found)))
        except (msgspec.MsgspecError, RecursionError) as error:
            return _failed(order, UNSUPPORTED, f"this agent cannot read the order: {error}")
        except FenglinError as error:
            return Answer(order.id, fault=_fault(error))
        except Exception as error:  # noqa: BLE001 - a driver's fault must not end the agent
            # A traceback of a start may quote the secrets that came with it.
            _log.error("driver_fault", order=order.kind, exc_info=order.kind != "start")
            return _failed(
                order, "error", f"fault in the driver: {type(error).__name__}", unknown=True
            )
        finally:
            if order.kind == "start":
                self._done(_key_of(order))

    async def _inventory(self, _body: bytes) -> Told:
        report = await self.driver.inventory()
        able = report.capabilities
        if able is None:
            able = self.driver.capabilities
        words = tuple(sorted(one.value for one in able & self.driver.capabilities))
        # Another agent has another memory: what it does not know may run all the same.
        generation = f"{report.generation}@{self._agent}"
        return Told(report.nodes, report.licences, generation, words)

    async def _start(self, body: bytes) -> None:
        ask = msgspec.json.decode(body, type=StartAsk).whole()
        await self.driver.start(await self._files.stage(ask))

    async def _observe(self, body: bytes) -> list[Any]:
        cursors = msgspec.json.decode(body, type=ObserveAsk).cursors
        # Before the driver looks: a start that ends meanwhile must not look as if it never was.
        starting = frozenset(self._starting)
        found = []
        for seen in await self.driver.observe(cursors):
            cursor = cursors.get(seen.key, "")
            if seen.presence is Presence.ABSENT and seen.key in starting:
                found.append(replace(seen, presence=Presence.UNKNOWN, cursor=cursor))
            else:
                found.append(self._files.settled(seen, cursor))
        return found

    async def _stop(self, body: bytes) -> None:
        ask = msgspec.json.decode(body, type=KeyAsk)
        await self.driver.stop(ask.key, ask.grace_ms)

    async def _stop_tasks(self, body: bytes) -> None:
        ask = msgspec.json.decode(body, type=TasksAsk)
        if Capability.STOP_TASKS not in self.driver.capabilities:
            raise DriverError("this site's driver cannot end single tasks")
        driver = cast("StopsTasks", self.driver)
        await driver.stop_tasks(ask.key, TaskSet.parse(ask.tasks), ask.grace_ms)

    async def _usage(self, body: bytes) -> object:
        return await self.driver.usage(msgspec.json.decode(body, type=KeyAsk).key)

    async def _read_log(self, body: bytes) -> object:
        ask = msgspec.json.decode(body, type=LogAsk)
        limit = min(ask.limit, MOST_LOG_BYTES)
        return await self.driver.read_log(ask.key, ask.task, ask.offset, limit)

    async def _keys(self, _body: bytes) -> list[str]:
        return sorted(await self.driver.keys())

    async def _forget(self, body: bytes) -> None:
        key = msgspec.json.decode(body, type=KeyAsk).key
        await self.driver.forget(key)
        await self._files.forget(key)

    def _done(self, key: str) -> None:
        left = self._starting.pop(key, 0) - 1
        if left > 0:
            self._starting[key] = left


class _Keyed(msgspec.Struct):
    key: str = ""


class _Start(msgspec.Struct):
    order: _Keyed = msgspec.field(default_factory=_Keyed)


def _key_of(order: Order) -> str:
    """Return the key of a start; empty when it cannot be read, which it will then not be."""
    try:
        return msgspec.json.decode(order.body, type=_Start).order.key
    except msgspec.MsgspecError:
        return ""


def refused(order: Order, error: FenglinError) -> Answer:
    """Return the answer to an order that is not carried out."""
    return Answer(order.id, fault=_fault(error))


def _fault(error: FenglinError) -> Fault:
    site = error if isinstance(error, DriverError) else None
    return Fault(
        error.code,
        error.what,
        error.where,
        error.hint,
        effect_unknown=site is not None and site.effect_unknown,
        reason=site.reason if site is not None else "",
    )


def _failed(order: Order, code: str, what: str, *, unknown: bool = False) -> Answer:
    return Answer(order.id, fault=Fault(code, what, effect_unknown=unknown))
