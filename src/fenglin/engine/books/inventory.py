"""The inventory: who may take which step, and what drivers see against what was declared."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

from fenglin.catalog.devices import registry
from fenglin.catalog.inventory import loop
from fenglin.catalog.inventory.checks import PRECISIONS, REFUSED, check
from fenglin.catalog.inventory.difference import differences
from fenglin.catalog.inventory.measured import with_measured
from fenglin.catalog.inventory.observed import compare
from fenglin.catalog.inventory.steps import Draft, Kind, Snapshot, State, Step, fold
from fenglin.catalog.inventory.totals import live_rows, one_precision, parse_total, rows, total
from fenglin.engine.books.inventory_report import make_report
from fenglin.engine.books.inventory_sight import measurement_of, seen_sites
from fenglin.errors import (
    ConflictError,
    DamageError,
    DeniedError,
    FenglinError,
    InputError,
    InputProblems,
    NotFoundError,
    Problem,
    UnavailableError,
)
from fenglin.intake.inventoryfile import line_of, read_inventory_file
from fenglin.model.states import ComputeClass
from fenglin.quantities.period import DEFAULT_OFFSET_MIN, parse_period
from fenglin.wire.inventory_views import (
    AnomalyView,
    FacilityView,
    InventoryDeclared,
    InventoryDiff,
    InventoryHistory,
    InventoryRows,
    InventoryTotals,
    InventoryView,
    MeasurementView,
    SnapshotHead,
    SnapshotView,
    StepView,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from fenglin.catalog.inventory.checks import Finding
    from fenglin.catalog.inventory.facts import Facility
    from fenglin.catalog.inventory.observed import SeenSite
    from fenglin.catalog.inventory.steps import Head
    from fenglin.catalog.inventory.totals import InventoryRow
    from fenglin.engine.pool import Pool
    from fenglin.ports.clock import Clock
    from fenglin.ports.hub import Principal
    from fenglin.ports.inventory import InventoryStore
    from fenglin.wire.inventory_views import InventoryAsk, InventoryReport
    from fenglin.wire.views import JobView

    Decide = Callable[[State], list[Draft]]

MOST_LOOK_S = 15.0
LEAST_LOOK_S = 0.25
HUB = "hub"
MOST_HISTORY = 1_000
# Another process may keep the inventory for a moment while leaders change.
_TRIES = 5
_ANOMALY = re.compile(r"a([0-9]{1,15})", re.ASCII)
_SNAPSHOT = re.compile(r"s([0-9]{1,9})", re.ASCII)
_SNAPSHOTS = msgspec.json.Decoder(Snapshot)
_log = structlog.get_logger("fenglin.inventory")


class InventoryDesk:
    """Implements `ports.inventory.InventoryDesk`."""

    def __init__(
        self,
        store: InventoryStore,
        pool: Pool,
        clock: Clock,
        patience_ms: int,
        offset_min: int = DEFAULT_OFFSET_MIN,
    ) -> None:
        """Take the steps, the pool as it is seen, the clock and the books' zone.

        Args:
            store: Keeps the steps.
            pool: As it is seen.
            clock: The time.
            patience_ms: How long something must differ, or fit again, before it is noted.
            offset_min: Minutes by which the books' clock is ahead of UTC.
        """
        self._store = store
        self._pool = pool
        self._clock = clock
        self._offset_min = offset_min
        self._state = State()
        self._changing = asyncio.Lock()
        self._patience_ms = patience_ms
        self._looked_at: tuple[int, dict[str, SeenSite]] = (-1, {})
        # What a look would add, and since when (monotonic).
        self._since_ms: dict[Draft, int] = {}
        self._told = ""

    async def show(self, principal: Principal, *, every: bool) -> InventoryView:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        return self._view(await self._now(), every=every)

    async def history(
        self, facility: str, after: int, limit: int, principal: Principal
    ) -> InventoryHistory:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        most = min(limit, MOST_HISTORY)
        found = await self._store.page(facility, after, most + 1)
        more = len(found) > most
        shown = [StepView.of(one) for one in found[:most]]
        return InventoryHistory(steps=shown, next=shown[-1].seq if more else 0)

    async def totals(
        self, compute_class: str, precision: str, principal: Principal
    ) -> InventoryTotals:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        if compute_class and compute_class not in tuple(ComputeClass):
            raise InputError(
                f"{compute_class[:80]!r} is no class", where="class",
                hint=f"one of {', '.join(ComputeClass)}",
            )  # fmt: skip
        classes = [ComputeClass(compute_class)] if compute_class else list(ComputeClass)
        precisions = [one_precision(precision)] if precision else PRECISIONS
        state = await self._now()
        behind = {one: self._rows(state, one) for one in precisions}
        return InventoryTotals(
            totals=[total(each, one, behind[one]) for each in classes for one in precisions]
        )

    async def rows(self, asked: str, principal: Principal) -> InventoryRows:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        state = await self._now()
        if not asked:
            return InventoryRows(rows=[row for one in PRECISIONS for row in self._rows(state, one)])
        compute_class, precision = parse_total(asked)
        mine = self._rows(state, precision)
        return InventoryRows(rows=[row for row in mine if row.compute_class is compute_class])

    async def snapshot(self, name: str, principal: Principal) -> SnapshotView:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        head = _named(await self._now(), name)
        return SnapshotView.of(head, await self._read_snapshot(head))

    async def diff(self, earlier: str, later: str, principal: Principal) -> InventoryDiff:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        state = await self._now()
        old = self._head(state, earlier)
        if not later:
            if not state.snapshots:
                raise NotFoundError("nothing is published yet", where="to")
            later = f"s{state.snapshots[-1].number}"
        new = self._head(state, later)
        if old is not None and (new is None or new.number < old.number):
            raise InputError("the later one is before the earlier one", where="to")
        before = await self._read_snapshot(old) if old is not None else None
        after = await self._read_snapshot(new) if new is not None else None
        return InventoryDiff(
            earlier=f"s{old.number}" if old is not None else "",
            later=f"s{new.number}" if new is not None else "",
            changes=differences(before, after),
        )

    async def report(self, period: str, principal: Principal) -> InventoryReport:
        """See `ports.inventory.InventoryDesk`."""
        _check_reader(principal)
        return await self.summary(period)

    async def summary(self, period: str) -> InventoryReport:
        """Return a month's inventory, for reports that the hub itself makes.

        Args:
            period: `YYYY-MM` in the books' zone.

        Raises:
            InputError: it is no month.
        """
        month = parse_period(period, self._offset_min)
        state = await self._now()
        head = _last_before(state, month.to_ms)
        past = _last_before(state, month.from_ms)
        now = await self._read_snapshot(head) if head is not None else None
        before = await self._read_snapshot(past) if past is not None else None
        taken = await self._store.page("", 0, state.last)
        return make_report(month, state, taken, (head, now), before)

    async def declare(
        self, data: bytes, source: str, document: str, principal: Principal
    ) -> InventoryDeclared:
        """See `ports.inventory.InventoryDesk`."""
        _check_admin(principal)
        _check_line(document, "document")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InputError("the declaration is not UTF-8", where=f"{source}:{line}") from error
        facilities = await asyncio.to_thread(read_inventory_file, text, source)
        if not facilities:
            raise InputError("nothing is declared", where=source, hint="write [facility.NAME]")
        _check_devices(facilities, text, source)
        state = await self._append(
            principal.name,
            lambda now: loop.declare(now, facilities, document or source, self._checker(now)),
        )
        names = [one.name for one in facilities]
        waiting = [one for name in names for one in state.unsettled(name)]
        return InventoryDeclared(
            facilities=names, anomalies=[AnomalyView.of(one) for one in waiting]
        )

    async def take(self, ask: InventoryAsk, principal: Principal) -> InventoryView:
        """See `ports.inventory.InventoryDesk`."""
        _check_admin(principal)
        for name in ("note", "document", "facility", "anomaly", "step"):
            _check_line(getattr(ask, name), name)
        before = None
        if ask.step == "publish" and (heads := (await self._now()).snapshots):
            before = await self._read_snapshot(heads[-1])
        state = await self._append(principal.name, partial(self._decide, ask, before))
        return self._view(state, every=False)

    async def measure(
        self, job: JobView, data: bytes, group: str, principal: Principal
    ) -> MeasurementView:
        """See `ports.inventory.InventoryDesk`."""
        _check_admin(principal)
        date = datetime.fromtimestamp(job.ended_ms / 1_000, UTC).date().isoformat()
        state = await self._now()
        found = measurement_of(state, job, data, group, date)
        body = msgspec.json.encode(found)
        if state.measured.get((found.site, found.flavor)) == found:
            raise ConflictError(f"{job.id} is entered already", where="job")
        words = "; ".join(f"{one.what} {one.milli / 1_000:g} {one.unit}" for one in found.figures)
        draft = Draft(
            kind=Kind.MEASURE,
            facility=found.facility,
            subject=f"{found.site}/{found.flavor}",
            note=words,
            document=found.document,
            body=body,
        )

        def decide(now: State) -> list[Draft]:
            # What was measured above the nominal peak is an anomaly at once.
            measured = {**now.measured, (found.site, found.flavor): found}
            facility = now.facilities[found.facility].facility
            findings = check(with_measured(facility, measured.values()), registry())
            return [draft, *loop.opened(now, found.facility, findings)]

        await self._append(principal.name, decide)
        return MeasurementView(measurement=found, entered=found.whole and bool(found.group))

    async def run(self) -> None:
        """Compare for ever what is seen with what was declared."""
        every_s = min(max(self._patience_ms / 2_000, LEAST_LOOK_S), MOST_LOOK_S)
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
                self._told = ""
            except FenglinError as error:
                if str(error) != self._told:
                    self._told = str(error)
                    _log.warning("inventory_not_compared", what=str(error))

    async def look(self) -> None:
        """Note what has differed, or fits again, for long enough. Nothing is ever closed here."""
        state = await self._now()
        looked_at = (state.last, seen_sites(self._pool))
        now_ms = self._clock.monotonic_ms()
        # What is as it was compares as it did.
        if looked_at != self._looked_at:
            found, self._looked_at = self._seen(state), looked_at
            self._since_ms = {one: self._since_ms.get(one, now_ms) for one in found}
        ripe = {one for one, at in self._since_ms.items() if now_ms - at >= self._patience_ms}
        if ripe:
            await self._append(HUB, lambda now: [one for one in self._seen(now) if one in ripe])

    def _seen(self, state: State) -> list[Draft]:
        find = self._checker(state)
        return [
            draft
            for name in sorted(state.facilities)
            for draft in loop.observed(state, name, find(state.facilities[name].facility))
        ]

    def _checker(self, state: State) -> Callable[[Facility], list[Finding]]:
        """Return what checks a facility against itself, and against what is seen now."""
        seen, known = seen_sites(self._pool), registry()

        def find(facility: Facility) -> list[Finding]:
            measured = with_measured(facility, state.measured.values())
            return [*check(measured, known), *compare(facility, seen, known)]

        return find

    def _decide(self, ask: InventoryAsk, before: Snapshot | None, state: State) -> list[Draft]:
        if ask.step == "verify":
            find = self._checker(state)
            return loop.verify(state, ask.facility, ask.note, ask.document, find)
        if ask.step == "publish":
            if before is not None and before.number != len(state.snapshots):
                raise UnavailableError("somebody else published meanwhile", hint="look, try again")
            return loop.publish(state, ask.leave_out, ask.note, before)
        match = _ANOMALY.fullmatch(ask.anomaly)
        if ask.step not in {"rectify", "waive"}:
            raise InputError(
                f"{ask.step[:80]!r} is no step", where="step",
                hint="verify, publish, rectify, waive",
            )  # fmt: skip
        if match is None:
            raise InputError(
                f"{ask.anomaly[:80]!r} is no anomaly", where="anomaly", hint="such as a12"
            )
        taken = loop.rectify if ask.step == "rectify" else loop.waive
        return taken(state, int(match[1]), ask.note, ask.document)

    async def _now(self) -> State:
        """Return what stands, with what others added."""
        async with self._changing:
            return await self._refreshed()

    async def _refreshed(self) -> State:
        return fold(self._state, await self._store.steps(self._state.last))

    async def _append(self, actor: str, decide: Decide) -> State:
        """Add what `decide` makes of what stands, all of it or nothing; return what stands then."""
        async with self._changing:
            for _ in range(_TRIES):
                state = await self._refreshed()
                now_ms = self._clock.now_ms()
                fresh = [
                    Step(seq=seq, time_ms=now_ms, actor=actor, **msgspec.structs.asdict(draft))
                    for seq, draft in enumerate(decide(state), state.last + 1)
                ]
                if not fresh:
                    return state
                if await self._store.append(self._pool.epoch, fresh):
                    return fold(state, fresh)
        raise UnavailableError("others keep changing the inventory", hint="try again")

    async def _read_snapshot(self, head: Head) -> Snapshot:
        body = await self._store.body(head.seq)
        if hashlib.sha256(body).hexdigest() != head.sha256:
            raise DamageError(
                f"publication s{head.number} of the inventory was changed",
                where="database",
                hint="restore it from a backup",
            )
        return _SNAPSHOTS.decode(body)

    def _head(self, state: State, name: str) -> Head | None:
        """Return a publication by its name, or the last one of a month; None for none by then."""
        if not name:
            raise InputError("which publication?", where="from", hint="such as s3, or 2026-10")
        if _SNAPSHOT.fullmatch(name):
            return _named(state, name)
        return _last_before(state, parse_period(name, self._offset_min).to_ms)

    def _rows(self, state: State, precision: str) -> list[InventoryRow]:
        facilities = [loop.effective(state, name) for name in sorted(state.facilities)]
        known = registry()
        seen = seen_sites(self._pool).values()
        return [*rows(facilities, known, precision), *live_rows(seen, known, precision)]

    @staticmethod
    def _view(state: State, *, every: bool) -> InventoryView:
        return InventoryView(
            facilities=[_facility_view(state, name) for name in sorted(state.facilities)],
            anomalies=[
                AnomalyView.of(one) for one in state.anomalies.values() if every or one.unsettled
            ],
            snapshots=[SnapshotHead.of(one) for one in state.snapshots],
            measurements=[state.measured[key] for key in sorted(state.measured)],
        )


def _check_devices(facilities: tuple[Facility, ...], text: str, source: str) -> None:
    """Refuse unknown parts and sparse peaks: mistakes in the file, which no evidence can mend."""
    problems = []
    for facility in facilities:
        for one in check(facility, registry()):
            if one.rule in REFUSED:
                path = f"facility.{facility.name}.{one.subject}"
                hint = (
                    "give the dense peak"
                    if "sparse" in one.what
                    else "`fenglin device list` shows what is known; [catalog] devices adds more"
                )
                problems.append(Problem(path, one.what, hint, line_of(text, path)))
    if problems:
        raise InputProblems(source, tuple(problems))


def _check_reader(principal: Principal) -> None:
    """Refuse tenants: what a facility has is not theirs to see."""
    if principal.account:
        raise DeniedError("the inventory is for operators and auditors, not for a tenant's token")


def _check_admin(principal: Principal) -> None:
    _check_reader(principal)
    if not principal.may("admin"):
        raise DeniedError("only an administrator keeps the inventory")


def _check_line(text: str, where: str) -> None:
    if len(text) > 500 or not text.isprintable():
        raise InputError(f"the {where} cannot be kept", where=where, hint="one line of text")


def _named(state: State, name: str) -> Head:
    match = _SNAPSHOT.fullmatch(name)
    number = int(match[1]) if match is not None else 0
    if not 1 <= number <= len(state.snapshots):
        raise NotFoundError(
            f"there is no publication {name[:80]!r}", hint="`fenglin inventory show` lists them"
        )
    return state.snapshots[number - 1]


def _last_before(state: State, time_ms: int) -> Head | None:
    found = [one for one in state.snapshots if one.time_ms < time_ms]
    return found[-1] if found else None


def _facility_view(state: State, name: str) -> FacilityView:
    one = state.facilities[name]
    return FacilityView(
        facility=loop.effective(state, name),
        stage=one.stage,
        declared_ms=one.declared_ms,
        declared_by=one.declared_by,
        document=one.document,
        verified_ms=one.verified_ms,
        verified_by=one.verified_by,
        verified=one.verified,
        snapshot=f"s{one.snapshot}" if one.snapshot else "",
        open_anomalies=len(state.unsettled(name)),
    )
