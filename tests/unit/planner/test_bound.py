"""Bounds are never below what can be done: checked against exact optima of small cases."""

from __future__ import annotations

import builtins
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from fenglin.errors import UnavailableError
from fenglin.model.site import Flavor, Node, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import plan
from fenglin.planner.draft import Draft
from fenglin.planner.policy import BALANCED, Backfill
from fenglin.planner.relax import bounds, linear_bound
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, build
from fenglin.snapshot.snapshot import Shape

CARD = Flavor("card", ComputeClass.AI, Resources(3_000, 6, 0, 2_000), accelerator="A100-80")
PLAIN = Flavor("plain", ComputeClass.GENERAL, Resources(4_000, 4))


def fits(flavor, free, cards, tasks):
    """Return whether gangs given as (need, card milli, nodes) all fit, by trying every place."""
    if not tasks:
        return True
    (need, milli, nodes), *rest = tasks
    for chosen in combinations(range(len(free)), nodes):
        if len({flavor[node] for node in chosen}) > 1:
            continue
        left, room = free.copy(), cards.copy()
        left[list(chosen)] -= need
        if milli:
            whole = milli // 1_000
            for node in chosen:
                full = np.flatnonzero(room[node] == 1_000)[:whole]
                if len(full) < whole:
                    break
                room[node, full] = 0
            else:
                if (left >= 0).all() and fits(flavor, left, room, rest):
                    return True
            continue
        if (left >= 0).all() and fits(flavor, left, room, rest):
            return True
    return False


def most_slots(snapshot):
    """Return the most slots that can be filled, by trying every set of tasks."""
    flavor = snapshot.node_flavor.tolist()
    tasks = []
    for row in range(len(snapshot.job_number)):
        shape = snapshot.shapes[snapshot.job_shape[row]]
        task = (np.array(shape.resources.values()), shape.resources.accelerator_milli, shape.nodes)
        tasks += [task] * int(snapshot.job_pending[row])
    best = 0
    for mask in range(1 << len(tasks)):
        chosen = [task for at, task in enumerate(tasks) if mask >> at & 1]
        slots = sum(task[2] for task in chosen)
        if slots > best and fits(flavor, snapshot.node_free, snapshot.node_cards, chosen):
            best = slots
    return best


@st.composite
def pools(draw):
    kinds = draw(st.lists(st.sampled_from(["card", "plain"]), min_size=1, max_size=3))
    nodes = tuple(Node(f"n{i}", kind) for i, kind in enumerate(kinds))
    need = st.builds(
        Resources,
        st.integers(1, 4).map(lambda n: n * 1_000),
        st.integers(1, 4),
        st.just(0),
        st.sampled_from([0, 0, 1_000, 2_000]),
    )
    jobs = [
        JobRow(number=number, shape=Shape(draw(need), nodes=draw(st.sampled_from([1, 1, 2]))),
               pending=draw(st.integers(1, 2)))
        for number in range(1, draw(st.integers(2, 5)))
    ]  # fmt: skip
    site = Site("s", "p", "mock", flavors=(CARD, PLAIN), nodes=nodes)
    return build(index=1, now_ms=10**9, sites=[site], accounts={"default": 10**15}, jobs=jobs)


@given(pools())
@settings(max_examples=60, deadline=None)
def test_bounds_are_never_below_the_optimum(snapshot):
    pytest.importorskip("highspy")
    found = bounds(snapshot)
    best = most_slots(snapshot)
    assert found.linear >= best
    assert found.combinatorial >= best
    result = plan(snapshot, structs.replace(BALANCED, backfill=Backfill.NONE, improve_steps=500))
    assert result.filled_slots <= best
    assert result.bound_slots == found.combinatorial


def test_the_linear_bound_sees_what_the_other_does_not(pool):
    """Two scarce amounts at once: each alone would let more in."""
    pytest.importorskip("highspy")
    text = "site s general 1×4,8 1 0\njob 1 4×1,4\njob 2 4×2,1"
    assert bounds(pool(text)) == (3, 2)
    assert bounds(pool(text)).slots == 2


def test_what_must_start_leaves_less_to_others(pool):
    """Four cores: two tasks of the shape worth less leave room for one worth more, not two."""
    snapshot = pool("site s general 1×4,99 1 0\njob 1 2×1,1\njob 2 2×2,1")
    draft = Draft(snapshot, BALANCED)
    small = next(at for at, s in enumerate(snapshot.shapes) if s.resources.cpu_milli == 1_000)
    worth, least = [9.0, 9.0], [0, 0]
    worth[small], least[small] = 1.0, 2
    assert linear_bound(draft, [2, 2], worth) == pytest.approx(18.0)
    assert linear_bound(draft, [2, 2], worth, least) == pytest.approx(11.0)
    least[small] = 5
    with pytest.raises(UnavailableError, match="no optimum"):
        linear_bound(draft, [2, 2], worth, least)


def test_licences_and_down_nodes_count(pool):
    pytest.importorskip("highspy")
    text = "site s general 2×4,8 1 0 licences=lic:3 {down}\njob 1 9×1,1 licences=lic:1"
    assert bounds(pool(text.format(down=""))).linear == 3
    assert bounds(pool(text.format(down="down=n0,n1"))) == (0, 0)


def test_without_the_solver_it_says_what_to_install(pool, monkeypatch):
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(UnavailableError, match="needs HiGHS"):
        bounds(pool("site s general 1×4,8 1 0\njob 1 1×1,1"))


def test_a_cycle_never_loads_the_solver(pool, monkeypatch):
    real = builtins.__import__

    def guarded(name, *args, **more):
        assert not name.startswith("highspy")
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", guarded)
    monkeypatch.setitem(sys.modules, "highspy", None)
    assert plan(pool("site s general 1×4,8 1 0\njob 1 1×1,1")).bound_slots == 1
