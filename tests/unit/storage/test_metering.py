"""Providers' accounting at work: imported whole or not at all, compared, and argued about."""

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
from msgspec import structs

from fenglin.engine.books.metering import CHUNK_ROWS, MeteringDesk
from fenglin.engine.books.metering_energy import energy_at_settlement
from fenglin.errors import (
    ConflictError,
    DeniedError,
    DriverError,
    InputError,
    InputProblems,
    NotFoundError,
)
from fenglin.ledger.metering.energy_note import energy_details
from fenglin.ledger.metering.reconcile import Tolerance
from fenglin.ledger.metering.records import ProviderRecord, UseRecord
from fenglin.ledger.posting import Charge, Hold, Terms, post
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.charge import Charge as DriverCharge
from fenglin.ports.driver import Capability
from fenglin.ports.hub import Listing, Principal
from fenglin.ports.metering import ImportHead
from fenglin.storage.metering import SqliteMetering
from fenglin.testing.builders import a_site

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
ADMIN = Principal("ada", frozenset({"read", "write", "admin"}))
OWNER = Principal("ann", frozenset({"read"}), "default")
OTHER = Principal("eve", frozenset({"read"}), "other")
SITE = structs.replace(a_site(cpu=4, nodes=2), driver="slurm", region="cn-guizhou")
SITE = structs.replace(
    SITE, flavors=tuple(structs.replace(one, power_watts=400) for one in SITE.flavors)
)


class FakeDriver:
    """Knows the totals it is given, and charges for an idle machine."""

    capabilities = frozenset({Capability.COSTS})

    def __init__(self):
        self.usages = {}
        self.joules = {}

    async def energy(self, keys):
        assert keys
        return self.joules

    async def usage(self, key):
        if key not in self.usages:
            raise DriverError("no record")
        return self.usages[key]

    async def charges(self, since_ms, until_ms):
        assert since_ms < NOW_MS < until_ms
        times = (NOW_MS - HOUR_MS, NOW_MS)
        return [DriverCharge("i-1/0", "", *times, 700_000, "CNY", "small on demand, node n0")]


class House:
    """A desk over a real store, and attempts that have ended."""

    def __init__(self, here):
        self.here = here
        self.driver = FakeDriver()
        self.pool = SimpleNamespace(
            hub=here.loaded.hub, epoch=here.epoch, allocations={}, classes={},
            sites={"site": SimpleNamespace(site=SITE)},
        )  # fmt: skip
        clock = SimpleNamespace(now_ms=lambda: NOW_MS)
        self.meters = SqliteMetering(here.store, 480)
        tolerances = {"slurm": Tolerance(20, 1_000)}
        self.desk = MeteringDesk(
            self.meters, self.pool, {"site": self.driver}, clock, tolerances, 480,
            SimpleNamespace(names={"default", "other"}, moved=lambda: None),
        )  # fmt: skip

    async def ended(self, wall_ms=HOUR_MS, *, live=False):
        """Return the key of an attempt of one task that has ended, or still runs."""
        here = self.here
        unit = here.unit(await here.job(), held=1_000_000)
        assert await here.start(unit) == []
        record, job = unit.allocation, unit.job
        key = attempt_key(here.loaded.hub, record.number, 1)
        if live:
            self.pool.allocations[record.number] = record
            return key
        done = replace(
            record, state=AttemptState.ENDED, shares=(), succeeded=record.tasks,
            usage=Usage(1, wall_ms, wall_ms), started_ms=NOW_MS - wall_ms, ended_ms=NOW_MS,
            cost_micro=500_000,
        )  # fmt: skip
        after = replace(job, version=job.version + 1, state=JobState.SUCCEEDED, ended_ms=NOW_MS)
        hold = Hold(key, "default", "CNY", record.held_micro, job.number)
        charges = [Charge("core_hour", 1, 1, 500_000, 500_000)]
        details = energy_details(energy_at_settlement(SITE, done))
        draft = post(hold, "gz", charges, Terms("site", "std", "1"), details=details)
        await here.store.commit(
            here.change(jobs=[after], allocations=[done], usage=[(key, done)], postings=[draft],
                        released=[("site", "n0", record.resources)])
        )  # fmt: skip
        return key

    async def load(self, text, *, form="csv", source="", who=ADMIN, site="site"):
        data = text if isinstance(text, bytes) else text.encode()
        head = (site, source, form, f"a.{form}")
        return await self.desk.load(io.BytesIO(data), head, "", who)

    async def check(self, period="2023-11"):
        return await self.desk.check("site", period, ADMIN)

    async def kinds(self, **wanted):
        listing = Listing(filters=tuple(wanted.items()))
        page = await self.desk.items(listing, ADMIN)
        return [(one.id, one.kind, one.state) for one in page.items]


