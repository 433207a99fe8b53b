"""Late records of use: any order, any repetition, any lateness gives the same bill (M1, M2)."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fenglin.catalog.prices import billed_ms, rate_usage, total_micro
from fenglin.ledger.accounts import due
from fenglin.ledger.metering.records import UseRecord
from fenglin.ledger.posting import Charge, Hold, Terms, post, void
from fenglin.model.allocation import Usage
from fenglin.model.ids import attempt_key
from fenglin.model.reason import Reason
from fenglin.model.site import Price
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.metering import ItemFilter
from fenglin.quantities.period import parse_period
from fenglin.quantities.taskset import TaskSet
from fenglin.storage import ledger
from fenglin.storage.accounts import SqliteAccounts
from fenglin.storage.metering import SqliteMetering

NOW_MS = 1_700_000_000_000
NOVEMBER = parse_period("2023-11")
DECEMBER = parse_period("2023-12")
PROVIDERS = {"site": "gz"}
# Odd numbers, so that rounding shows; minimums of time and of money.
PRICE = Price(
    core_hour_micro=7_777_777, memory_gib_hour_micro=333, task_minimum_ms=1_500,
    task_minimum_micro=2_001,
)  # fmt: skip


class Attempt:
    """An allocation of some tasks, and the ways in which its ends come to be known."""

    def __init__(self, here, unit, walls):
        self.here, self.unit, self.walls = here, unit, walls
        self.key = attempt_key(here.loaded.hub, unit.allocation.number, 1)

    @classmethod
    async def start(cls, here, walls):
        job = await here.job(tasks=len(walls))
        unit = here.unit(job, tasks=len(walls), slots=1, held=5_000_000)
        unit.allocation.price = PRICE
        assert await here.start(unit) == []
        return cls(here, unit, walls)

    def record(self, task, wall_ms=None):
        wall_ms = self.walls[task] if wall_ms is None else wall_ms
        return UseRecord(self.key, task, NOW_MS, wall_ms, 10)

    async def settle(self, heard, now_ms, reason=None):
        """Settle with the ends that the hub heard of itself, as the engine does."""
        record, job = self.unit.allocation, self.unit.job
        usage = Usage()
        for task in heard:
            wall_ms = self.walls[task]
            usage += Usage(1, wall_ms, billed_ms(PRICE, wall_ms), 10)
        hold = Hold(self.key, job.spec.account, "CNY", record.held_micro, job.number)
        lines = rate_usage(PRICE, record.resources, usage)
        charges = [Charge(x.item, x.quantity, x.per, x.price_micro, x.amount_micro) for x in lines]
        done = replace(
            record, state=AttemptState.ENDED, shares=(), succeeded=TaskSet.of(heard), usage=usage,
            started_ms=NOW_MS, ended_ms=now_ms, reason=reason,
            cost_micro=sum(one.amount_micro for one in charges),
        )  # fmt: skip
        after = replace(job, version=job.version + 1, state=JobState.FAILED, ended_ms=now_ms)
        draft = post(hold, "gz", charges, Terms("site", "std", "1")) if heard else void(hold)
        share = record.shares[0]
        await self.here.store.commit(
            self.here.change(
                now_ms=now_ms, jobs=[after], allocations=[done], usage=[(self.key, done)],
                postings=[draft], released=[("site", share.node, record.resources)],
            )
        )  # fmt: skip

    def cost(self):
        """Return what all ends together cost, rated once."""
        usage = Usage()
        for wall_ms in self.walls:
            usage += Usage(1, wall_ms, billed_ms(PRICE, wall_ms))
        return total_micro(rate_usage(PRICE, self.unit.allocation.resources, usage))


def earned(conn):
    return ledger.balance(conn, due("gz"))


@st.composite
def histories(draw):
    """Draw runtimes, which ends are heard of, and in which order all others come."""
    walls = draw(st.lists(st.integers(0, 4_000_000), min_size=1, max_size=5))
    heard = draw(st.sets(st.integers(0, len(walls) - 1)))
    late = [task for task in range(len(walls)) if task not in heard]
    # Each at least once, some again, also some that were heard of; and the settling among them.
    again = draw(st.lists(st.integers(0, len(walls) - 1), max_size=4))
    steps = draw(st.permutations([*late, *again, "settle"]))
    return walls, sorted(heard), steps


@pytest.mark.slow
@settings(
    max_examples=16, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(histories=st.lists(histories(), min_size=1, max_size=3), close_at=st.integers(0, 8))
def test_any_order_repetition_and_lateness_gives_the_same_bill(desk, histories, close_at):
    async def scene(here):
        meters = SqliteMetering(here.store, 480)
        accounts = SqliteAccounts(here.store)
        attempts = [(await Attempt.start(here, walls), heard, steps)
                    for walls, heard, steps in histories]  # fmt: skip
        before = await here.store.read(earned)
        funds = (await accounts.funds())["default"]
        # One attempt's steps after another's; a month is closed somewhere in between.
        steps = [(attempt, heard, step) for attempt, heard, those in attempts for step in those]
        month = NOVEMBER
        for _ in here.sql("SELECT 1 FROM ledger_entry WHERE kind = 'close'"):
            month = month.next()
        now_ms = max(NOW_MS, month.from_ms)
        for place, (attempt, heard, step) in enumerate(steps):
            if place == close_at:
                now_ms = month.to_ms + 5
                await accounts.close(here.epoch, month, now_ms)
            if step == "settle":
                await attempt.settle(heard, now_ms)
                taken = await meters.take(here.epoch, [], PROVIDERS, "ann", now_ms)
            else:
                taken = await meters.take(
                    here.epoch, [attempt.record(step)], PROVIDERS, "ann", now_ms
                )
            assert taken.contradicting == taken.foreign == 0
        after = await here.store.read(earned)
        left = (await accounts.funds())["default"]
        check = await here.store.ledger_verify()
        assert check.ok, check.problem
        expected = sum(attempt.cost() for attempt, _, _ in attempts)
        assert after - before == expected
        assert funds.total_micro - left.total_micro == expected
        assert not here.sql("SELECT 1 FROM use_record WHERE outcome = 'waiting'")

    desk(scene, credit=0 if _founded(desk) else 10**12)


def _founded(desk):
    """Return whether an earlier example has used the same store."""

    async def look(here):
        return bool(here.sql("SELECT 1 FROM ledger_entry WHERE kind = 'grant'"))

    return desk(look, credit=0)


def test_late_use_of_a_closed_month_is_an_adjustment_in_the_open_one(desk):
    async def scene(here):
        meters = SqliteMetering(here.store, 480)
        attempt = await Attempt.start(here, [3_600_000, 1_000])
        await attempt.settle([1], NOW_MS)
        bill = await here.store.ledger_statement("default", NOVEMBER.from_ms, NOVEMBER.to_ms)
        await SqliteAccounts(here.store).close(here.epoch, NOVEMBER, NOVEMBER.to_ms + 1)
        taken = await meters.take(
            here.epoch, [attempt.record(0)], PROVIDERS, "ann", NOVEMBER.to_ms + 2
        )
        again = await here.store.ledger_statement("default", NOVEMBER.from_ms, NOVEMBER.to_ms)
        late = await here.store.ledger_statement("default", DECEMBER.from_ms, DECEMBER.to_ms)
        entry = here.sql("SELECT memo, kind FROM ledger_entry ORDER BY seq DESC LIMIT 1")[0]
        used = await meters.used("site", NOVEMBER)
        return taken, bill, again, late, entry, used, attempt.cost()

    taken, bill, again, late, entry, (used,), cost = desk(scene)
    assert (taken.new, taken.billed) == (1, 1)
    assert (again.closing_micro, again.charged_micro) == (bill.closing_micro, bill.charged_micro)
    assert late.adjusted_micro == bill.charged_micro - cost
    assert entry == ("late use of 2023-11: task 0 ran 3600.000 s", "adjust")
    assert (used.tasks, used.wall_ms) == (2, 3_601_000)


def test_the_same_key_with_another_body_is_told_and_changes_nothing(desk):
    async def scene(here):
        meters = SqliteMetering(here.store, 480)
        attempt = await Attempt.start(here, [5_000, 6_000])
        await attempt.settle([], NOW_MS)
        await meters.take(here.epoch, [attempt.record(0)], PROVIDERS, "ann", NOW_MS)
        before = await here.store.read(earned)
        other = attempt.record(0, wall_ms=9_999)
        taken = await meters.take(here.epoch, [other, other], PROVIDERS, "bob", NOW_MS)
        after = await here.store.read(earned)
        return (
            taken,
            before,
            after,
            await meters.items(ItemFilter()),
            await meters.uses(attempt.key),
        )

    taken, before, after, items, uses = desk(scene)
    assert (taken.contradicting, taken.billed, before) == (2, 0, after)
    assert before > 0
    (item,) = items
    assert (item.finding.what, item.account, item.job) == ("contradiction", "default", 1)
    assert item.finding.theirs.startswith("9.999 s")
    assert [(use.wall_ms, outcome) for use, outcome in uses] == [(5_000, "billed")]


def test_what_the_hub_took_away_itself_is_not_billed(desk):
    async def scene(here):
        meters = SqliteMetering(here.store, 480)
        attempt = await Attempt.start(here, [5_000])
        waiting = await meters.take(here.epoch, [attempt.record(0)], PROVIDERS, "ann", NOW_MS)
        await attempt.settle([], NOW_MS, Reason.PREEMPTED)
        settled = await meters.take(here.epoch, [], PROVIDERS, "ann", NOW_MS)
        return waiting, settled, await meters.uses(attempt.key), await here.store.read(earned)

    waiting, settled, ((_, outcome),), owed = desk(scene)
    assert (waiting.new, waiting.billed, settled.billed) == (1, 0, 0)
    assert (outcome, owed) == ("unbilled", 0)


def test_records_of_nothing_of_ours_are_kept_and_told(desk):
    async def scene(here):
        meters = SqliteMetering(here.store, 480)
        attempt = await Attempt.start(here, [5_000])
        strange = [
            UseRecord("other-a1-1", 0, NOW_MS, 1), UseRecord(attempt.key, 7, NOW_MS, 1),
            UseRecord(f"{attempt.key[:-1]}2", 0, NOW_MS, 1), UseRecord("nonsense", 0, NOW_MS, 1),
        ]  # fmt: skip
        taken = await meters.take(here.epoch, strange, PROVIDERS, "ann", NOW_MS)
        return taken, await meters.items(ItemFilter()), await here.store.read(earned)

    taken, items, owed = desk(scene)
    assert (taken.foreign, taken.new, owed) == (4, 0, 0)
    assert {item.finding.what for item in items} == {"missing_at_hub"}
    assert len(items) == 4


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE use_record SET wall_ms = 1, digest = X'00'", "DELETE FROM use_record",
        "UPDATE metering_item SET site = 'x'", "DELETE FROM metering_step",
    ],
)  # fmt: skip
def test_the_database_refuses_to_change_what_was_recorded(desk, change):
    async def scene(here):
        meters = SqliteMetering(here.store, 480)
        strange = UseRecord("other-a1-1", 0, NOW_MS, 1)
        await meters.take(here.epoch, [strange], PROVIDERS, "ann", NOW_MS)
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            await asyncio.to_thread(here.sql, change)

    desk(scene)
