"""The mock site behind the driver contract."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fenglin.drivers.mock.script import Behaviour, Fault, Outcome, Rule
from fenglin.drivers.mock.timeline import Timeline
from fenglin.errors import DriverError, InputError
from fenglin.model.allocation import Usage
from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node
from fenglin.ports.charge import Charge
from fenglin.ports.discovery import driver_kind
from fenglin.ports.driver import Capability, LogChunk, Observation, Presence, SiteReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.model.allocation import TaskEnd
    from fenglin.ports.driver import DriverContext, StartOrder
    from fenglin.quantities.taskset import TaskSet

T = TypeVar("T")
ALLOWED = ("faults", "flavors", "lean", "licences", "nodes", "task_ms")
TASK_MS = 1_000


class MockDriver:
    """A site in memory. A restarted hub is given the same object; the site outlives it.

    Attributes:
        calls: (call, key) in the order made, faulty ones included.
        runs: Key → how often its payload was begun; at most 1 is the contract.
        signals: (key, number) of the signals that running attempts were sent.
        behaviour: How tasks go that begin from now on.
    """

    kind = "mock"
    capabilities = frozenset(
        {
            Capability.ARRAYS,
            Capability.COSTS,
            Capability.FENCE,
            Capability.PROVISION,
            Capability.SECRETS,
            Capability.SIGNAL,
            Capability.STOP_TASKS,
            Capability.SUSPEND,
        }
    )

    def __init__(
        self,
        context: DriverContext,
        report: SiteReport,
        task_ms: int = TASK_MS,
        rules: Sequence[Rule] = (),
        *,
        lean: bool = False,
    ) -> None:
        """Take what the site holds, the runtime of each task, and what goes wrong.

        A lean site notes no calls, drops what is forgotten altogether, and looks at an attempt
        only when something can have changed.
        """
        self._context = context
        self._report = report
        self._rules = list(rules)
        self._attempts: dict[str, Timeline | None] = {}
        self._kept: dict[str, Timeline | None] = {}
        self._epochs: dict[str, int] = {}
        self._lean = lean
        self._losses = 0
        self._wanted: dict[str, int] = {}
        # What was told last of a key, and from when until when it stays as it is.
        self._steady: dict[str, tuple[int, int, Observation]] = {}
        self._released = asyncio.Event()
        self.behaviour: Behaviour = lambda _order, _index: Outcome(task_ms)
        self.calls: list[tuple[str, str]] = []
        self.runs: dict[str, int] = {}
        self.signals: list[tuple[str, int]] = []

    def inject(self, *rules: Rule) -> None:
        """Add faults after those already there."""
        self._rules.extend(rules)

    def heal(self) -> None:
        """Drop all faults, those that have not struck yet too, and let go what hangs."""
        self._rules.clear()
        self.release()

    def release(self) -> None:
        """Let every call go on that hangs now."""
        self._released.set()
        self._released = asyncio.Event()

    def began(self, key: str) -> list[int]:
        """Return the index of each run of each task of an attempt up to now, sorted."""
        timeline = self._timeline(key)
        if timeline is None:
            return []
        return sorted(timeline.begun(self._context.now_ms()) * self.runs[key])

    def next_ms(self) -> int | None:
        """Return the Unix time of the next start or end on the site; None when there is none."""
        now_ms = self._context.now_ms()
        lines = (line.next_ms(now_ms) for line in self._attempts.values() if line is not None)
        return min((at_ms for at_ms in lines if at_ms is not None), default=None)

    async def inventory(self) -> SiteReport:
        """Return what was declared; the generation counts the losses of memory.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("inventory", "")
        left = dict(self._wanted)
        nodes = []
        for node in self._report.nodes:
            wanted = left.get(node.flavor, 1) > 0
            left.update({node.flavor: left[node.flavor] - 1} if node.flavor in left else {})
            up = node.up and wanted and not self._strikes(node.name, Fault.NODE_DOWN)
            nodes.append(msgspec.structs.replace(node, up=up))
        return msgspec.structs.replace(
            self._report, nodes=tuple(nodes), generation=str(self._losses)
        )

    async def start(self, order: StartOrder) -> None:
        """Begin the attempt unless it is there.

        Raises:
            DriverError: a fault strikes, or the epoch is over.
        """
        key = order.key
        await self._enter("start", key)
        if self._strikes(key, Fault.START_REFUSED):
            raise self._error(f"start of {key} refused")
        if self._strikes(key, Fault.CALL_LOST):
            raise self._error(f"start of {key} was not answered", effect_unknown=True)
        if order.epoch < self._epochs.get(key, order.epoch):
            raise self._error(f"epoch {order.epoch} is over for {key}")
        self._epochs[key] = order.epoch
        if key not in self._attempts and key not in self._kept:
            self._attempts[key] = Timeline(order, self._context.now_ms(), self.behaviour)
            self.runs[key] = self.runs.get(key, 0) + 1
            self._context.wake()
        if self._strikes(key, Fault.ANSWER_LOST):
            raise self._error(f"start of {key} was not answered", effect_unknown=True)

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """Return one observation per key; the cursor is the number of ends already told.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("observe", "")
        if not self._lean or self._rules:
            self._steady.clear()
            return [self._look(key, cursor) for key, cursor in cursors.items()]
        now_ms = self._context.now_ms()
        return [self._glance(key, cursor, now_ms) for key, cursor in cursors.items()]

    async def stop(self, key: str, grace_ms: int) -> None:
        """End the attempt at once (`grace_ms` is not waited for), or forbid it.

        Raises:
            DriverError: a fault strikes.
        """
        del grace_ms
        await self._enter("stop", key)
        self._steady.pop(key, None)
        if self._strikes(key, Fault.STOP_LOST):
            return
        if key in self._kept:
            return
        timeline = self._attempts.setdefault(key, None)
        if timeline is not None:
            timeline.close(self._context.now_ms(), Reason.CANCELLED)
        self._context.wake()

    async def stop_tasks(self, key: str, tasks: TaskSet, grace_ms: int) -> None:
        """End some tasks at once (`grace_ms` is not waited for).

        Raises:
            DriverError: a fault strikes.
        """
        del grace_ms
        await self._enter("stop_tasks", key)
        self._steady.pop(key, None)
        if self._strikes(key, Fault.STOP_LOST):
            return
        timeline = self._attempts.get(key)
        if timeline is not None:
            timeline.drop(self._context.now_ms(), tasks)
            self._context.wake()

    async def usage(self, key: str) -> Usage:
        """Return the sum over the ends.

        Raises:
            DriverError: the site has no record of the key, or a fault strikes.
        """
        await self._enter("usage", key)
        if key not in self._attempts and key not in self._kept:
            raise self._error(f"no record of attempt {key}")
        timeline = self._timeline(key)
        ends = timeline.ends(self._context.now_ms()) if timeline is not None else ()
        wall_ms = sum(end.wall_ms for end in ends)
        return Usage(tasks=len(ends), wall_ms=wall_ms, billed_ms=wall_ms)

    async def read_log(self, key: str, task: int, offset: int, limit: int) -> LogChunk:
        """Return the output of a task once it has ended.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("read_log", key)
        timeline = self._timeline(key)
        output = timeline.output(task, self._context.now_ms()) if timeline is not None else None
        data = (output or b"")[offset : offset + limit]
        after = offset + len(data)
        return LogChunk(data, after, complete=output is not None and after >= len(output))

    async def keys(self) -> frozenset[str]:
        """Return all keys that are not forgotten.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("keys", "")
        return frozenset(self._attempts)

    async def forget(self, key: str) -> None:
        """Drop an ended attempt but its usage and its output.

        Raises:
            DriverError: it still runs, or a fault strikes.
        """
        await self._enter("forget", key)
        self._steady.pop(key, None)
        if key not in self._attempts:
            return
        timeline = self._attempts[key]
        if timeline is not None and not timeline.done(self._context.now_ms()):
            raise self._error(f"attempt {key} still runs")
        self._kept[key] = self._attempts.pop(key)
        if self._lean:
            for kept in (self._kept, self.runs, self._epochs):
                kept.pop(key, None)

    async def signal(self, key: str, number: int) -> None:
        """Note the signal, if the attempt runs; its tasks do not listen.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("signal", key)
        timeline = self._attempts.get(key)
        if timeline is not None and not timeline.done(self._context.now_ms()):
            self.signals.append((key, number))

    async def suspend(self, key: str, *, paused: bool) -> None:
        """Let the attempt's time stand still, or go on.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("suspend", key)
        timeline = self._attempts.get(key)
        if timeline is not None:
            timeline.pause(self._context.now_ms(), paused=paused)

    async def provision(self, flavor: str, nodes: int) -> None:
        """Have that many of the declared nodes up, in their order, and the others not.

        Raises:
            DriverError: more are wanted than are declared, or a fault strikes.
        """
        await self._enter("provision", "")
        most = sum(node.flavor == flavor for node in self._report.nodes)
        if nodes > most:
            raise self._error(f"{nodes} nodes of {flavor} wanted, {most} are declared")
        self._wanted[flavor] = nodes

    async def charges(self, since_ms: int, until_ms: int) -> Sequence[Charge]:
        """Return a line per ended task: a millionth for each millisecond.

        Raises:
            DriverError: a fault strikes.
        """
        await self._enter("charges", "")
        now_ms = self._context.now_ms()
        lines = [
            _charge(key, end)
            for key, timeline in {**self._kept, **self._attempts}.items()
            for end in (timeline.ends(now_ms) if timeline is not None else ())
        ]
        lines = [line for line in lines if since_ms <= line.ended_ms < until_ms]
        return sorted(lines, key=lambda line: (line.ended_ms, line.line))

    async def close(self) -> None:
        """Note the call; attempts go on."""
        self.calls.append(("close", ""))

    async def _enter(self, call: str, key: str) -> None:
        """Note the call; hang or fail if a rule says so."""
        if not self._lean:
            self.calls.append((call, key))
        if self._strikes(key, Fault.HANG):
            await self._released.wait()
        if self._strikes(key, Fault.UNREACHABLE):
            raise self._error(f"{call} was not answered", effect_unknown=True)

    def _strikes(self, key: str, *faults: Fault) -> bool:
        """Return whether one of the faults strikes now."""
        return bool(self._rules) and any(rule.strikes(faults, key) for rule in self._rules)

    def _glance(self, key: str, cursor: str, now_ms: int) -> Observation:
        """Return what was told last where nothing can have changed, else look."""
        since_ms, until_ms, told = self._steady.get(key, (0, 0, None))
        if told is not None and told.cursor == cursor and since_ms <= now_ms < until_ms:
            return told
        seen = self._look(key, cursor)
        timeline = self._attempts.get(key)
        until = timeline.next_ms(now_ms) if timeline is not None else None
        if until is not None and seen.cursor == cursor and not seen.ends:
            self._steady[key] = (now_ms, until, seen)
        return seen

    def _look(self, key: str, cursor: str) -> Observation:
        """Return the news of one key."""
        now_ms = self._context.now_ms()
        if self._strikes(key, Fault.UNKNOWN):
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        if self._strikes(key, Fault.FORGOTTEN):
            self._attempts.pop(key, None)
            self._losses += 1
        if key not in self._attempts or self._strikes(key, Fault.ABSENT):
            return Observation(key, Presence.ABSENT)
        if cursor and not (cursor.isascii() and cursor.isdecimal()):
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        timeline = self._attempts[key]
        if timeline is None:
            return Observation(key, Presence.ENDED, reason=Reason.CANCELLED)
        if self._strikes(key, Fault.RUNNER_LOST):
            timeline.close(now_ms, Reason.RUNNER_LOST)
        told = 0 if self._strikes(key, Fault.REPEATED) else int(cursor or 0)
        ends = timeline.ends(now_ms)
        starts_ms = timeline.starts_ms(now_ms)
        return Observation(
            key,
            Presence.ENDED if timeline.done(now_ms) else Presence.RUNNING,
            ends[told:],
            len(starts_ms),
            starts_ms[0] if starts_ms else 0,
            str(len(ends)),
            timeline.reason,
        )

    def _timeline(self, key: str) -> Timeline | None:
        """Return what is known of an attempt, forgotten or not; None when it never began."""
        return self._attempts.get(key) or self._kept.get(key)

    def _error(self, what: str, *, effect_unknown: bool = False) -> DriverError:
        """Return what the site says when a fault strikes."""
        where = f"site {self._context.site}"
        hint = "the mock site does what its faults say"
        return DriverError(what, where=where, hint=hint, effect_unknown=effect_unknown)


@driver_kind("A site in memory that misbehaves on request, for tests.", MockDriver.capabilities)
def driver(context: DriverContext, settings: Mapping[str, object]) -> MockDriver:
    """Return a mock site.

    Raises:
        InputError: a setting is unknown or wrong.
    """
    where = f"site.{context.site}"
    unknown = sorted(set(settings) - set(ALLOWED))
    if unknown:
        raise InputError(
            f"unknown setting {unknown[0]!r} for a mock site",
            where=where,
            hint=f"allowed: {', '.join(ALLOWED)}",
        )
    return MockDriver(
        context,
        SiteReport(
            _converted(settings, "flavors", tuple[Flavor, ...], where, ()),
            _converted(settings, "nodes", tuple[Node, ...], where, ()),
            _converted(settings, "licences", tuple[tuple[str, int], ...], where, ()),
        ),
        _converted(settings, "task_ms", int, where, TASK_MS),
        _converted(settings, "faults", list[Rule], where, []),
        lean=_converted(settings, "lean", bool, where, default=False),
    )


def _charge(key: str, end: TaskEnd) -> Charge:
    """Return what the mock's provider charges for one task."""
    return Charge(
        line=f"{key}/{end.index}",
        key=key,
        started_ms=end.started_ms,
        ended_ms=end.started_ms + end.wall_ms,
        amount_micro=end.wall_ms,
        currency="CNY",
        what="one task",
    )


def _converted(
    settings: Mapping[str, object], name: str, kind: type[T], where: str, default: T
) -> T:
    """Return a setting as its type."""
    if name not in settings:
        return default
    try:
        return msgspec.convert(settings[name], kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: {error}", where=f"{where}.{name}") from error
