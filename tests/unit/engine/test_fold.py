"""News into a change: whatever the order, the same states, slots and money."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fenglin.ledger.entry import Kind, check_draft
from fenglin.model.allocation import Share, TaskEnd
from fenglin.model.job import Dependency, Retries
from fenglin.model.reason import Reason
from fenglin.model.states import AttemptState, JobState
from fenglin.ports.driver import Observation, Presence
from fenglin.quantities.resources import Resources
from fenglin.quantities.taskset import TaskSet

TASKS = 6
ENDS = st.lists(
    st.tuples(
        st.integers(0, 5_000),
        st.sampled_from([None, None, Reason.EXIT_CODE, Reason.RUNNER_LOST, Reason.CANCELLED]),
    ),
    min_size=TASKS,
    max_size=TASKS,
)


def end(index, wall_ms=100, reason=None):
    return TaskEnd(index, 1_000, wall_ms, 1 if reason else 0, reason, 7, 9)


def seen(number, ends=(), *, cursor="", presence=Presence.RUNNING, reason=None):
    key = f"hub-a{number}-1"
    return Observation(key, presence, tuple(ends), len(ends), 1_000, cursor, reason)


def observed(number, *args, **more):
    return lambda fold: fold.observed(seen(number, *args, **more), number)


def check(pool, job, changes):
    """Assert what must hold after every commit."""
    record = pool.jobs.get(job)
    live = list(pool.live(job))
    if record is not None:
        parts = [record.pending, record.succeeded, record.failed, record.cancelled]
        parts += [allocation.remaining for allocation in live]
        assert sum(map(len, parts)) == record.spec.tasks
        assert set().union(*parts) == set(range(record.spec.tasks))
    for change in changes:
        for draft in change.postings:
            check_draft(draft)


def outcome(world, ends, reads, retries):
    """Play two allocations' journals in the given reads; return all that counts in the end.

    Args:
        world: Builders.
        ends: (runtime, reason) of each task.
        reads: Per read: which allocation, from which entry of its journal, how many.
        retries: Of the job.
    """
    job = world.job(tasks=TASKS, retries=Retries(retries))
    split = {1: range(4), 2: range(4, TASKS)}
    pool = world.pool(
        [job],
        [world.allocation(1, 1, "0-3", slots=3), world.allocation(2, 1, "4-5", slots=2)],
    )
    journals = {n: [end(i, *ends[i]) for i in split[n]] for n in split}
    finals = [(n, 0, len(journals[n])) for n in split]
    changes, ended = [], {}
    for number, start, count in [*reads, *finals]:
        piece = journals[number][start : start + count]
        last = (number, start, count) in finals
        presence = Presence.ENDED if last else Presence.RUNNING
        change = world.fold(
            pool, observed(number, piece, cursor=str(start + len(piece)), presence=presence)
        )
        changes.append(change)
        check(pool, 1, changes)
        for record in change.jobs:
            ended[record.number] = record
    released = {}
    for change in changes:
        for site, node, amounts in change.released:
            place = (site, node)
            released[place] = released.get(place, Resources()) + amounts
    usage = {key: record.usage for change in changes for key, record in change.usage}
    postings = sorted((d for c in changes for d in c.postings), key=lambda draft: draft.key)
    final = ended[1]
    states = (final.pending, final.succeeded, final.failed, final.cancelled, final.state)
    return states, released, usage, postings, final.tries, final.cost_micro


READS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 4), st.integers(0, 4)).filter(
        lambda read: read not in ((1, 0, 4), (2, 0, 2))
    ),
    max_size=8,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ENDS, READS, st.integers(0, 2))
def test_any_order_repetition_and_split_of_news_comes_to_the_same(world, ends, reads, retries):
    found = outcome(world, ends, reads, retries)
    assert found == outcome(world, ends, [], retries)
    # Each slot came back exactly once (A2), and each hold was resolved exactly once (L7).
    assert found[1] == {("site", "n0"): Resources(1_000, 2**28).times(5)}
    assert len(found[3]) == len(found[2]) == 2
    assert all(draft.kind in (Kind.POST, Kind.VOID) for draft in found[3])


def test_what_is_billed_is_what_was_posted(world):
    job = world.job(tasks=2)
    pool = world.pool([job], [world.allocation(1, 1, "0-1", slots=2)])
    change = world.fold(pool, observed(1, [end(0, 3_600), end(1, 1)], presence=Presence.ENDED))
    # One core for 3.600 s and for 10 ms, the least that is billed, at 3.6 CNY the hour.
    assert change.allocations[0].usage.billed_ms == 3_610
    assert change.allocations[0].cost_micro == change.jobs[0].cost_micro == 3_610
    (draft,) = change.postings
    legs = {leg.account: leg.amount_micro for leg in draft.legs}
    assert legs == {
        "tenant:default:held": -1_000_000,
        "tenant:default:available": 996_390,
        "provider:provider-site:due": 3_610,
    }


def test_nothing_used_gives_the_hold_back(world):
    pool = world.pool([world.job(tasks=2)], [world.allocation(1, 1, "0-1")])
    change = world.fold(pool, observed(1, presence=Presence.ENDED, reason=Reason.RUNNER_LOST))
    assert [draft.kind for draft in change.postings] == [Kind.VOID]
    assert change.jobs[0].pending == TaskSet.span(0, 2)
    assert pool.jobs[1].state is JobState.PENDING


def test_slots_without_tasks_come_back_early(world):
    record = world.allocation(1, 1, "0-3")
    record = replace(record, shares=(Share("n0", 2), Share("n1", 2)))
    pool = world.pool([world.job(tasks=4)], [record])
    change = world.fold(pool, observed(1, [end(0)], cursor="1"))
    assert change.released == [("site", "n1", record.resources)]
    change = world.fold(pool, observed(1, [end(1), end(2)], cursor="3"))
    assert change.released == [
        ("site", "n1", record.resources),
        ("site", "n0", record.resources),
    ]
    change = world.fold(pool, observed(1, [end(3)], cursor="4", presence=Presence.ENDED))
    assert change.released == [("site", "n0", record.resources)]
    assert pool.jobs == pool.allocations == {}


def test_cards_come_back_only_with_their_allocation(world):
    """Which card the last task sits on is the site's to know."""
    record = world.allocation(1, 1, "0-1")
    record = replace(record, shares=(Share("n0", 1, (0,)), Share("n1", 1, (3,))))
    pool = world.pool([world.job(tasks=2)], [record])
    assert world.fold(pool, observed(1, [end(0)], cursor="1")).released == []
    change = world.fold(pool, observed(1, [end(1)], cursor="2", presence=Presence.ENDED))
    assert [node for _, node, _ in change.released] == ["n0", "n1"]


