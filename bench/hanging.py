"""The row `hanging`: a hub of 20 sites, all of them well, or 3 of them silent or stuck.

Each hub is the real loop with its store, effects and watchers on mock sites. All hubs live side by
side for the whole row and take turns at the load, so that sites hang through every stage: believed
well, called in vain, known to be down.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from structlog.testing import capture_logs

from bench.effort import BenchError, Effort, in_turns
from bench.figures import Figure, Row, percentile
from fenglin.bootstrap import SystemClock
from fenglin.drivers.mock import Fault, MockDriver, Outcome, Rule
from fenglin.engine.effects import Effects
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.news import JobsAdded
from fenglin.engine.pool import Pool
from fenglin.engine.status import SiteStatus
from fenglin.engine.threads import SiteThreads
from fenglin.engine.watcher import Watcher
from fenglin.ledger.posting import grant
from fenglin.planner.policy import BALANCED
from fenglin.ports.driver import Driver, DriverContext, SiteReport
from fenglin.ports.store import SubmitRequest
from fenglin.staging import FolderStaging
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import PLENTY_MICRO, a_job, a_site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fenglin.ports.driver import Observation, StartOrder
    from fenglin.ports.store import JobRecord

BUDGET_S = 90.0
SITES = 20
SLOTS = 16
# The cheapest, one in between and a dear one.
BAD = (0, 7, 14)
TASK_MS = 300
LONG_MS = 3_600_000
TASKS_PER_JOB = 4
EVERY_S = 0.05
# Shorter ones would not fill the cheapest site.
LEAST_TURN_S = 0.5
DRAIN_WITHIN_S = 30.0
ROUNDS_PER_REPEAT = 6
# Less than a tenth more.
GOAL = 0.91
WELL = "all well"
SILENT = "3 silent"
STUCK = "3 stuck"
WHAT = ("cycle", "cycle, CPU time", "submit → start")


class ThreadedSite(MockDriver):
    """A mock site whose calls go by a thread, as those of most drivers do.

    Attributes:
        stuck: Unset while calls are to keep their threads, as a file system that hangs keeps them.
        started: (job, `time.perf_counter`) of each start that has come.
    """

    def __init__(self, context: DriverContext, report: SiteReport) -> None:
        """Take what the site holds; it is well."""
        super().__init__(context, report, TASK_MS)
        self.stuck = threading.Event()
        self.stuck.set()
        self.started: list[tuple[str, float]] = []

    async def inventory(self) -> SiteReport:
        """See `MockDriver`."""
        await asyncio.to_thread(self.stuck.wait)
        return await super().inventory()

    async def start(self, order: StartOrder) -> None:
        """See `MockDriver`."""
        await asyncio.to_thread(self.stuck.wait)
        await super().start(order)
        self.started.append((order.job, time.perf_counter()))

    async def observe(self, cursors: Mapping[str, str]) -> Sequence[Observation]:
        """See `MockDriver`."""
        await asyncio.to_thread(self.stuck.wait)
        return await super().observe(cursors)

    async def forget(self, key: str) -> None:
        """See `MockDriver`."""
        await asyncio.to_thread(self.stuck.wait)
        await super().forget(key)


class TimedLoop(Loop):
    """A loop that keeps how long its cycles with a plan took.

    Attributes:
        cycles: (wall, CPU of this process) of each, in seconds.
    """

    cycles: list[tuple[float, float]]

    async def _cycle(self) -> None:
        before = self.pool.cycle
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await super()._cycle()
        if self.pool.cycle != before:
            took = (time.perf_counter() - wall_s, time.process_time() - cpu_s)
            self.cycles.append(took)


class Bed:
    """One hub without a door, on a store of its own, with its sites."""

    def __init__(self, name: str, folder: Path) -> None:
        """Take the hub's name and the folder for its files; `open` must follow."""
        self.name = name
        self._folder = folder
        self._clock = SystemClock()
        # Threads are kept by site, and hubs here share a process.
        self._names = [f"{name}s{at:02}" for at in range(SITES)]
        self._bad = {self._names[at] for at in BAD}
        self._sites: dict[str, ThreadedSite] = {}
        self._watchers: dict[str, Watcher] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._store: SqliteStore
        self._loop: TimedLoop
        self._effects: Effects

    async def open(self) -> None:
        """Build the hub and wait until it has seen all of its sites."""
        sites = [
            a_site(name, cpu=SLOTS, core_hour_micro=100_000 + 5_000 * at)
            for at, name in enumerate(self._names)
        ]
        self._store = store = SqliteStore(self._folder / f"{self.name}.db")
        loaded = await store.load(sites, self._clock.now_ms())
        draft = grant("default", PLENTY_MICRO, "bench", memo="credit")
        await store.post(loaded.epoch, [draft], self._clock.now_ms())
        statuses = {site.name: SiteStatus(site) for site in sites}
        pool = Pool.of(loaded, statuses, (), await store.balances())
        for site in sites:
            context = DriverContext(
                pool.hub,
                site.name,
                self._folder,
                partial(self._wake, site.name),
                self._clock.now_ms,
            )
            self._sites[site.name] = ThreadedSite(context, SiteReport(site.flavors, site.nodes))
        self._loop = loop = TimedLoop(pool, store, BALANCED, self._clock, Meters())
        loop.cycles = []
        drivers: dict[str, Driver] = {**self._sites}
        self._effects = Effects(pool, drivers, FolderStaging(self._folder / self.name), loop.tell)
        loop.connect(self._effects, _nobody)
        self._watchers = {
            name: Watcher(name, driver, pool, self._clock, loop.tell)
            for name, driver in drivers.items()
        }
        runs = [loop.run(), *(watcher.run() for watcher in self._watchers.values())]
        self._tasks = [asyncio.create_task(work) for work in runs]
        await self._until_seen()

    def keep_busy(self) -> None:
        """Let tasks of the bad sites run on and on from now on, so that all hubs have as much room.

        A site that hangs keeps its tasks too, and hubs of unlike room do not compare.
        """
        for name in self._bad:
            self._sites[name].behaviour = lambda _order, _index: Outcome(LONG_MS)

    def break_sites(self, *, threads: bool) -> None:
        """Let the bad sites hang on every call from now on.

        Args:
            threads: Whether each such call keeps a thread too.
        """
        for name in self._bad:
            if threads:
                self._sites[name].stuck.clear()
            else:
                self._sites[name].inject(Rule(Fault.HANG, times=-1))

    async def close(self) -> None:
        """End the hub."""
        for site in self._sites.values():
            site.stuck.set()
            site.heal()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._effects.close()
        await self._store.close()

    async def turn(self, seconds: float) -> dict[str, list[float]]:
        """Submit at a steady pace, wait for the end of all that can end.

        Returns:
            Milliseconds by what was measured.
        """
        self._loop.cycles.clear()
        sent: dict[str, float] = {}
        begun = due = time.perf_counter()
        while due < begun + seconds:
            await self._submit(sent)
            due += EVERY_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await self._drained()
        good = [site for name, site in self._sites.items() if name not in self._bad]
        waits = [
            (at - sent[job]) * 1_000 for site in good for job, at in site.started if job in sent
        ]
        walls, cpus = zip(*self._loop.cycles, strict=True)
        return dict(
            zip(WHAT, ([x * 1_000 for x in walls], [x * 1_000 for x in cpus], waits), strict=True)
        )

    async def _submit(self, sent: dict[str, float]) -> None:
        """Store one job and tell the loop, as the door does."""
        spec = a_job("array", tasks=TASKS_PER_JOB)
        at = time.perf_counter()
        request = SubmitRequest(
            [spec], [msgspec.json.encode(spec)], "bench", "", b"", self._clock.now_ms()
        )
        (answer,), records = await self._store.submit(request)
        sent[answer.id] = at
        self._loop.pool.add_jobs(records)
        self._loop.tell(JobsAdded(records))

    def _wake(self, site: str) -> None:
        self._watchers[site].wake()

    async def _until_seen(self) -> None:
        statuses = self._loop.pool.sites.values()
        end_s = time.monotonic() + DRAIN_WITHIN_S
        while any(status.down for status in statuses):
            if time.monotonic() > end_s:
                raise BenchError("the hub has not seen its sites")
            await asyncio.sleep(0.01)

    async def _drained(self) -> None:
        """Wait until nothing waits for a place and nothing runs on the good sites."""
        pool, end_s = self._loop.pool, time.monotonic() + DRAIN_WITHIN_S
        while pool.pending_rows() or any(
            r.site not in self._bad for r in pool.allocations.values()
        ):
            if time.monotonic() > end_s:
                raise BenchError(f"tasks of well sites have not ended within {DRAIN_WITHIN_S:g} s")
            await asyncio.sleep(0.02)


