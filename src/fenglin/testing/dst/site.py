"""A site as it truly is: what runs on it, whoever knows of it.

It keeps the driver contract (a key counts once, ends follow a cursor) unless a *lie* is set, and
it is the judge's witness: `runs` holds each run of each task, from begin to end, with no hub in
between. It outlives all hubs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fenglin.errors import DriverError
from fenglin.model.allocation import TaskEnd, Usage
from fenglin.model.reason import Reason
from fenglin.model.site import Node
from fenglin.ports.driver import Observation, Presence, SiteReport
from fenglin.quantities.taskset import TaskSet

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from fenglin.model.site import Site
    from fenglin.ports.driver import StartOrder
    from fenglin.testing.dst.trace import Trace
    from fenglin.testing.dst.virtual import SeededLoop

STOPPED_CODE = 143
LOST_CODE = 137
WALL, FAILS = "DST_WALL_MS", "DST_FAILS_PERCENT"


@dataclass(slots=True)
class Run:
    """One run of one task, as the machine saw it. `ended_s` is None while it runs."""

    job: str
    task: int
    key: str
    site: str
    began_s: float
    ended_s: float | None = None
    reason: Reason | None = None
    exit_code: int = 0


@dataclass(slots=True)
class Attempt:
    """What a site holds for one key; `order` is None for a start that was forbidden."""

    order: StartOrder | None
    waiting: deque[int] = field(default_factory=deque)
    running: dict[int, tuple[Run, str, asyncio.TimerHandle]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    ends: list[tuple[float, TaskEnd]] = field(default_factory=list)
    started: int = 0
    first_start_ms: int = 0
    over: bool = False
    reason: Reason | None = None
    stop_asked: bool = False


@dataclass(slots=True)
class Lies:
    """How a site breaks the contract for now.

    Attributes:
        absent: It says ABSENT of keys that it holds.
        repeats: It tells all ends again, whatever the cursor.
        unknown: It cannot tell of some keys.
        deaf: It accepts stops and does nothing.
        garbage: Figures that cannot be.
        partial: Its listings fail half-way.
        late_s: It tells ends this much later than they happened.
    """

    absent: bool = False
    repeats: bool = False
    unknown: bool = False
    deaf: bool = False
    garbage: bool = False
    partial: bool = False
    late_s: float = 0.0


class TrueSite:
    """See the module.

    Attributes:
        runs: Every run, in order of its begin.
        begun: Key → how often its payload was begun, as far as it remembers (D1).
        forgotten: Keys that the hub let go.
        lies: How it misbehaves now.
        skew_ms: How wrong its clock is.
        down_nodes: Nodes that are lost now.
        lost_keys: Keys that it lost its memory of, with the time.
    """

    def __init__(
        self, site: Site, loop: SeededLoop, seed: str, epoch_ms: int, trace: Trace
    ) -> None:
        """Take what the site has; nothing runs."""
        self.site = site
        self.name = site.name
        self.runs: list[Run] = []
        self.live: list[Run] = []
        self.begun: dict[str, int] = {}
        self.forgotten: set[str] = set()
        self.lost_keys: dict[str, float] = {}
        self.lies = Lies()
        self.skew_ms = 0
        self.down_nodes: set[str] = set()
        self.on_news: Callable[[], None] = lambda: None
        self.on_begin: Callable[[Run, int], None] = lambda _run, _begun: None
        self.on_end: Callable[[Run], None] = lambda _run: None
        self.attempts: dict[str, Attempt] = {}
        self._epochs: dict[str, int] = {}
        self._loop = loop
        self._seed = seed
        self._random = Random(f"{seed}/{site.name}")  # noqa: S311 - a simulation
        self._epoch_ms = epoch_ms
        self._trace = trace
        self._losses = 0

    # --- what a hub may ask --------------------------------------------------------------

    def inventory(self) -> SiteReport:
        """Return the nodes with their state."""
        if self.lies.partial:
            raise self._error("the listing broke off")
        nodes = tuple(replace(n, up=n.name not in self.down_nodes) for n in self.site.nodes)
        report = SiteReport(self.site.flavors, nodes, generation=str(self._losses))
        if not self.lies.garbage:
            return report
        pick = self._random.choice
        strange = Node(pick(("n0", "never declared", "")), pick(("std", "no such flavor")))
        return replace(
            report,
            nodes=pick((nodes, (), (*nodes, strange), nodes[1:])),
            flavors=pick((report.flavors, ())),
            licences=pick(((), (("solver", -5),), (("solver", 2**70), ("solver", 1)))),
            generation=pick(("", "x" * 10_000)),
        )

    def start(self, order: StartOrder) -> None:
        """Begin an attempt, once per key; an older epoch is refused for a known key."""
        key = order.key
        if order.epoch < self._epochs.get(key, order.epoch):
            raise self._error(f"epoch {order.epoch} is over for {key}")
        self._epochs[key] = order.epoch
        if key in self.attempts or key in self.forgotten:
            return
        if any(share.node in self.down_nodes for share in order.shares):
            raise self._error(f"a node of {key} is down")
        self.begun[key] = self.begun.get(key, 0) + 1
        slots = [share.node for share in order.shares for _ in range(share.slots)]
        free = slots[: order.slots] if order.nodes == 1 else slots[:: order.nodes]
        attempt = Attempt(order, deque(TaskSet.parse(order.tasks)), free=free)
        self.attempts[key] = attempt
        self._loop.call_later(self._random.random() * 2.0, self._fill, key, attempt)

    def observe(self, cursors: Mapping[str, str]) -> list[Observation]:
        """Return the news of each key since its cursor."""
        seen = [self._look(key, cursor) for key, cursor in cursors.items()]
        if self.lies.garbage:
            # Some twice, some not at all, and what nobody has asked for.
            seen = [one for one in seen for _ in range(self._random.choice((0, 1, 1, 2)))]
            seen.append(Observation("somebody-a1-1", Presence.RUNNING, started=1))
        return seen

    def stop(self, key: str, grace_ms: int) -> None:
        """End an attempt within its grace, or forbid it."""
        if self.lies.deaf or key in self.forgotten:
            return
        attempt = self.attempts.setdefault(key, Attempt(None, over=True, reason=Reason.CANCELLED))
        if attempt.over or attempt.stop_asked:
            return
        attempt.stop_asked = True
        attempt.waiting.clear()
        self._loop.call_later(
            self._random.random() * grace_ms / 1_000, self._close, key, attempt, Reason.CANCELLED
        )

    def keys(self) -> frozenset[str]:
        """Return every key that is not forgotten."""
        if self.lies.partial:
            raise self._error("the listing broke off")
        if self.lies.garbage:
            return frozenset(self.attempts) | {"no key at all", "somebody-a1-1", "-a1-1", ""}
        return frozenset(self.attempts)

    def forget(self, key: str) -> None:
        """Drop an ended attempt."""
        attempt = self.attempts.get(key)
        if attempt is None:
            return
        if not attempt.over:
            raise self._error(f"attempt {key} still runs")
        del self.attempts[key]
        self.forgotten.add(key)

    def usage(self, key: str) -> Usage:
        """Return the sum over the ends."""
        attempt = self.attempts.get(key)
        if attempt is None:
            raise self._error(f"no record of {key}")
        wall_ms = sum(end.wall_ms for _, end in attempt.ends)
        return Usage(tasks=len(attempt.ends), wall_ms=wall_ms, billed_ms=wall_ms)

    # --- what happens to a site ----------------------------------------------------------

    def lose_node(self, name: str) -> None:
        """Lose a node: what ran there is gone, and the attempts on it end."""
        self.down_nodes.add(name)
        for key, attempt in list(self.attempts.items()):
            order = attempt.order
            if order is not None and any(share.node == name for share in order.shares):
                self._close(key, attempt, Reason.NODE_REBOOTED)

    def reboot(self) -> None:
        """Lose all that runs; the record of it stays."""
        self._losses += 1
        for key, attempt in list(self.attempts.items()):
            self._close(key, attempt, Reason.NODE_REBOOTED)

    def lose_runner(self) -> None:
        """Lose one attempt, as when its runner is killed."""
        live = [key for key, attempt in self.attempts.items() if not attempt.over]
        if live:
            key = self._random.choice(live)
            self._close(key, self.attempts[key], Reason.RUNNER_LOST)

    def lose_memory(self) -> None:
        """Lose all that runs and every record of it."""
        self._losses += 1
        for key, attempt in list(self.attempts.items()):
            if not attempt.over:
                self._close(key, attempt, Reason.SITE_LOST)
                del self.attempts[key]
                self.lost_keys[key] = self._loop.time()
                # Nothing of it runs and nobody here knows that it did: a start is a first one.
                self.begun[key] = 0

    def busy(self) -> bool:
        """Return whether any payload runs or is to run."""
        return any(not attempt.over for attempt in self.attempts.values())

    # --- inside --------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return self._epoch_ms + round(self._loop.time() * 1_000) + self.skew_ms

    def _fill(self, key: str, attempt: Attempt) -> None:
        """Begin tasks on free slots, in rising order."""
        order = attempt.order
        if order is None or attempt.over or attempt.stop_asked:
            return
        while attempt.waiting and attempt.free:
            task, node = attempt.waiting.popleft(), attempt.free.pop()
            run = Run(order.job, task, key, self.name, self._loop.time())
            self.runs.append(run)
            self.live.append(run)
            self.on_begin(run, self.begun[key])
            attempt.started += 1
            attempt.first_start_ms = attempt.first_start_ms or max(1, self._now_ms())
            wall_ms, code, reason = self._outcome(order, task)
            handle = self._loop.call_later(
                wall_ms / 1_000, self._ended, key, attempt, task, code, reason
            )
            attempt.running[task] = (run, node, handle)
        self.on_news()

    def _outcome(self, order: StartOrder, task: int) -> tuple[int, int, Reason | None]:
        env = dict(order.env)
        dice = Random(f"{self._seed}/{order.key}/{task}")  # noqa: S311 - a simulation
        wall_ms = max(1, round(int(env.get(WALL, "1000")) * dice.uniform(0.3, 1.7)))
        if order.timeout_ms and wall_ms > order.timeout_ms:
            return order.timeout_ms, STOPPED_CODE, Reason.TIMEOUT
        if dice.random() * 100 < int(env.get(FAILS, "0")):
            return wall_ms, 1, Reason.EXIT_CODE
        return wall_ms, 0, None

    def _ended(
        self, key: str, attempt: Attempt, task: int, code: int, reason: Reason | None
    ) -> None:
        run, node, _ = attempt.running.pop(task)
        self._note_end(attempt, run, code, reason)
        attempt.free.append(node)
        if attempt.waiting:
            self._fill(key, attempt)
        elif not attempt.running:
            attempt.over = True
            self.on_news()
        else:
            self.on_news()

    def _close(self, key: str, attempt: Attempt, reason: Reason) -> None:
        """End what runs, drop what waits."""
        if attempt.over:
            return
        code = STOPPED_CODE if reason is Reason.CANCELLED else LOST_CODE
        attempt.waiting.clear()
        for run, _, handle in list(attempt.running.values()):
            handle.cancel()
            self._note_end(attempt, run, code, reason)
        attempt.running.clear()
        attempt.over = True
        attempt.reason = reason
        self._trace.note(self.name, f"{key} closed: {reason}")
        self.on_news()

    def _note_end(self, attempt: Attempt, run: Run, code: int, reason: Reason | None) -> None:
        now_s = self._loop.time()
        run.ended_s, run.reason, run.exit_code = now_s, reason, code
        self.live.remove(run)
        self.on_end(run)
        wall_ms = round((now_s - run.began_s) * 1_000)
        began_ms = self._epoch_ms + round(run.began_s * 1_000) + self.skew_ms
        end = TaskEnd(run.task, began_ms, wall_ms, code, reason)
        attempt.ends.append((now_s, end))

    def _look(self, key: str, cursor: str) -> Observation:
        lies = self.lies
        if lies.unknown and self._random.random() < 0.5:
            return Observation(key, Presence.UNKNOWN, cursor=cursor)
        attempt = self.attempts.get(key)
        if attempt is None or lies.absent:
            return Observation(key, Presence.ABSENT)
        # What is told late is told late in order.
        until_s = self._loop.time() - lies.late_s
        told = [end for at_s, end in attempt.ends if at_s <= until_s]
        whole = len(told) == len(attempt.ends)
        since = 0 if lies.repeats else int(cursor or 0)
        ends = tuple(told[since:])
        ended = attempt.over and whole
        seen = Observation(
            key,
            Presence.ENDED if ended else Presence.RUNNING,
            ends,
            attempt.started,
            attempt.first_start_ms,
            # A cursor never goes back, also when ends are told late again.
            str(max(len(told), int(cursor or 0))),
            attempt.reason if ended else None,
        )
        return self._garbled(seen) if lies.garbage else seen

    def _garbled(self, seen: Observation) -> Observation:
        """Return an observation with figures that cannot be."""
        pick = self._random.choice
        ends = tuple(
            replace(
                end,
                started_ms=pick((end.started_ms, -1, 2**70)),
                cpu_ms=pick((-5, 2**70, 0)),
                peak_memory_bytes=pick((-1, 2**80)),
                exit_code=end.exit_code + pick((0, 2**40)) * bool(end.reason),
            )
            for end in seen.ends
        )
        strange = (replace(end, index=index) for end in ends[:1] for index in (-1, 10**12))
        return replace(
            seen,
            ends=(*ends, *strange),
            first_start_ms=seen.first_start_ms and pick((seen.first_start_ms, -1, 2**70)),
            started=pick((seen.started, -1, 2**70)),
        )

    def _error(self, what: str) -> DriverError:
        return DriverError(what, where=f"site {self.name}")
