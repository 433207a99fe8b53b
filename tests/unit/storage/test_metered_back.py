"""Lines of use that told too much: given back, in every book, as if they had said less."""

import csv
import io
import random

import pytest
from tests.unit.storage.meteredbench import (
    ADMIN,
    CNY,
    DECEMBER,
    EGRESS,
    NOVEMBER,
    TB_MONTH,
    played,
    row,
)

from fenglin.catalog.pricebook.items import Unit
from fenglin.catalog.pricebook.rating import rate
from fenglin.errors import ConflictError, DeniedError, InputError, NotFoundError
from fenglin.ledger.focus import focus
from fenglin.ports.hub import Principal
from fenglin.storage.settlements import SqliteSettlings
from fenglin.wire.metering_views import GiveBack

GB = 10**9


@pytest.fixture
def house(desk):
    def run(scene, **options):
        return desk(lambda here: played(here, scene), **options)

    return run


def back(line, key, quantity="", **more):
    asked = {"site": "site", "line": line, "key": key, "why": "entered twice"} | more
    return GiveBack(quantity=str(quantity), **asked)


def egress(quantity):
    return sum(one.amount_micro for one in rate(Unit.EGRESS_GB, EGRESS, quantity))


async def focus_rows(here):
    text = "".join(focus(await here.entries(), 480))
    return list(csv.DictReader(io.StringIO(text)))