def run(effort: Effort) -> Row:
    """Measure the row."""
    row = Row("hanging", f"{SITES} sites of {SLOTS} slots, {len(BAD)} of which hang on every call")
    beds: dict[str, Bed] = {}
    taken: dict[str, list[dict[str, list[float]]]] = {}
    turn_s = max(LEAST_TURN_S, effort.load_s / 5)
    folder = Path(tempfile.mkdtemp(prefix="fenglin-bench-"))
    with contextlib.ExitStack() as ending:
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        ending.enter_context(capture_logs())
        runner = ending.enter_context(asyncio.Runner())
        runner.get_loop().set_default_executor(SiteThreads())

        def close(bed: Bed) -> None:
            runner.run(bed.close())

        def measure(name: str) -> float:
            taken.setdefault(name, []).append(runner.run(beds[name].turn(turn_s)))
            return percentile(taken[name][-1]["cycle"], 50)

        for number, name in enumerate((WELL, SILENT, STUCK)):
            beds[name] = Bed(f"h{number}", folder)
            ending.callback(close, beds[name])
            runner.run(beds[name].open())
        for bed in beds.values():
            runner.run(bed.turn(turn_s))  # warms up
            bed.keep_busy()
        beds[SILENT].break_sites(threads=False)
        beds[STUCK].break_sites(threads=True)
        contenders = {name: partial(measure, name) for name in beds}
        rounds = ROUNDS_PER_REPEAT * effort.rounds
        in_turns(row, contenders, rounds, BUDGET_S * effort.scale)
    _report(row, taken)
    return row


