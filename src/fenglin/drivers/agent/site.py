"""A site that dials in, as the engine sees it: each call is an order in its mailbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from fenglin.drivers.agent.mailbox import Letters
from fenglin.drivers.agent.notes import Note, Notes, keep_file
from fenglin.drivers.agent.reading import read_observations
from fenglin.errors import DriverError, FenglinError, InputError, NotFoundError
from fenglin.model.allocation import Usage
from fenglin.model.ids import parse_attempt_key
from fenglin.model.site import Flavor
from fenglin.ports.agent import KeyAsk, LogAsk, ObserveAsk, StartAsk, TasksAsk, Told
from fenglin.ports.driver import Capability, LogChunk, Observation, Presence, SiteReport
from fenglin.quantities.durations import parse_duration_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from fenglin.ports.driver import DriverContext, StartOrder
    from fenglin.quantities.taskset import TaskSet
    from fenglin.wire.agent_views import Answers, Hello, Order, OrdersAsk

T = TypeVar("T")
ALLOWED = ("answer_within", "flavors", "licences", "nodes")
# Below the hub's own deadlines, so that what was never handed out is refused for certain.
ANSWER_WITHIN_S = 25.0
INVENTORY_WITHIN_S = 8.0
FIRST_CALL_S = 1.0


class AgentSettings(Struct, frozen=True):
    """What the agent driver can be told.

    Attributes:
        flavors: As declared; an agent cannot tell what a use costs.
        answer_within_s: Longest wait for an answer (`answer_within`).
    """

    flavors: tuple[Flavor, ...]
    answer_within_s: float = ANSWER_WITHIN_S


def read_settings(settings: Mapping[str, object], where: str) -> AgentSettings:
    """Check every setting.

    Raises:
        InputError: a setting is unknown or wrong.
    """
    unknown = sorted(set(settings) - set(ALLOWED))
    if unknown:
        raise InputError(
            f"unknown setting {unknown[0]!r} for a site that dials in",
            where=where,
            hint="allowed: answer_within; the rest stands in the agent's own file at the site",
        )
    flavors = settings.get("flavors")
    if not isinstance(flavors, tuple):
        raise InputError("a site needs flavors", where=f"{where}.flavors")
    asked = settings.get("answer_within", f"{ANSWER_WITHIN_S:g}s")
    if not isinstance(asked, str | int | float) or isinstance(asked, bool):
        raise InputError("answer_within is not a time", where=where, hint="write for example 25s")
    try:
        within_s = parse_duration_ms(asked) / 1_000
    except FenglinError as error:
        raise InputError(error.what, where=f"{where}.answer_within", hint=error.hint) from error
    if not 0 < within_s <= ANSWER_WITHIN_S:
        raise InputError(
            "answer_within is out of range",
            where=f"{where}.answer_within",
            hint=f"above 0 and at most {ANSWER_WITHIN_S:g}s, below the hub's own deadlines",
        )
    return AgentSettings(flavors, within_s)


class AgentDriver:
    """Implements `Driver`, and `ports.agent.Mailbox` for the door."""

    kind = "agent"
    capabilities = frozenset(
        {
            Capability.ARRAYS,
            Capability.ARTIFACTS,
            Capability.FENCE,
            Capability.FOLLOW,
            Capability.GANGS,
            Capability.IMAGES,
            Capability.INPUTS,
            Capability.MEMORY_LIMIT,
            Capability.METERS,
            Capability.SECRETS,
            Capability.SETUP,
            Capability.STOP_TASKS,
        }
    )

    def __init__(self, context: DriverContext, settings: AgentSettings) -> None:
        """Make the folder of notes; the site is waited for.

        Raises:
            InputError: the site's folder cannot be used.
        """
        self._context = context
        self._settings = settings
        self._where = f"site {context.site}"
        try:
            self._notes = Notes(context.directory)
        except OSError as error:
            raise InputError(
                f"cannot use {error.filename or context.directory}: {error.strerror}",
                where=self._where,
                hint="the hub's user must be able to write its data directory",
            ) from error
        self._letters = Letters(context.site, context.wake)
        self.mailbox = self
        self.box = self._letters.box

    # The driver.

    async def inventory(self) -> SiteReport:
        """Return what the agent's driver tells, with the flavors that the hub declares."""
        within_s = min(INVENTORY_WITHIN_S, self._settings.answer_within_s)
        told = self._read(await self._letters.call("inventory", None, within_s), Told)
        known = {word.value: word for word in self.capabilities}
        return SiteReport(
            self._settings.flavors,
            told.nodes,
            told.licences,
            told.generation,
            frozenset(known[word] for word in told.capabilities if word in known),
        )

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist; its inputs are fetched by the agent.

        Raises:
            DriverError: refused, withdrawn before the agent had it, or unclear.
        """
        self._check(order.key)
        try:
            inputs = await asyncio.to_thread(self._notes.write, order)
        except OSError as error:
            raise DriverError(
                f"cannot prepare the inputs: {error.strerror}", where=self._where
            ) from error
        await self._call("start", StartAsk.of(order, inputs))

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key; a key of no attempt of this hub is UNKNOWN."""
        asked = {key: cursor for key, cursor in cursors.items() if self._is_ours(key)}
        found: dict[str, Observation] = {}
        if asked:
            body = await self._call("observe", ObserveAsk(asked))
            found = {seen.key: seen for seen in read_observations(body, self._where)}
        return [
            found.get(key) or Observation(key, Presence.UNKNOWN, cursor=cursor)
            for key, cursor in cursors.items()
        ]

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end."""
        self._check(key)
        await self._call("stop", KeyAsk(key, grace_ms))

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End some tasks, where the agent's driver can."""
        self._check(key)
        await self._call("stop_tasks", TasksAsk(key, str(tasks), grace_ms))

    async def usage(self, key: str) -> Usage:
        """Return the site's own total."""
        self._check(key)
        return self._read(await self._call("usage", KeyAsk(key)), Usage)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return a piece of a task's output, as it is at the site."""
        self._check(key)
        return self._read(await self._call("read_log", LogAsk(key, task, offset, limit)), LogChunk)

    async def keys(self) -> frozenset[str]:
        """Return all keys; a hub that has just been started does not wait long for its agents."""
        await self._letters.met(FIRST_CALL_S)
        return self._read(await self._call("keys", None), frozenset[str])

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers, at the site first."""
        self._check(key)
        await self._call("forget", KeyAsk(key))
        await asyncio.to_thread(self._notes.forget, key)

    async def close(self) -> None:
        """Do nothing: the mailbox goes with the process, and the agent comes back."""

    # The mailbox.

    def hello(self, hello: Hello) -> str:
        """See `ports.agent.Mailbox`."""
        return self._letters.hello(hello)

    async def orders(self, ask: OrdersAsk, wait_s: float) -> tuple[Order, ...]:
        """See `ports.agent.Mailbox`."""
        return await self._letters.orders(ask, wait_s)

    def take(self, answers: Answers) -> None:
        """See `ports.agent.Mailbox`."""
        self._letters.take(answers)

    async def input(self, key: str, digest: str) -> Path:
        """See `ports.agent.Mailbox`."""
        note = await self._note(key)
        if digest not in note.inputs:
            raise NotFoundError("the attempt has no such input", where=digest[:80])
        return self._context.directory / note.inputs[digest]

    async def keep(
        self, place: tuple[str, int, str], chunks: AsyncIterator[bytes], *, executable: bool
    ) -> int:
        """See `ports.agent.Mailbox`."""
        key, task, path = place
        kept = await keep_file(await self._note(key), task, path, chunks)
        await asyncio.to_thread(kept.chmod, 0o755 if executable else 0o644)
        return kept.stat().st_size

    async def _note(self, key: str) -> Note:
        if not self._is_ours(key):
            raise NotFoundError("there is no such attempt", where=key[:80])
        return await asyncio.to_thread(self._notes.read, key)

    async def _call(self, kind: str, body: object) -> bytes:
        return await self._letters.call(kind, body, self._settings.answer_within_s)

    def _is_ours(self, key: str) -> bool:
        try:
            return parse_attempt_key(key)[0] == self._context.hub
        except InputError:
            return False

    def _check(self, key: str) -> None:
        """Refuse a key that is none of this hub's: it names files."""
        if not self._is_ours(key):
            raise InputError(f"{key[:80]!r} is no attempt of this hub", where=self._where)

    def _read(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise DriverError(
                f"the agent's answer cannot be understood: {error}", where=self._where
            ) from error
