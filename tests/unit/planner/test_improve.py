"""Improvement: more of the pool is filled, nobody is wronged, and never is a plan worse."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from fenglin.fairness.share import dominant_share
from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.policy import BALANCED, Backfill
from fenglin.planner.repack import OUT, Item, repack
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

OFF = structs.replace(BALANCED, improve_steps=0, backfill=Backfill.NONE)
ON = structs.replace(BALANCED, improve_steps=2_000, backfill=Backfill.NONE)
EASY = structs.replace(ON, backfill=Backfill.EASY)


def by_job(result):
    return {start.job: [share.node for share in start.shares] for start in result.starts}


def test_a_start_is_shifted_for_one_that_waits(pool):
    """First fit puts 2 and 2 on the first node; 3 then fits nowhere, though it could."""
    text = """
        site s general 2×4,99 1 0
        job 1 1×2,1 submitted=1
        job 2 1×1,1 submitted=2
        job 3 1×2,1 submitted=3
        job 4 1×3,1 submitted=4
    """
    assert sorted(by_job(plan(pool(text), OFF))) == [1, 2, 3]
    for policy in (ON, EASY):
        result = plan(pool(text), policy)
        assert sorted(by_job(result)) == [1, 2, 3, 4]
        assert result.filled_slots == 4
        assert result.reasons == (None,) * 4
        assert result.reservations == ()


def test_a_smaller_one_gives_way_but_never_the_first(pool):
    text = "site s general 1×4,99 1 0\njob 1 1×1,1 submitted=1\n"
    swap = text + "job 2 1×1,1 submitted=2\njob 3 1×3,1 submitted=3"
    assert sorted(by_job(plan(pool(swap), OFF))) == [1, 2]
    assert sorted(by_job(plan(pool(swap), ON))) == [1, 3]
    first = text + "job 2 1×4,1 submitted=2"
    assert sorted(by_job(plan(pool(first), ON))) == [1]


@pytest.mark.parametrize("other", ["queue=other", "priority=1"])
def test_other_queues_and_higher_priorities_do_not_give_way(pool, other):
    text = f"""
        site s general 1×4,99 1 0
        job 1 1×1,1 submitted=1 {other}
        job 2 1×1,1 submitted=2 {other}
        job 3 1×3,1 submitted=3
    """
    assert sorted(by_job(plan(pool(text), structs.replace(ON, fair=False)))) == [1, 2]


def test_what_is_lower_gives_way_to_what_could_not_be_placed(pool):
    """The levels below fill the fragments that a higher job could not use."""
    text = """
        site s general 2×4,99 1 0
        job 1 1×2,1 submitted=1 priority=1
        job 2 1×1,1 submitted=2 priority=1
        job 3 1×3,1 submitted=3 priority=1
        job 4 1×3,1 submitted=4 priority=1
        job 5 2×1,1 submitted=5
    """
    result = plan(pool(text), ON)
    assert {1, 2, 3} <= set(by_job(result))
    off = plan(pool(text), OFF)
    value = {job: len(nodes) for job, nodes in by_job(result).items()}
    assert sum(value.values()) >= len(by_job(off))


def test_quota_money_and_limits_hold(pool):
    base = "site s general 2×4,99 1 1\nqueue a quota=6,99\nmoney poor 0.03\n"
    jobs = """
        job 1 1×2,1 submitted=1 queue=a
        job 2 1×1,1 submitted=2 queue=a
        job 3 1×2,1 submitted=3 queue=a
        job 4 1×3,1 submitted=4 queue=a {more}
    """
    assert 4 in by_job(plan(pool(base + jobs.format(more="").replace("queue=a", "")), ON))
    assert 4 not in by_job(plan(pool(base + jobs.format(more="")), ON)), "8 cores of 6"
    free = jobs.replace("queue=a", "")
    assert 4 not in by_job(plan(pool(base + free.format(more="account=poor estimate=900")), ON))


def test_gangs_and_licensed_tasks_stay(pool):
    text = """
        site s general 2×4,99 1 0 licences=lic:9
        job 1 1×1,1 nodes=2 submitted=1
        job 2 1×1,1 licences=lic:1 submitted=2
        job 3 1×3,1 submitted=3
        job 4 1×3,1 submitted=4
    """
    off, on = plan(pool(text), OFF), plan(pool(text), ON)
    assert by_job(on)[1] == by_job(off)[1]
    assert by_job(on)[2] == by_job(off)[2]


def test_cards_follow_their_task(pool):
    """Shifted tasks take cards of their own; no card is given twice."""
    text = """
        site s ai 2×8,99,2 1 0 accelerator=A100-80
        job 1 1×1,1,1 submitted=1
        job 2 1×5,1,0 submitted=2
        job 3 1×5,1,1 submitted=3
        job 4 1×3,1,1 submitted=4
        job 5 1×2,1,1 submitted=5
    """
    result = plan(pool(text), ON)
    seen = [
        (share.node, card) for start in result.starts for share in start.shares
        for card in share.cards
    ]  # fmt: skip
    assert len(seen) == len(set(seen)) == sum(start.job != 2 for start in result.starts)


def test_no_steps_no_change_and_receipts_agree(pool):
    text = "site s general 2×4,99 1 0\njob 1 1×2,1\njob 2 1×1,1\njob 3 1×2,1\njob 4 1×3,1"
    snapshot = pool(text)
    assert plan(snapshot, OFF) == plan(snapshot, structs.replace(OFF, improve_steps=-1))
    result = plan(snapshot, ON)
    assert plan(snapshot, ON) == result
    for job in (1, 2, 3, 4):
        receipt = explain(snapshot, ON, result, job)
        assert (receipt.started, receipt.waiting, receipt.reason) == (1, 0, None)


def worth(snapshot, result):
    """Return what the plan fills: the sum of dominant shares."""
    total = snapshot.node_capacity.sum(axis=0).tolist()
    needs = [dominant_share(shape.resources.values(), total, 1_000) for shape in snapshot.shapes]
    rows = np.searchsorted(snapshot.job_number, [start.job for start in result.starts])
    return sum(
        needs[snapshot.job_shape[row]] * share.slots
        for row, start in zip(rows.tolist(), result.starts, strict=True)
        for share in start.shares
    )


def check(snapshot, result):
    """Assert that nothing is over-allocated and no job starts more than it has."""
    free = snapshot.node_free.copy()
    name_row = {name: row for row, name in enumerate(snapshot.node_names)}
    started = dict.fromkeys(snapshot.job_number.tolist(), 0)
    for start in result.starts:
        row = int(np.searchsorted(snapshot.job_number, start.job))
        need = snapshot.shapes[snapshot.job_shape[row]].resources.values()
        for share in start.shares:
            free[name_row[share.node]] -= np.array(need) * share.slots
        started[start.job] += start.tasks
        nodes = snapshot.shapes[snapshot.job_shape[row]].nodes
        assert start.tasks * nodes >= sum(share.slots for share in start.shares) > 0
    assert (free >= 0).all()
    pending = dict(zip(snapshot.job_number.tolist(), snapshot.job_pending.tolist(), strict=True))
    assert all(count <= pending[job] for job, count in started.items())


@st.composite
def worlds(draw):
    amount = st.integers(1, 6).map(lambda n: n * 500)
    flavors = (
        Flavor("a", ComputeClass.GENERAL, Resources(4_000, 8)),
        Flavor("b", ComputeClass.AI, Resources(4_000, 6, 0, 2_000), accelerator="A100-80"),
    )
    nodes = [Node(f"n{i}", draw(st.sampled_from("ab"))) for i in range(draw(st.integers(1, 5)))]
    jobs = [
        JobRow(
            number=number,
            shape=Shape(
                Resources(draw(amount), draw(st.integers(1, 6)), 0,
                          draw(st.sampled_from([0, 0, 0, 500, 1_000, 2_000]))),
                nodes=draw(st.sampled_from([1, 1, 1, 1, 2])),
            ),
            pending=draw(st.sampled_from([1, 1, 2, 5])),
            queue=draw(st.sampled_from("aab")),
            priority=draw(st.sampled_from([0, 0, 1])),
            submitted_ms=number,
            estimate_ms=draw(st.sampled_from([60_000, 60_000, 30_000, 120_000])),
        )
        for number in range(1, draw(st.integers(2, 12)))
    ]  # fmt: skip
    quota = draw(st.sampled_from([None, None, Resources(6_000, 10, 0, 2_000)]))
    return build(
        index=1,
        now_ms=10**9,
        sites=[Site("s", "p", "mock", flavors=flavors, nodes=tuple(nodes))],
        queues=[Queue("a", quota=quota)],
        accounts={"default": 10**15},
        jobs=jobs,
    )


@pytest.mark.slow
@given(worlds(), st.sampled_from([10, 60, 2_000]), st.sampled_from([Backfill.NONE, Backfill.EASY]))
@settings(max_examples=150, deadline=None)
def test_never_worse_and_always_lawful(snapshot, steps, backfill):
    """By priority: what is higher is filled no less; at the top it is never worse at all."""
    off = structs.replace(OFF, backfill=backfill)
    before, after = plan(snapshot, off), plan(snapshot, structs.replace(off, improve_steps=steps))
    check(snapshot, after)
    top = int(snapshot.job_priority.max())
    ours = [worth(snapshot, only(snapshot, result, top)) for result in (before, after)]
    assert ours[1] >= ours[0] - 1e-9
    if len(set(snapshot.job_priority.tolist())) == 1:
        heads = {int(n) for q in np.unique(snapshot.job_queue)
                 for n in snapshot.job_number[snapshot.job_queue == q][:1]}  # fmt: skip
        kept = {start.job for start in after.starts}
        assert {start.job for start in before.starts} & heads <= kept


def still_there(snapshot, result, booking):
    """Assert that each booked node has the room when the booking begins."""
    row = int(np.searchsorted(snapshot.job_number, booking.job))
    need = np.array(snapshot.shapes[snapshot.job_shape[row]].resources.values())
    for booked in booking.shares:
        left = snapshot.node_free[snapshot.node_names.index(booked.node)] - need
        for start in result.starts:
            if start.finish_ms > booking.start_ms:
                other = int(np.searchsorted(snapshot.job_number, start.job))
                each = snapshot.shapes[snapshot.job_shape[other]].resources.values()
                slots = sum(share.slots for share in start.shares if share.node == booked.node)
                left = left - np.array(each) * slots
        assert (left >= 0).all()


@pytest.mark.slow
@given(worlds(), st.sampled_from([60, 2_000]))
@settings(max_examples=150, deadline=None)
def test_reservations_stand_or_their_jobs_start(snapshot, steps):
    """Improving delays no reservation: it stays as it was, or is given up for the job's start."""
    off = structs.replace(OFF, backfill=Backfill.EASY, preempt=False)
    before, after = plan(snapshot, off), plan(snapshot, structs.replace(off, improve_steps=steps))
    started = {start.job for start in after.starts}
    for booking in before.reservations:
        assert (booking in after.reservations) != (booking.job in started)
    assert set(after.reservations) <= set(before.reservations)
    for booking in after.reservations:
        still_there(snapshot, after, booking)


