"""Lines of use that cannot be charged: told by line and column, and nothing half-imported."""

import pytest
from tests.unit.storage.meteredbench import CNY, HEAD, played, row, version

from fenglin.catalog.pricebook.items import PriceTerms
from fenglin.engine.books import metering
from fenglin.errors import LimitError


@pytest.fixture
def house(desk):
    def run(scene, **options):
        return desk(lambda here: played(here, scene), **options)

    return run


# What is wrong is told of by whoever sees it: the reader of the file, or the books.
MISREAD = [
    (row("x", "frame", -1), "quantity", "'-1' is no whole number"),
    (row("x", "frame", "1.5"), "quantity", "'1.5' is no whole number"),
    (row("x", "frame", ""), "quantity", "missing"),
    (row("x", "frame", 5, held=5), "bytes", "only storage"),
    (row("x", "storage_tb_month", 5, held=5), "quantity", "told twice"),
    (row("x", "core_hour", 5), "unit", "'core_hour' is no unit"),
    (row("x", "", 5), "unit", "missing"),
    (row("x", "frame", 5, account=""), "account", "'' is no name"),
    (row("x", "frame", 10**12 + 1), "quantity", "out of range"),
    (row("x", "frame", 5, span="2023-11-02T00:00:00,2023-11-01T00:00:00"), "end", "before"),
    (row("x", "frame", 5, span="soon,2023-11-01T00:00:00"), "start", "'soon'"),
    (row("x", "frame", 5, more=",job7,"), "job", "'job7' is no job"),
    (row("x", "frame", 5, more=",,nonsense"), "attempt", "no attempt key"),
    (row("l" * 201, "frame", 5), "line", "longer than 200"),
]
REFUSED = [
    (row("x", "frame", 5, account="nobody"), "account", "no account 'nobody'"),
    (row("x", "storage_tb_month", 10**30), "quantity", "out of range"),
    (row("x", "frame", 5, span="2023-09-01T00:00:00,2023-09-02T00:00:00"), "unit", "no price"),
    (row("x", "frame", 5, span="2023-11-15T00:00:00,2023-11-15T07:00:00"), "end", "not ended"),
    (row("x", "frame", 5, more=",j99,"), "job", "no job j99"),
    (row("x", "frame", 5, more=",,elsewhere-a1-1"), "attempt", "no attempt of this hub"),
    (row("x", "frame", 5, account="poor", more=",j1,"), "job", "account poor has no job j1"),
    (row("good", "frame", 8), "quantity", "was charged with 7, not 8"),
    (row("good", "frame", 7, account="campus"), "account", "was charged with 'default'"),
    (row("fine", "frame", 2), "quantity", "was charged with 1, not 2"),
]


@pytest.mark.parametrize("bad", [MISREAD, REFUSED], ids=["misread", "refused"])
def test_bad_lines_are_told_by_line_and_column_and_nothing_is_imported(house, bad):
    async def scene(here):
        await here.here.job()
        await here.load(row("good", quantity=7))
        tables = ("ledger_entry", "metered_use", "provider_record", "metering_import")
        before = here.count(*tables)
        told = row("told", "", account="")
        found = await here.refused(row("fine", quantity=1), told, *(one for one, _, _ in bad))
        assert here.count(*tables) == before
        return found, here.heard

    problems, heard = house(scene, credit=10**9)
    columns = HEAD.strip().split(",")
    assert [(one.line, one.path) for one in problems] == [
        (place, column) for place, (_, column, _) in enumerate(bad, 4)
    ]
    for problem, (_, column, why) in zip(problems, bad, strict=True):
        assert why in problem.what
        assert problem.column == columns.index(column) + 1
    assert heard == 1


def test_a_price_without_a_rate_of_exchange_charges_nothing(house):
    async def scene(here):
        await here.price(version(4, "frame", PriceTerms("USD", CNY), site="site", mode="shared"))
        (problem,) = await here.refused(row("a", quantity=1))
        rate_ = PriceTerms("CNY", 7_120_000)
        await here.price(version(5, "exchange", rate_, model="USD"))
        await here.load(row("a", quantity=2))
        (post,) = [one for one in await here.entries() if one.kind == "post"]
        return problem, post

    problem, post = house(scene, credit=10**9)
    assert "no exchange" in problem.what
    assert "price set" in problem.hint
    assert (post.detail("price_version"), post.legs[-1].amount_micro) == ("p4+p5", 14_240_000)


def test_a_line_is_either_compared_or_charged(house):
    async def scene(here):
        told = row("a", "", account="")
        await here.load(told)
        (other,) = await here.refused(row("a", quantity=1))
        await here.load(row("b", quantity=1))
        (charged,) = await here.refused(row("b", "", account=""))
        (both,) = await here.refused(row("c", quantity=1), row("c", "", account=""))
        return other, charged, both, here.count("provider_record", "metered_use")

    other, charged, both, counts = house(scene, credit=10**9)
    assert "without a unit" in other.what
    assert "was charged" in charged.what
    assert "without a unit" in both.what
    assert counts == [1, 1]


def test_a_long_file_with_one_bad_line_leaves_nothing(house, monkeypatch):
    monkeypatch.setattr(metering, "CHUNK_ROWS", 5)
    monkeypatch.setattr(metering, "MOST_METERED", 9)

    async def scene(here):
        compared = [row(f"l{n}", "", account="") for n in range(13)]
        (problem,) = await here.refused(*compared, row("bad", quantity="x"), row("m", quantity=1))
        lines = [row(f"m{n}", quantity=1) for n in range(10)]
        with pytest.raises(LimitError, match="split it") as caught:
            await here.load(*compared, *lines)
        counts = here.count("provider_record", "metered_use", "metering_import")
        await here.load(*lines[:9])
        await here.load(*lines[5:])
        return problem, caught.value, counts, here.count("metered_use")

    problem, limit, counts, after = house(scene, credit=10**9)
    assert (problem.line, problem.column) == (15, 4)
    assert limit.where == "use.csv"
    assert (counts, after) == ([0, 0, 0], [10])
