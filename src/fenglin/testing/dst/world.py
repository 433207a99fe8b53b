"""Everything that there is in one run, drawn from its seed, and a day in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from fenglin.errors import UnavailableError
from fenglin.ledger.note import new_key
from fenglin.ledger.posting import CURRENCY
from fenglin.ledger.standing import Limits
from fenglin.model.hours import purse
from fenglin.model.ids import attempt_key
from fenglin.planner.policy import BUILT_IN
from fenglin.testing.dst import books, footing, metered, months, sick, vault
from fenglin.testing.dst.closing import judge_rest
from fenglin.testing.dst.disk import Disk
from fenglin.testing.dst.faults import CATALOGUE, strike
from fenglin.testing.dst.hub import Hub, Shelf
from fenglin.testing.dst.judge import Judge
from fenglin.testing.dst.knobs import calm_down
from fenglin.testing.dst.line import Weather
from fenglin.testing.dst.site import Lies, TrueSite
from fenglin.testing.dst.trace import Trace
from fenglin.testing.dst.users import ADMIN, LostError, pay_in, persist, sponsor, want
from fenglin.testing.dst.virtual import SeededLoop, this_process
from fenglin.testing.dst.workload import ACCOUNTS, QUEUES, draw_sites, draw_wishes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from fenglin.engine.service import HubService
    from fenglin.testing.dst.judge import Remembered

EPOCH_MS = 1_760_000_000_000
# The longest job: twenty tasks of an hour and a half, two at a time, each tried four times.
SETTLES_WITHIN_S = 4 * 86_400.0
MOST_STEPS = 6_000_000
# What some runs have besides; `more` has them in any.
VOUCHERS, ILL, MONTHS, SECRETS = "vouchers", "ill jobs", "closed months", "secrets"
KEYS, METERED = "missing keys", "metered use"
EXTRAS = (VOUCHERS, ILL, MONTHS, SECRETS, KEYS, METERED)
# Users that look at a job of theirs, and at one that is not.
LOOK_SHARE = 0.1
# An operator who restores a backup takes this long, longer than any call is under way.
RESTORED_AFTER_S = 120.0
# What was wrong is felt no longer after this time.
WELL_AFTER_S = 120.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is.

    Attributes:
        name: For reports.
        jobs: So many wishes; a few are refused, as those for a parent that a restore has lost.
        span_s: Virtual seconds in which they come.
        faults: So many strike.
        arrays: Of which sizes jobs of many tasks are; each end of a task costs a cycle.
    """

    name: str
    jobs: int
    span_s: float
    faults: int
    arrays: tuple[int, ...]


FULL = Size("full", 210, 86_400.0, 24, (2, 3, 5, 12, 20))
SMALL = Size("small", 24, 3_600.0, 8, (2, 2, 3, 5, 12))
SIZES = {size.name: size for size in (FULL, SMALL)}