@pytest.fixture
def house(desk):
    def run(scene):
        async def play(here):
            return await scene(House(here))

        return desk(play)

    return run


HEAD = "line,attempt,resource,start,end,wall_s,cores,energy_kwh,cost,currency\n"
# The hour before NOW_MS, at UTC+8.
HOUR = "2023-11-15T05:13:20,2023-11-15T06:13:20"


def row(line, attempt="", *, resource="", wall=3600, cores=1, energy="", cost="", currency=""):
    return f"{line},{attempt},{resource},{HOUR},{wall},{cores},{energy},{cost},{currency}\n"


def test_a_month_that_agrees_has_nothing_to_say(house):
    async def scene(here):
        key = await here.ended()
        done = await here.load(HEAD + row("l1", key) + row("l2"))
        return done, await here.check(), await here.kinds()

    done, report, kinds = house(scene)
    assert (done.added, done.unchanged, done.contradicting) == (2, 0, 0)
    (series,) = report.series
    assert (series.attempts, series.matched, series.strangers) == (1, 1, 1)
    assert (report.found, report.opened, kinds) == (0, [], [])


def test_differences_of_all_kinds_are_opened_once(house):
    async def scene(here):
        longer, missing, dear = [await here.ended() for _ in range(3)]
        live = await here.ended(live=True)
        never = f"{here.pool.hub}-a99-1"
        text = HEAD + "".join(
            (row("l1", longer, wall=3700, cores=2), row("l3", dear, cost="0.6", currency="CNY"),
             row("l4", live), row("l5", never), row("l6", "elsewhere-a1-1"),
             row("l7", resource="n1", cost="2.5", currency="USD"), row("l8", resource="n1"))
        )  # fmt: skip
        await here.load(text)
        first, second = await here.check(), await here.check()
        return first, second, await here.kinds(), (longer, missing, dear, never)

    first, second, kinds, _ = house(scene)
    (series,) = first.series
    assert (series.matched, series.differing, series.missing, series.waiting) == (0, 2, 1, 2)
    assert sorted(kind for _, kind, _ in kinds) == [
        "cost", "duration", "missing_at_hub", "missing_at_provider", "overlap", "resources",
        "unattributed",
    ]  # fmt: skip
    assert (len(first.opened), first.pending) == (7, 7)
    assert (second.opened, second.found, second.stale) == ([], 7, [])


def test_a_discrepancy_that_no_longer_shows_stays_until_a_person_closes_it(house):
    async def scene(here):
        key = await here.ended()
        await here.load(HEAD + row("l1"))
        opened = await here.check()
        await here.load(HEAD + row("l2", key), source="more")
        await here.load(HEAD + row("l2", key))
        report = await here.check()
        with pytest.raises(InputError, match="reason"):
            await here.desk.resolve("d1", "explained", " ", ADMIN)
        with pytest.raises(ConflictError, match="it is open"):
            await here.desk.resolve("d1", "closed", "done", ADMIN)
        with pytest.raises(DeniedError):
            await here.desk.resolve("d1", "explained", "late file", OWNER)
        with pytest.raises(InputError, match="no state"):
            await here.desk.resolve("d1", "gone", "x", ADMIN)
        await here.desk.resolve("d1", "explained", "their file came late", ADMIN)
        item = await here.desk.resolve("d1", "closed", "agreed", ADMIN)
        after = await here.check()
        return opened, report, item, after

    opened, report, item, after = house(scene)
    assert opened.opened == ["d1"]
    assert (report.found, report.pending, report.stale) == (0, 1, ["d1"])
    assert [(one.state, one.who, one.why) for one in item.steps] == [
        ("open", "ada", "found"), ("explained", "ada", "their file came late"),
        ("closed", "ada", "agreed"),
    ]  # fmt: skip
    assert (after.pending, after.stale) == (0, [])


