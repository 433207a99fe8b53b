"""Who keeps the meters: late use, providers' accounting, what differs, and energy."""

from __future__ import annotations

import asyncio
from io import TextIOWrapper
from itertools import islice
from typing import IO, TYPE_CHECKING, cast

import structlog

from fenglin.engine.books.metering_check import check_month
from fenglin.engine.books.metering_energy import (
    best_energy,
    measured_by,
    notes_of,
    report,
    site_of,
    with_energy,
)
from fenglin.engine.books.metering_lines import back_ask, back_view, charged_view, line_view
from fenglin.engine.threads import working_for
from fenglin.errors import (
    ConflictError,
    DeniedError,
    DriverError,
    FenglinError,
    InputError,
    LimitError,
    NotFoundError,
)
from fenglin.ledger.metering.cells import Reading
from fenglin.ledger.metering.forms import READERS
from fenglin.ledger.metering.items import State
from fenglin.ledger.metering.metered import MeteredFile, MeteredUse, is_metered
from fenglin.ledger.metering.reconcile import DEFAULT, TOLERANCES
from fenglin.ledger.metering.records import MOST_MS, ProviderRecord, UseRecord
from fenglin.model.ids import job_id, parse_job_id
from fenglin.ports.driver import Capability
from fenglin.ports.metering import ENERGY, ImportCounts, ImportHead, ItemFilter, Seller
from fenglin.quantities.period import parse_offset_min, parse_period
from fenglin.quantities.shown import shown
from fenglin.wire.metering_views import (
    AttemptMetering,
    CheckReport,
    EnergyReport,
    Imported,
    ItemView,
    JobMetering,
    LateView,
    Recorded,
    StepView,
)
from fenglin.wire.views import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from fenglin.engine.books.accounts import AccountDesk
    from fenglin.engine.pool import Pool
    from fenglin.ledger.metering.items import Finding
    from fenglin.ledger.metering.reconcile import Tolerance, Used
    from fenglin.ports.clock import Clock
    from fenglin.ports.driver import Driver, ReportsCosts
    from fenglin.ports.energy import MeasuresEnergy
    from fenglin.ports.hub import Listing, Principal
    from fenglin.ports.metering import Item, Metering
    from fenglin.wire.metering_views import BackView, GiveBack
    from fenglin.wire.views import JobView

CHUNK_ROWS = 20_000
MOST_CONTRADICTIONS = 10_000
# They are charged in one transaction, for which everybody waits.
MOST_METERED = 10_000
MOST_NAME_CHARS = 63
# As many calls as the contract of drivers allows at once.
MOST_ASKED = 16
SETTLE_EVERY_S = 60.0
_log = structlog.get_logger("fenglin.metering")