class World:
    """Everything that there is in a run."""

    def __init__(
        self, seed: int, size: Size, more: Sequence[str] = (), *, plain: bool = False
    ) -> None:
        """Draw it; nothing happens yet.

        Args:
            seed: Every choice follows from it.
            size: How large.
            more: Faults that strike besides, thrice each, and names of `EXTRAS`.
            plain: Without any of `EXTRAS`.
        """
        self.seed = seed
        self.size = size
        self.more = more
        self.plain = plain
        self.random = Random(f"{seed}/{size.name}")  # noqa: S311 - a simulation
        draw = Random(f"{seed}/{size.name}/draw")  # noqa: S311
        self.loop = SeededLoop(self.random)
        self.trace = Trace(self.loop.time)
        self.hub_id = f"{draw.getrandbits(32):08x}"
        self.disk = Disk(self.random, self.hub_id)
        self.sites = draw_sites(draw)
        self._draw_extras()
        self.epoch_ms = self.months.first_ms if self.months is not None else EPOCH_MS
        self.queues = QUEUES
        self.policy = BUILT_IN[draw.choice(sorted(BUILT_IN))]
        self.limits = {
            "default": Limits(), "lab": Limits(credit_micro=2_000_000), "poor": Limits()
        }  # fmt: skip
        self.credits_micro = {"default": 10**12, "lab": 3_000_000, "poor": 300_000}
        self.ledger_key = new_key(f"fenglin.ledger/{self.hub_id}", draw.randbytes(32))
        self.seal_every_s = draw.choice((600.0, 7_200.0))
        self.look_share = LOOK_SHARE
        self.shelf = Shelf()
        self.judge = Judge(self.disk, self.hub_id, self.loop.time, self.trace)
        self.weather = {site.name: Weather() for site in self.sites}
        self.truth = {
            site.name: TrueSite(site, self.loop, f"{seed}", self.epoch_ms, self.trace)
            for site in self.sites
        }
        self.wishes = draw_wishes(draw, size.jobs, size.span_s, size.arrays)
        names = sorted(CATALOGUE)
        struck = [draw.choice(names) for _ in range(size.faults)] + 3 * [
            one for one in more if one in CATALOGUE
        ]
        self.plan = sorted((draw.random() * size.span_s, name) for name in struck)
        self.struck: list[str] = []
        self.paid_in: dict[str, int] = {}
        self._furnish()
        self.hubs: list[Hub] = []
        self.hub_skew_ms = 0
        self.lose_reply = 0.0
        self.crash_at = ("", 0)
        self.next_dies_at_step = 0
        self.rest_s = 0.0
        self._foul_s = dict.fromkeys(self.truth, -1e9)
        self._died = asyncio.Event()
        self._connect()

    def _draw_extras(self) -> None:
        """Draw what few runs have, from a stream of its own."""
        draw = Random(f"{self.seed}/{self.size.name}/extras")  # noqa: S311
        has_books, has_ward = draw.random() < books.SHARE, draw.random() < sick.SHARE
        has_books, has_ward = has_books or VOUCHERS in self.more, has_ward or ILL in self.more
        self.books = self.ward = None
        if has_books and not self.plain:
            size = self.size
            self.books = books.draw_books(draw, size.jobs, size.span_s, ACCOUNTS)
        if has_ward and not self.plain:
            self.ward = sick.draw_ward(draw, self.size.span_s)
        self.budgets = dict(self.books.budgets) if self.books is not None else {}
        self.lent_micro: dict[str, int] = {}
        if self.books is not None:
            # A stream of its own once more.
            draw = Random(f"{self.seed}/{self.size.name}/hours")  # noqa: S311
            self.lent_micro, rationed = books.draw_lent(draw, self.size.jobs, ACCOUNTS)
            for name, budget in rationed.items():
                self.budgets[name] = (*self.budgets.get(name, ()), budget)
        # What came later has a stream of its own again; whoever names extras has no others of it.
        draw = Random(f"{self.seed}/{self.size.name}/later extras")  # noqa: S311
        named = {*self.more} & {*EXTRAS}
        closes, hides = draw.random() < months.SHARE, draw.random() < vault.SHARE
        if named or self.plain:
            closes, hides = MONTHS in named, bool({SECRETS, KEYS} & named)
        span_s = self.size.span_s
        names = tuple(site.name for site in self.sites)
        self.months = months.draw_months(draw, span_s, names) if closes else None
        self.safe = vault.draw_safe(draw, span_s, ACCOUNTS) if hides else None
        # And once more, each of its own.
        draw = Random(f"{self.seed}/{self.size.name}/missing keys")  # noqa: S311
        if self.safe is not None:
            self.safe.gaps = vault.draw_gaps(draw, span_s, sure=KEYS in named)
        draw = Random(f"{self.seed}/{self.size.name}/metered use")  # noqa: S311
        sells = METERED in named if named or self.plain else draw.random() < metered.SHARE
        self.sheets = metered.draw_sheets(draw, span_s) if sells else None

    def _furnish(self) -> None:
        """Give what was drawn besides its places among the rest."""
        if self.months is not None:
            forgets = [(at_s, "site lost its memory") for at_s in self.months.losses]
            self.plan = sorted([*self.plan, *forgets])
            self.judge.on_close = partial(months.freeze, self, self.months)
        if self.safe is not None:
            vault.furnish(self.safe, self.wishes)
            self.disk.conn.execute("PRAGMA secure_delete = OFF")
            self.judge.search = partial(vault.search, self)
            self.judge.on_end = partial(vault.judge_end, self)
        if self.sheets is not None:
            metered.furnish(self)

    def _connect(self) -> None:
        judge = self.judge
        judge.sites = tuple(self.truth)
        limits = {name: one.credit_micro for name, one in self.limits.items()}
        judge.credit_micro = limits | self.lent_micro
        judge.hard_micro = {
            name if one.commodity == CURRENCY else purse(name, one.commodity): one.hard_micro
            for name, ones in self.budgets.items()
            for one in ones
            if one.hard_micro is not None
        }
        judge.ill = self.ward.ever if self.ward is not None else set()
        judge.epoch_of = lambda name: next((h.epoch for h in self.hubs if h.name == name), 0)
        judge.is_well = self.is_well
        self.disk.on_commit = judge.committed
        for name, truth in self.truth.items():
            truth.on_begin = judge.began
            truth.on_end = judge.ended
            truth.on_news = lambda name=name: self._news(name)  # type: ignore[misc]

    def now_ms(self) -> int:
        """Return the true Unix time in milliseconds."""
        return self.epoch_ms + round(self.loop.time() * 1_000)

    @property
    def leader(self) -> Hub:
        """Return the newest hub."""
        return self.hubs[-1]

    def any_site(self) -> str:
        """Choose a site."""
        return self.random.choice(sorted(self.truth))

    def foul(self, site: str) -> None:
        """Note that something is or just was wrong with a site or the way to it."""
        self._foul_s[site] = self.loop.time()

    def start_hub(self) -> None:
        """Let a new hub come up, whatever became of the last one."""
        hub = Hub(self, f"hub{len(self.hubs) + 1}")
        hub.process.on_death = lambda: self._buried(hub)
        hub.process.dies_at_step, self.next_dies_at_step = self.next_dies_at_step, 0
        self.hubs.append(hub)
        hub.start()

    def kill_leader(self, how: str) -> None:
        """Kill the newest hub from outside."""
        self.trace.note(self.leader.name, how)
        self.leader.process.kill()

    def _buried(self, hub: Hub) -> None:
        self.trace.note(hub.name, "is dead")
        if self.disk.conn.in_transaction:
            # Inside a commit: the unwinding rolls it back.
            self.trace.note(hub.name, "died inside a transaction")
        self.process_free(self.loop.call_soon, self._died.set)
        for answer in list(hub.requests):
            self.process_free(self.loop.call_later, 0.001, _hang_up, answer)

    def process_free(self, what: Callable[..., Any], *args: object) -> None:
        """Call something so that it belongs to no process, whoever asks."""
        process = this_process()
        if process is None:
            what(*args)
        else:
            process.outside().run(what, *args)

    def is_well(self, site: str) -> bool:
        """Whether nothing was wrong between hub and site for some time."""
        since_s = self.loop.time() - self._foul_s[site]
        calm = self.weather[site].fair and self.truth[site].lies == Lies()
        return calm and not self.disk.slow_s and since_s > WELL_AFTER_S

    def restore(self, kept: sqlite3.Connection, known: Remembered) -> None:
        """Lose the database, and put an old backup in its place."""
        for hub in self.hubs:
            hub.process.kill()
        conn = self.disk.conn
        self.judge.search("that was lost")
        self.disk.restore(kept, self.now_ms())
        attempts = {
            attempt_key(self.hub_id, number, attempt)
            for number, attempt in conn.execute("SELECT number, attempt FROM allocation")
        }
        for truth in self.truth.values():
            # The backup may know them as live; what they did is nowhere any more.
            truth.lost_keys.update(dict.fromkeys(sorted(truth.forgotten), self.loop.time()))
        held = {key for truth in self.truth.values() for key in truth.begun}
        self.judge.go_back(known, held - attempts)
        rows = {row[0]: row[1] for row in conn.execute("SELECT number, cancelling FROM job")}
        for wish in self.wishes:
            wish.answers.clear()
            wish.lost = bool(wish.number) and wish.number not in rows
            if not rows.get(wish.number):
                wish.cancel_answer = ""
        if self.ward is not None:
            sick.mend_rows(self, self.ward)
        self.rest_s = RESTORED_AFTER_S
        self.trace.note("FAULT", f"restored; {sum(wish.lost for wish in self.wishes)} wishes lost")

    def hear(self, where: str, told: object) -> None:
        """Judge that what was told shows no secret (S3)."""
        safe = self.safe
        if safe is not None:
            text = told if isinstance(told, str) else repr(told)
            self.judge.must("S3", not safe.shows(text), lambda: f"{where} shows a secret: {text}")

    def is_led(self) -> bool:
        """Whether one hub has led undisturbed for some time."""
        hub, disk = self.leader, self.disk
        steady = hub.alive and not hub.process.paused and hub.service is not None
        since_s = self.loop.time() - hub.began_s
        return steady and since_s > WELL_AFTER_S and not (disk.full or disk.refuse_next)

    def _news(self, site: str) -> None:
        weather = self.weather[site]
        if weather.sleepy or weather.cut or not self.hubs:
            return
        for hub in self.hubs[-2:]:
            if hub.alive:
                self.process_free(
                    self.loop.call_later, self.random.random() * weather.latency_s, hub.news, site
                )

    def crash_point(self, name: str) -> None:
        """Die here if this point is armed; see `ports.crashpoint`."""
        process = this_process()
        if process is None or name != self.crash_at[0]:
            return
        point, left = self.crash_at
        self.crash_at = (point, left - 1) if left > 1 else ("", 0)
        if left == 1:
            self.trace.note(process.name, f"dies at {point}")
            process.die_here()

    def heal(self) -> None:
        """End all that is wrong, for good."""
        self.trace.note("FAULT", "all healed")
        for name, truth in self.truth.items():
            truth.lies = Lies()
            truth.skew_ms = 0
            truth.down_nodes.clear()
            self.weather[name].clear()
            self.foul(name)
        self.hub_skew_ms = 0
        if self.safe is not None:
            self.safe.quoting = False
            vault.give_back(self, self.safe)
        self.lose_reply = 0.0
        self.crash_at = ("", 0)
        self.next_dies_at_step = 0
        self.disk.full, self.disk.slow_s, self.disk.refuse_next = False, 0.0, 0
        calm_down()
        for hub in self.hubs:
            hub.process.dies_at_step = 0
            if hub.process.paused:
                self.loop.go_on(hub.process)

    def close(self) -> None:
        """Take everything apart that is still under way."""
        for hub in self.hubs:
            hub.process.on_death = None
        self.loop.end()
        self.disk.conn.close()

    # --- the day --------------------------------------------------------------------------

    async def live(self) -> None:
        """Run the day, then let everything come to rest, and judge."""
        keeper = asyncio.create_task(self._keep())
        watch = asyncio.create_task(self._watch())
        day = asyncio.create_task(self._day())
        done, _ = await asyncio.wait([watch, day], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        keeper.cancel()
        watch.cancel()

    async def _day(self) -> None:
        wanting = [asyncio.create_task(want(self, wish, self.wishes)) for wish in self.wishes]
        faults = [asyncio.create_task(strike(self, name, at_s)) for at_s, name in self.plan]
        giving = asyncio.create_task(sponsor(self))
        extras = [asyncio.create_task(one) for one in self._extras()]
        await asyncio.sleep(self.size.span_s)
        if self.size is FULL:
            footing.three_ways(self, self.epoch_ms)
        for task in faults:
            task.cancel()
        await asyncio.gather(*faults, return_exceptions=True)
        self.heal()
        for task in (giving, *extras):
            await task
        if self.safe is not None:
            await vault.set_again(self, self.safe)
        for account in ACCOUNTS:
            await pay_in(self, account, 10**12, f"final-{account}")
        for name in self.truth:
            await self._resumed(name)
        if self.books is not None:
            await self._unbounded()
        await self._settled(wanting)
        await self._looked_through()
        judge_rest(self, self.epoch_ms)

    def _extras(self) -> Iterator[Coroutine[None, None, None]]:
        if self.books is not None:
            yield books.grant_hours(self, self.books)
            for clerk in self.books.clerks:
                yield books.keep(self, clerk)
        if self.ward is not None:
            yield sick.fall_ill(self, self.ward)
        if self.months is not None:
            yield months.keep_books(self, self.months)
            yield months.tell_late(self, self.months)
        if self.safe is not None:
            yield vault.keep_secrets(self, self.safe)
            yield vault.lose_keys(self, self.safe)
        if self.sheets is not None:
            yield metered.import_all(self, self.sheets)

    async def _looked_through(self) -> None:
        """Have the books looked through, closed and completed, now that nothing is under way."""
        if self.books is not None:
            await footing.audit(self)
        if self.months is not None:
            await months.close(self)
            await months.tell(self, self.months)
        if self.sheets is not None:
            await metered.import_again(self, self.sheets)

    async def _unbounded(self) -> None:
        """Take the budgets away, so that all jobs may end."""
        self.budgets.clear()
        self.judge.hard_micro.clear()

        async def renew(service: HubService) -> None:
            for hub in self.hubs:
                if hub.service is service and hub.accounts is not None:
                    await hub.accounts.renew()

        await persist(self, renew)

    async def _resumed(self, site: str) -> None:
        await persist(self, lambda hub: hub.set_site(site, ADMIN, drained=False, reason=""))

    async def _settled(self, wanting: list[asyncio.Task[None]]) -> None:
        """Wait until every wish is answered and every job has ended."""
        if self.ward is not None:
            await sick.recover(self, self.ward, wanting)
        end_s = self.loop.time() + SETTLES_WITHIN_S
        await asyncio.wait(wanting, timeout=SETTLES_WITHIN_S)
        for task in wanting:
            if not task.done():
                self.judge.complain("UP", "a user was not answered for a day of good weather")
                return
            task.result()
        live = "SELECT count(*) FROM job WHERE ended_ms = 0"
        # The rows are asked, not the hub.
        while self.disk.conn.execute(live).fetchone()[0] and self.loop.time() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(30)
        # What an ended job leaves behind is let go of.
        await asyncio.sleep(60)

    async def _keep(self) -> None:
        """Start a hub whenever none is there, as a service manager does."""
        while True:
            if not self.hubs or not self.leader.alive:
                if self.hubs:
                    self._post_mortem(self.leader)
                    pause_s = self.random.choice((0.1, 1.0, 30.0)) * self.random.random()
                    await asyncio.sleep(pause_s + self.rest_s)
                    self.rest_s = 0.0
                if not self.hubs or not self.leader.alive:
                    self.start_hub()
            self._died.clear()
            await self._died.wait()

    def _post_mortem(self, hub: Hub) -> None:
        """A hub may end by itself only because it leads no more, or had no disk to start on."""
        good = hub.fault is None or isinstance(hub.fault, UnavailableError)
        self.judge.must("UP", good, f"{hub.name} ended: {type(hub.fault).__name__}: {hub.fault}")

    async def _watch(self) -> None:
        """Return as soon as a promise is broken."""
        broken = asyncio.Event()
        self.judge.on_broken = lambda: self.process_free(self.loop.call_soon, broken.set)
        if self.judge.broken is None:
            await broken.wait()


def _hang_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(LostError("the hub died"))
