"""One hub process: the real rooms, wired as `bootstrap` wires them, over this world's ports."""

from __future__ import annotations

import asyncio
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import structs

from fenglin.engine.admission import Admission
from fenglin.engine.books.accounts import AccountDesk
from fenglin.engine.books.metering import MeteringDesk
from fenglin.engine.books.proofs import ProofDesk, Sealer
from fenglin.engine.books.settling import SettleDesk
from fenglin.engine.books.vouchers import VoucherDesk
from fenglin.engine.effects import Effects
from fenglin.engine.keyless import watch
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.pool import Pool
from fenglin.engine.quarantine import Warden
from fenglin.engine.recovery import Recovery, resume
from fenglin.engine.safety import SafetyDesk
from fenglin.engine.service import HubService, Rooms
from fenglin.engine.status import SiteStatus
from fenglin.engine.threads import working_for
from fenglin.engine.watcher import Watcher
from fenglin.errors import NotFoundError, StaleEpochError
from fenglin.ledger.posting import grant
from fenglin.ports.driver import Capability
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.metering import SqliteMetering
from fenglin.storage.proofs import SqliteProofs
from fenglin.storage.quarantine import SqliteQuarantine
from fenglin.storage.settlements import SqliteSettlings
from fenglin.storage.vouchers import SqliteVouchers
from fenglin.testing.dst.books import OFFSET_MIN
from fenglin.testing.dst.disk import DiskStore
from fenglin.testing.dst.line import CAPABILITIES, Line
from fenglin.testing.dst.vault import judge_order, open_vault, refusal
from fenglin.testing.dst.virtual import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fenglin.engine.vault import Vault
    from fenglin.ports.driver import Driver
    from fenglin.ports.staging import Staging
    from fenglin.testing.dst.world import World
    from fenglin.wire.inventory_views import InventoryReport


class HubClock:
    """A hub's clocks. The date may jump; what has passed may not."""

    def __init__(self, world: World) -> None:
        """Take whose time it is."""
        self._world = world

    def now_ms(self) -> int:
        """Return Unix time in milliseconds, as this hub believes."""
        return self._world.now_ms() + self._world.hub_skew_ms

    def monotonic_ms(self) -> int:
        """Return milliseconds of the world's time."""
        return round(self._world.loop.time() * 1_000)


class Shelf:
    """Uploaded files, as far as orders need them; `gone` holds those that were removed."""

    def __init__(self) -> None:
        """All are there."""
        self.gone: set[str] = set()

    def blob_path(self, sha256: str) -> Path | None:
        """See `ports.staging.Staging`."""
        return None if sha256 in self.gone else Path("blobs") / sha256

    def artifacts_dir(self, job: str) -> Path:
        """See `ports.staging.Staging`."""
        return Path("artifacts") / job


class _BooksAlone:
    """The part of the books that the hub's face asks by itself."""

    problems: tuple[str, ...] = ()


class _AllThere:
    """Files and secrets, of which a simulated hub has every one until it is taken away."""

    async def check(self, *_given: object) -> None:
        """Refuse none: what is gone is found out at the start."""


async def _nothing(month: str) -> InventoryReport:
    """Refuse to report what is declared: nobody asks."""
    raise NotFoundError(f"nothing is declared in {month}")


class _Empty:
    """A room that no simulation has furnished: whatever is asked there has nothing against it."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return what does nothing."""
        return lambda *_given, **_named: None


def _rooms(**given: object) -> Rooms:
    """Return the rooms of a hub; those that a simulation does not judge are empty."""
    absent = {field.name: _Empty() for field in fields(Rooms) if field.default is MISSING}
    return Rooms(**cast("dict[str, Any]", {**absent, **given}))


