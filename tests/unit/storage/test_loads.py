"""Taking over: everything comes back, the epoch rises, use is what is live."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from fenglin.errors import DamageError
from fenglin.model.job import Dependency
from fenglin.ports.hub import Listing
from fenglin.ports.quarantine import Aside
from fenglin.storage.quarantine import SqliteQuarantine
from fenglin.testing.builders import a_job, a_site


def test_the_epoch_strictly_rises_and_the_hub_stays(desk):
    first = desk(lambda here: asyncio.sleep(0, here.loaded))
    second = desk(lambda here: asyncio.sleep(0, here.loaded))
    assert second.epoch == first.epoch + 1
    assert second.hub == first.hub


def test_all_that_lives_comes_back_as_it_was(desk):
    async def write(here):
        job = await here.job(tasks=5)
        unit = here.unit(job, tasks=2)
        await here.start(unit)
        tried = replace(unit.job, version=unit.job.version + 1, tries={3: 2})
        await here.store.commit(
            here.change(jobs=[tried], tries=[(job.number, 3, 2, "exit_code", 1)])
        )
        ended = here.unit(await here.job(), node="n1")
        await here.start(ended)
        await here.end(ended)
        await here.store.set_site(
            here.epoch, "site", drained=True, reason="disk", actor="op", now_ms=1
        )
        return tried, unit.allocation

    job, record = desk(write)
    loaded = desk(lambda here: asyncio.sleep(0, here.loaded))
    assert loaded.jobs == {job.number: job}
    assert loaded.allocations == {record.number: record}
    assert loaded.next_allocation == record.number + 2
    assert loaded.drained == {"site": "disk"}


def test_an_ended_parent_comes_with_its_live_child(desk):
    async def write(here):
        parent = here.unit(await here.job())
        lonely = here.unit(await here.job(), node="n1")
        child = Dependency(f"j{parent.job.number}")
        await here.submit(msgspec.structs.replace(a_job(), after=(child,)))
        await here.start(parent, lonely)
        await here.end(parent)
        await here.end(lonely)
        return parent.job.number

    number = desk(write)
    loaded = desk(lambda here: asyncio.sleep(0, here.loaded))
    assert list(loaded.parents) == [number]
    assert loaded.parents[number].state == "succeeded"


def test_use_is_recounted_whatever_was_there(desk):
    async def write(here):
        await here.start(here.unit(await here.job(), node="n1"))
        here.sql("UPDATE node SET cpu_used_milli = 3777")
        return here.used()

    assert desk(write) == {"n0": 3_777, "n1": 3_777}

    async def read(here):
        return here.used()

    assert desk(read) == {"n0": 0, "n1": 1_000}


def test_a_node_may_shrink_below_what_runs_and_then_takes_no_more(desk):
    async def write(here):
        await here.start(here.unit(await here.job(tasks=4), tasks=4))

    desk(write)

    async def later(here):
        return here.used(), await here.start(here.unit(await here.job()))

    used, refused = desk(later, sites=(a_site(cpu=2, nodes=2),))
    assert used["n0"] == 4_000
    assert len(refused) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE job SET spec = X'7B'", "j1"),
        ("UPDATE job SET pending_set = '1-x'", "j1"),
        ("UPDATE job SET state = 'dancing'", "j1"),
        ("UPDATE allocation SET shares = X'7B'", "a1"),
        ("UPDATE allocation SET reason = 'moon'", "a1"),
    ],
)
def test_an_unreadable_row_is_set_aside_with_its_reason(desk, damage, named):
    async def write(here):
        await here.start(here.unit(await here.job()))
        await here.job()
        here.sql(damage + (" WHERE number = 1"))

    async def look(here):
        ward = here.loaded.ward
        view = await here.store.job(1, "")
        page = await here.store.jobs(Listing(), "")
        story = await here.store.events(1, 0, 10)
        return ward, list(here.loaded.jobs), here.loaded.allocations, view, page.items, story

    desk(write)
    for _ in range(2):  # and again after another restart
        ward, live, allocations, view, items, story = desk(look)
        assert (list(ward.jobs), ward.numbers, live, allocations) == ([1], {1}, [2], {})
        assert named in ward.jobs[1].why
        assert (view.state, view.reason) == ("held", "quarantined")
        assert named in view.detail
        assert [one.id for one in items] == ["j2", "j1"]
        assert [one.kind for one in story].count("quarantined") == 1


def test_a_release_brings_parents_that_ended_meanwhile(desk):
    async def write(here):
        parent = here.unit(await here.job())
        child = Dependency(f"j{parent.job.number}")
        await here.submit(msgspec.structs.replace(a_job(), after=(child,)))
        kept = SqliteQuarantine(here.store)
        await kept.set_aside(here.epoch, Aside(2, "record", "x", 5))
        await here.start(parent)
        await here.end(parent)
        return await kept.release(here.epoch, 2, 9, "ada")

    found = desk(write)
    assert (found.job.number, found.allocations) == (2, [])
    assert [(one.number, one.state) for one in found.parents] == [(1, "succeeded")]


def test_past_use_comes_back_and_is_kept_by_changes_that_do_not_know_it(desk):
    async def write(here):
        await here.store.commit(here.change(now_ms=7, spent_ms={"物理": 12, "b": 3}))
        await here.store.commit(here.change(now_ms=9))

    assert desk(lambda here: asyncio.sleep(0, here.loaded)).spent_ms == {}
    desk(write)
    loaded = desk(lambda here: asyncio.sleep(0, here.loaded))
    assert (loaded.spent_ms, loaded.spent_at_ms) == ({"物理": 12, "b": 3}, 7)


def test_unreadable_past_use_is_damage(desk):
    async def write(here):
        here.sql("INSERT INTO meta (name, value) VALUES ('spent', '{')")

    desk(write)
    with pytest.raises(DamageError, match="past use"):
        desk(lambda here: asyncio.sleep(0, here))


def test_the_newest_ended_jobs_come_back_to_learn_from(desk):
    async def write(here):
        units = [here.unit(await here.job()), here.unit(await here.job(), node="n1")]
        await here.job()
        await here.start(*units)
        for unit, learned_ms in zip(reversed(units), (700, 0), strict=True):
            taught = replace(
                unit.job, version=unit.job.version + 1, learned_tasks=bool(learned_ms),
                learned_ms=learned_ms,
            )  # fmt: skip
            await here.store.commit(here.change(jobs=[taught]))
            unit.job = taught
            await here.end(unit)
        return units[1].job.number

    number = desk(write)
    loaded = desk(lambda here: asyncio.sleep(0, here.loaded))
    assert [(job.number, job.learned_ms, job.actor) for job in loaded.past] == [
        (number, 700, "ann")
    ]
