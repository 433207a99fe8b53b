"""Cards: parts share one, whole tasks take free ones, and what is taken is known card by card."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import ShareRow, build
from fenglin.snapshot.cards import assign, cards_per_task, layout, occupy, rooms, rooms_on

needs = st.sampled_from([100, 250, 300, 500, 600, 1_000, 2_000, 3_000])


def shot(shares, milli=2_000):
    flavor = Flavor("gpu", ComputeClass.AI, Resources(64_000, 64, 0, milli))
    site = Site("s", "p", "mock", flavors=(flavor,), nodes=(Node("n0", "gpu"), Node("n1", "gpu")))
    return build(index=1, now_ms=0, sites=[site], accounts={}, jobs=[], shares=shares)


def gpu(job, milli, slots, cards=(), node="n0"):
    return ShareRow(
        job, "s", node, slots, 9, Resources(0, 0, 0, milli), allocation=job, cards=cards
    )


def test_part_goes_to_the_tightest_card_and_whole_tasks_to_the_lowest_free():
    free = [1_000, 600, 500, 1_000]
    assert assign(free, 500, 2) == (2, 1)
    assert free == [1_000, 100, 0, 1_000]
    assert assign(free, 2_000, 1) == (0, 3)
    assert free == [0, 100, 0, 0]


def test_two_halves_are_no_whole():
    assert rooms(np.array([[500, 500], [1_000, 0]]), 1_000).tolist() == [0, 1]
    assert rooms(np.array([[500, 500], [1_000, 0]]), 600).tolist() == [0, 1]
    assert rooms(np.array([[500, 500], [1_000, 0]]), 500).tolist() == [2, 2]


def test_a_node_with_a_part_of_a_card_has_it_last():
    assert layout(2_500) == (1_000, 1_000, 500)
    assert layout(250) == (250,)
    assert layout(0) == ()


@given(st.lists(st.integers(0, 10).map(lambda n: n * 100), max_size=6), needs)
def test_rooms_are_what_can_really_be_assigned_one_by_one(free, need):
    said = int(rooms(np.array([free], np.int64).reshape(1, len(free)), need)[0])
    left = list(free)
    for step in range(said):
        before = int(rooms(np.array([left], np.int64), need)[0])
        assert before == said - step
        assert len(assign(left, need, 1)) == cards_per_task(need)
        assert min(left) >= 0
    assert not left or int(rooms(np.array([left], np.int64), need)[0]) == 0
    assert (
        rooms(np.array([free] * 70, np.int64).reshape(70, len(free)), need).tolist() == [said] * 70
    )
    assert rooms_on(free, need) == said
    assert sum(free) - sum(left) == said * need


@given(st.lists(st.tuples(needs, st.integers(1, 3)), max_size=5))
def test_unwritten_cards_keep_the_sum_right(tasks):
    free = [1_000] * 4
    for need, slots in tasks:
        want = min(need * slots, sum(free))
        before = sum(free)
        occupy(free, need, slots)
        assert before - sum(free) == want
        assert all(0 <= left <= 1_000 for left in free)


def test_snapshot_carries_cards_as_written_down_and_finds_room_for_the_others():
    shares = [
        gpu(1, 600, 1, cards=(1,)),
        gpu(2, 300, 2),  # finds room beside: the tighter card first
        gpu(3, 1_000, 2, cards=(0, 1), node="n1"),
    ]
    picture = shot(shares)
    assert picture.node_cards.tolist() == [[700, 100], [0, 0]]
    assert picture.share_cards.tolist() == [[0, 600], [300, 300], [1_000, 1_000]]
    assert picture.node_free[:, 3].tolist() == [800, 0]


def test_a_pool_without_cards_has_no_card_columns():
    assert shot([], milli=0).node_cards.shape == (2, 0)


def test_cards_of_a_node_that_shrank_are_not_below_zero():
    picture = shot([gpu(1, 1_000, 3, cards=(0, 1, 2)), gpu(2, 500, 1, cards=(0,))])
    assert picture.node_cards.tolist() == [[0, 0], [1_000, 1_000]]
