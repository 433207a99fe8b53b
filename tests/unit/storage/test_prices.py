"""The price book in the database: added to, never changed, read back as it was."""

import asyncio
import sqlite3

import pytest

from fenglin.catalog.pricebook.items import FOREVER_MS, PriceKey, PriceTerms, PriceVersion
from fenglin.ports.prices import PriceBatch, PriceFilter
from fenglin.storage import prices
from fenglin.storage.prices import SqlitePrices
from fenglin.storage.schema import connect, ensure_schema
from fenglin.storage.store import SqliteStore

BATCH = PriceBatch(100, "ann", "p.csv")
TERMS = PriceTerms(
    "CNY", 120_000, ((100_000, 100_000), (500_000, 80_000)), "year", 2**32, (("school", 600),)
)


def version(number, key, terms=TERMS, from_ms=10, to_ms=FOREVER_MS, supersedes=0):
    return PriceVersion(number, key, terms, from_ms, to_ms, supersedes, to_ms)


FIRST = version(1, PriceKey("core_hour", "gz", "west", "cn-gz", "a", "std", "m", "u", "spot", "b"))
OTHER = version(2, PriceKey("card_hour", "sz"), PriceTerms("CNY", 3), to_ms=40)
LATER = version(3, FIRST.key, PriceTerms("CNY", 2), from_ms=50, supersedes=1)


@pytest.fixture
def conn(tmp_path):
    path = tmp_path / "hub.db"
    conn = connect(path)
    ensure_schema(conn, path)
    yield conn
    conn.close()


@pytest.fixture
def full(conn):
    assert prices.append(conn, 0, [FIRST, OTHER], BATCH)
    assert prices.append(conn, 2, [LATER], BATCH)
    return conn


def found(conn, **wanted):
    return [one.number for one in prices.page(conn, PriceFilter(**wanted))]


def test_what_was_added_comes_back_and_ends_where_it_was_superseded(full):
    first, other, later = prices.page(full, PriceFilter())
    assert (first.key, first.terms, first.from_ms, first.to_ms) == (
        FIRST.key, TERMS, 10, FOREVER_MS,
    )  # fmt: skip
    assert (first.end_ms, other.end_ms, later.end_ms) == (50, 40, FOREVER_MS)
    assert (other, later) == (OTHER, LATER)


@pytest.mark.parametrize(
    ("at_ms", "numbers"), [(9, []), (10, [1, 2]), (39, [1, 2]), (40, [1]), (49, [1]), (50, [3])]
)
def test_what_is_in_force_at_a_moment(full, at_ms, numbers):
    assert found(full, at_ms=at_ms) == numbers


def test_a_page_is_filtered_and_cut(full):
    assert found(full, fields=(("provider", "gz"), ("provider", "sz"), ("unit", "card_hour"))) == [
        2
    ]
    assert found(full, after=1) == [2, 3]
    assert found(full, limit=1) == [1]


def test_nothing_is_added_when_others_were_quicker(full):
    assert not prices.append(full, 2, [version(3, OTHER.key)], BATCH)
    assert prices.last(full) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE price SET price_micro = 1",
        "DELETE FROM price",
        "UPDATE price_batch SET actor = 'eve'",
        "DELETE FROM price_batch",
    ],
)
def test_the_database_refuses_to_change_or_forget(full, statement):
    with pytest.raises(sqlite3.IntegrityError, match="never changed or removed"):
        full.execute(statement)


@pytest.mark.parametrize(
    "bad",
    [
        version(3, OTHER.key),
        version(4, OTHER.key, PriceTerms("CNY", -1)),
        version(4, OTHER.key, from_ms=5, to_ms=5),
        version(4, OTHER.key, supersedes=4),
    ],
)
def test_the_database_refuses_what_cannot_be(full, bad):
    with pytest.raises(sqlite3.IntegrityError):
        prices.append(full, 3, [bad], BATCH)


def test_the_port_over_the_store(tmp_path):
    async def work():
        store = SqliteStore(tmp_path / "hub.db")
        epoch = (await store.load((), 1)).epoch
        port = SqlitePrices(store)
        try:
            assert await port.append(epoch, 0, [FIRST, OTHER], BATCH)
            return (
                await port.last(),
                await port.versions(["sz", "none"]),
                await port.page(PriceFilter(fields=(("site", "west"),))),
            )
        finally:
            await store.close()

    assert asyncio.run(work()) == (2, [OTHER], [FIRST])
