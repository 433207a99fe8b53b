"""Builds a hub from its configuration and runs it: the only file that names concrete rooms."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvloop
from msgspec import structs

from fenglin import __version__
from fenglin.api import bind, create_app, serve
from fenglin.bootstrap.allocator import give_back
from fenglin.bootstrap.books import granted, open_books
from fenglin.bootstrap.calm import calm_interpreter
from fenglin.bootstrap.clock import SystemClock
from fenglin.bootstrap.otlp import sender
from fenglin.bootstrap.tokens import first_token, open_login
from fenglin.bootstrap.turns import open_store, open_turn, run_beside, run_in_turn
from fenglin.catalog.devices import use
from fenglin.daemon import log_to, owned
from fenglin.engine.admission import Admission
from fenglin.engine.agents import Agents
from fenglin.engine.audit import AuditDesk
from fenglin.engine.blobs import Blobs
from fenglin.engine.books.pricing import Pricing
from fenglin.engine.brakes import Brakes
from fenglin.engine.effects import Effects
from fenglin.engine.identity import TokenDesk
from fenglin.engine.keyless import watch
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.pool import Pool
from fenglin.engine.pulse import Pulse
from fenglin.engine.quarantine import Warden
from fenglin.engine.recovery import Recovery, resume
from fenglin.engine.safety import SafetyDesk
from fenglin.engine.service import HubService, Rooms
from fenglin.engine.status import SiteStatus
from fenglin.engine.threads import SiteThreads, working_for
from fenglin.engine.tokens import Tokens
from fenglin.engine.traces import Traces
from fenglin.engine.vault import Vault
from fenglin.engine.watcher import Watcher
from fenglin.errors import (
    DeniedError,
    InputError,
    NotFoundError,
    UnavailableError,
)
from fenglin.intake.devicefile import read_device_file
from fenglin.intake.hubfile import HubConfig, read_hub_file
from fenglin.intake.policies import read_policy
from fenglin.model.states import PlacementKind
from fenglin.ports.discovery import load_factory, site_settings
from fenglin.ports.driver import Driver, DriverContext
from fenglin.staging import FolderStaging
from fenglin.storage.audit import SqliteAudit
from fenglin.storage.cycles import FolderCycles
from fenglin.storage.identity import SqliteIdentity
from fenglin.storage.keyring import KEY_FILE, FileKeyring
from fenglin.storage.possession import SqlitePossession
from fenglin.storage.prices import SqlitePrices
from fenglin.storage.quarantine import SqliteQuarantine
from fenglin.storage.vault import SqliteSecrets

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Coroutine

    from fenglin.api import Door
    from fenglin.intake.hubblock import HubBlock
    from fenglin.planner.policy import Policy
    from fenglin.storage.postgres.lease import Term

DATABASE = "fenglin.db"
ADDRESS_FILE = "hub.address"
MOST_PORT = 65_535

_log = structlog.get_logger("fenglin.hub")


def run_hub(config: Path | None, data: Path | None, listen: str | None) -> int:
    """Run a hub in the foreground until SIGTERM or SIGINT; return the exit code.

    Args:
        config: Its `fenglin.toml`; None takes the one in this folder, else a pool of this
            machine alone.
        data: Folder of its state; None takes the configuration's.
        listen: HOST:PORT; None takes the configuration's.

    Raises:
        FenglinError: it cannot start; says why.
    """
    settings, base = read_config(config)
    log_to(sys.stderr, settings.hub.log, "hub.log")
    give_back()
    policy = _policy(settings.hub.policy, base)
    _extend_devices(settings.catalog.devices, base)
    # Drivers hand its paths to processes that stand in other folders.
    folder = (data if data is not None else base / settings.hub.data).absolute()
    shared = (base / settings.hub.shared).absolute() if settings.hub.shared else folder
    host, port = _address(listen or settings.hub.listen)
    if not settings.hub.auth and not _is_loopback(host):
        raise _open_door(host)
    with owned(folder, "hub"), contextlib.closing(bind(host, port)) as sock:
        # A name may lead elsewhere than it says.
        if not settings.hub.auth and not _is_loopback(sock.getsockname()[0]):
            raise _open_door(host)
        try:
            shared.mkdir(parents=True, exist_ok=True, mode=0o700)
            uvloop.run(_run(settings, policy, folder, shared, sock))
        except OSError as error:
            raise UnavailableError(
                f"cannot use the data folder: {error}",
                where=str(folder),
                hint="check that it can be written and the disk is not full",
            ) from error
    return 0


def _open_door(host: str) -> DeniedError:
    return DeniedError(
        f"refusing to listen on {host} without authentication",
        where="hub.auth",
        hint="set auth = true, or listen on 127.0.0.1",
    )


async def _run(
    settings: HubConfig, policy: Policy, folder: Path, shared: Path, sock: socket.socket
) -> None:
    """Build the rooms, run loop, watchers and door side by side, and end in good order."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(SiteThreads())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    host, port = sock.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def started() -> None:
        (folder / ADDRESS_FILE).write_text(url + "\n")
        _log.info("hub_started", url=url, data=str(folder), version=__version__)

    def serving(app: Door) -> Coroutine[None, None, None]:
        return serve(app, sockets=[sock], stop=stop, started=started)

    if settings.hub.database:
        async with open_turn(settings.hub, url, SystemClock()) as turn:
            lead = partial(_hub, settings, policy, shared)
            await run_in_turn(turn, serving, lead, stop)
        return
    async with _hub(settings, policy, shared) as (service, background):
        app = create_app(service, require_auth=settings.hub.auth)
        await run_beside(asyncio.create_task(serving(app)), background, stop)