def _report(row: Row, taken: dict[str, list[dict[str, list[float]]]]) -> None:
    """Add figures and ratios."""
    for what in WHAT:
        for percent in (50, 99):
            for name, turns in taken.items():
                values = [percentile(turn[what], percent) for turn in turns]
                full = f"{what}, p{percent}, {name}"
                row.figures.append(Figure(full, "ms", values, ours=True, digits=2))
            for name in (SILENT, STUCK):
                row.compare(f"{what}, p{percent}, {name}", f"{what}, p{percent}, {WELL}", goal=GOAL)
    row.notes.append(
        f"{TASKS_PER_JOB / EVERY_S:.0f} tasks of {TASK_MS} ms a second in jobs of {TASKS_PER_JOB},"
        " through the real loop, store, effects and watchers on mock sites. Cycles are those with a"
        " plan, from the first look at the news to the commit of the starts. All hubs live"
        f" to the end and take turns at the load. Sites {', '.join(map(str, BAD))} (the cheapest is"
        " site 0) hang on every call from after the warm-up on: silent ones never answer, stuck"
        " ones never give back the thread that a call took either. Where all are"
        " well, tasks of these three run for an hour, so that every hub has the room of the other"
        " 17, whose starts are timed."
    )


def _nobody(_changed: list[JobRecord], _ended: list[JobRecord]) -> None:
    """Hear of changed jobs."""
