"""The same moment with another pool."""

from __future__ import annotations

import pytest
from msgspec import structs

from fenglin.model.allocation import Share
from fenglin.model.plan import Reservation
from fenglin.model.site import Flavor, Node, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.codec import to_bytes
from fenglin.snapshot.fork import fork
from fenglin.snapshot.snapshot import Shape

NEED = Resources(1_000)


def site(name, nodes=2):
    flavor = Flavor("f", ComputeClass.AI, Resources(4_000, 99, 0, 2_000))
    places = tuple(Node(f"n{i}", "f") for i in range(nodes))
    return Site(name, "p", "mock", flavors=(flavor,), nodes=places, licences=(("lab", 5),))


@pytest.fixture
def snapshot():
    return build(
        index=3,
        now_ms=1_700_000_000_000,
        sites=[site("a"), site("b")],
        queues=[Queue("q", quota=Resources(5))],
        accounts={"default": 10},
        jobs=[JobRow(4, Shape(NEED, licences=(("lab", 1),)), 3, queue="q", predicted_ms=5)],
        shares=[
            ShareRow(1, "a", "n0", 2, 9, NEED, licences=(("lab", 1),), allocation=6, started_ms=4),
            ShareRow(3, "a", "n1", 2, 9, Resources(0, 0, 0, 300), cards=(1, 1), stopping=True),
            ShareRow(2, "b", "n1", 1, 9, NEED, queue="q", preemptible=True, checkpoint_ms=7),
        ],
        spent_ms={"q": 77},
        reservations=[
            Reservation(4, "b", "f", (Share("n0", 1), Share("n1", 1)), start_ms=12, finish_ms=15),
        ],
    )


def test_a_fork_without_changes_is_the_same_byte_for_byte(snapshot):
    made = fork(snapshot)
    assert made.interrupted_slots == 0
    assert to_bytes(made.snapshot) == to_bytes(snapshot)
    assert made.snapshot.held_start_ms.tolist() == [12, 12]


def test_dropping_a_site_interrupts_its_work(snapshot):
    made = fork(snapshot, sites=[snapshot.sites[0]])
    assert made.interrupted_slots == 1
    assert [one.name for one in made.snapshot.sites] == ["a"]
    assert made.snapshot.held_job.tolist() == [], "what was promised there is void"
    assert made.snapshot.queue_used[:, 0].sum() == 2_000
    assert made.snapshot.licence_free.tolist() == [3]


def test_a_new_site_is_empty(snapshot):
    made = fork(snapshot, sites=[*snapshot.sites, site("c", nodes=1)])
    assert made.snapshot.node_free[-1].tolist() == [4_000, 99, 0, 2_000]
    assert made.snapshot.licence_free.tolist() == [3, 5, 5]


def test_weights_and_money_change(snapshot):
    heavier = structs.replace(snapshot.queues[1], weight=9_000)
    made = fork(snapshot, queues=[heavier], accounts_micro={"default": 99})
    assert {queue.name: queue.weight for queue in made.snapshot.queues}["q"] == 9_000
    assert made.snapshot.account_available_micro.tolist() == [99]