class MeteringDesk:
    """Implements `ports.metering.MeteringDesk`."""

    def __init__(
        self,
        meters: Metering,
        pool: Pool,
        drivers: Mapping[str, Driver],
        clock: Clock,
        tolerances: Mapping[str, Tolerance],
        offset_min: int,
        accounts: AccountDesk,
    ) -> None:
        """Take the store's meters, the pool, its drivers, the clock, and what is configured.

        Metered use is charged to the accounts.
        """
        self._meters = meters
        self._pool = pool
        self._drivers = drivers
        self._clock = clock
        self._tolerances = {**TOLERANCES, **tolerances}
        self._offset_min = offset_min
        self._accounts = accounts
        self._importing = asyncio.Lock()

    async def run(self) -> None:
        """Bill late records whose attempts have been settled since; for ever."""
        while True:
            await asyncio.sleep(SETTLE_EVERY_S)
            try:
                await self._take((), "hub")
            except FenglinError as error:
                _log.warning("late_use_not_settled", what=str(error))

    async def load(
        self, file: IO[bytes], head: tuple[str, str, str, str], zone: str, principal: Principal
    ) -> Imported:
        """See `ports.metering.MeteringDesk`."""
        site, source, form, name = head
        _check_admin(principal)
        self._check_site(site)
        reader = READERS.get(form)
        if reader is None:
            raise InputError(
                f"{shown(form)} is no form", where="format", hint=", ".join(sorted(READERS))
            )
        source = source or form
        if len(source) > MOST_NAME_CHARS or not source.isprintable():
            raise InputError(f"{shown(source)} names no series", where="source")
        offset_min = parse_offset_min(zone) if zone else self._offset_min
        reading = Reading(name)
        # What is no UTF-8 becomes characters that no name may have: their line is told.
        lines = TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        begun = ImportHead(site, source, form, name, principal.name, self._clock.now_ms())
        try:
            return await self._import(begun, reader(lines, reading, offset_min), reading)
        finally:
            lines.detach()

    async def record(self, uses: Sequence[UseRecord], principal: Principal) -> Recorded:
        """See `ports.metering.MeteringDesk`."""
        _check_admin(principal)
        for place, use in enumerate(uses):
            bad = not 0 <= use.wall_ms <= MOST_MS or use.task < 0 or use.cpu_ms < 0
            if bad or use.started_ms <= 0 or not 0 < len(use.attempt) <= 128:
                raise InputError("the record is out of range", where=f"records[{place}]")
        return await self._take(uses, principal.name)

    async def collect(self, site: str, period: str, principal: Principal) -> list[Imported]:
        """See `ports.metering.MeteringDesk`."""
        _check_admin(principal)
        self._check_site(site)
        month = parse_period(period, self._offset_min)
        driver = self._drivers[site]
        done = []
        with working_for(site):
            used = [one for one in await self._meters.used(site, month) if one.tasks]
            records, untold = await _ask(driver, used)
            done.append(await self._collected(site, "driver", records, principal, untold))
            if Capability.ENERGY in driver.capabilities:
                measured = await measured_by(cast("MeasuresEnergy", driver), used)
                untold = len(used) - len(measured)
                done.append(await self._collected(site, ENERGY, measured, principal, untold))
            if Capability.COSTS in driver.capabilities:
                costs = cast("ReportsCosts", driver)
                lines = await costs.charges(month.from_ms, month.to_ms)
                charged = [
                    ProviderRecord(
                        one.line, one.key, one.line.rpartition("/")[0],
                        one.started_ms, one.ended_ms,
                        cost_micro=one.amount_micro, currency=one.currency, what=one.what,
                    )
                    for one in lines
                ]  # fmt: skip
                done.append(await self._collected(site, "charges", charged, principal, 0))
        return done

    async def check(self, site: str, period: str, principal: Principal) -> CheckReport:
        """See `ports.metering.MeteringDesk`."""
        _check_admin(principal)
        if site:
            self._check_site(site)
        month = parse_period(period, self._offset_min)
        await self._take((), principal.name)
        return await check_month(
            self._meters,
            self._pool,
            month,
            [site] if site else sorted(self._pool.sites),
            self._tolerance_of,
            open_as=(self._pool.epoch, principal.name, self._clock.now_ms()),
        )

    async def items(self, listing: Listing, principal: Principal) -> Page[ItemView]:
        """See `ports.metering.MeteringDesk`."""
        fields = tuple(
            (name, str(parse_job_id(value)) if name == "job" else value)
            for name, value in listing.filters
        )
        found = await self._meters.items(
            ItemFilter(
                account=principal.account,
                fields=fields,
                after=_number(listing.cursor) if listing.cursor else 0,
                limit=listing.limit + 1,
            )
        )
        views = [_view(one) for one in found[: listing.limit]]
        return Page(views, views[-1].id if len(found) > listing.limit else "")

    async def item(self, name: str, principal: Principal) -> ItemView:
        """See `ports.metering.MeteringDesk`."""
        number = _number(name)
        found = await self._meters.items(
            ItemFilter(account=principal.account, after=number - 1, limit=1)
        )
        if not found or found[0].number != number:
            raise NotFoundError(f"there is no discrepancy {name}")
        return _view(found[0])

    async def resolve(self, name: str, state: str, why: str, principal: Principal) -> ItemView:
        """See `ports.metering.MeteringDesk`."""
        _check_admin(principal)
        number = _number(name)
        try:
            then = State(state)
        except ValueError:
            known = ", ".join(one.value for one in State if one is not State.OPEN)
            raise InputError(f"{shown(state)} is no state", where="state", hint=known) from None
        now_ms = self._clock.now_ms()
        done = await self._meters.step(self._pool.epoch, number, then, why, principal.name, now_ms)
        return _view(done)

    async def give_back(self, asked: GiveBack, principal: Principal) -> BackView:
        """See `ports.metering.MeteringDesk`."""
        _check_admin(principal)
        self._check_site(asked.site)
        given = await self._meters.give_back(
            self._pool.epoch, back_ask(asked), principal.name, self._clock.now_ms()
        )
        self._accounts.moved()
        return back_view(given)

    async def job(self, number: int, principal: Principal) -> JobMetering:
        """See `ports.metering.MeteringDesk`."""
        found = await self._meters.attempts(number, principal.account)
        if found is None:
            raise NotFoundError(f"there is no job {job_id(number)}")
        notes = await notes_of(number, self._meters)
        measured = await self._meters.measured_j([used.attempt for used, _ in found])
        attempts = []
        for used, reason in found:
            key = used.attempt
            site = site_of(self._pool, used.site)
            attempts.append(
                AttemptMetering(
                    attempt=key,
                    site=used.site,
                    tasks=used.tasks,
                    wall_ms=used.wall_ms,
                    started_ms=used.started_ms,
                    ended_ms=used.ended_ms,
                    cost_micro=used.cost_micro,
                    currency=used.currency,
                    reason=reason,
                    late=[
                        LateView(task=r.task, started_ms=r.started_ms, wall_ms=r.wall_ms, outcome=o)
                        for r, o in await self._meters.uses(key)
                    ],
                    lines=[line_view(*one) for one in await self._meters.lines(key)],
                    energy=best_energy(site, notes.get(key), measured.get(key)),
                )
            )
        wanted = ItemFilter(account=principal.account, fields=(("job", str(number)),), limit=1_000)
        return JobMetering(
            job=job_id(number),
            attempts=attempts,
            discrepancies=[_view(one) for one in await self._meters.items(wanted)],
            charged=[charged_view(one) for one in await self._meters.charged(number)],
        )

    async def energy(self, period: str, principal: Principal) -> EnergyReport:
        """See `ports.metering.MeteringDesk`."""
        month = parse_period(period, self._offset_min)
        posted = await self._meters.posted(principal.account, month)
        entries = [entry for entry in posted if not is_metered(entry)]
        measured = await self._meters.measured_j([entry.attempt for entry in entries])
        sites = {name: status.site for name, status in self._pool.sites.items()}
        return await asyncio.to_thread(report, str(month), entries, sites, measured)

    async def with_energy(self, view: JobView) -> JobView:
        """See `ports.metering.MeteringDesk`."""
        return await with_energy(view, self._pool, self._meters)

    async def _take(self, uses: Sequence[UseRecord], who: str) -> Recorded:
        providers = {name: status.site.provider for name, status in self._pool.sites.items()}
        taken = await self._meters.take(
            self._pool.epoch, uses, providers, who, self._clock.now_ms()
        )
        return Recorded(
            new=taken.new,
            repeated=taken.repeated,
            contradicting=taken.contradicting,
            foreign=taken.foreign,
            billed=taken.billed,
        )

    async def _collected(
        self,
        site: str,
        form: str,
        records: list[ProviderRecord],
        principal: Principal,
        untold: int,
    ) -> Imported:
        head = ImportHead(site, form, form, form, principal.name, self._clock.now_ms())
        return await self._import(head, iter(records), Reading(form), untold)

    async def _import(
        self,
        head: ImportHead,
        records: Iterator[ProviderRecord | MeteredUse],
        reading: Reading,
        untold: int = 0,
    ) -> Imported:
        """Import records: they count all at once, when the last one was read, or never."""
        if self._importing.locked():
            raise ConflictError("another import is under way", hint="try again when it is done")
        async with self._importing:
            number = await self._meters.begin(self._pool.epoch, head)
            try:
                counts, found, uses = await self._enter(number, head, records, reading)
                sold = (MeteredFile(reading.places, uses), self._seller(head.site))
                done = await self._meters.finish(
                    self._pool.epoch, number, head, counts, found, sold
                )
            except FenglinError:
                await self._meters.sweep(self._pool.epoch)
                raise
        if done.charged:
            self._accounts.moved()
        return Imported(
            number=number,
            site=head.site,
            source=head.source,
            added=counts.added,
            unchanged=counts.unchanged + done.unchanged,
            charged=done.charged,
            charged_micro=done.charged_micro,
            contradicting=counts.contradicting,
            passed=counts.passed,
            from_ms=counts.from_ms,
            to_ms=counts.to_ms,
            untold=untold,
        )

    async def _enter(
        self,
        number: int,
        head: ImportHead,
        records: Iterator[ProviderRecord | MeteredUse],
        reading: Reading,
    ) -> tuple[ImportCounts, list[Finding], list[MeteredUse]]:
        """Add records piece by piece; what is added counts for nothing before `finish`.

        Returns:
            What was added, what it contradicts, and what is to be charged.
        """
        findings: list[Finding] = []
        uses: list[MeteredUse] = []
        rows = added = from_ms = to_ms = 0
        while (pieces := await asyncio.to_thread(_piece, records)) is not None:
            if reading.problems:
                # Read on only to tell what else is wrong.
                continue
            chunk, metered = pieces
            uses += metered
            if len(uses) > MOST_METERED:
                raise LimitError(
                    f"more than {MOST_METERED} lines with a unit in one file",
                    where=head.file,
                    hint="split it: in how many files they come changes nothing",
                )
            if not chunk:
                continue
            rows += len(chunk)
            starts = [one.started_ms for one in chunk]
            from_ms = min(from_ms or starts[0], *starts)
            to_ms = max(to_ms, *(one.ended_ms for one in chunk))
            new, contradicting = await self._meters.add(self._pool.epoch, number, head, chunk)
            added += new
            findings += contradicting
            if len(findings) > MOST_CONTRADICTIONS:
                raise LimitError(
                    f"more than {MOST_CONTRADICTIONS} lines contradict earlier ones",
                    where=head.file,
                    hint="do its lines have other names? then give --source another name",
                )
        reading.check()
        counts = ImportCounts(
            added=added,
            unchanged=rows - added - len(findings),
            contradicting=len(findings),
            passed=reading.passed,
            from_ms=from_ms,
            to_ms=to_ms,
        )
        return counts, findings, uses

    def _seller(self, name: str) -> Seller:
        """Return who sells what a site meters, and to whom."""
        site = self._pool.sites[name].site
        classes = {one: self._pool.classes.get(one, "") for one in self._accounts.names}
        return Seller(site.provider, site.region, classes)

    def _tolerance_of(self, site: str) -> Tolerance:
        """Return what may differ on a site, by the driver that reaches it."""
        kind = self._pool.sites[site].site.driver
        return self._tolerances.get(kind, self._tolerances.get("default", DEFAULT))

    def _check_site(self, site: str) -> None:
        if site not in self._pool.sites:
            raise NotFoundError(f"there is no site {shown(site)}", where="site")


