"""The engine's change: fenced, compared, checked, and each start for itself."""

from dataclasses import replace

import pytest

from fenglin.errors import ConflictError, DamageError, StaleEpochError
from fenglin.model.reason import Reason
from fenglin.ports.store import Event


def test_starts_are_refused_one_by_one(desk):
    async def scene(here):
        jobs = [await here.job(name=f"j{i}", tasks=9) for i in range(5)]
        units = [
            here.unit(jobs[0], tasks=3),
            here.unit(jobs[1], tasks=2),  # 3 + 2 > 4 cores
            here.unit(jobs[2], held=10_000_001),  # more than there is
            here.unit(jobs[3], node="gone"),
            here.unit(jobs[4], tasks=4, node="n1"),
        ]
        refused = await here.start(*units)
        # A refusal leaves nothing: no use, no row, no hold, no line of a story.
        kept = here.sql("SELECT number FROM allocation ORDER BY number")
        told = here.sql("SELECT text FROM event WHERE kind = 'committed' ORDER BY seq")
        balance = (await here.store.balances())["default"]
        check = await here.store.ledger_verify()
        return units, refused, kept, told, here.used(), balance, check

    units, refused, kept, told, used, balance, check = desk(scene)
    assert [(units.index(unit), reason) for unit, reason in refused] == [
        (1, Reason.CHANGED_MEANWHILE),
        (2, Reason.BUDGET_EXHAUSTED),
        (3, Reason.CHANGED_MEANWHILE),
    ]
    assert kept == [(units[0].allocation.number,), (units[4].allocation.number,)]
    assert [text for (text,) in told] == [f"a{number}" for (number,) in kept]
    assert used == {"n0": 3_000, "n1": 4_000}
    assert balance == 10_000_000 - 2_000
    assert check.ok


def test_a_drained_site_takes_nothing(desk):
    async def scene(here):
        job = await here.job()

        async def wish(*, drained):
            await here.store.set_site(
                here.epoch, "site", drained=drained, reason="disk", actor="op", now_ms=1
            )

        await wish(drained=True)
        first = await here.start(here.unit(job))
        await wish(drained=False)
        return first, await here.start(here.unit(job))

    first, second = desk(scene)
    assert [reason for _, reason in first] == [Reason.SITE_DRAINED]
    assert second == []


def test_two_starts_of_one_job_chain_their_versions(desk):
    async def scene(here):
        job = await here.job(tasks=4)
        one = here.unit(job, tasks=3)
        two = here.unit(one.job, tasks=1, node="n1")
        none = await here.start(one, two)
        other = await here.job(tasks=9)
        big = here.unit(other, tasks=8)
        rest = here.unit(big.job, tasks=1, node="n1")
        return none, await here.start(big, rest), here.used()

    none, refused, used = desk(scene)
    assert none == []
    # Where the first is refused, what was built upon it is refused too.
    assert [reason for _, reason in refused] == [Reason.CHANGED_MEANWHILE] * 2
    assert used == {"n0": 3_000, "n1": 1_000}


def test_a_stale_epoch_writes_nothing(desk):
    async def scene(here):
        job = await here.job()
        old = here.epoch
        unit = here.unit(job)
        assert (await here.store.load((), 1)).epoch == old + 1
        before = here.sql("SELECT * FROM event"), here.sql("SELECT * FROM job")
        for call in (
            here.start(unit),
            here.store.commit(here.change(events=[Event(1, "x", "y")])),
            here.store.set_site(old, "site", drained=True, reason="", actor="", now_ms=1),
            here.store.post(old, [unit.hold], 1),
        ):
            with pytest.raises(StaleEpochError):
                await call
        return before == (here.sql("SELECT * FROM event"), here.sql("SELECT * FROM job"))

    assert desk(scene)


def test_a_row_at_another_version_is_left_alone(desk):
    async def scene(here):
        job = await here.job()
        change = here.change(
            jobs=[replace(job, version=5)], events=[Event(job.number, "x", "told")]
        )
        with pytest.raises(ConflictError):
            await here.store.commit(change)
        return here.sql("SELECT count(*) FROM event WHERE text = 'told'")

    assert desk(scene) == [(0,)]


def test_an_ended_allocation_never_changes(desk):
    async def scene(here):
        unit = here.unit(await here.job())
        await here.start(unit)
        await here.end(unit)
        with pytest.raises(ConflictError, match="ended already"):
            await here.store.commit(here.change(allocations=[unit.allocation]))
        return here.used(), here.sql("SELECT state FROM allocation")

    assert desk(scene) == ({"n0": 0, "n1": 0}, [("ended",)])


def test_a_slot_given_back_twice_is_damage_and_not_a_reason_to_wait(desk):
    async def scene(here):
        unit = here.unit(await here.job())
        await here.start(unit)
        back = ("site", "n0", unit.allocation.resources)
        with pytest.raises(DamageError):
            await here.store.commit(here.change(released=[back, back]))
        return here.used()

    assert desk(scene) == {"n0": 1_000, "n1": 0}


def test_usage_of_an_attempt_counts_once(desk):
    async def scene(here):
        unit = here.unit(await here.job())
        await here.start(unit)
        usage = [("hub-a1-1", unit.allocation)]
        await here.store.commit(here.change(usage=usage))
        with pytest.raises(DamageError):
            await here.store.commit(here.change(usage=usage))

    desk(scene)


def test_what_an_end_frees_serves_a_start_of_the_same_change(desk):
    async def scene(here):
        unit = here.unit(await here.job(tasks=4), tasks=4)
        await here.start(unit)
        after = here.unit(await here.job(tasks=4), tasks=4)
        share = unit.allocation.shares[0]
        back = ("site", share.node, unit.allocation.resources.times(share.slots))
        return await here.store.commit(here.change(released=[back], starts=[after]))

    assert desk(scene) == []
