"""The inventory's steps in the database: numbered, added to, never changed."""

import sqlite3

import pytest

from fenglin.catalog.inventory.steps import Kind, Step
from fenglin.errors import FenglinError, StaleEpochError
from fenglin.storage.inventory import SqliteInventory


def step(seq, kind=Kind.DECLARE, facility="gz1", body=b"{}"):
    return Step(
        seq=seq, time_ms=100 + seq, actor="ann", kind=kind, facility=facility, subject="s",
        note="n", document="d", body=body,
    )  # fmt: skip


STEPS = [step(1), step(2, Kind.PUBLISH, "", b"snapshot"), step(3, facility="gz2")]


def test_steps_come_back_as_they_were_and_publications_only_when_asked(desk):
    async def work(here):
        kept = SqliteInventory(here.store)
        assert await kept.append(here.epoch, STEPS)
        assert await kept.append(here.epoch, [])
        return (
            await kept.steps(0), await kept.steps(2), await kept.body(2), await kept.body(9),
            await kept.page("gz2", 0, 10), await kept.page("", 1, 1),
        )  # fmt: skip

    every, later, body, none, of_gz2, page = desk(work)
    assert [one.body for one in every] == [b"{}", b"", b"{}"]
    assert every[0] == STEPS[0]
    assert [one.seq for one in later] == [3]
    assert (body, none) == (b"snapshot", b"")
    assert [one.seq for one in of_gz2] == [2, 3]  # a publication is of every facility
    assert [(one.seq, one.body) for one in page] == [(2, b"")]


def test_a_number_that_is_taken_or_leaves_a_gap_adds_nothing(desk):
    async def work(here):
        kept = SqliteInventory(here.store)
        assert await kept.append(here.epoch, STEPS)
        assert not await kept.append(here.epoch, [step(3)])
        assert not await kept.append(here.epoch, [step(5)])
        with pytest.raises(FenglinError, match="without a gap"):
            await kept.append(here.epoch, [step(4), step(6)])
        with pytest.raises(StaleEpochError):
            await kept.append(here.epoch - 1, [step(4)])
        return await kept.steps(0)

    assert len(desk(work)) == 3


@pytest.mark.parametrize(
    "words", ["UPDATE inventory_step SET note = 'x' WHERE seq = 1", "DELETE FROM inventory_step"]
)
def test_the_database_refuses_to_change_or_remove_a_step(desk, words):
    async def work(here):
        await SqliteInventory(here.store).append(here.epoch, STEPS)
        with pytest.raises(sqlite3.IntegrityError, match="never changed or removed"):
            here.sql(words)

    desk(work)
