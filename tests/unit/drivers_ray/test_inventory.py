import pytest
from msgspec.structs import replace

from fenglin.drivers.ray.inventory import cards_variable, custom_needs, report
from fenglin.drivers.ray.rest import RayNode
from fenglin.drivers.ray.settings import read_settings
from fenglin.errors import DriverError
from fenglin.model.allocation import Share
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.ports.driver import StartOrder
from fenglin.quantities.resources import Resources

GIB = 2**30
CPU = Flavor("cpu", ComputeClass.GENERAL, Resources(4_000, 8 * GIB))
GPU = Flavor("gpu", ComputeClass.AI, Resources(4_000, 8 * GIB, 0, 2_000), accelerator="A100-80")
NODES = tuple(Node(f"{f}-{n}", f) for f in ("cpu", "gpu") for n in range(3))


def node(name, cpu, gib, **more):
    total = {"CPU": float(cpu), "memory": float(gib * GIB), "node:10.0.0.1": 1.0}
    state = more.pop("state", "ALIVE")
    return RayNode(name, state, {**total, **more.pop("extra", {})})


def settings(**more):
    given = {"flavors": (CPU, GPU), "nodes": NODES, "address": "http://head:8265"}
    return read_settings({**given, **more}, "site.rays")


def up(nodes, **more):
    seen = report(settings(**more), nodes, "session_1")
    return sorted(one.name for one in seen.nodes if one.up)


A100 = {"GPU": 2.0, "accelerator_type:A100-80G": 1.0}


def test_a_large_node_has_room_for_several_places():
    assert up([node("a", 9, 100)]) == ["cpu-0", "cpu-1"]
    assert up([node("a", 64, 17)]) == ["cpu-0", "cpu-1"]
    assert up([node("a", 3, 100), node("b", 3, 100)]) == []


def test_dead_nodes_do_not_count():
    assert up([node("a", 4, 8), node("b", 4, 8, state="DEAD")]) == ["cpu-0"]
    assert up([]) == []


def test_cards_count_by_model():
    assert up([node("a", 4, 8, extra=A100)]) == ["cpu-0", "gpu-0"]
    other = {"GPU": 8.0, "accelerator_type:T4": 1.0}
    assert up([node("a", 4, 8, extra=other)]) == ["cpu-0"]
    assert up([node("a", 4, 8, extra={"GPU": 2.0})]) == ["cpu-0", "gpu-0"]


def test_a_marked_flavor_has_only_marked_nodes():
    nodes = [node("a", 4, 8), node("b", 4, 8, extra={"fast": 1.0})]
    assert up(nodes, resource={"cpu": "fast"}) == ["cpu-0"]


def order(flavor, cards):
    return StartOrder(
        key="h-a1-1", epoch=1, hub="h", job="j1", job_name="", site="rays", flavor=flavor,
        tasks="0", task_count=1, tries=(), shares=(Share("gpu-0", 1),), nodes=1,
        resources=Resources(1_000, GIB, 0, cards), command=("true",), script="", env=(),
        workdir="", inputs=(), artifacts=(), artifacts_dir="/nowhere", timeout_ms=0,
    )  # fmt: skip


def test_a_slot_asks_for_cards_of_its_model():
    nodes = [node("a", 4, 8, extra=A100)]
    needs = custom_needs(settings(), order("gpu", 500), nodes, "site.rays")
    assert needs == {"GPU": 0.5, "accelerator_type:A100-80G": 0.001}
    marked = settings(resource={"cpu": "fast"})
    assert custom_needs(marked, order("cpu", 0), nodes, "site.rays") == {"fast": 0.001}


def test_other_cards_are_refused_for_certain():
    nodes = [node("a", 4, 8, extra={"GPU": 8.0, "accelerator_type:T4": 1.0})]
    with pytest.raises(DriverError, match="no A100-80, only T4") as caught:
        custom_needs(settings(), order("gpu", 1_000), nodes, "site.rays")
    assert not caught.value.effect_unknown


def test_ascend_is_counted_as_npu():
    ascend = replace(GPU, accelerator="Ascend910B")
    known = settings(flavors=(CPU, ascend))
    assert custom_needs(known, order("gpu", 1_000), [], "site.rays") == {"NPU": 1.0}
    assert cards_variable("Ascend910B") == "ASCEND_RT_VISIBLE_DEVICES"
    assert cards_variable("no such card") == ""