@contextlib.asynccontextmanager
async def _hub(
    settings: HubConfig, policy: Policy, folder: Path, term: Term | None = None
) -> AsyncIterator[tuple[HubService, list[Coroutine[None, None, None]]]]:
    """Open store and drivers, take over, and yield the service with its background work."""
    clock = SystemClock()
    store = open_store(settings.hub.database, folder / DATABASE, term)
    async with contextlib.AsyncExitStack() as ending:
        ending.push_async_callback(store.close)
        loaded = await store.load(settings.sites, clock.now_ms())
        structlog.contextvars.bind_contextvars(epoch=loaded.epoch)
        balances = await granted(store, settings, loaded.epoch, clock.now_ms())
        sites = {site.name: SiteStatus(site) for site in settings.sites}
        pool = Pool.of(loaded, sites, settings.queues, balances, settings.classes)
        watchers: dict[str, Watcher] = {}
        drivers = _drivers(settings, folder, pool, clock, watchers)
        for name, driver in drivers.items():
            ending.push_async_callback(_close, name, driver)
        staging = FolderStaging(folder)
        await asyncio.to_thread(staging.clean)
        meters = Meters()
        cycles = _cycles(folder, settings.hub.keep_cycles, pool, ending)
        pool.brakes = _brakes(settings.hub, clock, pool)
        warden = Warden(pool, SqliteQuarantine(store), clock, meters)
        control = Loop(pool, store, policy, clock, meters, cycles, warden)
        accounts = frozenset(settings.limits)
        keyring = FileKeyring(Path(settings.hub.secrets_key or folder / KEY_FILE))
        vault = Vault(SqliteSecrets(store), keyring, clock, lambda: pool.epoch, accounts)
        effects = Effects(pool, drivers, staging, control.tell, vault)
        ending.push_async_callback(effects.close)
        identity = SqliteIdentity(store)
        tokens = Tokens(identity, clock, lambda: pool.epoch)
        books = await open_books(settings, folder, store, pool, drivers, clock)
        books.accounts.connect(control.money_moved)
        pricing = Pricing(pool, SqlitePrices(store), clock, settings.offset_min)
        await pricing.once()
        service = HubService(
            Rooms(
                loop=control,
                store=store,
                policy=policy,
                clock=clock,
                drivers=drivers,
                staging=staging,
                blobs=Blobs(staging, SqlitePossession(store), clock, lambda: pool.epoch),
                admission=Admission(pool, policy, frozenset(settings.credits_micro)),
                tokens=tokens,
                meters=meters,
                version=__version__,
                books=books,
                identity=TokenDesk(identity, clock, lambda: pool.epoch, accounts),
                audit=AuditDesk(SqliteAudit(store)),
                safety=SafetyDesk(control, warden.kept, effects, clock, meters),
                agents=Agents(pool, drivers),
                secrets=vault,
                login=open_login(settings, identity, clock, lambda: pool.epoch),
                cycles=cycles,
            )
        )
        traces = Traces(pool.hub, store, sender(settings.hub.traces))
        control.connect(effects, traces.after(service.changed))
        for name, driver in drivers.items():
            watchers[name] = Watcher(name, driver, pool, clock, control.tell)
        await first_token(identity, tokens, folder)
        resume(pool, control, effects)
        recovery = Recovery(pool, drivers, effects, control.replan)
        await recovery.look()
        calm_interpreter()
        pulse, keys = Pulse(clock, meters), watch(pool, vault, control.replan)
        ours = [control.run(), recovery.run(), pricing.run(), traces.run(), pulse.run(), keys]
        yield service, [*ours, *books.background(), *(one.run() for one in watchers.values())]