BESIDE = """
    site s general 2×4,99 1 0
    job 1 1×2,1 submitted=1 estimate=60
    job 2 1×1,1 submitted=2 estimate=60
    job 3 1×3,1 submitted=3 estimate=60
    job 4 1×4,1 nodes=2 submitted=4 estimate=60
    job 5 1×2,1 submitted=5 estimate={}
"""


@pytest.mark.parametrize(("estimate", "starts"), [(60, True), (61, False)])
def test_a_booked_node_is_packed_for_who_ends_in_time(pool, estimate, starts):
    """Job 2 moves to the other node; job 5 then fits where it was until gang 4 begins on both."""
    snapshot = pool(BESIDE.format(estimate))
    off, on = structs.replace(EASY, improve_steps=0), EASY
    assert sorted(by_job(plan(snapshot, off))) == [1, 2, 3]
    result = plan(snapshot, on)
    assert sorted(by_job(result)) == [1, 2, 3] + [5] * starts
    assert result.reservations == plan(snapshot, off).reservations
    assert [booking.job for booking in result.reservations] == [4]


# Tasks of job 7 wait until others are packed together. Its account can pay for site s alone, so
# that they are tried one by one, and the second finds no better packing within its steps.
CROWDED = """
    site s general 4×3.5,4 0.3 0
    site t general 1×0.5,1 0.3 0.1 down=n0
    money poor 0
    live 1 s/n0 1×0.5,1 0 queue=a
    live 1 s/n1 1×0.5,1 0 queue=a
    live 1 s/n2 1×0.5,1 0 queue=a
    job 2 2×1.5,0 queue=a
    job 4 4×1.5,1 queue=b
    job 7 6×0.5,1 queue=a account=poor
"""


