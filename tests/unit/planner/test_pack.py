"""Where tasks go inside a flavor, and on which cards."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fenglin.model.job import Topology
from fenglin.model.reason import Reason
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import explain, plan
from fenglin.planner.choose import Fragments, after_one, leftover
from fenglin.planner.feasible import possible
from fenglin.planner.pack import Pool
from fenglin.planner.packers.columns import Typical
from fenglin.planner.packers.fragments import fragments
from fenglin.planner.policy import BALANCED, Packing
from fenglin.planner.view import flavor_views
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.cards import FULL_MILLI, assign, cards_per_task
from fenglin.snapshot.snapshot import Shape

CPU = Flavor("cpu", ComputeClass.GENERAL, Resources(8_000, 8))
GPU = Flavor("gpu", ComputeClass.AI, Resources(8_000, 8, 0, 3_000))
BEST = msgspec.structs.replace(BALANCED, pack=Packing.BEST)
FGD = msgspec.structs.replace(BALANCED, pack=Packing.FGD)
POLICIES = st.sampled_from([BALANCED, BEST, FGD])


def picture(flavor, nodes, jobs, held=(), blocks=""):
    """Return a snapshot of one site: `jobs` are (shape, tasks), `held` (node, need, cards)."""
    places = tuple(Node(f"n{i}", flavor.name, block=blocks[i : i + 1]) for i in range(nodes))
    site = Site("s", "p", "mock", flavors=(flavor,), nodes=places)
    rows = [JobRow(n, shape, tasks, tasks=tasks) for n, (shape, tasks) in enumerate(jobs, 1)]
    shares = [
        ShareRow(90 + i, "s", node, 1, 60_000, need, allocation=i, cards=cards)
        for i, (node, need, cards) in enumerate(held)
    ]
    return build(index=1, now_ms=0, sites=[site], accounts={}, jobs=rows, shares=shares)


def card(milli, cpu=0):
    return Resources(cpu, 0, 0, milli)


def pool_of(snapshot, packing=Packing.FIRST):
    views = flavor_views(snapshot)
    return Pool(snapshot, views, possible(snapshot, views), packing=packing)


needs = st.builds(
    Resources,
    st.sampled_from([0, 500, 1_000, 3_000]),
    st.integers(0, 4),
    st.just(0),
    st.sampled_from([0, 0, 300, 500, 700, 1_000, 2_000]),
)
shapes = st.builds(
    Shape, needs, nodes=st.sampled_from([1, 1, 1, 2, 3]), topology=st.sampled_from(list(Topology))
)


@st.composite
def snapshots(draw):
    nodes = draw(st.integers(1, 6))
    jobs = draw(st.lists(st.tuples(shapes, st.integers(1, 6)), min_size=1, max_size=6))
    free = [[FULL_MILLI] * 3 for _ in range(nodes)]
    held = []
    for node in range(nodes):
        need = draw(st.sampled_from([None, card(300, 500), card(600), card(1_000), card(2_000)]))
        if need is not None:
            held.append((f"n{node}", need, assign(free[node], need.accelerator_milli, 1)))
    blocks = draw(st.text("abc", min_size=nodes, max_size=nodes))
    return picture(GPU, nodes, jobs, held, blocks)


@settings(max_examples=150, deadline=None)
@given(snapshots(), POLICIES)
def test_no_card_is_given_twice_and_no_gang_leaves_its_block(snapshot, policy):
    free = snapshot.node_cards.copy()
    sums = snapshot.node_free.copy()
    row_of = {name: row for row, name in enumerate(snapshot.node_names)}
    for start in plan(snapshot, policy).starts:
        shape = snapshot.shapes[snapshot.job_shape[start.job - 1]]
        milli = shape.resources.accelerator_milli
        rows = [row_of[share.node] for share in start.shares]
        for row, share in zip(rows, start.shares, strict=True):
            sums[row] -= np.array(shape.resources.values()) * share.slots
            assert len(share.cards) == cards_per_task(milli) * share.slots
            for one in share.cards:
                assert milli < FULL_MILLI or free[row, one] == FULL_MILLI
                free[row, one] -= min(milli, FULL_MILLI)
        if shape.nodes > 1:
            assert len(set(rows)) == shape.nodes
            if shape.topology is Topology.BLOCK:
                assert len({int(snapshot.node_block[row]) for row in rows}) == 1
    assert (free >= 0).all()
    assert (sums >= 0).all()
    assert (free.sum(axis=1) == sums[:, 3]).all()


@settings(max_examples=100, deadline=None)
@given(snapshots(), st.sampled_from(list(Packing)), st.data())
def test_what_is_said_to_fit_can_be_taken_and_no_more(snapshot, packing, data):
    """However the pool was asked and used before: exact, capped and taken numbers agree."""
    pool = pool_of(snapshot, packing)
    count = len(snapshot.shapes)
    for _ in range(data.draw(st.integers(0, 6))):
        row, cap = data.draw(st.integers(0, count - 1)), data.draw(st.integers(1, 4))
        shape = snapshot.shapes[row]
        said = pool.slots(row, 0, cap)
        assert said == min(cap, pool.slots(row, 0)) == min(cap, pool.total(row))
        fresh = pool_of(snapshot)
        fresh.free, fresh.cards = pool.free, pool.cards
        assert fresh.slots(row, 0) == pool.slots(row, 0)
        if shape.nodes == 1:
            taken = pool.take(row, 0, cap)
            assert sum(slots for _, slots in taken) == said
            assert taken == sorted(taken)
        else:
            assert bool(pool.take_gang(row, 0)) == (said > 0)
    assert (pool.free >= 0).all()
    assert (pool.cards >= 0).all()


def test_two_half_used_cards_are_no_whole_card(why):
    held = [("n0", card(500), (0,)), ("n0", card(500), (1,)), ("n0", card(500), (2,))]
    snapshot = picture(GPU, 1, [(Shape(card(1_000)), 1)], held)
    assert snapshot.node_free[0, 3] == 1_500
    result = plan(snapshot)
    assert result.starts == ()
    assert why(result) == {1: "accelerator_busy"}
    option = explain(snapshot, BALANCED, result, 1).options[0]
    assert option.evidence == "needs 1 card, at most 0 cards free on any node"


def test_part_of_a_card_goes_where_least_is_left_over():
    held = [("n0", card(400), (1,)), ("n0", card(600), (2,))]
    snapshot = picture(GPU, 1, [(Shape(card(300)), 4)], held)
    (start,) = plan(snapshot).starts
    assert start.shares[0].cards == (2, 1, 1, 0)


def test_cards_of_several_slots_follow_each_other():
    snapshot = picture(GPU, 1, [(Shape(card(1_000)), 3)])
    (start,) = plan(snapshot).starts
    assert start.shares[0].cards == (0, 1, 2)


def test_a_node_holds_what_its_cards_hold_even_idle():
    """Two cards hold two tasks of 0.6 cards, though their sum would hold three."""
    snapshot = picture(GPU, 1, [(Shape(card(600)), 4)])
    assert pool_of(snapshot).slots_when_idle(0, 0) == 3
    assert sum(start.shares[0].slots for start in plan(snapshot).starts) == 3


def test_receipt_counts_cards_at_the_jobs_turn():
    jobs = [(Shape(card(600)), 3), (Shape(card(500)), 1)]
    snapshot = picture(GPU, 1, jobs)
    option = explain(snapshot, BALANCED, plan(snapshot), 2).options[0]
    assert option.reason is Reason.BEHIND_OTHERS


def test_best_takes_the_tightest_node_and_first_the_first():
    held = [("n1", Resources(5_000, 4), ()), ("n2", Resources(2_000, 1), ())]
    jobs = [(Shape(Resources(1_000, 1)), 4)]
    chosen = {}
    for policy in (BALANCED, BEST):
        (start,) = plan(picture(CPU, 4, jobs, held), policy).starts
        chosen[policy.pack] = [(share.node, share.slots) for share in start.shares]
    assert chosen == {"first": [("n0", 4)], "best": [("n1", 3), ("n2", 1)]}


def test_tightest_is_what_has_the_least_left_in_parts_of_a_node():
    free = np.array([[4_000, 2_000], [2, 7], [0, 0], [0, 0]])
    assert leftover(free, np.array([8_000, 8, 0, 0])).tolist() == [750_000, 1_125_000]


def test_fgd_keeps_whole_cards_for_tasks_that_want_them():
    """A part joins a part, though the first node has room as well."""
    held = [("n1", card(400, 500), (0,))]
    jobs = [(Shape(card(1_000, 1_000)), 9), (Shape(card(500, 500)), 1)]
    snapshot = picture(GPU, 2, jobs, held)
    row = next(i for i, shape in enumerate(snapshot.shapes) if shape.resources == card(500, 500))
    taken = {packing: pool_of(snapshot, packing).take(row, 0, 1) for packing in Packing}
    assert taken == {
        Packing.FIRST: [(0, 1)],
        Packing.BEST: [(1, 1)],
        Packing.FGD: [(1, 1)],
    }
    assert pool_of(snapshot, Packing.FGD).slots(row, 0) == 11


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 8).map(lambda n: n * 1_000),
            st.lists(st.integers(0, 10).map(lambda n: n * 100), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.tuples(needs, st.integers(1, 9)), min_size=1, max_size=5, unique_by=lambda n: n[0]),
)
def test_fragments_are_those_of_the_published_measure(nodes, tasks):
    """The measure of the packing room, which reproduces the paper's figures, is the reference."""
    wanted = [(Resources(n.cpu_milli, 0, 0, n.accelerator_milli), count) for n, count in tasks]
    together = defaultdict(int)
    for need, count in wanted:
        together[need] += count
    snapshot = picture(GPU, 1, [(Shape(need), count) for need, count in together.items()])
    rows = snapshot.shapes
    total = sum(together.values())
    count_of = [together[shape.resources] for shape in rows]
    kept = np.argsort(-np.array(count_of), kind="stable").tolist()
    covered = np.cumsum([0] + [count_of[i] for i in kept])[:-1]
    kept = [i for i, before in zip(kept, covered, strict=True) if before * 100 < total * 95]
    gpus = [cards_per_task(rows[i].resources.accelerator_milli) for i in kept]
    typical = Typical(
        np.array([rows[i].resources.cpu_milli for i in kept]),
        np.array([min(FULL_MILLI, rows[i].resources.accelerator_milli) for i in kept]),
        np.array(gpus),
        np.zeros(len(kept), np.int64),
        np.array([float(count_of[i]) for i in kept]),
    )
    free = np.array([[cpu for cpu, _ in nodes], *[[10**9] * len(nodes)] * 2, [0] * len(nodes)])
    cards = np.array([one for _, one in nodes])
    measure = Fragments(snapshot, np.ones((len(rows), 1), np.bool_))
    for at, (cpu, one) in enumerate(nodes):
        expected = fragments(cpu, np.array(one), 3, 0, typical)
        assert measure.value(0, free, cards)[at] == pytest.approx(expected)


