"""The fast lane comes to what the long way comes to, plain and compiled."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fenglin.model.site import Flavor, Node, Price, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import lane as lane_module
from fenglin.planner import lane_kernels, plan
from fenglin.planner.lane import Lane, compiled_loop
from fenglin.planner.lane_kernels import Room
from fenglin.planner.policy import BALANCED, CHEAP, FCFS, Backfill
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.snapshot import Shape

POLICIES = [
    BALANCED,
    CHEAP,
    FCFS,
    msgspec.structs.replace(BALANCED, backfill=Backfill.NONE),
    msgspec.structs.replace(BALANCED, backfill=Backfill.CONSERVATIVE),
]
needs = st.builds(
    Resources,
    st.sampled_from([0, 500, 1_000, 2_000]),
    st.integers(0, 3),
    st.just(0),
    st.sampled_from([0, 0, 0, 300, 700, 1_000, 2_000]),
)


@st.composite
def pools(draw):
    """Draw the records of a pool in which most jobs are simple."""
    sites = []
    for i in range(draw(st.integers(1, 3))):
        flavors = tuple(
            Flavor(
                f"f{k}",
                draw(st.sampled_from(list(ComputeClass))),
                Resources(4_000, 6, 0, k * 2_500),
                speed_milli=draw(st.sampled_from([1_000, 1_000, 1_500])),
                price=Price(core_hour_micro=draw(st.sampled_from([0, 10**6]))),
            )
            for k in range(2)
        )
        nodes = tuple(
            Node(f"n{n}", f"f{n % 2}", up=draw(st.integers(0, 5)) > 0)
            for n in range(draw(st.integers(0, 4)))
        )
        licences = (("lic", 1),)
        sites.append(
            Site(f"s{i}", f"p{i}", "mock", flavors=flavors, nodes=nodes, licences=licences)
        )
    shapes = draw(st.lists(st.builds(Shape, needs), min_size=1, max_size=4))
    lines = draw(st.sampled_from(["a", "a", "aab"]))
    odd = [Shape(Resources(1_000), nodes=2), Shape(Resources(500), licences=(("lic", 1),))]
    jobs = [
        JobRow(
            number,
            draw(st.sampled_from([*shapes * 3, *odd])),
            draw(st.sampled_from([1] * 8 + [3])),
            queue=draw(st.sampled_from(lines)),
            account=draw(st.sampled_from(["rich", "rich", "poor"])),
            priority=draw(st.sampled_from([0, 0, 0, 5])),
            concurrency=draw(st.sampled_from([0, 0, 1])),
            tasks=5,
            estimate_ms=draw(st.sampled_from([0, 7_000, 60_000])),
            timeout_ms=draw(st.sampled_from([0, 0, 90_000])),
        )
        for number in range(1, draw(st.integers(1, 25)))
    ]
    live = [
        ShareRow(draw(st.integers(1, 30)), site.name, node.name, 1, 9_000, Resources(1_000, 1))
        for site in sites
        for node in site.nodes
        if draw(st.integers(0, 2)) == 0
    ]
    quota = draw(st.sampled_from([None, Resources(3_000, 9, 0, 3_000)]))
    return build(
        index=1, now_ms=1_000, sites=sites, queues=[Queue("a", quota=quota)], jobs=jobs,
        shares=live, accounts={"rich": 10**12, "poor": draw(st.sampled_from([0, 9_000]))},
    )  # fmt: skip


@pytest.mark.slow
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(pools(), st.sampled_from(POLICIES))
def test_the_fast_lane_changes_no_plan(monkeypatch, snapshot, policy):
    with monkeypatch.context() as long_way:
        long_way.setattr(Lane, "serve", lambda *_: False)
        expected = plan(snapshot, policy)
    made = plan(snapshot, policy)
    assert plan(snapshot, policy, loop=compiled_loop()) == made
    if not policy.fair or len(snapshot.queues) == 1:
        assert made == expected
    else:  # turns may be cut elsewhere, which is as fair (see below) but not the same
        assert sorted(made.order) == sorted(expected.order)


def test_the_improver_sees_what_either_way_gave_in_the_same_order(monkeypatch):
    """The lane's grants are written down late, behind those of an array that came after them."""
    flavors = tuple(
        Flavor(f"f{k}", ComputeClass.GENERAL, Resources(4_000, 6, 0, k * 2_500)) for k in range(2)
    )
    sites = [
        Site(f"s{i}", f"p{i}", "mock", flavors=flavors, nodes=(Node("n0", "f0"),)) for i in range(2)
    ]
    nothing, memory = Shape(Resources(0, 0)), Shape(Resources(0, 1))
    jobs = [
        JobRow(
            number,
            nothing if number in (8, 9, 10) else memory,
            3 if number == 11 else 1,
            priority=5 if number >= 20 else 0,
            tasks=5,
        )
        for number in range(1, 22)
    ]
    snapshot = build(
        index=1, now_ms=1_000, sites=sites, queues=[], jobs=jobs, accounts={"default": 10**12}
    )
    policy = msgspec.structs.replace(BALANCED, backfill=Backfill.NONE)
    made = plan(snapshot, policy)
    assert len(made.starts) > 12
    monkeypatch.setattr(Lane, "serve", lambda *_: False)
    assert plan(snapshot, policy) == made


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), min_size=2, max_size=4),
)
def test_queues_of_simple_jobs_differ_by_one_task_at_most(nodes, held):
    """Whatever they held before: the poorer first catches up, as far as there is room."""
    size = Resources(1_000, 0)
    flavors = tuple(
        Flavor(f"f{i}", ComputeClass.GENERAL, size.times(n)) for i, n in enumerate(nodes)
    )
    places = tuple(Node(f"n{i}", f"f{i}") for i in range(len(nodes)))
    site = Site("s", "p", "mock", flavors=flavors, nodes=places)
    lost = [  # what the queues hold on a node that is gone counts, but takes no room here
        ShareRow(900 + i, "s", "gone", slots, 1, size, queue=f"q{i}")
        for i, slots in enumerate(held)
    ]
    jobs = [
        JobRow(number, Shape(size), 1, queue=f"q{number % len(held)}") for number in range(1, 400)
    ]
    snapshot = build(index=1, now_ms=0, sites=[site], accounts={}, jobs=jobs, shares=lost)
    result = plan(snapshot, loop=compiled_loop())
    assert len(result.starts) == sum(nodes)
    got = list(held)
    for start in result.starts:
        got[start.job % len(held)] += 1
    served = [now for now, before in zip(got, held, strict=True) if now > before]
    assert max(served) - min(got) <= 1


