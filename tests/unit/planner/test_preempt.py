"""Who is stopped for whom: lawfulness, price, gangs, quotas, and no livelock."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.policy import BALANCED
from fenglin.planner.preempt import MOST_EVICTIONS, SOON_MS
from fenglin.planner.victims import EXACT, Ask, Holdings, cheapest
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.snapshot import Shape

ONE = "site s general 1×4,99 1 0\n"
TWO = "site s general 2×4,99 1 0\n"


def evicted(result):
    return [(one.allocation, one.for_job) for one in result.evictions]


def test_lower_and_preemptible_makes_room(pool, why):
    snapshot = pool(
        ONE + "live 1 s/n0 4×1,1 900 allocation=5 ran=60 preemptible=1\n"
        "job 2 2×1,1 priority=1 estimate=900\njob 3 1×1,1"
    )
    result = plan(snapshot)
    assert evicted(result) == [(5, 2)]
    assert result.evictions[0].job == 1
    assert result.evictions[0].site == "s"
    assert result.evictions[0].lost_ms == 4 * 60_000
    assert result.starts == ()
    assert why(result)[2] == "waits_for_eviction"
    receipt = explain(snapshot, BALANCED, result, 2)
    assert receipt.change.startswith("starts when running tasks that make room for it have ended")


@pytest.mark.parametrize(
    "options",
    [
        "ran=60",
        "ran=60 preemptible=1 priority=1",
        "ran=60 preemptible=1 priority=2",
        "ran=60 preemptible=1 stopping=1",
    ],
)
def test_nobody_else_is_stopped(pool, options):
    text = ONE + f"live 1 s/n0 4×1,1 900 allocation=5 {options}\n"
    assert plan(pool(text + "job 2 1×1,1 priority=1 estimate=900")).evictions == ()


def test_who_ends_within_a_stop_is_waited_for(pool, now_ms):
    """And until then what is free there is kept, although another could be stopped at once."""
    text = (
        "live 1 s/n0 3×1,1 {end} allocation=5 ran=60 preemptible=1\n"
        "live 9 s/n1 4×1,1 900 allocation=6 ran=90 preemptible=1\n"
    )
    asks = "job 2 1×4,1 priority=1 estimate=900\njob 3 9×1,1 estimate=1"
    soon = plan(pool(TWO + text.format(end=SOON_MS / 1_000) + asks))
    assert soon.evictions == ()
    assert soon.starts == ()
    assert now_ms < soon.next_ms <= now_ms + SOON_MS + 1
    assert evicted(plan(pool(TWO + text.format(end=SOON_MS / 1_000 + 1) + asks))) == [(5, 2)]


def test_work_destroyed_must_not_exceed_work_started(pool):
    text = ONE + "live 1 s/n0 4×1,1 9999 allocation=5 ran=300 preemptible=1 {saved}\n"
    asks = "job 2 4×1,1 priority=9 estimate={lasts}"
    dear = plan(pool(text.format(saved="") + asks.format(lasts=1_199)))
    assert dear.evictions == ()
    pays = plan(pool(text.format(saved="") + asks.format(lasts=1_200)))
    assert evicted(pays) == [(5, 2)]
    saved = plan(pool(text.format(saved="checkpoint=60") + asks.format(lasts=240)))
    assert evicted(saved) == [(5, 2)]
    assert saved.evictions[0].lost_ms == 4 * 60_000
    twice = structs.replace(BALANCED, preempt_gain=2.0)
    assert plan(pool(text.format(saved="") + asks.format(lasts=1_200)), twice).evictions == ()


def test_a_policy_may_forbid_it(pool):
    text = ONE + "live 1 s/n0 4×1,1 900 allocation=5 ran=1 preemptible=1\njob 2 1×1,1 priority=1"
    assert plan(pool(text), structs.replace(BALANCED, preempt=False)).evictions == ()


def test_cheapest_set_not_the_first(pool):
    """One dear allocation, or two cheap ones that only together suffice."""
    text = (
        ONE + "live 1 s/n0 2×1,1 9999 allocation=5 ran=500 preemptible=1\n"
        "live 2 s/n0 1×1,1 9999 allocation=6 ran=30 preemptible=1\n"
        "live 3 s/n0 1×1,1 9999 allocation=7 ran=40 preemptible=1\n"
    )
    assert evicted(plan(pool(text + "job 4 1×2,1 priority=1 estimate=900"))) == [(6, 4), (7, 4)]
    assert evicted(plan(pool(text + "job 4 1×1,1 priority=1 estimate=900"))) == [(6, 4)]


def test_free_part_is_kept_from_the_levels_below(pool):
    text = (
        ONE + "live 1 s/n0 2×1,1 900 allocation=5 ran=60 preemptible=1\n"
        "job 2 1×4,1 priority=1 estimate=900\njob 3 9×1,1 estimate=1"
    )
    result = plan(pool(text))
    assert evicted(result) == [(5, 2)]
    assert result.starts == ()


def test_next_cycle_waits_and_stops_nobody_else(pool, why, now_ms):
    """The stateless hand-over: what stops now is room for the same job again."""
    text = (
        TWO + "live 1 s/n0 4×1,1 8 allocation=5 ran=60 preemptible=1 stopping=1\n"
        "live 9 s/n1 4×1,1 900 allocation=6 ran=60 preemptible=1\n"
        "job 2 1×4,1 priority=1 estimate=900\njob 3 9×1,1"
    )
    result = plan(pool(text))
    assert result.evictions == ()
    assert result.starts == ()
    assert why(result)[2] == "waits_for_eviction"
    assert now_ms < result.next_ms <= now_ms + SOON_MS + 1
    overdue = plan(pool(text.replace("4×1,1 8 ", "4×1,1 -11 ")))
    assert evicted(overdue) == [(6, 2)]


def test_a_gang_gets_all_its_nodes_at_the_least_price(pool, why):
    text = (
        "site s general 4×4,99 1 0\n"
        "live 1 s/n0 4×1,1 9999 allocation=5 ran=100 preemptible=1\n"
        "live 2 s/n1 4×1,1 9999 allocation=6 ran=50 preemptible=1\n"
        "live 3 s/n2 4×1,1 9999 allocation=7 ran=70 preemptible=1\n"
        "job 4 1×4,1 nodes=3 priority=1 estimate=900\njob 5 9×1,1"
    )
    result = plan(pool(text))
    assert evicted(result) == [(6, 4), (7, 4)]
    assert why(result)[4] == "waits_for_eviction"
    assert result.starts == (), "n3 is free, and kept for the gang"


def test_a_gang_that_cannot_be_completed_costs_nobody_anything(pool):
    text = (
        TWO + "live 1 s/n0 4×1,1 900 allocation=5 ran=9 preemptible=1\n"
        "live 2 s/n1 1×1,1 900 allocation=6 ran=9\n"
        "job 4 1×4,1 nodes=2 priority=1 estimate=900\njob 5 3×1,1 estimate=60"
    )
    result = plan(pool(text))
    assert result.evictions == ()
    assert [start.job for start in result.starts] == [5]


def test_licences_are_not_made_by_evictions(pool):
    text = (
        "site s general 1×4,99 1 0 licences=lic:1\n"
        "live 1 s/n0 4×1,1 900 allocation=5 ran=9 preemptible=1 licences=lic:1 nodes=4\n"
        "job 2 1×1,1 priority=1 estimate=900"
    )
    assert plan(pool(text + " licences=lic:1")).evictions == ()
    assert evicted(plan(pool(text))) == [(5, 2)]


def test_evictions_of_a_cycle_are_bounded(pool):
    lines = [f"live {n} s/n{n} 1×4,1 900 allocation={n} ran=9 preemptible=1" for n in range(1, 100)]
    text = "\n".join(["site s general 100×4,99 1 0", *lines])
    result = plan(pool(text + "\njob 200 99×4,1 priority=1 estimate=900"))
    assert 32 <= len(result.evictions) <= MOST_EVICTIONS


COHORT = "queue a quota=2,99 cohort=x\nqueue b quota=2,99 cohort=x\n"


def test_an_entitled_queue_reclaims_what_was_lent(pool):
    lent = "live 1 s/n0 {n}×1,1 900 allocation=5 ran=9 preemptible=1 queue=a {more}\n"
    ask = "job 2 1×1,1 queue=b estimate=900\n"
    assert evicted(plan(pool(ONE + COHORT + lent.format(n=4, more="") + ask))) == [(5, 2)]
    for n, more in ((2, ""), (4, "priority=1")):
        assert plan(pool(ONE + COHORT + lent.format(n=n, more=more) + ask)).evictions == ()


def test_only_borrowed_room_is_reclaimed(pool):
    text = (
        ONE + COHORT + "live 1 s/n0 2×1,1 900 allocation=5 ran=9 preemptible=1 queue=a\n"
        "live 2 s/n0 2×1,1 900 allocation=6 ran=9 preemptible=1 queue=b\n"
        "job 3 1×1,1 queue=b estimate=900\n"
    )
    assert plan(pool(text)).evictions == ()


def test_borrowers_may_interrupt_only_their_own_queue(pool):
    live = "live 1 s/n0 2×1,1 900 allocation=5 ran=9 preemptible=1 queue=b\n"
    more = "live 2 s/n0 2×1,1 900 allocation=6 ran=9 preemptible=1 queue=a\n"
    ask = "job 3 1×1,1 queue=a priority=7 estimate=900\n"
    assert evicted(plan(pool(ONE + COHORT + live + more + ask))) == [(6, 3)]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_small_cases_are_solved_exactly(data):
    """Against every subset, on one node and for gangs; thinning keeps larger ones irreducible."""
    nodes = data.draw(st.integers(1, 3))
    count = data.draw(st.integers(1, EXACT + 3))
    room = np.array(
        data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=nodes, max_size=nodes)),
        np.int64,
    )
    owner = np.arange(count)
    node = np.array(data.draw(st.lists(st.integers(0, nodes - 1), min_size=count, max_size=count)))
    held = np.array(
        data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=count, max_size=count)),
        np.int64,
    )
    cost = np.array(data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)), float)
    ask = Ask(np.array([data.draw(st.integers(0, 4)) for _ in range(2)]), nodes if nodes < 3 else 2)

    def enough(chosen):
        free = room.copy()
        for one in chosen:
            free[node[one]] += held[one]
        return (free >= ask.need).all(axis=1).sum() >= ask.nodes

    found = cheapest(
        ask, room, np.arange(nodes), Holdings(owner, node, held, cost), np.ones(count, bool)
    )
    subsets = (s for n in range(count + 1) for s in combinations(range(count), n))
    best = min((cost[list(s)].sum() for s in subsets if enough(s)), default=None)
    if best is None:
        assert found is None
        return
    assert enough(found.owners)
    assert found.cost == cost[list(found.owners)].sum() >= best
    if count <= EXACT:
        assert found.cost == best
    else:
        assert not any(enough([o for o in found.owners if o != one]) for one in found.owners)


QUEUES = (
    Queue("a", quota=Resources(4_000, 10**6), cohort="x"),
    Queue("b", quota=Resources(3_000, 10**6), cohort="x"),
    Queue("c"),
)


class Rounds:
    """A pool that is planned again and again; a stop takes effect one or more cycles later."""

    def __init__(self, nodes, slowness=1):
        flavor = Flavor("f", ComputeClass.GENERAL, Resources(4_000, 10**6))
        places = tuple(Node(f"n{i}", "f") for i in range(nodes))
        self.site = Site("s", "p", "mock", flavors=(flavor,), nodes=places)
        self.jobs = {}
        self.live = {}
        self.stopping = {}
        self.slowness = slowness
        self.next = 1
        self.now_ms = 10**9

    def cycle(self):
        """Plan once and carry it out; return what was evicted and started."""
        self.now_ms += 3_000
        for number in [n for n, left in self.stopping.items() if left <= 1]:
            share = self.live.pop(number)[0]
            del self.stopping[number]
            self.jobs[share.job] = self.jobs[share.job]._replace(
                pending=self.jobs[share.job].pending + 1
            )
        self.stopping = {number: left - 1 for number, left in self.stopping.items()}
        snapshot = build(
            index=1,
            now_ms=self.now_ms,
            sites=[self.site],
            queues=QUEUES,
            accounts={"default": 10**15},
            jobs=[job for job in self.jobs.values() if job.pending],
            shares=[share for shares in self.live.values() for share in shares],
        )
        made = plan(snapshot, structs.replace(BALANCED, preempt_gain=0.0))
        for one in made.evictions:
            self.stopping[one.allocation] = 1 + one.allocation % self.slowness
            self.live[one.allocation] = [
                share._replace(stopping=True, end_ms=self.now_ms + SOON_MS)
                for share in self.live[one.allocation]
            ]
        for start in made.starts:
            job = self.jobs[start.job]
            self.jobs[start.job] = job._replace(pending=job.pending - start.tasks)
            for share in start.shares:
                assert start.tasks == sum(s.slots for s in start.shares) // job.shape.nodes
                self.live.setdefault(self.next, []).append(
                    ShareRow(
                        job=start.job,
                        site="s",
                        node=share.node,
                        slots=share.slots,
                        end_ms=self.now_ms + 10**9,
                        resources=job.shape.resources,
                        queue=job.queue,
                        nodes=job.shape.nodes,
                        allocation=self.next,
                        priority=job.priority,
                        started_ms=self.now_ms,
                        preemptible=True,
                    )
                )
            self.next += 1
        return made


@st.composite
def arrivals(draw):
    return [
        JobRow(
            number=number,
            shape=Shape(
                Resources(draw(st.integers(1, 4)) * 1_000, 1),
                nodes=draw(st.sampled_from([1, 1, 1, 2])),
            ),
            pending=1,
            queue=draw(st.sampled_from("abc")),
            priority=draw(st.integers(0, 3)),
            submitted_ms=number,
            estimate_ms=10**8,
        )
        for number in range(1, draw(st.integers(2, 9)))
    ]


@pytest.mark.slow
@given(st.integers(1, 3), arrivals(), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_preemption_never_livelocks(nodes, jobs, slowness):
    """Everything may be stopped, nothing ever ends: evictions must come to an end by themselves.

    Jobs arrive one by one, so that each finds the pool full of what came before.
    """
    world = Rounds(nodes, slowness)
    for job in jobs:
        world.jobs[job.number] = job
        for _ in range(8 * len(jobs)):
            made = world.cycle()
            counts = Counter(one.allocation for one in made.evictions)
            assert set(counts.values()) <= {1}, "evicted twice"
            for one in made.evictions:
                victim, evictor = world.live[one.allocation][0], world.jobs[one.for_job]
                reclaimed = victim.queue != evictor.queue and {victim.queue, evictor.queue} == {
                    "a", "b"
                }  # fmt: skip
                assert victim.priority < evictor.priority or reclaimed
            if not made.evictions and not made.starts and not world.stopping:
                break
        else:
            pytest.fail("evictions without end")
