"""A region of a cloud as the engine sees it: nodes that are bought when they get work."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, cast

import msgspec
import structlog
from msgspec.structs import replace

from fenglin.drivers.cloud import costs
from fenglin.drivers.cloud.attempts import Attempt, Attempts, Stage
from fenglin.drivers.cloud.groups import Groups
from fenglin.drivers.cloud.keeper import Keeper
from fenglin.drivers.cloud.logs import Logs
from fenglin.drivers.cloud.market import Calls, Market
from fenglin.drivers.cloud.purchases import Book, Phase
from fenglin.drivers.cloud.stock import Stock
from fenglin.drivers.cloud.types import judge, observed
from fenglin.drivers.cloud.userdata import own_key
from fenglin.errors import DriverError, InputError
from fenglin.model.reason import Reason
from fenglin.ports.driver import Capability, LogChunk, Observation, Presence, SiteReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fenglin.drivers.cloud.provider import Machine, Provider
    from fenglin.drivers.cloud.settings import CloudSettings
    from fenglin.model.allocation import Usage
    from fenglin.ports.charge import Charge
    from fenglin.ports.driver import Driver, DriverContext, StartOrder, StopsTasks
    from fenglin.quantities.taskset import TaskSet

START_WAIT_S = 20.0
FRESH_S = 30.0
FACTS_FILE = "instances.json"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", re.ASCII)

_log = structlog.get_logger("fenglin.cloud")


# At most; what hosts do is the ssh driver's, and its settings'.
CAPABILITIES = frozenset(
    {
        Capability.ARRAYS,
        Capability.GANGS,
        Capability.IMAGES,
        Capability.SETUP,
        Capability.INPUTS,
        Capability.ARTIFACTS,
        Capability.FOLLOW,
        Capability.FENCE,
        Capability.MEMORY_LIMIT,
        Capability.METERS,
        Capability.STOP_TASKS,
        Capability.COSTS,
    }
)


class CloudDriver:
    """A site whose nodes are bought on demand. See the package for how."""

    def __init__(
        self, kind: str, context: DriverContext, settings: CloudSettings, provider: Provider
    ) -> None:
        """Read what the folder tells; the provider is not asked yet.

        Raises:
            InputError: the folder or the key cannot be used.
        """
        self.kind = kind
        self.capabilities = (settings.capabilities & CAPABILITIES) | {Capability.COSTS}
        self._context = context
        self._settings = settings
        self._provider = provider
        self._where = f"site {context.site}"
        try:
            self._book = Book(context.directory)
            self._attempts = Attempts(context.directory)
            key_file, public_key = own_key(
                settings.key_file, context.directory, f"site.{context.site}"
            )
            self._calls = Calls()
            self._market = Market(context, settings, provider, self._book, self._calls, public_key)
            self._groups = Groups(context, settings, str(key_file), self._book)
            self._logs = Logs(context.directory)
            self._stock = Stock(context, settings, provider, self._book, self._market, self._calls)
            self._keeper = Keeper(
                context,
                settings,
                book=self._book,
                attempts=self._attempts,
                groups=self._groups,
                market=self._market,
                stock=self._stock,
                logs=self._logs,
            )
            self._generation = generation(context.directory)
        except OSError as error:
            raise InputError(
                f"cannot use {error.filename or context.directory}: {error.strerror}",
                where=self._where,
                hint="the hub's user must be able to write its data directory",
            ) from error
        self._machines: dict[str, Machine] = {}

    async def inventory(self) -> SiteReport:
        """Return all nodes: those that are bought and well, and those that could be.

        A node is down while its flavor rests after a refusal, while the price ceiling leaves no
        room for it, or while its instance, once up, cannot run tasks.

        Raises:
            DriverError: the provider cannot be asked.
        """
        self._keeper.begin()
        await self._stock.look(FRESH_S)
        names = sorted({offer.machine for offer in self._settings.offers.values()})
        if set(names) - self._machines.keys():
            self._machines = await self._calls.make(self._provider.machines, names)
        problems = await self._problems()
        await asyncio.to_thread(self._write_facts, problems)
        return SiteReport(
            tuple(observed(f, self._machine(f.name)) for f in self._settings.flavors),
            tuple(replace(node, up=not problems[node.name]) for node in self._settings.nodes),
            self._settings.licences,
            generation=self._generation,
        )

    async def start(self, order: StartOrder) -> None:
        """Make the attempt exist, at most once per key, and buy what nodes it lacks.

        Nodes that are up are given it at once; else it waits here until they are.

        Raises:
            DriverError: refused (with a `reason`: quota, capacity, ceiling), or unclear.
        """
        self._keeper.begin()
        self._check(order)
        async with self._attempts.lock(order.key):
            attempt = self._attempts.get(order.key)
            new = attempt is None
            if attempt is None:
                attempt = await self._take(order)
            elif order.epoch < attempt.epoch:
                raise DriverError(
                    f"epoch {order.epoch} is over: {attempt.epoch} was seen for {order.key}",
                    where=self._where,
                )
            elif attempt.order is not None and order.epoch > attempt.epoch:
                attempt = await self._attempts.change(order.key, epoch=order.epoch, order=order)
            try:
                await self._bought(attempt)
                await self._given(attempt, order)
            except DriverError as error:
                if new and not error.effect_unknown:
                    await self._attempts.drop(order.key)
                raise
        self._keeper.wake()

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key, since that key's cursor; one call per set of nodes."""
        self._keeper.begin()
        await self._keeper.lose()
        seen: dict[str, Observation] = {}
        asked: dict[tuple[int, ...], dict[str, str]] = {}
        absent = None
        for key, cursor in cursors.items():
            attempt = self._attempts.get(key)
            if attempt is None:
                absent = absent if absent is not None else await self._sure()
                presence = Presence.ABSENT if absent else Presence.UNKNOWN
                seen[key] = Observation(key, presence, cursor="" if absent else cursor)
            elif attempt.reason is not None:
                seen[key] = Observation(key, Presence.ENDED, cursor=cursor, reason=attempt.reason)
            elif attempt.stage is Stage.QUEUED:
                seen[key] = Observation(key, Presence.RUNNING, cursor=cursor)
            else:
                asked.setdefault(attempt.numbers, {})[key] = cursor
        for found in await asyncio.gather(*(self._ask(n, keys) for n, keys in asked.items())):
            for one in found:
                seen[one.key] = await self._understood(one)
        return [seen[key] for key in cursors]

    async def stop(self, key: str, grace_ms: int) -> None:
        """Ask the attempt to end; one that waits for its nodes never runs.

        Raises:
            DriverError: it is not certain that all its hosts have heard it.
        """
        _check_key(key)
        self._keeper.begin()
        async with self._attempts.lock(key):
            attempt = self._attempts.get(key)
            if attempt is None:
                await self._attempts.put(
                    Attempt(key, stopping=True, reason=Reason.CANCELLED, logged=True)
                )
                return
            if attempt.reason is not None or attempt.forgotten:
                return
            over = Reason.CANCELLED if attempt.stage is Stage.QUEUED else None
            await self._attempts.change(key, stopping=True, grace_ms=grace_ms, reason=over)
        driver = None if over is not None else await self._groups.of(attempt.numbers)
        if driver is not None:
            await driver.stop(key, grace_ms)
        self._context.wake()

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End some tasks on the hosts that have them; asked again while these come up.

        Raises:
            DriverError: its nodes are not up yet, or a host could not be told.
        """
        _check_key(key)
        attempt = self._attempts.get(key)
        if attempt is None or attempt.reason is not None or attempt.forgotten:
            return
        if attempt.stage is Stage.QUEUED:
            raise DriverError(f"{key} waits for its nodes", where=self._where)
        driver = cast("StopsTasks | None", await self._groups.of(attempt.numbers))
        if driver is not None:
            await driver.stop_tasks(key, tasks, grace_ms)

    async def usage(self, key: str) -> Usage:
        """Return the total of an ended attempt, kept when it was forgotten.

        Raises:
            DriverError: there is no record of it.
        """
        _check_key(key)
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.usage is not None:
            return attempt.usage
        driver = await self._driver_of(attempt)
        if driver is None:
            raise DriverError(f"no record of attempt {key}", where=self._where)
        return await driver.usage(key)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return up to `limit` bytes of a task's output; of the hub's own copy when it has one.

        Raises:
            DriverError: the host does not answer, or the copy cannot be read.
        """
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.logged:
            try:
                return await self._logs.read(key, task, offset, limit)
            except OSError as error:
                raise DriverError(f"cannot read the output: {error}", where=self._where) from error
        driver = await self._driver_of(attempt)
        if driver is None:
            return LogChunk(b"", offset, complete=False)
        return await driver.read_log(key, task, offset, limit)

    async def keys(self) -> frozenset[str]:
        """Return all keys that are not forgotten; the hub's own disk holds them.

        Raises:
            DriverError: it cannot be read.
        """
        self._keeper.begin()
        if not await asyncio.to_thread(self._attempts.readable):
            raise DriverError(
                "the records of attempts cannot be read",
                where=str(self._context.directory),
                hint="is the disk of the hub's data directory mounted and well?",
            )
        return frozenset(one.key for one in self._attempts.live())

    async def forget(self, key: str) -> None:
        """Drop an ended attempt's leftovers except its output, which is brought to the hub.

        Raises:
            DriverError: it still runs, or its hosts cannot be asked.
        """
        _check_key(key)
        async with self._attempts.lock(key):
            attempt = self._attempts.get(key)
            if attempt is None or attempt.forgotten:
                return
            usage = None
            if attempt.reason is None:
                if attempt.stage is Stage.QUEUED:
                    raise DriverError(f"{key} waits for its nodes", where=self._where)
                driver = await self._driver_of(attempt)
                if driver is not None:
                    try:
                        usage = await driver.usage(key)
                    except DriverError:
                        usage = None
                    await driver.forget(key)
            await self._attempts.change(key, forgotten=True, order=None, usage=usage)
        self._keeper.wake()

    async def charges(self, since_ms: int, until_ms: int) -> Sequence[Charge]:
        """Return what instances cost, by the prices of the configuration, hour by hour."""
        return costs.charges(
            self._book, self._settings.currency, since_ms, until_ms, self._context.now_ms()
        )

    async def close(self) -> None:
        """Hang up. Instances stay, and so does what runs on them."""
        await self._keeper.close()
        await self._market.close()
        await self._stock.close()
        await self._groups.close()
        self._calls.close()

    # --- starting ---------------------------------------------------------------------------

    def _check(self, order: StartOrder) -> None:
        """Refuse what can never run here."""
        _check_key(order.key)
        names = {node.name for node in self._settings.nodes}
        strange = [share.node for share in order.shares if share.node not in names]
        if strange or not order.shares:
            what = f"there is no node {strange[0]!r}" if strange else "the order names no node"
            raise DriverError(what, where=self._where)
        needed = {
            Capability.IMAGES: order.image,
            # An order waits on the hub's disk until its nodes are bought.
            Capability.SECRETS: order.secrets,
            Capability.SETUP: order.setup,
        }
        for capability, wanted in needed.items():
            if wanted and capability not in self.capabilities:
                raise DriverError(f"a {self.kind} site has no {capability}", where=self._where)

    async def _take(self, order: StartOrder) -> Attempt:
        """Write an attempt down with the purchases that are its nodes."""
        if not self._book.last:
            # Whoever lost his book must not use a number twice.
            await self._stock.look(FRESH_S)
        async with self._market.lock:
            chosen = await self._market.choose(
                [share.node for share in order.shares], self._stock.highest
            )
            return await self._attempts.put(
                Attempt(
                    order.key,
                    epoch=order.epoch,
                    tasks=order.tasks,
                    numbers=tuple(one.number for one in chosen),
                    order=order,
                    grace_ms=order.grace_ms,
                )
            )

    async def _bought(self, attempt: Attempt) -> None:
        """Have the nodes of a waiting attempt bought; what is unclear is found out in time.

        Raises:
            DriverError: one of them is refused for certain.
        """
        if not attempt.waits:
            return
        wanted = [n for n in attempt.numbers if self._book[n].phase is Phase.WANTED]
        buying = [asyncio.create_task(self._market.buy(number)) for number in wanted]
        if not buying:
            return
        done, _ = await asyncio.wait(buying, timeout=START_WAIT_S)
        for task in done:
            error = task.exception()
            if isinstance(error, DriverError) and not error.effect_unknown:
                raise error

    async def _given(self, attempt: Attempt, order: StartOrder) -> None:
        """Give the attempt to its nodes if they are up, or again if they have it already."""
        if attempt.reason is not None or attempt.forgotten or attempt.order is None:
            return
        if attempt.stage is Stage.ANSWERED:
            driver = await self._groups.of(attempt.numbers)
            if driver is not None:
                await driver.start(order)
        elif self._keeper.is_up(attempt):
            await self._keeper.hand(order.key)

    # --- looking ----------------------------------------------------------------------------

    async def _sure(self) -> bool:
        """Return whether a key that is not written down is nowhere."""
        if not await asyncio.to_thread(self._attempts.readable):
            return False
        try:
            if not self._stock.listed:
                await self._stock.look(FRESH_S)
        except DriverError:
            return False
        # On an instance that no record tells of anything may run.
        return not self._stock.strangers

    async def _ask(
        self, numbers: tuple[int, ...], cursors: dict[str, str]
    ) -> Sequence[Observation]:
        try:
            driver = await self._groups.of(numbers)
            if driver is not None:
                return await driver.observe(cursors)
        except DriverError:
            pass
        return [Observation(key, Presence.UNKNOWN, cursor=at) for key, at in cursors.items()]

    async def _understood(self, seen: Observation) -> Observation:
        """Return what the ssh driver says, in the light of what we know of its hosts."""
        attempt = self._attempts.get(seen.key)
        if attempt is None:
            return seen
        if seen.presence is Presence.ABSENT and attempt.lost:
            # Those that are left never heard of it.
            async with self._attempts.lock(seen.key):
                attempt = await self._attempts.change(seen.key, reason=attempt.why)
            return Observation(seen.key, Presence.ENDED, reason=attempt.reason)
        if seen.presence is Presence.ABSENT and attempt.stage is Stage.ASKED:
            self._keeper.wake()
            return Observation(seen.key, Presence.RUNNING)
        if seen.presence is Presence.ENDED and attempt.lost and not attempt.stopping:
            return replace(seen, reason=attempt.why)
        return seen

    async def _driver_of(self, attempt: Attempt | None) -> Driver | None:
        if attempt is None or not attempt.numbers or attempt.stage is Stage.QUEUED:
            return None
        return await self._groups.of(attempt.numbers)

    def _machine(self, flavor: str) -> Machine | None:
        return self._machines.get(self._settings.offers[flavor].machine)

    async def _problems(self) -> dict[str, str]:
        """Return why a node can get no work now, per node; empty when it can."""
        affordable = self._market.affordable()
        flavors = {flavor.name: flavor for flavor in self._settings.flavors}
        problems: dict[str, str] = {}
        ready: dict[str, int] = {}
        for node in self._settings.nodes:
            name = self._settings.offers[node.flavor].machine
            problem = judge(flavors[node.flavor], self._machine(node.flavor), name)
            if not problem and node.name not in affordable:
                resting = self._market.resting(node.flavor)
                problem = resting.what if resting is not None else "max_price_per_hour is reached"
            purchase = self._book.of(node.name)
            if not problem and purchase is not None and purchase.ready:
                ready[node.name] = purchase.number
            problems[node.name] = problem
        told = await asyncio.gather(*(self._keeper.problem(n) for n in ready.values()))
        return {**problems, **dict(zip(ready, told, strict=True))}

    def _write_facts(self, problems: Mapping[str, str]) -> None:
        """Leave the facts for people (in a worker thread); a full disk is no reason to fail."""
        facts = []
        for node in self._settings.nodes:
            one = self._book.of(node.name)
            told = {"node": node.name, "state": "not bought", "problem": problems[node.name]}
            if one is not None:
                state = "up" if one.ready else "coming up" if one.instance else "being bought"
                told |= {"state": state, "instance": one.instance, "address": one.address}
            facts.append(told)
        path = self._context.directory / FACTS_FILE
        try:
            data = msgspec.json.encode(facts)
            path.write_bytes(msgspec.json.format(data, indent=2) + b"\n")
        except OSError as error:
            _log.warning("cloud_facts", site=self._context.site, error=str(error))


def _check_key(key: str) -> None:
    """Refuse a key that no hub can have made: keys are names of files here."""
    if not _KEY.fullmatch(key):
        raise DriverError(f"{key[:80]!r} is not an attempt key")


def generation(directory: Path) -> str:
    """Return the id of this folder; another one means that its records were lost."""
    path = directory / "memory"
    if not path.exists():
        path.write_text(os.urandom(8).hex())
    return path.read_text()
