"""What a task strands, reckoned for all kinds of nodes at once, is what the definition says."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fenglin.planner.scene import MOST_COMMON, Scene
from fenglin.quantities.resources import Resources

HUGE = 2**44
amounts = st.integers(0, 6).map(lambda n: n * 1_000)
bytes_ = st.sampled_from([0, 1, 7, 2**20, 2**30, 2**40])
needs = st.builds(Resources, st.sampled_from([0, 1, 250, 1_000, 4_000]), bytes_, bytes_, amounts)
nodes = st.builds(Resources, amounts, bytes_, bytes_, st.sampled_from([0, 0, 1_000, 8_000]))


def a_scene(kinds, shapes, jobs, possible):
    snapshot = SimpleNamespace(
        shapes=[SimpleNamespace(resources=one) for one in shapes],
        job_shape=np.array([shape for shape, _ in jobs], np.int64),
        job_pending=np.array([tasks for _, tasks in jobs], np.int64),
    )
    views = tuple(
        SimpleNamespace(row=row, flavor=SimpleNamespace(node=node))
        for row, node in enumerate(kinds)
    )
    return Scene(snapshot, views, np.array(possible, np.bool_)), views


def defined(kinds, shapes, jobs, possible, shape, row):
    """Return the same as the words of `Scene.stranded_milli` say it, task by task."""
    node, own = kinds[row], shapes[shape]
    valued = 3 if node.accelerator_milli else 0
    whole = node.values()[valued]
    if not whole or not own.fits_in(node):
        return 0
    waiting = [sum(tasks for one, tasks in jobs if one == at) for at in range(len(shapes))]
    most = sorted(range(len(shapes)), key=lambda at: (-waiting[at], at))[:MOST_COMMON]
    mix = [(waiting[at], shapes[at]) for at in most if waiting[at] and possible[at][row]]
    units = -(-whole // 1_000)
    even = Resources(*(amount // units for amount in node.values()))
    mix.append((sum(tasks for tasks, _ in mix) or 1, even))
    lost = 0
    for weight, common in mix:
        fewer = common.count_in(node) - common.count_in(node - own)
        lost += weight * max(0, min(whole, fewer * common.values()[valued]) - own.values()[valued])
    return lost * 1_000 // (sum(weight for weight, _ in mix) * whole)


@st.composite
def pools(draw):
    kinds = draw(st.lists(nodes, min_size=1, max_size=4))
    kinds += draw(st.lists(st.sampled_from(kinds), max_size=2))
    shapes = draw(st.lists(needs, min_size=1, max_size=MOST_COMMON + 3))
    waiting = st.one_of(st.integers(1, 9), st.just(HUGE))
    rows = st.integers(0, len(shapes) - 1)
    jobs = draw(st.lists(st.tuples(rows, waiting), max_size=MOST_COMMON + 5))
    row = st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds))
    possible = draw(st.lists(row, min_size=len(shapes), max_size=len(shapes)))
    return kinds, shapes, jobs, possible


CARDS = Resources(8_000, 2**40, 0, 8_000)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(pools())
@example(([CARDS], [Resources(4_000)], [(0, 1)], [[True]]))
@example(([CARDS], [Resources(4_000), Resources(1_000, 0, 0, 1_000)], [(1, HUGE)], [[True]] * 2))
@example(([Resources()], [Resources()], [], [[True]]))
def test_all_kinds_at_once_are_what_the_definition_says(given_):
    kinds, shapes, jobs, possible = given_
    scene, views = a_scene(kinds, shapes, jobs, possible)
    for shape in range(len(shapes)):
        found = [scene.stranded_milli(shape, view) for view in views]
        assert found == [defined(*given_, shape, view.row) for view in views]
        assert all(type(one) is int for one in found)


@pytest.mark.parametrize("tasks", [1, HUGE])
def test_a_known_case_whatever_the_number_of_tasks(tasks):
    """4 of 8 cores, without cards: the tasks of a card and a core lose 4 of 8 cards."""
    shapes = [Resources(4_000), Resources(1_000, 0, 0, 1_000)]
    scene, (view,) = a_scene([CARDS], shapes, [(1, tasks)], [[True], [True]])
    assert scene.stranded_milli(0, view) == 500
