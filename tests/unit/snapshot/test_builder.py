"""The snapshot that records become."""

from __future__ import annotations

import numpy as np
import pytest

from fenglin.errors import InputError
from fenglin.model.allocation import Share
from fenglin.model.job import AcceleratorNeed
from fenglin.model.plan import Reservation
from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass, SiteState
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.snapshot import Shape

ONE = Resources(1_000, 10)


def site(name, **changes):
    values = {
        "provider": "p",
        "driver": "mock",
        "flavors": (
            Flavor("small", ComputeClass.GENERAL, Resources(2_000, 20)),
            Flavor("big", ComputeClass.SUPER, Resources(8_000, 80)),
        ),
        "nodes": (Node("n2", "small"), Node("n1", "small", up=False), Node("n3", "big")),
        "licences": (("lic", 5),),
    }
    return Site(name, **(values | changes))


def make(sites=(), jobs=(), shares=(), queues=(), accounts=None, reservations=()):
    return build(
        index=4,
        now_ms=100,
        sites=sites,
        queues=queues,
        accounts=accounts or {},
        jobs=jobs,
        shares=shares,
        reservations=reservations,
    )


def test_rows_stand_in_canonical_order():
    shot = make([site("b"), site("a", state=SiteState.DRAINED)])
    assert [s.name for s in shot.sites] == ["a", "b"]
    assert shot.flavor_site.tolist() == [0, 0, 1, 1]
    assert shot.flavor_slot.tolist() == [1, 0, 1, 0]  # by name: big before small
    assert shot.node_names == ("n3", "n1", "n2", "n3", "n1", "n2")
    assert shot.node_flavor.tolist() == [0, 1, 1, 2, 3, 3]
    assert shot.node_up.tolist() == [False, False, False, True, False, True]
    assert shot.licence_names == ((0, "lic"), (1, "lic"))
    assert shot.node_capacity[3].tolist() == [8_000, 80, 0, 0]


def test_shares_take_from_node_queue_and_licence():
    shares = [
        ShareRow(7, "a", "n2", 2, 500, Resources(500, 5), queue="x", licences=(("lic", 2),)),
        ShareRow(7, "a", "n3", 1, 400, Resources(500, 5), queue="x", licences=(("lic", 2),)),
    ]
    shot = make([site("a")], [JobRow(7, Shape(ONE), 1)], shares)
    assert shot.node_free.tolist() == [
        [7_500, 75, 0, 0],
        [2_000, 20, 0, 0],
        [1_000, 10, 0, 0],
    ]
    assert [queue.name for queue in shot.queues] == ["default", "x"]
    assert shot.queue_used.tolist() == [[0, 0, 0, 0], [1_500, 15, 0, 0]]
    assert shot.licence_free.tolist() == [5 - 6]
    assert shot.job_active.tolist() == [3]
    assert shot.share_node.tolist() == [0, 2]
    assert shot.share_end_ms.tolist() == [400, 500]


def test_gang_counts_once_as_active_and_for_licences():
    shares = [
        ShareRow(7, "a", node, 1, 500, ONE, nodes=2, licences=(("lic", 2),))
        for node in ("n2", "n3")
    ]
    shot = make([site("a")], [JobRow(7, Shape(ONE, nodes=2), 1)], shares)
    assert shot.job_active.tolist() == [1]
    assert shot.licence_free.tolist() == [3]


def test_share_on_a_lost_node_still_counts_for_queue_and_job():
    shares = [ShareRow(7, "a", "gone", 2, 500, ONE)]
    shot = make([site("a")], [JobRow(7, Shape(ONE), 1)], shares)
    assert (shot.node_free == shot.node_capacity).all()
    assert len(shot.share_job) == 0
    assert shot.job_active.tolist() == [2]
    assert shot.queue_used.tolist() == [[2_000, 20, 0, 0]]


def test_promises_stand_by_job_and_node_and_only_where_both_are_known():
    jobs = [JobRow(number, Shape(ONE), 1) for number in (3, 5)]
    promised = [
        Reservation(5, "a", "small", (Share("n2", 1), Share("n1", 1)), 40, 90),
        Reservation(3, "a", "big", (Share("n3", 1),), 20, 30),
        Reservation(4, "a", "big", (Share("n3", 1),), 20, 30),
        Reservation(3, "gone", "big", (Share("n3", 1),), 20, 30),
    ]
    shot = make([site("a")], jobs, reservations=promised)
    assert shot.held_job.tolist() == [3, 5, 5]
    assert [shot.node_names[row] for row in shot.held_node.tolist()] == ["n3", "n1", "n2"]
    assert shot.held_start_ms.tolist() == [20, 40, 40]
    assert shot.held_end_ms.tolist() == [30, 90, 90]


def test_job_columns_follow_the_number():
    jobs = [
        JobRow(9, Shape(ONE), 1, queue="b", account="y", priority=3, estimate_ms=11),
        JobRow(2, Shape(ONE, nodes=4), 5, queue="a", account="x", blocked=6, tasks=11),
    ]
    shot = make([site("a")], jobs, queues=[Queue("b", 500)], accounts={"x": 77})
    assert shot.job_number.tolist() == [2, 9]
    assert shot.job_pending.tolist() == [5, 1]
    assert shot.job_blocked.tolist() == [6, 0]
    assert shot.job_priority.tolist() == [0, 3]
    assert shot.job_estimate_ms.tolist() == [0, 11]
    assert [shot.shapes[row].nodes for row in shot.job_shape] == [4, 1]
    assert [shot.queues[row] for row in shot.job_queue] == [Queue("a"), Queue("b", 500)]
    assert shot.accounts == ("x", "y")
    assert shot.account_available_micro.tolist() == [77, 0]


def test_shapes_are_distinct_and_sorted_even_with_wishes_left_open():
    wishes = [
        Shape(ONE, accelerator=AcceleratorNeed("A100")),
        Shape(ONE),
        Shape(ONE, compute_class=ComputeClass.AI),
        Shape(ONE),
        Shape(ONE, sites=("a",)),
    ]
    jobs = [JobRow(i, shape, 1) for i, shape in enumerate(wishes)]
    shot = make([], jobs)
    assert len(shot.shapes) == 4
    assert shot.shapes == make([], list(reversed(jobs))).shapes
    assert [shot.shapes[row] for row in shot.job_shape] == wishes


def test_arrays_are_read_only():
    shot = make([site("a")], [JobRow(7, Shape(ONE), 1)])
    for name in shot.__slots__:
        value = getattr(shot, name)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable, name


def test_empty_pool_has_the_right_extents():
    shot = make()
    assert shot.node_free.shape == (0, 4)
    assert shot.queue_used.shape == (0, 4)
    assert shot.job_number.dtype == np.int64


@pytest.mark.parametrize(
    ("sites", "jobs", "says"),
    [
        ([site("a"), site("a")], [], "site a occurs twice"),
        ([site("a", nodes=(Node("n", "big"), Node("n", "small")))], [], "node of site a n"),
        ([site("a", nodes=(Node("n", "huge"),))], [], "names a flavor that its site lacks"),
        ([], [JobRow(1, Shape(ONE), 1)] * 2, "a job occurs twice"),
    ],
)
def test_contradictions_are_refused(sites, jobs, says):
    with pytest.raises(InputError, match=says):
        make(sites, jobs)
