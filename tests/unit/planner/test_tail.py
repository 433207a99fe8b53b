"""Splitting an array so that all sites end together, and never later than need be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.policy import BALANCED, CHEAP
from fenglin.planner.runtime import Runtime
from fenglin.planner.tail import (
    WORTH,
    Held,
    finish_in,
    piece_depth,
    tasks_within,
    useful_slots,
    wait_for,
)
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

SITES = """
site  general general 1×2,8 1.0 0.10
site  ai      ai      1×1,8 1.5 0.30
site  super   super   1×2,8 0.8 0.05
"""


def run_to_end(pool, sites, tasks, task_s, slow_down=1.0):
    """Carry out plan after plan in virtual time; return (seconds, starts).

    A slot is given back when its allocation has no further task for it.
    """
    speed = {line.split()[1]: float(line.split()[4]) for line in sites.strip().splitlines()}
    pending, now, count = tasks, 0.0, 0
    # Live allocations: [site, node, promised end, sorted times at which slots come back].
    live: list[list] = []
    while pending or live:
        shares = "".join(
            f"live 1 {site}/{node} {len(ends)}×1,1 {promised - now}\n"
            for site, node, promised, ends in live
        )
        result = plan(pool(f"{sites}\n{shares}job 1 {pending}×1,1 estimate={task_s}"))
        for start in result.starts:
            count += 1
            pending -= start.tasks
            task = task_s / speed[start.site] * slow_down
            (share,) = start.shares
            whole, odd = divmod(start.tasks, share.slots)
            ends = sorted(now + task * (whole + (i < odd)) for i in range(share.slots))
            promised = now + (start.finish_ms - 1_700_000_000_000) / 1_000
            live.append([start.site, share.node, promised, ends])
        now = min(ends[0] for *_, ends in live)
        for allocation in live:
            allocation[3] = [end for end in allocation[3] if end > now + 1e-9]
        live = [allocation for allocation in live if allocation[3]]
    return now, count


@pytest.mark.parametrize("tasks", [1, 2, 5, 24, 100])
def test_array_over_unlike_sites_ends_within_one_task_of_the_ideal(pool, tasks):
    rate = (2 * 1.0 + 1.5 + 2 * 0.8) / 10
    took, _ = run_to_end(pool, SITES, tasks, 10)
    assert took <= tasks / rate + 10  # one task of reference speed


def test_wrong_estimates_cost_little(pool):
    rate = (2 * 1.0 + 1.5 + 2 * 0.8) / 10
    took, _ = run_to_end(pool, SITES, 24, 10, slow_down=1.4)
    assert took / 1.4 <= 24 / rate + 12.5


def test_very_slow_site_gets_no_tail_task(pool):
    """One fast slot does four tasks in 40 s; a site ten times slower would need 100 s for one."""
    sites = "site fast general 1×1,8 1 0\nsite slow general 1×1,8 0.1 0"
    took, _ = run_to_end(pool, sites, 4, 10)
    assert took == pytest.approx(40)


def test_patience_is_a_reason_with_figures_and_an_alarm(pool, why, now_ms):
    text = "site fast general 1×1,8 1 0\nsite slow general 1×4,8 0.1 0\njob 1 3×1,1 estimate=10"
    snapshot = pool(text)
    result = plan(snapshot)
    assert [(s.site, s.tasks) for s in result.starts] == [("fast", 1)]
    assert why(result) == {1: "better_elsewhere"}
    assert result.next_ms == now_ms + 30_000
    slow = explain(snapshot, BALANCED, result, 1).options[1]
    assert (slow.site, slow.reason) == ("slow", "better_elsewhere")
    assert slow.evidence.startswith("a task takes 1m40s here; the slots the job holds finish its 3")


def test_ten_thousand_tasks_become_some_dozens_of_allocations(pool):
    _, count = run_to_end(pool, SITES, 10_000, 0.01)
    assert count <= 60


def test_pieces_stay_below_the_horizon(pool):
    text = "site s general 1×4,8 1 0\njob 1 100000×1,1 learned=2"
    (start,) = plan(pool(text)).starts
    assert start.tasks == 4 * BALANCED.horizon_ms // 2_000


def test_unknown_runtime_is_probed_first(pool):
    text = "site s general 1×4,8 1 0\njob 1 100000×1,1"
    (start,) = plan(pool(text)).starts
    assert start.tasks == 4 * BALANCED.probe_depth


def test_short_tasks_are_not_given_out_twice(pool, starts):
    """The least piece, 25 tasks per slot here, must not promise more tasks than there are."""
    sites = "site a general 1×2,8 1 0\nsite b general 1×2,8 1 0\n"
    result = plan(pool(sites + "job 1 60×1,1 learned=0.01"))
    assert starts(result) == ["1 b n0:2 50", "1 a n0:2 10"]


def test_wide_allocations_are_cut(pool):
    text = "site s general 100×1,8 1 0\njob 1 100×1,1"
    widths = [len(start.shares) for start in plan(pool(text)).starts]
    assert widths == [64, 36]


def test_learned_runtime_corrects_the_estimate(pool):
    text = "site s general 1×1,8 2 0\njob 1 1×1,1 estimate=100 learned=10"
    assert plan(pool(text)).starts[0].task_ms == 5_000


def test_cheap_policy_prefers_the_cheap_site(pool):
    snapshot = pool(SITES + "job 1 1×1,1 estimate=10")
    assert plan(snapshot).starts[0].site == "ai"
    assert plan(snapshot, CHEAP).starts[0].site == "super"


def test_equal_offers_take_turns_between_providers(pool):
    sites = "site a general 1×9,9 1 0.1\nsite b general 1×9,9 1 0.1\n"
    jobs = "".join(f"job {i} 1,1\n" for i in range(1, 9))
    chosen = [start.site for start in plan(pool(sites + jobs)).starts]
    assert chosen.count("a") == chosen.count("b") == 4


def test_wait_for_trusts_a_late_promise_as_little_as_it_is_late():
    assert wait_for(1_500, 1_000) == 500
    assert wait_for(1_000, 1_500) == 500


def test_useful_slots():
    held = [Held(0, 10, 1)]
    assert useful_slots(held, 4, 35, 1.0) == 1
    assert useful_slots(held, 3, 35, 1.0) == 0
    assert useful_slots(held, 3, 35, 0.0) == 3


@given(
    st.lists(
        st.builds(Held, st.integers(0, 50), st.integers(1, 20), st.integers(1, 4)),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 60),
)
def test_finish_in_is_the_least_sufficient_window(held, tasks):
    took = finish_in(held, tasks)
    assert tasks_within(held, took) >= tasks
    assert tasks_within(held, took - 1) < tasks


def test_a_piece_bears_what_its_site_takes_to_begin_it():
    known, unknown = Runtime(100, known=True, timeout_ms=0), Runtime(100, known=False, timeout_ms=0)
    assert piece_depth(1_000.0, 100, known, BALANCED) == 10
    assert piece_depth(1_000.0, 100, known, BALANCED, 4_000) == WORTH * 4_000 // 100
    assert piece_depth(1e6, 100, unknown, BALANCED, 4_000) == BALANCED.probe_depth
    assert piece_depth(1_000.0, 100, known, BALANCED, 10**9) == BALANCED.horizon_ms // 100


@given(st.floats(0, 1e7), st.integers(1, 10**6), st.booleans())
def test_piece_depth_keeps_its_limits(span_ms, task_ms, known):
    depth = piece_depth(span_ms, task_ms, Runtime(task_ms, known, 0), BALANCED)
    assert depth >= 1
    if known:
        assert depth == 1 or depth * task_ms <= BALANCED.horizon_ms
    else:
        assert depth <= BALANCED.probe_depth


@pytest.mark.parametrize(("start_ms", "tasks"), [(0, 48), (4_000, 50)])
def test_a_site_that_is_dear_to_begin_at_gets_the_array_at_once(start_ms, tasks):
    flavor = Flavor("f", ComputeClass.GENERAL, Resources(3_000, 2**30))
    site = Site("s", "p", "mock", flavors=(flavor,), nodes=(Node("n", "f"),), start_ms=start_ms)
    row = JobRow(1, Shape(Resources(1_000)), 50, tasks=50, estimate_ms=10)
    made = plan(build(index=1, now_ms=0, sites=[site], jobs=[row], accounts={"default": 0}))
    assert [start.tasks for start in made.starts] == [tasks]


def test_what_a_site_loses_between_tasks_takes_time_and_costs_nothing():
    flavor = Flavor("f", ComputeClass.GENERAL, Resources(4_000, 2**30))
    row = JobRow(1, Shape(Resources(1_000)), 4_000, tasks=4_000, estimate_ms=10)
    starts = {}
    for turn_ms in (0, 300):
        site = Site("s", "p", "mock", flavors=(flavor,), nodes=(Node("n", "f"),), turn_ms=turn_ms)
        world = build(index=1, now_ms=0, sites=[site], jobs=[row], accounts={"default": 0})
        (starts[turn_ms],) = plan(world).starts
    assert (starts[0].task_ms, starts[300].task_ms) == (10, 310)
    assert starts[300].tasks * 310 <= BALANCED.horizon_ms * 4 < starts[0].tasks * 310
    assert starts[300].hold_micro // starts[300].tasks == starts[0].hold_micro // starts[0].tasks


@pytest.mark.parametrize(
    ("apart", "nodes", "learned_ms", "pieces"),
    [
        (0, 2, 20, [(2, 100)]),
        (2, 2, 20, [(1, 50), (1, 50)]),
        (2, 3, 20, [(3, 100)]),
        # As many go first as slots have room to learn by, and on each node alike.
        (2, 2, 0, [(1, 16), (1, 16)]),
    ],
)
def test_a_few_nodes_that_are_dear_to_join_each_get_a_piece(apart, nodes, learned_ms, pieces):
    flavor = Flavor("f", ComputeClass.GENERAL, Resources(2_000, 2**33))
    held = tuple(Node(f"n{at}", "f") for at in range(nodes))
    site = Site("s", "p", "mock", flavors=(flavor,), nodes=held, start_ms=4_000, apart=apart)
    row = JobRow(1, Shape(Resources(1_000, 2**20)), pending=100, tasks=100, learned_ms=learned_ms)
    world = build(index=1, now_ms=0, sites=[site], jobs=[row], accounts={"default": 0})
    starts = plan(world).starts
    assert [(len(start.shares), start.tasks) for start in starts] == pieces
