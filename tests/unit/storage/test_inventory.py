"""The inventory's steps in the database: numbered, added to, never changed."""

import asyncio
import sqlite3

import pytest

from fenglin.catalog.inventory.steps import Kind, Step
from fenglin.storage import inventory
from fenglin.storage.inventory import SqliteInventory
from fenglin.storage.schema import connect, ensure_schema
from fenglin.storage.store import SqliteStore
from fenglin.testing.builders import a_site


def step(seq, kind=Kind.DECLARE, facility="gz1", body=b"{}"):
    return Step(
        seq=seq, time_ms=100 + seq, actor="ann", kind=kind, facility=facility, subject="s",
        note="n", document="d", body=body,
    )  # fmt: skip


STEPS = [step(1), step(2, Kind.PUBLISH, "", b"snapshot"), step(3, facility="gz2")]


@pytest.fixture
def conn(tmp_path):
    path = tmp_path / "hub.db"
    conn = connect(path)
    ensure_schema(conn, path)
    yield conn
    conn.close()


def test_steps_come_back_as_they_were_and_publications_only_when_asked(tmp_path):
    async def work():
        store = SqliteStore(tmp_path / "hub.db")
        try:
            epoch = (await store.load((a_site(),), 0)).epoch
            kept = SqliteInventory(store)
            assert await kept.append(epoch, STEPS)
            assert await kept.append(epoch, [])
            return (
                await kept.steps(0), await kept.steps(2), await kept.body(2), await kept.body(9),
                await kept.page("gz2", 0, 10), await kept.page("", 1, 1),
            )  # fmt: skip
        finally:
            await store.close()

    every, later, body, none, of_gz2, page = asyncio.run(work())
    assert [one.body for one in every] == [b"{}", b"", b"{}"]
    assert every[0] == STEPS[0]
    assert [one.seq for one in later] == [3]
    assert (body, none) == (b"snapshot", b"")
    assert [one.seq for one in of_gz2] == [2, 3]  # a publication is of every facility
    assert [(one.seq, one.body) for one in page] == [(2, b"")]


def test_a_number_that_is_taken_or_leaves_a_gap_adds_nothing(conn):
    assert inventory.append(conn, STEPS)
    assert not inventory.append(conn, [step(3)])
    assert not inventory.append(conn, [step(5)])
    with pytest.raises(sqlite3.IntegrityError, match="without a gap"):
        inventory.append(conn, [step(4), step(6)])


@pytest.mark.parametrize(
    "words", ["UPDATE inventory_step SET note = 'x' WHERE seq = 1", "DELETE FROM inventory_step"]
)
def test_the_database_refuses_to_change_or_remove_a_step(conn, words):
    inventory.append(conn, STEPS)
    with pytest.raises(sqlite3.IntegrityError, match="never changed or removed"):
        conn.execute(words)
