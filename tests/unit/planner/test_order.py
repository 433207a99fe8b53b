"""Who goes first beside turns: deadlines at risk, the starving, past use."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import plan
from fenglin.planner.order import due_ms, levels, may_start, planning_order, starving
from fenglin.planner.policy import BALANCED, FCFS
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

NODE = "site s general 1×4,99 1 0\n"
GUARDED = structs.replace(BALANCED, guard_ms=60_000)


def lines(snapshot, policy=BALANCED):
    """Return per priority the job numbers of each line; `*` before those that starve."""
    return [
        [
            ("*" if line.starving else "")
            + " ".join(str(snapshot.job_number[row]) for row in line.jobs)
            for line in level
        ]
        for level in levels(snapshot, may_start(snapshot), policy)
    ]


def slots(result):
    counts = Counter()
    for start in result.starts:
        counts[start.job] += sum(share.slots for share in start.shares)
    return dict(counts)


def test_a_deadline_at_risk_goes_first_in_its_queue(pool):
    """Job 2 would wait 25 s for the 100 core-seconds before it, and needs 10 s of its 30 s."""
    text = (
        NODE + "job 1 10×1,1 estimate=10\njob 2 1,1 estimate=10 deadline={}\njob 3 1,1 estimate=9"
    )
    assert lines(pool(text.format(30))) == [["2 1 3"]]
    assert lines(pool(text.format(40))) == [["1 2 3"]]
    assert lines(pool(text.format(30)), FCFS) == [["1 2 3"]]


def test_of_several_at_risk_the_earliest_deadline_goes_first(pool):
    text = (
        NODE
        + """
        job 1 99×1,1 estimate=60
        job 2 1,1 estimate=10 deadline=60
        job 3 1,1 estimate=10 deadline=50
        job 4 1,1 estimate=10 deadline=50
    """
    )
    assert lines(pool(text)) == [["3 4 2 1"]]


def test_a_deadline_that_has_passed_asks_for_nothing(pool):
    text = NODE + "job 1 99×1,1 estimate=60\njob 2 1,1 estimate=10 deadline=-5"
    assert lines(pool(text)) == [["1 2"]]


def test_a_deadline_takes_no_other_queue_s_share(pool):
    """However urgent a queue's jobs are, the other queue gets its half."""
    text = "site s general 1×8,99 1 0\njob 1 99×1,1 queue=a estimate=60 deadline=61\n"
    result = plan(pool(text + "job 2 99×1,1 queue=b estimate=60"))
    assert slots(result) == {1: 4, 2: 4}


def test_a_higher_priority_goes_before_any_deadline(pool):
    text = NODE + "job 1 1,1 priority=1\njob 2 9×1,1 estimate=60 deadline=61"
    assert lines(pool(text)) == [["1"], ["2"]]


def test_what_is_served_before_it_counts_over_all_priorities(pool):
    text = NODE + "job 1 10×1,1 estimate=10 priority=1\njob 2 1,1 estimate=10\n"
    late = text + "job 3 1,1 estimate=10 deadline={}"
    assert lines(pool(late.format(35))) == [["1"], ["3 2"]]
    assert lines(pool(late.format(45))) == [["1"], ["2 3"]]


def test_a_small_share_of_the_pool_makes_a_deadline_urgent_earlier(pool):
    """With a sibling of thrice its weight, the same work takes the queue four times as long."""
    text = NODE + "queue b weight=3000\njob 1 4×1,1 queue=a estimate=10\n"
    mine = "job 2 1,1 queue=a estimate=10 deadline=45\n"
    other = "job 3 99×1,1 queue=b estimate=10"
    assert lines(pool(text + mine)) == [["1 2"]]
    assert lines(pool(text + mine + other)) == [["2 1", "3"]]


def test_who_starves_goes_before_all_of_its_priority(pool):
    text = (
        NODE
        + """
        job 1 9×1,1 queue=a submitted=90
        job 2 9×1,1 queue=b submitted=20
        job 3 9×1,1 queue=b submitted=10
        job 4 9×1,1 queue=b submitted=10 priority=1
    """
    )
    snapshot = pool(text)
    assert lines(snapshot, GUARDED) == [["*4", "4"], ["*3 2", "1", "3 2"]]
    assert lines(snapshot) == [["4"], ["1", "3 2"]]