def test_a_cancel_takes_what_waits_at_once_and_what_runs_when_it_has_ended(world):
    pool = world.pool([world.job(tasks=4)], [world.allocation(1, 1, "0-1", slots=2)])
    change = world.fold(pool, lambda fold: fold.cancel(1, "ann"))
    assert (pool.jobs[1].state, pool.jobs[1].pending) == (JobState.CANCELLING, TaskSet())
    assert pool.allocations[1].state is AttemptState.STOPPING
    assert [(e.kind, e.actor) for e in change.events] == [("cancel_asked", "ann")]
    assert not world.fold(pool, lambda fold: fold.cancel(1, "ann")).events
    change = world.fold(
        pool, observed(1, [end(0), end(1, 5, Reason.CANCELLED)], presence=Presence.ENDED)
    )
    (job,) = change.jobs
    assert (job.state, job.reason) == (JobState.CANCELLED, Reason.CANCELLED)
    assert (job.succeeded, job.cancelled) == (TaskSet.of([0]), TaskSet.of([1, 2, 3]))


@pytest.mark.parametrize("together", [True, False])
def test_a_cancel_between_two_tries_ends_the_job(world, together):
    pool = world.pool(
        [world.job(tasks=2, retries=Retries(3))], [world.allocation(1, 1, "0-1", slots=2)]
    )
    lost = observed(1, [end(0), end(1, 5, Reason.EXIT_CODE)], presence=Presence.ENDED)

    def cancel(fold):
        fold.cancel(1, "ann")

    steps = [[lost, cancel]] if together else [[lost], [cancel]]
    for step in steps:
        change = world.fold(pool, *step)
    assert change.jobs[0].state is JobState.CANCELLED
    assert pool.jobs == {}


def test_a_parent_takes_its_childrens_last_tasks_with_it(world):
    parent = world.job(1, tasks=2)
    need = (Dependency("j1", per_task=True),)
    child = world.job(2, tasks=2, after=need)
    grandchild = world.job(3, after=(Dependency("j2"),))
    pool = world.pool(
        [parent, child, grandchild],
        [world.allocation(1, 1, "1"), world.allocation(2, 2, "0")],
    )
    pool.jobs[1] = replace(pool.jobs[1], succeeded=TaskSet.of([0]), pending=TaskSet())
    # The child's first task has run well; its second can never start once the parent's fails.
    world.fold(pool, observed(2, [end(0)], presence=Presence.ENDED))
    change = world.fold(pool, observed(1, [end(1, 5, Reason.EXIT_CODE)], presence=Presence.ENDED))
    assert [(job.number, job.state) for job in change.jobs] == [
        (1, JobState.FAILED),
        (2, JobState.CANCELLED),
        (3, JobState.CANCELLED),
    ]
    assert change.jobs[2].reason is Reason.DEPENDENCY_FAILED
    assert pool.jobs == {}
    assert pool.children == pool.ended_parents == {}


