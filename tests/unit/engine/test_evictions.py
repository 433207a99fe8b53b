"""Evictions: committed before the site is asked, asked again after a restart, paid by nobody."""

import asyncio
from contextlib import suppress

import msgspec
import pytest

from fenglin.engine import applier, recovery
from fenglin.engine import loop as room
from fenglin.engine.fold import Fold
from fenglin.engine.loop import Loop
from fenglin.engine.meters import Meters
from fenglin.engine.news import JobsAdded, Observed
from fenglin.ledger.entry import Kind
from fenglin.model.allocation import TaskEnd
from fenglin.model.plan import Eviction
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED
from fenglin.ports.driver import STOP_GRACE_MS, Observation, Presence
from fenglin.testing.builders import a_site

NOW_MS = 100_000


def full_pool(world, now_ms=NOW_MS):
    """Return a pool whose one node is held by job 1, which may be interrupted, and job 2."""
    running = world.job(1, tasks=4, preemptible=True)
    waiting = world.job(2, priority=5, estimate_ms=600_000)
    live = world.allocation(7, 1, "0-3", slots=4, started_ms=now_ms - 10_000)
    live.state = AttemptState.RUNNING
    live.finish_ms = now_ms + 800_000
    return world.pool([running, waiting], [live], sites=(a_site(cpu=4),))


def planned(pool, now_ms=NOW_MS):
    snapshot = pool.snapshot(now_ms)
    made = plan(snapshot, BALANCED)
    return made, applier.commitments(pool, snapshot, BALANCED, made, now_ms)


def seen(ends=(), presence=Presence.RUNNING, reason=None):
    return Observation("hub-a7-1", presence, tuple(ends), 4, 90_000, "c", reason)


def interrupted(index):
    return TaskEnd(index, 90_000, 10_000, 143, Reason.CANCELLED, 5, 5)


def test_an_eviction_is_a_wish_with_its_reason(world):
    pool = full_pool(world)
    made, change = planned(pool)
    assert [one.allocation for one in made.evictions] == [7]
    assert change.starts == []
    [record] = change.allocations
    assert (record.state, record.reason) == (AttemptState.STOPPING, Reason.PREEMPTED)
    assert pool.allocations[7].state is AttemptState.RUNNING, "believed only after the commit"
    told = {(event.job, event.kind): event.text for event in change.events}
    assert told == {
        (1, "preempted"): "a7 at site: preempted for j2, 4 tasks wait again",
        (2, "making_room"): "a7 at site is stopped to make room",
    }


def test_the_plan_after_it_waits(world):
    pool = full_pool(world)
    pool.adopt(planned(pool)[1])
    for later_ms in (1, STOP_GRACE_MS):
        made, change = planned(pool, NOW_MS + later_ms)
        assert not change
        assert made.reasons == (Reason.WAITS_FOR_EVICTION,)
    share = pool.snapshot(NOW_MS + 5)
    assert share.share_stopping.tolist() == [True]
    assert share.share_end_ms.tolist() == [NOW_MS + 1 + STOP_GRACE_MS], "from the first look"


@pytest.mark.parametrize("why", ["ended", "stopping", "cancelled", "served", "not_preemptible"])
def test_what_no_longer_holds_is_left_out(world, why):
    pool = full_pool(world)
    snapshot = pool.snapshot(NOW_MS)
    made = plan(snapshot, BALANCED)
    if why == "ended":
        world.fold(pool, lambda fold: fold.attempt_lost(7, Reason.SITE_LOST, "gone"))
    elif why == "stopping":
        pool.allocations[7].state = AttemptState.STOPPING
    elif why == "cancelled":
        world.fold(pool, lambda fold: fold.cancel(2, "me"))
    elif why == "served":
        pool.jobs[2].pending -= pool.jobs[2].pending
    else:
        made = msgspec.structs.replace(
            made, evictions=(Eviction(allocation=7, job=1, for_job=2, site="site"),)
        )
        pool.jobs[1].spec = msgspec.structs.replace(pool.jobs[1].spec, preemptible=False)
    change = applier.commitments(pool, snapshot, BALANCED, made, NOW_MS)
    assert change.allocations == []
    assert not [event for event in change.events if event.kind == "preempted"]