def test_one_bad_line_leaves_nothing_behind(house):
    async def scene(here):
        key = await here.ended()
        text = HEAD + "".join(row(f"l{n}", key) for n in range(CHUNK_ROWS + 5))
        lines = text.splitlines(keepends=True)
        lines[CHUNK_ROWS + 2] = row("bad", key).replace("3600", "soon")
        with pytest.raises(InputProblems) as caught:
            await here.load("".join(lines))
        left = here.here.sql("SELECT COUNT(*) FROM provider_record")
        imports = here.here.sql("SELECT COUNT(*) FROM metering_import")
        with pytest.raises(InputProblems) as binary:
            await here.load(HEAD.encode() + row("l\udc80").encode("utf-8", "surrogateescape"))
        return caught.value, left, imports, binary.value, await here.meters.series()

    error, left, imports, binary, series = house(scene)
    (problem,) = error.problems
    assert (error.source, problem.line, problem.column) == ("a.csv", CHUNK_ROWS + 3, 6)
    assert (left, imports, series) == ([(0,)], [(0,)], [])
    assert (binary.problems[0].line, binary.problems[0].path) == (2, "line")


def test_an_import_that_was_cut_off_counts_for_nothing_and_is_swept_away(house):
    async def scene(here):
        head = ImportHead("site", "csv", "csv", "cut.csv", "ada", NOW_MS)
        number = await here.meters.begin(here.pool.epoch, head)
        cut = [ProviderRecord("l1", "", "", 1, 2, 3)]
        await here.meters.add(here.pool.epoch, number, head, cut)
        before = await here.meters.series()
        done = await here.load(HEAD + row("l1"))
        return before, done, here.here.sql("SELECT line, wall_ms FROM provider_record")

    before, done, rows = house(scene)
    assert (before, done.added, done.contradicting) == ([], 1, 0)
    assert rows == [("l1", 3_600_000)]


def test_lines_come_again_harmlessly_and_contradictions_are_told(house):
    async def scene(here):
        key = await here.ended()
        first = await here.load(HEAD + row("l1", key) + row("l2"))
        again = await here.load(HEAD + row("l2") + row("l1", key) + row("l1", key))
        other = await here.load(HEAD + row("l1", key, wall=99) + row("l3"))
        kept = here.here.sql("SELECT wall_ms FROM provider_record WHERE line = 'l1'")
        own = await here.desk.items(Listing(), OWNER)
        foreign = await here.desk.items(Listing(), OTHER)
        with pytest.raises(NotFoundError):
            await here.desk.item("d1", OTHER)
        shown = await here.desk.item("d1", OWNER)
        return first, again, other, kept, own.items, foreign.items, shown

    first, again, other, kept, own, foreign, shown = house(scene)
    assert (first.added, again.added, again.unchanged) == (2, 0, 3)
    assert (other.added, other.contradicting, kept) == (1, 1, [(3_600_000,)])
    assert ([one.kind for one in own], foreign) == (["contradiction"], [])
    assert (shown.account, shown.subject, shown.site) == ("default", "l1", "site")


def test_a_tenant_sees_all_that_was_metered_of_its_jobs_and_nobody_else_does(house):
    async def scene(here):
        key = await here.ended()
        await here.load(HEAD + row("l1", key, energy="0.2"))
        await here.desk.record([UseRecord(key, 0, NOW_MS, 7)], ADMIN)
        with pytest.raises(NotFoundError):
            await here.desk.job(1, OTHER)
        with pytest.raises(NotFoundError):
            await here.desk.job(2, ADMIN)
        for call in (here.load(HEAD, who=OWNER), here.desk.record([], OWNER),
                     here.desk.check("", "2023-11", OWNER),
                     here.desk.collect("site", "2023-11", OWNER)):  # fmt: skip
            with pytest.raises(DeniedError):
                await call
        return key, await here.desk.job(1, OWNER)

    key, shown = house(scene)
    (attempt,) = shown.attempts
    assert (attempt.attempt, attempt.wall_ms, attempt.cost_micro) == (key, HOUR_MS, 500_000)
    assert [(one.line, one.wall_ms) for one in attempt.lines] == [("l1", HOUR_MS)]
    # The hub had heard of the task's end: the late word is kept and bills nothing.
    assert [(one.task, one.outcome) for one in attempt.late] == [(0, "counted")]
    assert (attempt.energy.grade, attempt.energy.energy_j) == ("measured", 720_000)


def test_energy_of_a_month_by_account_and_grade(house):
    async def scene(here):
        measured = await here.ended()
        await here.ended()
        modelled = await here.desk.energy("2023-11", OWNER)
        await here.load(HEAD + row("l1", measured, energy="0.5"))
        both = await here.desk.energy("2023-11", ADMIN)
        return modelled, both, await here.desk.energy("2023-11", OTHER)

    modelled, both, foreign = house(scene)
    # A quarter of a 400 W node for an hour, twice; 498.9 g/kWh.
    (row_,) = modelled.rows
    assert (row_.account, row_.grade, row_.attempts) == ("default", "modelled", 2)
    assert (row_.energy_j, row_.carbon_mg) == (720_000, 99_780)
    assert [(one.grade, one.energy_j) for one in both.rows] == [
        ("measured", 1_800_000), ("modelled", 360_000),
    ]  # fmt: skip
    assert "cn-guizhou 2022" in both.factors[0]
    assert foreign.rows == []


