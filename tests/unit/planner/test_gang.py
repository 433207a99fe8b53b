"""Gangs start whole or not at all."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.model.job import Topology
from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.gang import gang_nodes, gang_nodes_in_block, gangs_by_block, gangs_in
from fenglin.planner.policy import BALANCED
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.snapshot import Shape


def test_one_start_is_one_gang_on_distinct_nodes(pool, starts):
    snapshot = pool("site s super 3×2,8 1 0\njob 1 2×1,1 nodes=3 estimate=60")
    assert starts(plan(snapshot)) == ["1 s n0:1,n1:1,n2:1 1", "1 s n0:1,n1:1,n2:1 1"]


def test_gang_never_spans_sites(pool, starts, why):
    text = "site a super 2×1,8 1 0\nsite b super 2×1,8 1 0\njob 1 1,1 nodes=3"
    result = plan(pool(text))
    assert starts(result) == []
    assert why(result) == {1: "no_site_can_hold"}


def test_gang_waits_while_some_nodes_have_room(pool, why):
    snapshot = pool("site s super 3×1,8 1 0\nlive 9 s/n1 1×1,1 25\njob 1 1,1 nodes=3")
    result = plan(snapshot)
    assert result.starts == ()
    assert why(result) == {1: "gang_waits"}
    receipt = explain(snapshot, BALANCED, result, 1)
    assert receipt.options[0].evidence == "needs 3 nodes at once, 2 have room"
    assert receipt.start_ms == snapshot.now_ms + 25_000
    assert receipt.change == (
        "starts when 1 core and 1GiB of memory on each of 3 nodes of s/std are free, "
        "expected in 25s; now with 2 nodes"
    )


def test_smaller_job_goes_past_a_waiting_gang(pool, starts):
    text = "site s super 2×1,8 1 0\nlive 9 s/n1 1×1,1 25\njob 1 1,1 nodes=2\njob 2 1,1 estimate=25"
    assert starts(plan(pool(text))) == ["2 s n0:1 1"]


@given(st.lists(st.integers(0, 6), max_size=8), st.integers(1, 5))
def test_taking_the_emptiest_nodes_reaches_the_count(counts, nodes):
    """`gangs_in` is what the greedy choice really reaches, found one gang at a time."""
    left = np.array(counts, np.int64)
    reached = 0
    while nodes > 1 and len(chosen := gang_nodes(left, nodes)) == nodes:
        left[chosen] -= 1
        reached += 1
    assert gangs_in(np.array(counts, np.int64), nodes) == (sum(counts) if nodes == 1 else reached)


@pytest.mark.parametrize(("counts", "nodes", "gangs"), [([9, 1], 2, 1), ([2, 2, 2], 2, 3)])
def test_gangs_on_distinct_nodes(counts, nodes, gangs):
    assert gangs_in(np.array(counts), nodes) == gangs


def most_gangs(counts, nodes):
    """Return the most gangs by trying every choice of nodes."""
    free = [i for i, count in enumerate(counts) if count > 0]
    best = 0
    for chosen in combinations(free, nodes):
        rest = [count - (i in chosen) for i, count in enumerate(counts)]
        best = max(best, 1 + most_gangs(rest, nodes))
        if best >= sum(counts) // nodes:
            break
    return best


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=5), st.integers(2, 4))
def test_no_other_choice_of_nodes_makes_more_gangs(counts, nodes):
    assert gangs_in(np.array(counts, np.int64), nodes) == most_gangs(counts, nodes)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=7),
    st.integers(1, 3),
)
def test_blocks_hold_as_many_gangs_as_each_holds_alone(places, nodes):
    counts = np.array([count for count, _ in places], np.int64)
    block = np.array([number for _, number in places], np.int64)
    by_block = gangs_by_block(counts, block, nodes)
    for number in range(len(by_block)):
        mine = [count for count, where in places if where == number]
        assert by_block[number] == (sum(mine) if nodes == 1 else most_gangs(mine, nodes))
    reached = 0
    while len(chosen := gang_nodes_in_block(counts, block, nodes)):
        assert len(set(block[chosen].tolist())) == 1
        assert len(set(chosen.tolist())) == len(chosen) == nodes
        counts[chosen] -= 1
        reached += 1
    assert reached == by_block.sum() or nodes == 1


def blocks_of(letters, job, live=()):
    """Return a pool of one site whose nodes of one core each lie in the blocks named."""
    flavor = Flavor("f", ComputeClass.SUPER, Resources(1_000, 8))
    places = tuple(Node(f"n{i}", "f", block=letter.strip("-")) for i, letter in enumerate(letters))
    site = Site("s", "p", "mock", flavors=(flavor,), nodes=places)
    shape = Shape(Resources(1_000, 1), nodes=job, topology=Topology.BLOCK)
    held = [ShareRow(9, "s", node, 1, 60_000, Resources(1_000, 1)) for node in live]
    return build(
        index=1, now_ms=0, sites=[site], accounts={}, jobs=[JobRow(1, shape, 1)], shares=held
    )


def test_gang_lies_in_the_tightest_block_that_holds_it(starts):
    assert starts(plan(blocks_of("aaabbaccc", 2))) == ["1 s n3:1,n4:1 1"]


def test_gang_finds_its_block_though_its_nodes_do_not_lie_together(starts):
    assert starts(plan(blocks_of("abcabc-a", 3))) == ["1 s n0:1,n3:1,n7:1 1"]


def test_gang_waits_when_room_is_spread_over_blocks(why):
    snapshot = blocks_of("aabb", 2, live=["n0", "n2"])
    result = plan(snapshot)
    assert why(result) == {1: "gang_waits"}
    option = explain(snapshot, BALANCED, result, 1).options[0]
    assert option.evidence == "needs 2 nodes at once, 1 have room"


def test_no_block_is_large_enough(why):
    snapshot = blocks_of("aab", 3)
    result = plan(snapshot)
    assert why(result) == {1: "no_site_can_hold"}
    assert explain(snapshot, BALANCED, result, 1).options[0].reason is Reason.BLOCK_TOO_SMALL
