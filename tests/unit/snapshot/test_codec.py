"""A snapshot's bytes."""

from __future__ import annotations

import numpy as np
import pytest

from fenglin.errors import DamageError
from fenglin.model.job import AcceleratorNeed
from fenglin.model.site import Flavor, Node, Price, Queue, Site
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import JobRow, ShareRow, build
from fenglin.snapshot.codec import from_bytes, to_bytes
from fenglin.snapshot.snapshot import Shape


@pytest.fixture
def snapshot():
    flavor = Flavor("f", ComputeClass.AI, Resources(4_000, 99), price=Price(core_hour_micro=5))
    return build(
        index=2**40,
        now_ms=1_700_000_000_000,
        sites=[Site("s", "p", "mock", flavors=(flavor,), nodes=(Node("n", "f"),),
                    licences=(("l", 3),))],
        queues=[Queue("q", quota=Resources(5))],
        accounts={"default": 10**17},
        jobs=[JobRow(i, Shape(Resources(i), accelerator=AcceleratorNeed("A100")), i)
              for i in range(1, 9)],
        shares=[ShareRow(3, "s", "n", 2, 1_700_000_009_000, Resources(1_000))],
    )  # fmt: skip


def test_round_trip_keeps_every_field(snapshot):
    back = from_bytes(to_bytes(snapshot))
    for name in snapshot.__slots__:
        before, after = getattr(snapshot, name), getattr(back, name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype, name
            assert np.array_equal(after, before), name
            assert not after.flags.writeable
        else:
            assert after == before, name
    assert to_bytes(back) == to_bytes(snapshot)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:0],
        lambda data: b"PNG" + data,
        lambda data: data[:40],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:16] + b"\xff" * 20 + data[36:],
        lambda data: data[:8] + (2**40).to_bytes(8, "little") + data[16:],
    ],
)
def test_damage_is_recognised(snapshot, spoil):
    with pytest.raises(DamageError):
        from_bytes(spoil(to_bytes(snapshot)))
