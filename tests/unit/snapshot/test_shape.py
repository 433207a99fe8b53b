"""What of a job its shape tells: everything that decides where it may run."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import fields, replace

from fenglin.model.job import AcceleratorNeed, DataNeed, FileInput, JobSpec, Mode, Topology
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import Capability
from fenglin.quantities.resources import Resources
from fenglin.snapshot.builder import shape_key
from fenglin.snapshot.snapshot import Shape
from fenglin.testing.builders import a_job, a_site

WISHES = {
    "resources": Resources(7_000),
    "nodes": 2,
    "accelerator": AcceleratorNeed("A100-80"),
    "licences": (("matlab", 1),),
    "compute_class": ComputeClass.AI,
    "sites": ("here",),
    "regions": ("eu",),
    "require": (("tier", "gold"),),
    "topology": Topology.BLOCK,
    "near": "here",
    "latency_ms": 5,
    "data": (DataNeed("scans", 1),),
}


def test_each_wish_reaches_the_shape():
    names = [
        field.name
        for field in fields(Shape)
        if field.name not in ("capabilities", "exclusive", "tariff")
    ]
    assert sorted(WISHES) == sorted(names)
    for name, wish in WISHES.items():
        assert getattr(Shape.of(replace(a_job(), **{name: wish})), name) == wish


@pytest.mark.parametrize(
    ("mode", "user_class", "expected"),
    [
        (Mode.SHARED, "", (False, "")),
        (Mode.SHARED, "school", (False, "school/shared")),
        (Mode.URGENT, "", (False, "/urgent")),
        (Mode.EXCLUSIVE, "school", (True, "school/exclusive")),
    ],
)
def test_mode_and_class_of_user_make_the_tariff(mode, user_class, expected):
    plain, shape = Shape.of(a_job()), Shape.of(replace(a_job(), mode=mode), user_class)
    assert (shape.exclusive, shape.tariff) == expected
    assert (shape_key(shape) != shape_key(plain)) is (shape != plain) is (expected != (False, ""))


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        ({"tasks": 2}, Capability.ARRAYS),
        ({"artifacts": ("*.png",)}, Capability.ARTIFACTS),
        ({"nodes": 2}, Capability.GANGS),
        ({"image": "debian:12"}, Capability.IMAGES),
        ({"files": (FileInput("a", "0" * 64, 1),)}, Capability.INPUTS),
        ({"setup": "true"}, Capability.SETUP),
    ],
)
def test_what_a_driver_must_be_able_to_do(wish, word):
    plain, shape = Shape.of(a_job()), Shape.of(replace(a_job(), **wish))
    assert plain.capabilities == ()
    assert shape.capabilities == (word.value,)
    assert shape_key(shape) != shape_key(plain)


def test_they_are_sorted():
    wishes = {"tasks": 2, "artifacts": ("a",), "nodes": 2, "image": "i", "setup": "s"}
    spec: JobSpec = replace(a_job(), files=(FileInput("a", "0" * 64, 1),), **wishes)
    words = Shape.of(spec).capabilities
    assert len(words) == 6
    assert list(words) == sorted(words)


def test_what_needs_nothing_is_written_as_before():
    """Cycles that were kept before there were capabilities are replayed byte for byte."""
    written = msgspec.msgpack.encode([Shape.of(a_job()), a_site()])
    assert b"capabilities" not in written
    assert b"capabilities" in msgspec.msgpack.encode(Shape.of(a_job(tasks=2)))