def test_one_task_ends_starving_the_rest_takes_turns(pool):
    """Otherwise an array of a million tasks need but wait to take the whole pool."""
    text = "site s general 1×6,99 1 0\nlive 9 s/n0 2×1,1 60 queue=b\n"
    text += "job 1 99×1,1 queue=a submitted=90\njob 2 99×1,1 queue=b\n"
    assert slots(plan(pool(text))) == {1: 3, 2: 1}
    assert slots(plan(pool(text.replace("×6", "×3")))) == {1: 1}
    assert slots(plan(pool(text.replace("×6", "×3")), GUARDED)) == {2: 1}
    assert slots(plan(pool(text), GUARDED)) == {1: 3, 2: 1}


@pytest.mark.parametrize(
    "job",
    [
        "job 2 9×1,1 queue=b of=10",  # one of its tasks has run
        "live 2 s/n0 1×1,1 60 queue=b\njob 2 9×1,1 queue=b",  # one runs
        "job 2 9×1,1 queue=b submitted=50",  # it has not waited long enough
        "job 2 9×1,1 queue=b not_before=-30",  # it might not start earlier
    ],
)
def test_who_does_not_starve(pool, job):
    text = NODE + "job 1 1,1 queue=a submitted=90\n" + job
    assert lines(pool(text), GUARDED) == [["1", "2"]]


def test_a_starving_job_interrupts_once_for_each_task(pool):
    """It stands in two lines, but what it lacks is freed once."""
    text = NODE + "".join(
        f"live {at} s/n0 1×1,1 600 allocation={at} preemptible=1 ran=1\n" for at in range(10, 14)
    )
    snapshot = pool(text + "job 1 1,1 estimate=600 submitted=10 priority=9")
    assert lines(snapshot, GUARDED) == [["*1", "1"]]
    assert len(plan(snapshot, GUARDED).evictions) == len(plan(snapshot).evictions) == 1


def test_a_quota_holds_for_the_starving(pool, why):
    text = NODE + "queue a quota=0,9\njob 1 9×1,1 queue=a\njob 2 9×1,1 submitted=90"
    result = plan(pool(text), GUARDED)
    assert slots(result) == {2: 4}
    assert why(result)[1] == "queue_quota"


def test_the_starving_stand_first_in_the_planning_order(pool):
    """A job that found no room is not served, yet nothing of its priority stands before it."""
    text = NODE + "live 9 s/n0 4×1,1 60\njob 1 1,1 submitted=90\njob 2 1,1 submitted=80\njob 3 4,9"
    assert plan(pool(text), GUARDED).order == (3, 2, 1)
    assert plan(pool(text), structs.replace(GUARDED, guard_ms=10_000)).order == (3, 2, 1)


def test_past_use_gives_way(pool):
    """Both had the pool for a half-life, a quarter and none of it: shares end level."""
    half_life = structs.replace(BALANCED, decay_ms=100_000)
    text = "site s general 1×12,99 1 0\nqueue a spent=36.067\nqueue b\n"
    text += "job 1 99×1,1 queue=a\njob 2 99×1,1 queue=b"
    assert slots(plan(pool(text))) == {1: 6, 2: 6}
    # 36.067 s of the pool over 100 s / ln 2 is a share of a quarter: 3 of the 12 cores.
    given_slots = slots(plan(pool(text), half_life))
    assert given_slots[2] - given_slots[1] == pytest.approx(3, abs=1)
    assert sum(given_slots.values()) == 12


def test_groups_share_before_their_members(pool):
    text = """
        site s general 1×12,99 1 0
        queue physics
        queue pulsars parent=physics
        queue lattice parent=physics
        queue render
        job 1 99×1,1 queue=pulsars
        job 2 99×1,1 queue=lattice
        job 3 99×1,1 queue=render
    """
    assert slots(plan(pool(text))) == {1: 3, 2: 3, 3: 6}


def test_a_quota_above_stops_those_below(pool, why):
    text = (
        NODE
        + """
        queue physics quota=3,99
        queue pulsars parent=physics quota=2,50 lend=0,50 borrow=0,50
        queue lattice parent=physics quota=1,49 borrow=0,50
        job 1 9×1,1 queue=lattice
        job 2 9×1,1 queue=pulsars
        job 3 9×1,1 queue=physics
    """
    )
    result = plan(pool(text))
    assert slots(result) == {1: 1, 2: 2}
    assert set(why(result).values()) == {"queue_quota"}


