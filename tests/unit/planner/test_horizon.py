"""The profile against plain bookkeeping: laid out once or changed bit by bit, NumPy or compiled."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
import pytest
from msgspec import structs

from fenglin.model.job import Topology
from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.planner import horizon_kernels, pack, plan, runtime
from fenglin.planner.draft import Draft
from fenglin.planner.horizon import Horizon
from fenglin.planner.horizon_kernels import compiled_profile
from fenglin.planner.lane import compiled_loop
from fenglin.planner.lent import Lent
from fenglin.planner.policy import BALANCED, CONSERVATIVE, EASY
from fenglin.planner.runtime import FOREVER
from fenglin.quantities.resources import Resources
from fenglin.snapshot import cards
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.snapshot import Shape

NOW_MS = 1_000


class Change(NamedTuple):
    """What is taken (less than 0) or given back on a node at a time."""

    node: int
    time: int
    amounts: tuple[int, ...]


class Plain:
    """Free amounts by adding all changes up, again and again."""

    def __init__(self, free):
        self.free = [tuple(row) for row in free]
        self.changes = []

    def at(self, node, time):
        """Return what is free right after a time, head amounts included."""
        mine = [c.amounts for c in self.changes if c.node == node and c.time <= time]
        return tuple(map(sum, zip(self.free[node], *mine, strict=True)))

    def room(self, node, need, start, span):
        """Return whether the need is free from a start on for so long."""
        inside = [c.time for c in self.changes if c.node == node and start < c.time < start + span]
        return all(
            have >= want or not want
            for time in [start, *inside]
            for have, want in zip(self.at(node, time), need, strict=True)
        )

    def earliest(self, snapshot, shape, view, span, later):
        """Try every time at which something changes."""
        need = shape.resources.values()
        nodes = range(view.first, view.stop)
        times = sorted({NOW_MS, *(c.time for c in self.changes)})
        firsts = {node: min([c.time for c in self.changes if c.node == node], default=None)
                  for node in nodes}  # fmt: skip
        for start in times:
            ready = [
                node for node in nodes
                if snapshot.node_up[node] and self.room(node, need, start, span)
                and not (later and shape.nodes == 1 and start < (firsts[node] or FOREVER))
            ]  # fmt: skip
            groups = [ready]
            if shape.topology is Topology.BLOCK and shape.nodes > 1:
                block = snapshot.node_block
                groups = [[n for n in ready if block[n] == b] for b in sorted(set(block[ready]))]
            for group in groups:
                if len(group) >= shape.nodes:
                    return start, group
        return None


def a_pool(rng):
    """Return a snapshot with two flavors and something that runs."""
    flavors = tuple(
        Flavor(name, ComputeClass.GENERAL, Resources(4_000, 8, 0, 2_000), accelerator="A100-80")
        for name in "fg"
    )
    nodes = tuple(
        Node(f"n{i}", rng.choice("fg"), up=rng.random() > 0.1, block=f"b{i // 3}")
        for i in range(rng.randrange(2, 12))
    )
    site = Site("s", "p", "mock", flavors=flavors, nodes=nodes)
    shares = [
        ShareRow(900 + i, "s", node.name, 1, NOW_MS + rng.randrange(-9, 40), Resources(1_000, 2))
        for i, node in enumerate(nodes)
        if rng.random() < 0.6
    ]
    return build(index=1, now_ms=NOW_MS, sites=[site], accounts={}, jobs=[], shares=shares)


def changed(rng, view, both, plain, booked):
    """Change all profiles alike: book, take out again, or occupy."""
    what = rng.random()
    if what < 0.25 and booked:
        nodes, need, begin, end = booked.pop(rng.randrange(len(booked)))
        for horizon in both:
            horizon.unbook(nodes, need, begin, end)
        for node in nodes:
            plain.changes.remove(Change(node, begin, tuple(-x for x in need)))
            if end < FOREVER:
                plain.changes.remove(Change(node, end, need))
        return
    need = (rng.choice([0, 500, 1_000]), rng.randrange(3), 0, 0)
    begin = NOW_MS + rng.randrange(1, 30)
    end = rng.choice([begin + rng.randrange(1, 30)] * 4 + [FOREVER])
    rows = list(range(view.first, view.stop))
    nodes = sorted(rng.sample(rows, rng.randrange(1, len(rows) + 1)))
    if what < 0.75:
        for horizon in both:
            horizon.book(nodes, need, begin, end)
        booked.append((nodes, need, begin, end))
        plain.changes += [Change(node, begin, tuple(-x for x in need)) for node in nodes]
        plain.changes += [Change(node, end, need) for node in nodes if end < FOREVER]
        return
    ends = [NOW_MS + rng.randrange(1, 40) for _ in nodes]
    for horizon in both:
        horizon.occupy(np.array(nodes), np.array([need] * len(nodes)), np.array(ends))
    for node, given in zip(nodes, ends, strict=True):
        plain.free[node] = tuple(a - b for a, b in zip(plain.free[node], need, strict=True))
        plain.changes.append(Change(node, given, need))


@pytest.mark.parametrize("seed", range(60))
def test_the_profile_is_plain_bookkeeping(seed):
    rng = random.Random(seed)
    snapshot = a_pool(rng)
    plain = Plain(snapshot.node_free.tolist())
    for node, end, need in zip(
        snapshot.share_node.tolist(), snapshot.share_end_ms.tolist(),
        snapshot.share_need.tolist(), strict=True,
    ):  # fmt: skip
        plain.changes.append(Change(node, NOW_MS + max(1, abs(end - NOW_MS)), tuple(need)))
    both = [Horizon(snapshot), Horizon(snapshot, loops=compiled_profile())]
    views = [view for view in Draft(snapshot, BALANCED).flavors if view.stop > view.first]
    booked = []
    for _ in range(12):
        changed(rng, rng.choice(views), both, plain, booked)
        view = rng.choice(views)
        shape = Shape(
            Resources(rng.choice([0, 500, 2_000, 4_000]), rng.randrange(6)),
            nodes=rng.choice([1, 1, 2, 3]), topology=rng.choice(list(Topology)),
        )  # fmt: skip
        later, span = rng.random() < 0.5, rng.choice([1, 7, 25, FOREVER])
        expected = plain.earliest(snapshot, shape, view, span, later)
        nodes = np.array(sorted(rng.sample(range(view.first, view.stop), 1)))
        dates = np.array([[NOW_MS + rng.randrange(1, 50), FOREVER]])
        for horizon in both:
            window = horizon.earliest(shape, view, span, later=later)
            found = window and (window.start_ms, (view.first + np.flatnonzero(window.nodes)))
            assert (found and (found[0], found[1].tolist())) == expected
            levels = horizon.levels(nodes, dates)[0].tolist()
            assert tuple(levels[0]) == plain.free[nodes[0]]
            assert [tuple(row) for row in levels[1:]] == [
                plain.at(nodes[0], date) for date in dates[0]
            ]
        alone = Horizon.when
        since = NOW_MS + rng.randrange(20)
        need = shape.resources.values()
        dates = {alone(one, nodes, need, span, since) for one in both}
        times = sorted({since, *(c.time for c in plain.changes if c.time > since)})
        first = [time for time in times if plain.room(nodes[0], need, time, span)]
        assert dates == {first[0] if first else FOREVER}


@pytest.mark.parametrize("seed", range(40))
def test_what_is_lent_is_counted_alike_with_and_without_numba(seed):
    rng = random.Random(seed)
    snapshot = a_pool(rng)
    sides = []
    for loops in (None, compiled_profile()):
        draft = Draft(snapshot, BALANCED)
        sides.append((draft, Lent(draft.pool, snapshot.node_flavor, loops)))
    count = len(snapshot.node_names)
    for _ in range(8):
        nodes = np.array(sorted(rng.sample(range(count), rng.randrange(1, count + 1))))
        begins = np.sort(np.array([[NOW_MS + rng.randrange(1, 30) for _ in range(2)]] * len(nodes)))
        begins[:, 1][np.arange(len(nodes)) % 2 == 0] = FOREVER
        room = np.array([[[rng.randrange(5) * 1_000, rng.randrange(9), 0, rng.randrange(3) * 1_000]
                          for _ in range(3)] for _ in nodes])  # fmt: skip
        need = Resources(rng.choice([0, 500, 1_000]), rng.randrange(3), 0, rng.choice([0, 0, 500]))
        node, taken = int(rng.choice(nodes)), rng.choice([0, 0, 500])
        shape, end = Shape(need), NOW_MS + rng.randrange(1, 40)
        found = []
        for draft, lent in sides:
            lent.renew(nodes, begins.copy(), np.minimum(room, draft.pool.free[:, nodes].T[:, None]))
            draft.pool.free[0, node] -= taken
            for view in draft.flavors:
                for everywhere in (False, True):
                    counts = lent.counts(
                        shape, view, snapshot.node_up, end, everywhere=everywhere
                    ).tolist()
                    some = lent.nodes_with_room(
                        shape, view, snapshot.node_up, end, everywhere=everywhere
                    )
                    assert some == len(counts) - counts.count(0)
                    found.append(counts)
            found.append(lent.kept(nodes)[0].tolist())
        assert found[: len(found) // 2] == found[len(found) // 2 :]


@pytest.mark.slow
@pytest.mark.parametrize("policy", [CONSERVATIVE, EASY])
@pytest.mark.parametrize("seed", range(12))
def test_crowds_are_planned_alike_with_and_without_numba(seed, policy):
    """Two cycles of more gangs, arrays and single tasks than fit, the second with promises kept."""
    rng = random.Random(seed)
    flavors = tuple(
        Flavor(name, ComputeClass.GENERAL, Resources(8_000, 32, 0, 2_000 * (name == "g")))
        for name in "fg"
    )
    sites = [
        Site(
            f"s{k}", f"p{k}", "mock", flavors=flavors,
            nodes=tuple(Node(f"n{i:02}", rng.choice("ffg")) for i in range(12)),
        )
        for k in range(2)
    ]  # fmt: skip
    jobs = [
        JobRow(
            number,
            Shape(
                Resources(rng.choice([2_000, 4_000, 8_000]), 4, 0, rng.choice([0, 0, 500, 1_000])),
                nodes=rng.choice([1, 1, 1, 2, 5]), topology=rng.choice(list(Topology)),
            ),
            rng.choice([1, 1, 1, 4]), queue=rng.choice("ab"), tasks=4,
            estimate_ms=rng.choice([0, 10_000, 60_000, 90_000]),
        )
        for number in range(1, 90)
    ]  # fmt: skip
    deep = structs.replace(policy, reservations=40, fair=seed % 2 == 0)
    queues = [Queue("a"), Queue("b", weight=2_000)]
    made, live = None, []
    for cycle in range(2):
        snapshot = build(
            index=cycle, now_ms=NOW_MS + 9_000 * cycle, sites=sites, queues=queues,
            accounts={"default": 10**15}, jobs=jobs, shares=live,
            reservations=made.reservations if made else (),
        )  # fmt: skip
        made = plan(snapshot, deep)
        assert plan(snapshot, deep, loop=compiled_loop()) == made
        assert made.reservations
        shape_of = {job.number: job.shape for job in jobs}
        live = [
            ShareRow(
                start.job, start.site, share.node, share.slots, start.finish_ms,
                shape_of[start.job].resources, nodes=shape_of[start.job].nodes, cards=share.cards,
            )
            for start in made.starts
            for share in start.shares
        ]  # fmt: skip
        started = {start.job for start in made.starts}
        jobs = [job for job in jobs if job.number not in started]


def test_numbers_that_loops_have_built_in_are_those_of_the_planner():
    assert horizon_kernels.FOREVER == runtime.FOREVER
    assert horizon_kernels.MOST_PER_NODE == pack.MOST_PER_NODE
    assert horizon_kernels.FULL_MILLI == cards.FULL_MILLI
