"""The picture: what a load gives, which tasks may start, and what a plan becomes."""

from dataclasses import replace

import pytest
from msgspec import structs

from fenglin.engine import pool as room
from fenglin.engine.applier import commitments, portions
from fenglin.engine.dependencies import doomed, eligible
from fenglin.engine.status import SiteStatus
from fenglin.errors import DamageError
from fenglin.ledger.entry import Kind
from fenglin.model.job import Dependency, Mode
from fenglin.model.site import Node, Price
from fenglin.model.states import JobState, SiteState
from fenglin.planner import plan
from fenglin.planner.policy import BALANCED, CONSERVATIVE
from fenglin.ports.driver import Capability, SiteReport
from fenglin.quantities.taskset import EMPTY, TaskSet
from fenglin.testing.builders import a_site

FOUR = TaskSet.span(0, 4)


def parent(world, state, **sets):
    return replace(world.job(1, tasks=4), state=state, pending=EMPTY, **sets)


DONE = {"succeeded": FOUR}
MIXED = {"succeeded": TaskSet.of([0]), "failed": TaskSet.of([1]), "cancelled": TaskSet.of([2])}


@pytest.mark.parametrize(
    ("state", "sets", "need", "may", "never"),
    [
        ("succeeded", DONE, {"condition": "ok"}, FOUR, EMPTY),
        ("failed", MIXED, {"condition": "ok"}, EMPTY, FOUR),
        ("running", MIXED, {"condition": "ok"}, EMPTY, EMPTY),
        ("failed", MIXED, {"condition": "any"}, FOUR, EMPTY),
        ("cancelled", MIXED, {"condition": "any"}, FOUR, EMPTY),
        ("running", MIXED, {"condition": "any"}, EMPTY, EMPTY),
        ("failed", MIXED, {"condition": "fail"}, FOUR, EMPTY),
        ("succeeded", DONE, {"condition": "fail"}, EMPTY, FOUR),
        ("cancelled", MIXED, {"condition": "fail"}, EMPTY, FOUR),
        ("running", MIXED, {"condition": "ok", "per_task": True}, "0", "1-2"),
        ("running", MIXED, {"condition": "any", "per_task": True}, "0-2", ""),
        ("running", MIXED, {"condition": "fail", "per_task": True}, "1", "0,2"),
    ],
)
def test_dependencies(world, state, sets, need, may, never):
    one = parent(world, JobState(state), **sets)
    need = msgspec_dependency(need)
    child = world.job(2, tasks=4, after=(need,))

    def parents(number):
        return one if number == 1 else None

    assert eligible(child, parents) == (TaskSet.parse(may) if isinstance(may, str) else may)
    assert doomed(child, parents) == (TaskSet.parse(never) if isinstance(never, str) else never)
    # While a parent is unknown nothing starts, and nothing is given up.
    assert eligible(child, lambda _: None) == EMPTY
    assert doomed(child, lambda _: None) == EMPTY


def msgspec_dependency(need):
    condition = need["condition"]
    return Dependency(
        "j1", type(Dependency("j1").condition)(condition), need.get("per_task", False)
    )


def test_a_live_allocation_of_an_ended_job_is_named(world):
    with pytest.raises(DamageError, match="a7 is live, its job j9"):
        world.pool([], [world.allocation(7, 9, "0")])


def test_equal_shapes_are_one_object_and_their_number_is_bounded(world, monkeypatch):
    monkeypatch.setattr(room, "MOST_SHAPES", 5)
    pool = world.pool([])
    assert pool.shape_of(world.job(1)) is pool.shape_of(world.job(2, name="other"))
    for nodes in range(1, 50):
        assert pool.shape_of(world.job(1, nodes=nodes)).nodes == nodes
        assert len(pool._shapes) <= 5


@pytest.mark.parametrize(
    ("status", "state", "why"),
    [
        ({}, SiteState.ACTIVE, ""),
        ({"drained": "disk"}, SiteState.DRAINED, "disk"),
        ({"drained": "disk", "down": "no route"}, SiteState.DOWN, "no route"),
        ({"resting": "refused"}, SiteState.DOWN, "refused"),
    ],
)
def test_a_site_as_the_planner_sees_it(status, state, why):
    found = SiteStatus(a_site(), **{"down": "", **status}).effective()
    assert (found.state, found.state_reason) == (state, why)


def test_a_node_that_is_not_reported_is_not_up():
    site = a_site(nodes=3)
    report = SiteReport((), (Node("n0", "std"), Node("n1", "std", up=False)))
    found = SiteStatus(site, down="", report=report).effective()
    assert [node.up for node in found.nodes] == [True, False, False]


@pytest.mark.parametrize(
    ("seen", "can"), [(None, ("images", "setup")), (frozenset({Capability.SETUP}), ("setup",))]
)
def test_what_a_site_can_do_is_what_it_was_seen_to_be_able_to(seen, can):
    site = structs.replace(a_site(), capabilities=("images", "setup"))
    report = SiteReport((), site.nodes, capabilities=seen)
    assert SiteStatus(site, down="", report=report).effective().capabilities == can