@st.composite
def saturated(draw):
    """Draw a pool of one-core slots, a tree, and jobs that want far more than there is."""
    queues = []
    for at in range(draw(st.integers(1, 6))):
        above = draw(st.sampled_from(["", *(queue.name for queue in queues)]))
        queues.append(Queue(f"q{at}", draw(st.sampled_from([1_000, 2_000])), parent=above))
    lines = draw(st.lists(st.sampled_from(queues), min_size=1, max_size=6))
    jobs = [
        JobRow(at, Shape(Resources(1_000)), 200, queue=queue.name, tasks=200)
        for at, queue in enumerate(lines, 1)
    ]
    return queues, jobs, draw(st.integers(1, 60))


@settings(max_examples=60, deadline=None)
@given(saturated())
def test_siblings_with_demand_end_within_one_task_by_weight(contest):
    """At each level, what siblings hold by weight differs by one task at most."""
    queues, jobs, cores = contest
    flavor = Flavor("f", ComputeClass.GENERAL, Resources(1_000 * cores))
    site = Site("s", "p", "mock", flavors=(flavor,), nodes=(Node("n", "f"),))
    result = plan(build(index=1, now_ms=1, sites=[site], queues=queues, accounts={}, jobs=jobs))
    queue_of = {job.number: job.queue for job in jobs}
    held, asked = Counter(), {job.queue for job in jobs}
    for start in result.starts:
        held[queue_of[start.job]] += sum(share.slots for share in start.shares)
    assert held.total() == cores

    def below(name):
        return [queue for queue in queues if queue.parent == name]

    def family(name):
        return {name}.union(*(family(child.name) for child in below(name)))

    for above in ("", *(queue.name for queue in queues)):
        rivals = [
            (sum(held[name] for name in family(child.name)), child.weight)
            for child in below(above)
            if family(child.name) & asked
        ]
        if above in asked:
            rivals.append((held[above], 1_000))
        for mine, weight in rivals:
            for theirs, other in rivals:
                assert (mine - 1) / weight <= theirs / other + 1e-9


@pytest.mark.parametrize("spread", [1, 100, 10**15, 2**61])
@pytest.mark.parametrize("fair", [True, False])
def test_the_order_is_by_priority_queue_deadline_submission_and_number(spread, fair):
    """However far apart the numbers are: sorts are chosen by that, and must not differ."""
    rng = np.random.default_rng(spread % 97)
    flavors = (Flavor("f", ComputeClass.GENERAL, Resources(4_000, 99)),)
    site = Site("s", "p", "mock", flavors=flavors, nodes=(Node("n", "f"),))
    jobs = [
        JobRow(
            number, Shape(Resources(1_000)), 3, queue=rng.choice(["a", "b", "c"]), tasks=3,
            priority=int(rng.choice([-70_000, 0, 5, 2**20])), estimate_ms=60_000,
            submitted_ms=int(rng.integers(spread)),
            deadline_ms=int(rng.choice([0, 0, 2**61 + 90_000, 2**61 + 100_000])),
        )
        for number in range(1, 200)
    ]  # fmt: skip
    snapshot = build(index=1, now_ms=2**61, sites=[site], accounts={}, jobs=jobs)
    policy = structs.replace(BALANCED, fair=fair, guard_ms=60_000 if fair else 0)
    rows = sorted(
        range(len(jobs)),
        key=lambda at: (-jobs[at].priority, jobs[at].queue if fair else "", jobs[at].submitted_ms),
    )
    due = due_ms(snapshot, np.array(rows), policy)
    assert due is not None
    late = dict(zip(rows, due.tolist(), strict=True))
    if fair:
        rows.sort(key=lambda at: (-jobs[at].priority, jobs[at].queue, late[at]))
    made = levels(snapshot, may_start(snapshot), policy)
    assert [at for level in made for one in level if not one.starving for at in one.jobs] == rows
    turn = rng.integers(0, 9, len(jobs))
    turn[turn > 4] = 2**62
    hungry = starving(snapshot, policy)
    assert planning_order(snapshot, turn, policy).tolist() == sorted(
        range(len(jobs)),
        key=lambda at: (-jobs[at].priority, turn[at], not hungry[at], jobs[at].submitted_ms),
    )