class Hub:
    """See the module.

    Attributes:
        service: The hub's face once it is up; None before.
        accounts, vouchers, settling, metering, safety, vault: The desks of operators and owners.
        epoch: Under which it leads; 0 before.
        fault: Why it ended by itself; None while it runs.
    """

    def __init__(self, world: World, name: str) -> None:
        """Make a process that does nothing yet."""
        self.world = world
        self.name = name
        self.process = Process(name)
        self.service: HubService | None = None
        self.accounts: AccountDesk | None = None
        self.vouchers: VoucherDesk | None = None
        self.settling: SettleDesk | None = None
        self.safety: SafetyDesk | None = None
        self.vault: Vault | None = None
        self.metering: MeteringDesk | None = None
        self.epoch = 0
        self.began_s = world.loop.time()
        self.fault: BaseException | None = None
        self.over = False
        self.task: asyncio.Task[None] | None = None
        self.requests: dict[asyncio.Future[Any], None] = {}
        self._watchers: dict[str, Watcher] = {}

    def start(self) -> None:
        """Begin to come up."""
        self.world.trace.note(self.name, "starts")
        self.task = self.process.run(self.world.loop.create_task, self._life())

    @property
    def alive(self) -> bool:
        """Whether it has neither died nor ended."""
        return not self.process.dead and not self.over

    async def _life(self) -> None:
        try:
            await self._run()
        except StaleEpochError as error:
            self.world.trace.note(self.name, f"steps down: {error}")
        except Exception as error:  # noqa: BLE001 - the judge decides what it means
            self.fault = error
            self.world.trace.note(self.name, f"ends: {type(error).__name__}: {error}")
        finally:
            # Its process ends with it.
            self.over = True
            self.process.kill()

    async def _run(self) -> None:
        world = self.world
        clock = HubClock(world)
        store = DiskStore(world.disk, self.process)
        loaded = await store.load(world.sites, clock.now_ms())
        self.epoch = loaded.epoch
        pool = Pool.of(
            loaded,
            {site.name: SiteStatus(site) for site in world.sites},
            world.queues,
            await self._granted(store, loaded.epoch, clock.now_ms()),
        )
        drivers = self._drivers(pool)
        meters = Meters()
        warden = Warden(pool, SqliteQuarantine(store), clock, meters)
        control = Loop(pool, store, world.policy, clock, meters, None, warden)
        if world.safe is not None:
            self.vault = open_vault(world, world.safe, store, clock, self.epoch)
        effects = Effects(pool, drivers, cast("Staging", world.shelf), control.tell, self.vault)
        desk = ProofDesk(SqliteProofs(store, world.ledger_key), clock, lambda: pool.epoch)
        sealer = Sealer(desk, (), world.seal_every_s)
        books = self._open_books(store, pool, clock)
        if world.months is not None or world.sheets is not None:
            self.metering = MeteringDesk(
                SqliteMetering(store, OFFSET_MIN), pool, drivers, clock, {}, OFFSET_MIN, books[0]
            )
        self.safety = SafetyDesk(control, warden.kept, effects, clock, meters)
        books[0].connect(control.money_moved)
        service = HubService(
            _rooms(
                loop=control,
                store=store,
                policy=world.policy,
                clock=clock,
                drivers=drivers,
                staging=world.shelf,
                blobs=_AllThere(),
                secrets=self.vault or _AllThere(),
                admission=Admission(pool, world.policy, frozenset(world.limits)),
                meters=meters,
                version="dst",
                books=_BooksAlone(),
                safety=self.safety,
            )
        )
        control.connect(effects, service.changed)
        for name, driver in drivers.items():
            self._watchers[name] = Watcher(name, driver, pool, clock, control.tell)
        resume(pool, control, effects)
        recovery = Recovery(pool, drivers, effects, control.replan)
        await recovery.look()
        self.service = service
        world.trace.note(self.name, f"leads under epoch {self.epoch}")
        await self._serve(
            [
                control.run(),
                recovery.run(),
                sealer.run(),
                *([books[1].run()] if world.books is not None else []),
                *([books[0].run()] if world.months is not None else []),
                *self._key_watch(pool, control),
                *(watcher.run() for watcher in self._watchers.values()),
            ]
        )

    def _key_watch(self, pool: Pool, control: Loop) -> list[Coroutine[None, None, None]]:
        safe = self.world.safe
        if safe is None or not safe.gaps or self.vault is None:
            return []
        return [watch(pool, self.vault, control.replan)]

    async def _serve(self, background: list[Coroutine[None, None, None]]) -> None:
        tasks = [asyncio.create_task(work) for work in background]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def _open_books(
        self, store: DiskStore, pool: Pool, clock: HubClock
    ) -> tuple[AccountDesk, VoucherDesk]:
        """Open the desks at which money is asked for."""
        world = self.world
        self.accounts = AccountDesk(
            SqliteAccounts(store), clock, lambda: pool.epoch, world.limits, OFFSET_MIN,
            world.budgets,
        )  # fmt: skip
        self.vouchers = VoucherDesk(
            SqliteVouchers(store), self.accounts, clock, lambda: pool.epoch, OFFSET_MIN
        )
        if world.months is not None:
            self.settling = SettleDesk(
                SqliteSettlings(store), clock, pool, world.months.deals, _nothing, OFFSET_MIN
            )
        return self.accounts, self.vouchers

    def _drivers(self, pool: Pool) -> dict[str, Driver]:
        world = self.world
        drivers: dict[str, Driver] = {}
        able = CAPABILITIES | ({Capability.SECRETS} if world.safe is not None else set())
        for site in world.sites:
            with working_for(site.name):
                line = Line(
                    world.truth[site.name], world.weather[site.name], world.loop,
                    world.random, world.trace,
                )  # fmt: skip
            line.on_call = lambda site, call, key: world.judge.called(self.name, site, call, key)
            line.on_seen = world.judge.seen
            if world.safe is not None:
                line.capabilities = able
                line.refusal = partial(refusal, world.safe)
                line.on_start = partial(judge_order, world)
            drivers[site.name] = line
            pool.sites[site.name].site = structs.replace(site, capabilities=tuple(sorted(able)))
        return drivers

    def news(self, site: str) -> None:
        """Let the site's watcher look soon, as a driver's wake does."""
        watcher = self._watchers.get(site)
        if watcher is not None and self.alive:
            self.process.run(self.world.loop.call_soon, watcher.wake)

    async def _granted(self, store: DiskStore, epoch: int, now_ms: int) -> dict[str, int]:
        """Grant each account its credit when it is first seen, as `bootstrap` does."""
        world = self.world
        known = await store.balances()
        drafts = [
            grant(name, amount, f"config:{name}", memo="credit from the configuration")
            for name, amount in sorted(world.credits_micro.items())
            if name not in known and amount > 0
        ]
        if drafts:
            await store.post(epoch, drafts, now_ms)
        limits = {name: one.credit_micro for name, one in world.limits.items()}
        accounts = SqliteAccounts(store)
        await accounts.set_limits(epoch, limits | world.lent_micro)
        if world.books is not None:
            await accounts.set_budgets(epoch, world.budgets, OFFSET_MIN, now_ms)
        return {**limits, **await store.balances()}