def test_simple_jobs_do_go_by_the_fast_lane(monkeypatch):
    site = Site(
        "s", "p", "mock", nodes=tuple(Node(f"n{i}", "f") for i in range(40)),
        flavors=(Flavor("f", ComputeClass.GENERAL, Resources(8_000, 64)),),
    )  # fmt: skip
    jobs = [JobRow(i, Shape(Resources(1_000, 1 + i % 3)), 1) for i in range(1, 501)]
    snapshot = build(index=1, now_ms=0, sites=[site], accounts={}, jobs=jobs)
    served = []
    real = Lane.serve

    def spy(lane, line, rooms=None):
        before = line.at
        moved = real(lane, line, rooms)
        served.append(line.at - before)
        return moved

    monkeypatch.setattr(Lane, "serve", spy)
    result = plan(snapshot)
    assert len(result.starts) == 320
    assert sum(served) >= 320


def test_compiled_search_is_there():
    """Numba is part of the development environment, so its twin is really compared."""
    assert compiled_loop() is not None


def room(rng, nodes):
    """Return a random room for one shape."""
    milli = rng.choice([0, 300, 1_000, 2_000])
    return Room(
        need=np.array([[rng.integers(0, 4), rng.integers(0, 4), 0, milli]]),
        closed=np.zeros(1, np.int64),
        free=rng.integers(0, 5, (4, nodes)),
        cards=rng.choice([0, 200, 500, 1_000], (nodes, 3)),
        up=rng.integers(0, 2, nodes),
        cursor=np.zeros((1, 1), np.int64),
        stop=np.array([nodes]),
        wants=np.zeros(1, np.int64),
        queue=np.zeros((1, 4), np.int64),
        taken=np.zeros(4, np.int64),
        money=np.zeros(1, np.int64),
    )


@pytest.mark.parametrize("seed", range(40))
def test_search_by_numpy_is_the_loop(seed):
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(1, 200))
    here = room(rng, nodes)
    if seed % 4 == 0:  # far away or nowhere
        here.up[: nodes - seed % 3] = 0
    begin = int(rng.integers(0, nodes + 1))
    expected = lane_kernels.first_room(here, 0, begin, nodes)
    assert lane_module.first_room(here, 0, begin, nodes) == expected
