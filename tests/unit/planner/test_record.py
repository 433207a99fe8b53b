"""Cycles as bytes, planned again."""

from __future__ import annotations

import pytest

from fenglin.errors import DamageError
from fenglin.planner.planning import plan
from fenglin.planner.policy import built_in
from fenglin.planner.record import plan_bytes, read_record, record_bytes
from fenglin.snapshot.codec import to_bytes

SCENE = """
    site a general 3×4,8 1 0.3
    site b general 2×8,16 2 0.6
    queue q weight=2
    money default 1000
    job 1 5×2,1 estimate=60
    job 2 1×8,1 queue=q
    live 9 a/n0 1×3,1 50
"""


@pytest.mark.parametrize("policy", ["balanced", "green", "conservative", "fgd"])
def test_a_cycle_comes_back_and_is_planned_the_same(pool, policy):
    snapshot = pool(SCENE)
    made = plan(snapshot, built_in(policy))
    data = record_bytes(snapshot, built_in(policy), made)
    record = read_record(data)
    assert record.plan == made
    assert record.policy == built_in(policy)
    assert to_bytes(record.snapshot) == to_bytes(snapshot)
    again = plan(record.snapshot, record.policy)
    assert plan_bytes(again) == plan_bytes(made)
    assert record_bytes(record.snapshot, record.policy, again) == data


@pytest.mark.parametrize("spoil", [
    lambda _: b"",
    lambda data: b"FLCYCLE2\n" + data[9:],
    lambda data: data[:-1],
    lambda data: data + b"x",
    lambda data: data[:33] + b"\xc1" + data[34:],
])  # fmt: skip
def test_damage_is_noticed(pool, spoil):
    snapshot = pool(SCENE)
    data = record_bytes(snapshot, built_in("fcfs"), plan(snapshot, built_in("fcfs")))
    with pytest.raises(DamageError):
        read_record(spoil(data))