def test_what_is_given_back_shows_in_every_book(house):
    async def scene(here):
        job = await here.here.job()
        await here.load(row("f", quantity=150, more=f"scene-1,j{job.number},"))
        part = await here.desk.give_back(back("f", "k1", 50), ADMIN)
        again = await here.desk.give_back(back("f", "k1", 50), ADMIN)
        rest = await here.desk.give_back(back("f", "k2", 40), ADMIN)
        store, month = here.here.store, NOVEMBER
        statement = await store.ledger_statement("default", month.from_ms, month.to_ms)
        seal = SqliteSettlings(store)
        (settled,), _ = await seal.month(month, {})
        shown = await here.desk.job(job.number, ADMIN)
        adjusts = [one for one in await here.entries() if one.kind == "adjust"]
        return (
            (part, again, rest), statement, settled.settlement, await seal.check(month),
            await focus_rows(here), shown, adjusts, here.heard,
        )  # fmt: skip

    given, statement, settled, checked, rows, shown, adjusts, heard = house(scene, credit=10**9)
    part, again, rest = given
    assert (part.amount_micro, part.quantity, part.left) == (CNY, "50", "100")
    assert (again.entry, again.amount_micro, again.left) == (part.entry, CNY, "100")
    assert (rest.amount_micro, rest.left, rest.account, rest.unit) == (
        800_000, "60", "default", "frame",
    )  # fmt: skip
    assert heard == 4
    assert (statement.charged_micro, statement.adjusted_micro) == (3 * CNY, 1_800_000)
    assert (settled.charged_micro, settled.adjusted_micro) == (3 * CNY, -1_800_000)
    assert settled.provider_micro == 1_200_000
    assert checked.ok, checked.faults
    assert checked.rows[0].charged_micro == checked.rows[0].dues_micro == 1_200_000
    assert [(one["ChargeCategory"], one["ChargeClass"], one["BilledCost"]) for one in rows] == [
        ("Usage", "", "3.000000"), ("Adjustment", "", "-1.000000"), ("Adjustment", "", "-0.800000"),
    ]  # fmt: skip
    names = ("ServiceCategory", "ResourceId", "ChargePeriodStart")
    services = {tuple(one[name] for name in names) for one in rows}
    assert services == {("Media", "scene-1", "2023-10-31T16:00:00Z")}
    assert [(one.key, one.job, one.detail("corrects")) for one in adjusts] == [
        ("adjust:back:k1", 1, "post:metered:site/csv/f"),
        ("adjust:back:k2", 1, "post:metered:site/csv/f"),
    ]
    assert adjusts[0].memo == "given back of 2023-11: 50.000000 frame, line f: entered twice"
    (line,) = shown.charged
    assert (line.line, line.quantity, line.cost_micro, line.back, line.back_micro) == (
        "f", "150", 3 * CNY, "90", 1_800_000,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_with_tiers_the_month_costs_what_is_left_of_it_in_whatever_order(house, seed):
    async def scene(here):
        rng = random.Random(seed)
        told = {f"l{n}": n * 1_234_567_891 for n in range(1, 7)}
        steps = [(name, None) for name in told]
        rng.shuffle(steps)
        for name in rng.sample(sorted(told), k=3):
            # After its line, wherever that stands.
            after = steps.index((name, None)) + 1
            steps.insert(rng.randint(after, len(steps)), (name, rng.randrange(1, told[name])))
        for name, less in steps:
            if less is None:
                await here.load(row(name, "egress_gb", told[name]))
            else:
                await here.desk.give_back(back(name, f"back {name}", less), ADMIN)
        used = sum(told.values()) - sum(less for _, less in steps if less is not None)
        return used, await here.charged()

    used, charged = house(scene, credit=10**9)
    assert charged == egress(used)


def test_a_closed_month_is_corrected_in_the_open_one(house):
    async def scene(here):
        await here.load(row("a", "egress_gb", 4 * GB, more="gate,,"))
        await here.close(NOVEMBER)
        await here.load(row("b", quantity=5))
        first = await here.desk.give_back(back("a", "k1"), ADMIN)
        late = await here.desk.give_back(back("b", "k2"), ADMIN)
        seal = SqliteSettlings(here.here.store)
        checks = [await seal.check(month) for month in (NOVEMBER, DECEMBER)]
        entries = [one for one in await here.entries() if one.key.startswith("adjust:back:")]
        return first, late, checks, entries, await focus_rows(here), await here.charged()

    first, late, checks, entries, rows, charged = house(scene, credit=10**9)
    assert (first.amount_micro, late.amount_micro, charged) == (egress(4 * GB), 100_000, 0)
    assert [one.detail("corrects") for one in entries] == [
        "post:metered:site/csv/a", "adjust:metered:site/csv/b",
    ]  # fmt: skip
    assert {one.time_ms for one in entries} == {DECEMBER.from_ms + 5_000}
    assert all(one.ok for one in checks), checks
    given = [one for one in rows if one["ChargeCategory"] == "Adjustment"]
    assert [(one["ChargeClass"], one["ServiceCategory"]) for one in given] == [
        ("Correction", "Networking"), ("", "Media"),
    ]  # fmt: skip
    assert given[0]["BillingPeriodStart"] == "2023-11-30T16:00:00Z"


def test_storage_is_given_back_by_the_bytes_that_were_not_held(house):
    async def scene(here):
        await here.load(row("s", "storage_tb_month", held=3 * 10**12))
        part = await here.desk.give_back(back("s", "k", held_bytes=10**12), ADMIN)
        rest = await here.desk.give_back(back("s", "rest"), ADMIN)
        return part, rest, await here.charged()

    part, rest, charged = house(scene, credit=10**9)
    assert (part.amount_micro, rest.amount_micro, charged) == (100 * CNY, 200 * CNY, 0)
    assert part.quantity == str(TB_MONTH // 3)
    assert (rest.quantity, rest.left) == (str(2 * TB_MONTH // 3), "0")


def test_more_than_was_charged_is_never_given_back(house):
    async def refused(here, error, *asked, who=ADMIN, **more):
        with pytest.raises(error) as caught:
            await here.desk.give_back(back(*asked, **more), who)
        return f"{caught.value.what} {caught.value.hint}"

    async def scene(here):
        await here.load(row("f", quantity=150), row("z", quantity=0))
        await here.desk.give_back(back("f", "k1", 100), ADMIN)
        before = await here.charged(), here.count("ledger_entry")
        tenant = Principal("bo", frozenset({"read", "write", "admin"}), "default")
        told = [
            await refused(here, ConflictError, "f", "k2", 51),
            await refused(here, ConflictError, "f", "k1", 50),
            await refused(here, ConflictError, "f", "k1", 100, why="another"),
            await refused(here, ConflictError, "z", "k1", 100),
            await refused(here, NotFoundError, "none", "k2", 1),
            await refused(here, NotFoundError, "f", "k2", 1, source="other"),
            await refused(here, NotFoundError, "f", "k2", 1, site="nowhere"),
            await refused(here, InputError, "f", "k2", 0),
            await refused(here, InputError, "z", "k2"),
            await refused(here, InputError, "f", "k2", "1.5"),
            await refused(here, InputError, "f", "k2", "-1"),
            await refused(here, InputError, "f", "", 1),
            await refused(here, InputError, "f", "k2", 1, why=" "),
            await refused(here, InputError, "f", "k2", 1, held_bytes=1),
            await refused(here, DeniedError, "f", "k2", 1, who=tenant),
        ]
        after = await here.charged(), here.count("ledger_entry")
        await here.desk.give_back(back("f", "k2"), ADMIN)
        told.append(await refused(here, ConflictError, "f", "k3"))
        return told, before, after, await here.charged()

    told, before, after, charged = house(scene, credit=10**9)
    assert before == after
    assert charged == 0
    assert "50 of the line is left, not 51" in told[0]
    assert "gave back something else" in told[1]
    assert "all of the line was given back before" in told[-1]


def test_what_was_given_back_cannot_be_changed(house):
    async def scene(here):
        await here.load(row("f", quantity=150))
        await here.desk.give_back(back("f", "k"), ADMIN)
        for change in ("UPDATE metered_back SET quantity = '1'", "DELETE FROM metered_back"):
            with pytest.raises(Exception, match="never changed or removed"):
                here.here.sql(change)

    house(scene, credit=10**9)
