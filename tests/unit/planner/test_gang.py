"""Gangs start whole or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fenglin.planner import explain, plan
from fenglin.planner.gang import gang_nodes, gangs_in
from fenglin.planner.policy import BALANCED


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
        "expected in 25s"
    )


def test_smaller_job_goes_past_a_waiting_gang(pool, starts):
    text = "site s super 2×1,8 1 0\nlive 9 s/n1 1×1,1 25\njob 1 1,1 nodes=2\njob 2 1,1"
    assert starts(plan(pool(text))) == ["2 s n0:1 1"]


@given(st.lists(st.integers(0, 6), max_size=8), st.integers(1, 5))
def test_taking_the_emptiest_nodes_reaches_the_count(counts, nodes):
    """`gangs_in` is what the greedy choice really reaches, found one gang at a time."""
    left = list(counts)
    reached = 0
    while nodes > 1 and len(chosen := gang_nodes(left, nodes)) == nodes:
        for at in chosen:
            left[at] -= 1
        reached += 1
    assert gangs_in(counts, nodes) == (sum(counts) if nodes == 1 else reached)


@pytest.mark.parametrize(("counts", "nodes", "gangs"), [([9, 1], 2, 1), ([2, 2, 2], 2, 3)])
def test_gangs_in(counts, nodes, gangs):
    assert gangs_in(counts, nodes) == gangs