def _piece(
    records: Iterable[ProviderRecord | MeteredUse],
) -> tuple[list[ProviderRecord], list[MeteredUse]] | None:
    """Return the next lines, those that are charged apart; None when there are none left."""
    piece = list(islice(records, CHUNK_ROWS))
    told = [one for one in piece if isinstance(one, ProviderRecord)]
    return (told, [one for one in piece if isinstance(one, MeteredUse)]) if piece else None


async def _ask(driver: Driver, used: Sequence[Used]) -> tuple[list[ProviderRecord], int]:
    """Return the driver's own totals of attempts, and of how many it has none."""
    room = asyncio.Semaphore(MOST_ASKED)

    async def ask(one: Used) -> ProviderRecord | None:
        async with room:
            try:
                told = await driver.usage(one.attempt)
            except DriverError:
                return None
        span = (one.begun_ms, one.ended_ms)
        return ProviderRecord(one.attempt, one.attempt, "", *span, wall_ms=told.wall_ms)

    answers = await asyncio.gather(*map(ask, used))
    records = [one for one in answers if one is not None]
    return records, len(used) - len(records)


def _check_admin(principal: Principal) -> None:
    if not principal.may("admin") or principal.account:
        raise DeniedError("only an administrator keeps the meters")


def _number(name: str) -> int:
    digits = name.removeprefix("d")
    if digits == name or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        raise InputError(f"{shown(name)} is no discrepancy", hint="such as d7")
    return int(digits)


def _view(item: Item) -> ItemView:
    found = item.finding
    return ItemView(
        id=f"d{item.number}",
        kind=found.what,
        state=item.steps[-1].state,
        site=found.site,
        source=found.source,
        account=item.account,
        job=job_id(item.job) if item.job else "",
        attempt=found.attempt,
        subject=found.subject,
        ours=found.ours,
        theirs=found.theirs,
        text=found.text,
        period=item.period,
        steps=[
            StepView(state=one.state, who=one.who, why=one.why, time_ms=one.time_ms)
            for one in item.steps
        ],
    )