def test_a_child_that_comes_after_its_parents_end_is_judged(world):
    parent = replace(world.job(1), state=JobState.FAILED, pending=TaskSet(), failed=TaskSet.of([0]))
    child = world.job(2, after=(Dependency("j1"),))
    pool = world.pool([child], parents=[parent])
    change = world.fold(pool, lambda fold: fold.added([child]))
    assert change.jobs[0].state is JobState.CANCELLED


def test_a_site_that_cannot_tell_moves_no_cursor(world):
    pool = world.pool([world.job(tasks=2)], [world.allocation(1, 1, "0-1", cursor="40")])
    world.fold(pool, observed(1, presence=Presence.UNKNOWN))
    assert pool.allocations[1].cursor == "40"


def test_figures_that_cannot_be_are_cut(world):
    pool = world.pool([world.job(tasks=2)], [world.allocation(1, 1, "0-1")])
    wild = [
        TaskEnd(0, 0, -(10**20), 10**30, None, -5, -5),
        TaskEnd(1, 0, 10**30, 0, None, 10**30, 10**30),
    ]
    change = world.fold(pool, observed(1, wild))
    usage = change.allocations[0].usage
    assert all(0 <= value < 2**62 for value in (usage.wall_ms, usage.cpu_ms, usage.billed_ms))
    assert usage.peak_memory_bytes == 2**60


def test_ends_of_tasks_that_are_not_its_own_are_ignored(world):
    pool = world.pool([world.job(tasks=4)], [world.allocation(1, 1, "0-1")])
    change = world.fold(pool, observed(1, [end(2), end(99), end(-1)]))
    assert change.allocations[0].usage.tasks == 0
    assert not world.fold(pool, observed(7, [end(0)]))  # an allocation that has ended


def test_answers_of_a_start_move_only_what_waits_for_them(world):
    pool = world.pool([world.job()], [world.allocation(1, 1, "0")])
    moves = [
        (lambda fold: fold.not_there(1), AttemptState.INTENT),
        (lambda fold: fold.start_unclear(1), AttemptState.UNKNOWN),
        (lambda fold: fold.not_there(1), AttemptState.INTENT),
        (lambda fold: fold.start_unclear(1), AttemptState.UNKNOWN),
        (lambda fold: fold.start_answered(1), AttemptState.RUNNING),
        (lambda fold: fold.start_unclear(1), AttemptState.RUNNING),
        (lambda fold: fold.not_there(1), AttemptState.RUNNING),
        (lambda fold: fold.cancel(1, ""), AttemptState.STOPPING),
        (lambda fold: fold.start_answered(1), AttemptState.STOPPING),
        (observed(1), AttemptState.STOPPING),
        (lambda fold: fold.start_unclear(1), AttemptState.STOPPING),
    ]
    for step, state in moves:
        world.fold(pool, step)
        assert pool.allocations[1].state is state


def test_a_refused_start_lets_its_tasks_wait_again(world):
    pool = world.pool([world.job(tasks=2)], [world.allocation(1, 1, "0-1", slots=2)])
    change = world.fold(pool, lambda fold: fold.attempt_lost(1, Reason.START_FAILED, "no route"))
    assert pool.jobs[1].pending == TaskSet.span(0, 2)
    assert [draft.kind for draft in change.postings] == [Kind.VOID]
    assert "no route" in change.events[0].text


def test_inputs_that_never_come_fail_the_job_in_the_end(world):
    pool = world.pool([world.job(tasks=3)])
    for number in range(1, 9):
        if 1 not in pool.jobs:
            break
        job = pool.jobs[1]
        pool.jobs[1] = replace(job, pending=TaskSet(), state=JobState.RUNNING)
        pool.adopt_allocation(world.allocation(number, 1, "0-2"))
        change = world.fold(
            pool, lambda fold, n=number: fold.attempt_lost(n, Reason.STAGING_FAILED, "gone")
        )
    assert change.jobs[0].state is JobState.FAILED
    assert (change.jobs[0].reason, change.jobs[0].detail) == (Reason.STAGING_FAILED, "gone")