def test_interrupted_tasks_wait_again_and_cost_nothing(world):
    pool = full_pool(world)
    pool.adopt(planned(pool)[1])
    done = TaskEnd(0, 90_000, 9_000)
    failed = TaskEnd(1, 90_000, 9_000, 3, Reason.EXIT_CODE)
    ends = [done, failed, interrupted(2)]
    world.fold(pool, lambda fold: fold.observed(seen(ends), 7))
    assert str(pool.jobs[1].pending) == ""
    assert pool.allocations[7].remaining, "its room is not free before it has ended"
    change = world.fold(pool, lambda fold: fold.observed(seen((), Presence.ENDED), 7))
    job = pool.jobs[1]
    assert str(job.pending) == "2-3"
    assert job.tries == {1: 1}, "the failure of its own counts, the interruption does not"
    assert (job.reason, job.state) == (Reason.PREEMPTED, JobState.RUNNING)
    [(_, record)] = change.usage
    assert record.reason is Reason.PREEMPTED
    assert (record.usage.tasks, record.usage.wall_ms) == (2, 18_000)
    assert [draft.kind for draft in change.postings] == [Kind.POST]


def test_who_did_nothing_but_be_interrupted_pays_nothing(world):
    pool = full_pool(world)
    pool.adopt(planned(pool)[1])
    ends = [interrupted(index) for index in range(4)]
    change = world.fold(
        pool, lambda fold: fold.observed(seen(ends, Presence.ENDED, Reason.CANCELLED), 7)
    )
    assert [draft.kind for draft in change.postings] == [Kind.VOID]
    assert pool.jobs[1].state is JobState.PENDING
    made, change = planned(pool, NOW_MS + 10)
    assert made.starts[0].job == 2, "the room is the other's"
    assert made.evictions == ()
    pool.adopt(change)
    assert pool.jobs[1].tries == {}


def test_a_cancel_meanwhile_makes_it_the_users_own_end(world):
    pool = full_pool(world)
    pool.adopt(planned(pool)[1])
    world.fold(pool, lambda fold: fold.cancel(1, "me"))
    ends = [interrupted(index) for index in range(4)]
    change = world.fold(
        pool, lambda fold: fold.observed(seen(ends, Presence.ENDED, Reason.CANCELLED), 7)
    )
    [job] = [job for job in change.jobs if job.number == 1]
    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.CANCELLED)
    [(_, record)] = change.usage
    assert record.usage.tasks == 4
    assert 1 not in pool.jobs


def test_a_restarted_hub_asks_again(world, store, effects, clock):
    pool = full_pool(world)
    pool.adopt(planned(pool)[1])

    recovery.resume(pool, Loop(pool, store, BALANCED, clock, Meters()), effects)
    assert effects.calls == [("stop", 7)]


def test_the_loop_commits_before_it_asks(world, store, effects, clock, monkeypatch):
    """And starts the other as soon as the room is there."""
    monkeypatch.setattr(room, "REST_PER_WORK", 0.0)
    pool = full_pool(world, clock.now_ms())
    committed_when_asked = []
    stop = effects.stop
    monkeypatch.setattr(
        effects,
        "stop",
        lambda record: (committed_when_asked.append(len(store.changes)), stop(record)),
    )

    async def scene():
        loop = Loop(pool, store, BALANCED, clock, Meters())
        loop.connect(effects, lambda _changed, _ended: None)
        task = asyncio.create_task(loop.run())
        try:
            async with asyncio.timeout(10):
                loop.tell(JobsAdded([]))
                while ("stop", 7) not in effects.calls:  # noqa: ASYNC110 - what is waited for is no event
                    await asyncio.sleep(0.001)
                assert store.changes[0].allocations[0].state is AttemptState.STOPPING
                ends = seen([interrupted(i) for i in range(4)], Presence.ENDED, Reason.CANCELLED)
                loop.tell(Observed("site", [(7, ends)], asyncio.Event()))
                while effects.calls[-1][0] != "start":  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(scene())
    assert committed_when_asked == [1]
    assert next(call[2] for call in effects.calls if call[0] == "start") == 2


def test_folding_is_the_same_in_one_read_or_many(world):
    """What a site says twice, or in pieces, after an eviction comes to the same."""
    outcomes = []
    for pieces in ([0, 1, 2, 3], [[0, 1], [2, 3]], [[0, 1, 2, 3]]):
        pool = full_pool(world)
        pool.adopt(planned(pool)[1])
        for piece in pieces:
            ends = [interrupted(i) for i in (piece if isinstance(piece, list) else [piece])]
            for _ in range(2):
                fold = Fold(pool, NOW_MS)
                fold.observed(seen(ends), 7)
                pool.adopt(fold.finish())
        world.fold(pool, lambda fold: fold.observed(seen((), Presence.ENDED), 7))
        outcomes.append((str(pool.jobs[1].pending), pool.jobs[1].tries, pool.jobs[1].cost_micro))
    assert outcomes == [("0-3", {}, 0)] * 3
