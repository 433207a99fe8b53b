"""The ledger as the store offers it, its export above all."""

import asyncio

from fenglin.catalog.prices import PriceItem
from fenglin.ledger.posting import Charge, Hold, Terms, post
from fenglin.model.ids import attempt_key
from fenglin.testing.builders import a_job


def settle(here, unit, *amounts):
    record = unit.allocation
    key = attempt_key(here.loaded.hub, record.number, 1)
    charges = [
        Charge(item, 3_600_000_000, 3_600_000_000, amount, amount)
        for item, amount in zip(PriceItem, amounts, strict=False)
    ]
    of = Hold(key, "default", "CNY", record.held_micro, record.job)
    return post(of, "lab", charges, Terms("site", "std", "1"))


def test_a_statement_sums_per_job_and_item_within_the_period(desk):
    async def scene(here):
        job = await here.job(name="render", tasks=4)
        one = here.unit(job)
        two = here.unit(one.job)
        await here.start(one, two)
        await here.store.post(here.epoch, [settle(here, one, 300, 20)], 5_000)
        await here.store.post(here.epoch, [settle(here, two, 300)], 6_000)
        whole = await here.store.ledger_statement("default", 0, 10_000)
        early = await here.store.ledger_statement("default", 0, 6_000)
        none = await here.store.ledger_statement("nobody", 0, 10_000)
        return whole, early, none

    whole, early, none = desk(scene)
    assert [
        (line.job, line.job_name, line.item, line.quantity, line.amount_micro)
        for line in whole.lines
    ] == [
        ("j1", "render", "core_hour", "2.000000", 600),
        ("j1", "render", "memory_gib_hour", "1.000000", 20),
    ]
    assert sum(line.amount_micro for line in early.lines) == 320
    assert none.lines == []


def test_an_export_is_one_state_and_may_be_left_half_way(desk):
    async def scene(here):
        await here.submit(a_job())
        entries = here.store.ledger_entries()
        first = next(entries)
        await here.start(here.unit(await here.job()))
        # On another thread, and while others read on this one.
        rest = await asyncio.to_thread(list, entries)
        check = await here.store.ledger_verify()
        left = here.store.ledger_entries()
        next(left)
        left.close()
        return first, rest, check, len(list(here.store.ledger_entries()))

    first, rest, check, later = desk(scene)
    assert first.seq == 1
    assert [entry.seq for entry in rest] == [2]  # the hold came after the export had begun
    assert check.ok
    assert (check.entries, later) == (3, 3)