def test_the_driver_is_asked_for_its_own_totals_and_charges(house):
    async def scene(here):
        known, _ = await here.ended(), await here.ended()
        here.driver.usages[known] = Usage(1, HOUR_MS + 500_000, HOUR_MS)
        totals, charges = await here.desk.collect("site", "2023-11", ADMIN)
        report = await here.check()
        return totals, charges, report, await here.kinds()

    totals, charges, report, kinds = house(scene)
    assert (totals.source, totals.added, totals.untold) == ("driver", 1, 1)
    assert (charges.source, charges.added) == ("charges", 1)
    found = sorted(kind for _, kind, _ in kinds)
    assert "duration" in found
    assert "unattributed" in found
    assert len(report.series) == 2


def test_measured_energy_of_drivers_reaches_job_and_month(house):
    async def scene(here):
        whole, other = await here.ended(), await here.ended()
        driver = here.driver
        driver.capabilities |= {Capability.ENERGY}
        driver.joules = {"stranger": 5}
        early = await here.desk.collect("site", "2023-11", ADMIN)
        modelled = await here.desk.energy("2023-11", ADMIN)
        driver.joules = {whole: 900_000, other: 0}
        first = await here.desk.collect("site", "2023-11", ADMIN)
        again = await here.desk.collect("site", "2023-11", ADMIN)
        driver.joules = {whole: 950_000}
        other_word = await here.desk.collect("site", "2023-11", ADMIN)
        report = await here.desk.check("site", "2023-11", ADMIN)
        shown = (await here.desk.job(1, OWNER)).attempts[0].energy
        both = await here.desk.energy("2023-11", ADMIN)
        return early, modelled, (first, again, other_word), report, shown, both, await here.kinds()

    early, modelled, told, report, shown, both, kinds = house(scene)
    assert [(one.source, one.added, one.untold) for one in early][1] == ("energy", 0, 2)
    assert [one.grade for one in modelled.rows] == ["modelled"]
    first, again, other_word = (three[1] for three in told)
    assert (first.added, first.untold) == (1, 1)
    assert (again.added, again.unchanged) == (0, 1)
    # What was measured stands; another word is told to people.
    assert (other_word.added, other_word.contradicting) == (0, 1)
    assert "contradiction" in {kind for _, kind, _ in kinds}
    # PUE is that of the site.
    assert (shown.grade, shown.energy_j) == ("measured", 900_000)
    assert [(one.grade, one.attempts, one.energy_j) for one in both.rows] == [
        ("measured", 1, 900_000), ("modelled", 1, 360_000),
    ]  # fmt: skip
    # It is no accounting that an attempt could be missing in.
    assert "energy" not in {one.source for one in report.series}


def test_a_sum_with_a_part_that_was_not_measured_is_no_measure(house):
    async def scene(here):
        key = await here.ended()
        await here.load(HEAD + row("l1", key, energy="0.5") + row("l2", key))
        partly = (await here.desk.job(1, OWNER)).attempts[0].energy
        await here.load(HEAD + row("l3", key, energy="0.25"), source="second")
        return partly, (await here.desk.job(1, OWNER)).attempts[0].energy

    partly, whole = house(scene)
    assert partly.grade == "modelled"
    assert (whole.grade, whole.energy_j) == ("measured", 900_000)


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"site": "mars"}, NotFoundError, "no site"),
        ({"form": "xml"}, InputError, "no form"),
        ({"source": "x" * 64}, InputError, "no series"),
    ],
)
def test_what_cannot_be_imported(house, change, error, why):
    async def scene(here):
        with pytest.raises(error, match=why):
            await here.load(HEAD, **change)

    house(scene)


@pytest.mark.parametrize(
    "record",
    [UseRecord("h-a1-1", -1, 1, 1), UseRecord("h-a1-1", 0, 0, 1), UseRecord("h-a1-1", 0, 1, -1),
     UseRecord("", 0, 1, 1), UseRecord("h-a1-1", 0, 1, 10**15)],
)  # fmt: skip
def test_records_out_of_range_are_refused(house, record):
    async def scene(here):
        with pytest.raises(InputError, match="out of range"):
            await here.desk.record([record], ADMIN)

    house(scene)