@given(
    st.lists(st.integers(0, 10).map(lambda n: n * 100), min_size=1, max_size=5),
    st.sampled_from([100, 300, 500, 1_000, 2_000]),
)
def test_cards_after_one_task_are_those_that_it_is_given(free, milli):
    fits = milli <= max(free) if milli < FULL_MILLI else milli <= free.count(FULL_MILLI) * 1_000
    if not fits:
        return
    later = after_one(np.array([free]), milli)[0].tolist()
    assign(free, milli, 1)
    assert later == free


def test_scores_do_not_depend_on_how_many_nodes_are_scored_together():
    """More nodes than are scored one by one are joined by state first."""
    jobs = [(Shape(card(700, 1_000)), 3), (Shape(card(2_000)), 2), (Shape(Resources(500, 1)), 4)]
    snapshot = picture(GPU, 100, jobs)
    rng = np.random.default_rng(7)
    measure = Fragments(snapshot, np.ones((3, 1), np.bool_))
    free = rng.integers(0, 8, (4, 100)) * 1_000
    cards = rng.choice([0, 300, 1_000], (100, 3))
    cards[:, 0] = FULL_MILLI
    need = np.array([500, 0, 0, 500])
    whole = measure.added(0, free, cards, need)
    for node in range(100):
        one = measure.added(0, free[:, node : node + 1], cards[node : node + 1], need)
        assert one[0] == whole[node]