def test_a_plan_becomes_starts_with_hold_receipt_and_story(world):
    pool = world.pool([world.job(1, tasks=3), world.job(2)])
    snapshot = pool.snapshot(5_000)
    change = commitments(pool, snapshot, BALANCED, plan(snapshot, BALANCED), 5_000)
    assert sorted(unit.allocation.job for unit in change.starts) == [1, 2]
    for unit in change.starts:
        assert unit.hold.kind is Kind.HOLD
        assert unit.receipt.job == unit.job.number
        assert f"a{unit.allocation.number}: " in unit.event.text
        assert unit.job.version == 1
        assert unit.job.pending == EMPTY
    # The pool itself is untouched until the store has said yes.
    assert pool.jobs[1].pending == TaskSet.span(0, 3)


def test_a_start_is_held_and_frozen_by_its_own_tariff_and_the_urgent_goes_first(world):
    usual, school = Price(core_hour_micro=1_000_000), Price(core_hour_micro=400_000, book=("p2",))
    (site,) = (a_site(cpu=1),)
    flavor = structs.replace(site.flavors[0], price=usual, tariffs=(("school/urgent", school),))
    sites = (structs.replace(site, flavors=(flavor,)),)
    jobs = [world.job(1, priority=1_000), world.job(2, mode=Mode.URGENT, priority=-1_000)]
    pool = world.pool([], sites=sites)
    pool.classes = {"default": "school"}
    pool.add_jobs(jobs)
    snapshot = pool.snapshot(5_000)
    (unit,) = commitments(pool, snapshot, BALANCED, plan(snapshot, BALANCED), 5_000).starts
    assert (unit.job.number, unit.allocation.price) == (2, school)
    dear = structs.replace(flavor, tariffs=())
    pool.sites["site"].site = structs.replace(site, flavors=(dear,))
    snapshot = pool.snapshot(5_000)
    (other,) = commitments(pool, snapshot, BALANCED, plan(snapshot, BALANCED), 5_000).starts
    assert (other.job.number, other.allocation.price) == (2, usual)
    assert 2 * other.allocation.held_micro == 5 * unit.allocation.held_micro > 0


def test_the_next_picture_shows_what_a_plan_promised(world):
    """To conservative plans of the pool as it is; who asks about an empty pool sees none."""
    running = world.allocation(1, 9, "0", slots=64)
    pool = world.pool([world.job(9), world.job(2)], [running])
    snapshot = pool.snapshot(5_000)
    made = plan(snapshot, CONSERVATIVE)
    assert [(one.job, one.start_ms) for one in made.reservations] == [(2, 60_000)]
    pool.promised(made, CONSERVATIVE)
    shown = pool.snapshot(6_000)
    assert (shown.held_job.tolist(), shown.held_start_ms.tolist()) == ([2], [60_000])
    assert not len(pool.snapshot(6_000, alone=True).held_job)
    pool.promised(made, BALANCED)
    assert not len(pool.snapshot(6_000).held_job)


def test_two_starts_of_one_job_chain(world):
    sites = (a_site("one", cpu=2), a_site("two", cpu=2))
    pool = world.pool([world.job(1, tasks=4)], sites=sites)
    snapshot = pool.snapshot(5_000)
    starts = commitments(pool, snapshot, BALANCED, plan(snapshot, BALANCED), 5_000).starts
    assert len(starts) >= 2
    assert [unit.job.version for unit in starts] == list(range(1, len(starts) + 1))
    assert len({unit.allocation.number for unit in starts}) == len(starts)
    taken = [task for unit in starts for task in unit.allocation.tasks]
    assert sorted(taken) == sorted(set(taken))
    assert sum(unit.receipt is not None for unit in starts) == 1


def test_many_starts_are_committed_in_parts_stops_first(world, monkeypatch):
    monkeypatch.setattr("fenglin.engine.applier.MOST_STARTS", 2)
    pool = world.pool([world.job(n) for n in (1, 2, 3)], sites=(a_site("one", cpu=8),))
    snapshot = pool.snapshot(5_000)
    change = commitments(pool, snapshot, BALANCED, plan(snapshot, BALANCED), 5_000)
    change.allocations, change.events = ["a stop"], ["its story"]
    parts = list(portions(change))
    assert [unit for part in parts for unit in part.starts] == change.starts
    assert [len(part.starts) for part in parts] == [2, 1]
    assert [(part.allocations, part.events) for part in parts] == [
        (["a stop"], ["its story"]), ([], []),
    ]  # fmt: skip
    assert {(part.epoch, part.now_ms) for part in parts} == {(change.epoch, change.now_ms)}
    change.starts = []
    assert [part.allocations for part in portions(change)] == [["a stop"]]


def test_what_changed_since_the_plan_is_left_out(world):
    pool = world.pool([world.job(1), world.job(2), world.job(3)])
    snapshot = pool.snapshot(5_000)
    made = plan(snapshot, BALANCED)
    pool.jobs[1].cancelling = True
    del pool.jobs[2]
    change = commitments(pool, snapshot, BALANCED, made, 5_000)
    assert [unit.allocation.job for unit in change.starts] == [3]


@pytest.mark.parametrize("count", [3, 2 * room.FEW_ROWS])
def test_of_jobs_that_come_together_a_bad_one_stops_no_other(world, count):
    pool = world.pool([])
    jobs = [world.job(number) for number in range(1, count)]
    # Its child came first; both are judged when all are there.
    child = world.job(count, after=(Dependency(f"j{count + 1}"),))
    bad = world.job(count + 1, deadline_ms=2**63)
    pool.add_jobs([*jobs, child, bad])
    assert list(pool.poison) == [bad.number]
    shown = pool.snapshot(5)
    assert shown.job_number.tolist() == [*range(1, count), count]
    assert shown.job_blocked.tolist() == [*[0] * (count - 1), 1]
