"""Policies beside each other: intervals, pairing, shaking, and where the runs take place."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fenglin.errors import InputError, UnavailableError
from fenglin.planner.planning import plan
from fenglin.planner.policy import built_in
from fenglin.planner.record import record_bytes
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.compare import compare, estimate
from fenglin.simulator.pool.drive import Request, simulate_pool
from fenglin.simulator.pool.poolfile import read_pool
from fenglin.simulator.runners import Processes, Ray
from fenglin.simulator.shake import shake
from fenglin.simulator.sources import Source
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import WorkJob, Workload
from fenglin.snapshot.builder import build
from fenglin.snapshot.snapshot import Shape

POOL = """
[site.west]
driver = "mock"
provider = "w"
[site.west.flavor.c]
nodes = 4
cpu = 4
memory = "16GiB"
"""


@pytest.fixture
def request_of(tmp_path):
    """Return a function that makes a request on a small pool."""
    path = tmp_path / "pool.toml"
    path.write_text(POOL)

    def make(**more):
        options = {"procs_per_node": "4", "capacity": "16"} | more.pop("options", {})
        source = Source("synthetic:hpc", jobs=30, options=options)
        return Request(**{"pool": str(path), "source": source} | more)

    return make


def test_an_interval_worked_by_hand():
    # Mean 4, standard deviation 2; t(2) = 4.303.
    found = estimate([2.0, 4.0, 6.0])
    assert found.mean == 4.0
    assert found.half == pytest.approx(4.303 * 2 / math.sqrt(3))
    assert math.isnan(estimate([5.0]).half)


def test_a_policy_never_differs_from_itself(request_of, tmp_path):
    copy = tmp_path / "copy.toml"
    copy.write_text('base = "fcfs"\n')
    one, two = compare(request_of(), ["fcfs", str(copy)], [1, 2, 3], Processes(1))
    assert one.figures == two.figures
    assert one.against == {}
    assert all((gap.mean, gap.half) == (0.0, 0.0) for gap in two.against.values())


@pytest.mark.slow
def test_processes_give_the_same_as_this_one(request_of):
    here = compare(request_of(), ["balanced"], [1, 2], Processes(1))
    there = compare(request_of(), ["balanced"], [1, 2], Processes(2))
    assert [one.figures for one in here] == [one.figures for one in there]


@pytest.mark.parametrize(("policies", "seeds"), [
    ([], [1]), (["fcfs"], []), (["fcfs", "fcfs"], [1]), (["fcfs"], [1, 1]),
])  # fmt: skip
def test_each_once_and_at_least_one(request_of, policies, seeds):
    with pytest.raises(InputError, match="once, and at least one"):
        compare(request_of(), policies, seeds, Processes(1))


def workload(count=200):
    jobs = [WorkJob(i, i * 1_000, Shape(Resources(1_000)), (500,)) for i in range(1, count)]
    return Workload("w", lambda: iter(jobs), Findings("w"))


def test_shaking_moves_each_arrival_a_little_and_keeps_the_order():
    before = list(workload().jobs())
    after = list(shake(workload(), 5_000, 7).jobs())
    assert sorted(job.number for job in after) == [job.number for job in before]
    assert all(a.submitted_ms <= b.submitted_ms for a, b in pairwise(after))
    moves = {job.number: job.submitted_ms - job.number * 1_000 for job in after}
    assert all(-5_000 <= move <= 5_000 for move in moves.values())
    assert len(set(moves.values())) > 100
    assert list(shake(workload(), 5_000, 7).jobs()) == after
    assert list(shake(workload(), 5_000, 8).jobs()) != after
    assert list(shake(workload(), 5_000, 0).jobs()) == before


def test_a_pool_file_may_be_yaml(request_of, tmp_path):
    path = tmp_path / "pool.yaml"
    path.write_text(
        "site:\n  a:\n    driver: mock\n    provider: p\n    flavor:\n      c: {cpu: 4}\n"
    )
    answer = simulate_pool(request_of(pool=str(path), options={"procs_per_node": "1"}))
    assert answer.figures["jobs"] == 30


@pytest.mark.parametrize(("name", "text", "said"), [
    ("p.yaml", "site: [", "not YAML"),
    ("p.yaml", "site: 3", "Expected `object`"),
    ("p.toml", "site = ", "not TOML"),
    ("p.toml", "[site.a]\ndriver = 'mock'", "provider"),
])  # fmt: skip
def test_a_wrong_pool_file_is_told_of(request_of, tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        simulate_pool(request_of(pool=str(path)))
    assert said in str(caught.value)
    assert name in caught.value.where


def test_ray_that_is_not_there_is_told_of():
    with pytest.raises(UnavailableError, match=r"need the package ray|no Ray cluster answers"):
        Ray("127.0.0.1:1")


def test_a_pool_may_be_a_cycle_of_a_live_hub(request_of, tmp_path):
    given = request_of()
    pool = read_pool(Path(given.pool))
    snapshot = build(index=1, now_ms=1, sites=pool.sites, accounts={}, jobs=())
    policy = built_in("easy")
    saved = tmp_path / "now.cycle"
    saved.write_bytes(record_bytes(snapshot, policy, plan(snapshot, policy)))
    answer = simulate_pool(replace(given, pool=str(saved)))
    assert answer.figures["policy"] == "easy"
    first = simulate_pool(replace(given, policy="easy")).figures
    assert answer.figures["mean_wait_s"] == first["mean_wait_s"]