@pytest.mark.parametrize(("steps", "tasks"), [(0, 4), (40, 6), (100, 6), (400, 6)])
def test_what_shifting_opened_is_used(pool, steps, tasks):
    result = plan(pool(CROWDED), structs.replace(BALANCED, improve_steps=steps))
    assert {start.job: start.tasks for start in result.starts} == {2: 2, 4: 4, 7: tasks}


def only(snapshot, result, priority):
    rows = np.searchsorted(snapshot.job_number, [start.job for start in result.starts])
    starts = tuple(
        start
        for row, start in zip(rows.tolist(), result.starts, strict=True)
        if snapshot.job_priority[row] == priority
    )
    return structs.replace(result, starts=starts)


small = st.integers(0, 4)


@given(
    st.lists(st.tuples(small, small), min_size=1, max_size=3),
    st.lists(st.tuples(st.tuples(small, small), st.integers(1, 9), st.booleans()), max_size=5),
)
@settings(max_examples=150, deadline=None)
@example([(1, 2), (1, 2)], [((0, 2), 1, False), ((1, 1), 2, False)])
def test_the_search_is_exact_with_enough_steps(bins, things):
    # What a thing needs differs from bin to bin.
    items = [
        Item(
            tuple(need[:: 1 - 2 * (at % 2)] for at in range(len(bins))),
            (float(value),) * len(bins),
            must,
        )
        for need, value, must in things
    ]

    def value_of(answer):
        left = [list(b) for b in bins]
        for item, place in zip(items, answer, strict=True):
            if place == OUT:
                if item.must:
                    return None
                continue
            left[place] = [f - n for f, n in zip(left[place], item.needs[place], strict=True)]
        if any(amount < 0 for b in left for amount in b):
            return None
        return sum(i.values[p] for i, p in zip(items, answer, strict=True) if p != OUT)

    answers = product([OUT, *range(len(bins))], repeat=len(items))
    best = max((v for a in answers if (v := value_of(a)) is not None), default=-1.0)
    packed = repack(items, bins, -0.5, 10**6)
    if best < 0:
        assert set(packed.bins) <= {OUT}
        assert packed.value == -0.5
    else:
        assert packed.value == pytest.approx(best)
        assert value_of(packed.bins) == pytest.approx(best)
    short = repack(items, bins, -0.5, 3)
    assert short.steps <= 3
    assert short.value <= packed.value
