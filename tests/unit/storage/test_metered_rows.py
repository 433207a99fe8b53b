"""How lines of use are found among many."""

import asyncio
import contextlib

import pytest
from tests.unit.storage.conftest import Desk, OnPostgres
from tests.unit.storage.meteredbench import played, row

from fenglin.catalog.pricebook.items import PriceTerms, Unit
from fenglin.storage.metered_rows import counter_of, of_lines, terms_of
from fenglin.storage.postgres.connection import PostgresConnection

INDEXES = ("metered_use_pkey", "provider_record_pkey")
MANY, FEW = 2_000, 4


def test_terms_come_back_from_the_name_of_their_counter():
    terms = PriceTerms("CNY", 777_777, ((3, 333_331), (10, 111_113)))
    assert terms_of(counter_of(Unit.EGRESS_GB, ("p2", "p9"), terms)) == terms


def test_each_line_that_is_there_is_found(desk):
    async def scene(house):
        compared = [row(f"l{n}", unit="", account="") for n in range(300)]
        await house.load(*compared)
        await house.load(row("other", unit="", account=""), source="other")

        def work(conn, lines):
            query = "SELECT site, source, line FROM provider_record"
            return set(of_lines(conn, query, ("site", "csv"), lines))

        for many in (0, 1, 3, 256, 257, 300):
            lines = [f"l{n}" for n in range(many)]
            asked = [*lines, *lines[:2], "other", "none"]
            found = await house.here.store.read(lambda conn, asked=asked: work(conn, asked))
            assert found == {("site", "csv", line) for line in lines}

    desk(lambda here: played(here, scene))


def reads(conn):
    """Return how many entries of the indexes were read so far."""
    query = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1"
    return [conn.raw(query, (name,)).fetchone()[0] for name in INDEXES]


@pytest.mark.slow
def test_a_few_lines_are_found_among_many_without_reading_the_rest(database_of_its_own):
    """The statistics of a table that grows fast are of when it was small."""

    async def scene(house):
        store, epoch = house.here.store, house.here.epoch

        def count():
            with contextlib.closing(PostgresConnection(database_of_its_own)) as conn:
                return reads(conn)

        async def flushed():
            await store.write(
                epoch, lambda conn: conn.execute("SELECT pg_stat_force_next_flush()").fetchone()
            )

        charged = [row(f"f{n}", quantity=1) for n in range(MANY)]
        compared = [row(f"p{n}", unit="", account="") for n in range(MANY)]
        await house.load(*charged, *compared)
        await flushed()
        before = count()
        done = await house.load(*charged[:FEW], *compared[:FEW])
        await flushed()
        assert done.unchanged == 2 * FEW
        return [end - start for start, end in zip(before, count(), strict=True)]

    async def play():
        here = await Desk(OnPostgres(database_of_its_own)).open(credit=10**12)
        try:
            return await played(here, scene)
        finally:
            await here.store.close()

    assert max(asyncio.run(play())) < MANY / 10