def _brakes(block: HubBlock, clock: SystemClock, pool: Pool) -> Brakes:
    """Return the brakes; a hub that comes up with nothing to do has nothing to catch up with."""
    return Brakes(
        clock,
        most_failures=block.failure_brake,
        rest_ms=block.brake_rest_ms,
        starts_per_s=block.catch_up_starts if pool.jobs else 0,
    )


async def _close(site: str, driver: Driver) -> None:
    """Close a site's driver, on its own threads."""
    with working_for(site):
        await driver.close()


def _cycles(
    folder: Path, most: int, pool: Pool, ending: contextlib.AsyncExitStack
) -> FolderCycles | None:
    """Open the memory of cycles; numbers go on where a former hub has left off."""
    if not most:
        return None
    cycles = FolderCycles(folder / "cycles", most=most)
    ending.push_async_callback(cycles.close)
    pool.cycle = max([pool.cycle, *(entry.index for entry in cycles.entries()[:1])])
    return cycles


def _drivers(
    settings: HubConfig,
    folder: Path,
    pool: Pool,
    clock: SystemClock,
    watchers: dict[str, Watcher],
) -> dict[str, Driver]:
    """Build each site's driver by the entry point its `driver` names, and note what it can do."""
    loop = asyncio.get_running_loop()

    def wake(site: str) -> None:
        if site in watchers:
            loop.call_soon_threadsafe(watchers[site].wake)

    drivers: dict[str, Driver] = {}
    for site in settings.sites:
        factory = load_factory(site.driver, f"site.{site.name}.driver")
        directory = folder / "sites" / site.name
        directory.mkdir(parents=True, exist_ok=True)
        context = DriverContext(
            hub=pool.hub,
            site=site.name,
            directory=directory,
            wake=partial(wake, site.name),
            now_ms=clock.now_ms,
        )
        own = settings.settings.get(site.name, {})
        with working_for(site.name):
            driver = drivers[site.name] = factory(context, site_settings(site, own))
        pool.sites[site.name].site = structs.replace(
            site,
            placement=getattr(factory, "placement", PlacementKind.NODE),
            start_ms=getattr(factory, "start_ms", 0),
            turn_ms=getattr(factory, "turn_ms", 0),
            apart=getattr(factory, "apart", 0),
            capabilities=tuple(sorted(driver.capabilities)),
            labels=tuple(sorted({*site.labels, *getattr(driver, "labels", ())})),
        )
    return drivers


def read_config(config: Path | None) -> tuple[HubConfig, Path]:
    """Return the configuration and the folder that its paths are relative to."""
    path = config if config is not None else Path("fenglin.toml")
    if config is None and not path.is_file():
        return read_hub_file(_this_machine(), "built-in configuration"), Path()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration: {error}", where=str(path)) from error
    return _with_key(read_hub_file(text, str(path)), path.parent), path.parent


def _with_key(settings: HubConfig, base: Path) -> HubConfig:
    """Return the settings with the place of the secrets' keys as it is from anywhere."""
    if not settings.hub.secrets_key:
        return settings
    place = str((base / settings.hub.secrets_key).absolute())
    return structs.replace(settings, hub=structs.replace(settings.hub, secrets_key=place))


def _policy(name: str, base: Path) -> Policy:
    """Return the policy, before anything is taken over: a wrong one must stop no work."""
    try:
        return read_policy(name, base)
    except NotFoundError as error:
        raise InputError(error.what, where="hub.policy", hint=error.hint) from error


def _extend_devices(file: str, base: Path) -> None:
    """Add the operator's device file to the registry of this process."""
    if not file:
        return
    path = base / file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the device file: {error}", where="catalog.devices"
        ) from error
    use(read_device_file(text, str(path)))


def _this_machine() -> str:
    """Return the configuration of a pool that is this machine alone."""
    cores = os.cpu_count() or 1
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 8 // 10
    return f"""
[account.default]
credit = "1000 CNY"

[site.local]
driver = "local"
provider = "this-machine"

[site.local.flavor.host]
cpu = {cores}
memory = {memory_bytes}
disk = "1TiB"
price = {{ core_hour = "0.10" }}
"""


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    digits = port.isascii() and port.isdecimal() and len(port) <= 5
    if not colon or not digits or int(port) > MOST_PORT:
        raise InputError(
            f"{text!r} is not HOST:PORT", where="listen", hint="write for example 127.0.0.1:8642"
        )
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
