"""Which nodes are of a flavor, and under which name its cards are asked for."""

import pytest
from kubernetes_samples import FLAVORS, START, settings

from fenglin.catalog.device_facts import DEVICES
from fenglin.catalog.extended_resources import extended_resource
from fenglin.drivers.kubernetes.inventory import card_resource, is_usable
from fenglin.drivers.kubernetes.settings import Group
from fenglin.drivers.kubernetes.views import Condition, Metadata, Node, NodeSpec, NodeStatus, Taint
from fenglin.errors import DriverError, InputError

CPU, GPU = FLAVORS


def node(*, ready="True", cordoned=False, taints=(), labels=(), cards="0"):
    return Node(
        Metadata("n", labels=dict(labels)),
        NodeSpec(cordoned, tuple(taints)),
        NodeStatus({"nvidia.com/gpu": cards}, (Condition("Ready", ready, "", "", START),)),
    )


def test_a_node_that_is_down_or_cordoned_is_not_usable():
    assert is_usable(node(), CPU, Group())
    assert not is_usable(node(ready="False"), CPU, Group())
    assert not is_usable(node(ready="Unknown"), CPU, Group())
    assert not is_usable(node(cordoned=True), CPU, Group())


def test_labels_make_a_group():
    group = Group(selector={"pool": "a"})
    assert is_usable(node(labels={"pool": "a"}), CPU, group)
    assert not is_usable(node(labels={"pool": "b"}), CPU, group)
    assert not is_usable(node(), CPU, group)


@pytest.mark.parametrize(
    ("tolerations", "usable"),
    [((), False), (("own",), True), (("own=a",), True), (("own=b",), False),
     (("own=a:NoSchedule",), True), (("own:NoExecute",), False)],
)  # fmt: skip
def test_taints_keep_pods_off_unless_they_are_tolerated(tolerations, usable):
    tainted = node(taints=[Taint("own", "a", "NoSchedule")])
    assert is_usable(tainted, CPU, Group(tolerations=tolerations)) is usable
    assert is_usable(node(taints=[Taint("own", "a", "PreferNoSchedule")]), CPU, Group())


def test_cards_are_told_by_the_product_label():
    def label(text):
        return {"nvidia.com/gpu.product": text}

    assert is_usable(node(cards="8", labels=label("NVIDIA-H800")), GPU, Group())
    assert not is_usable(node(cards="8", labels=label("NVIDIA-H20")), GPU, Group())
    assert not is_usable(node(cards="0", labels=label("NVIDIA-H800")), GPU, Group())
    # A label that the registry does not know says nothing against it.
    assert is_usable(node(cards="8", labels=label("Something-New")), GPU, Group())


def test_every_device_of_the_registry_has_a_resource():
    assert [device.key for device in DEVICES if not extended_resource(device.key)] == []
    assert extended_resource("NVIDIA H800") == "nvidia.com/gpu"
    assert extended_resource("Ascend310P") == "huawei.com/Ascend310P"
    assert extended_resource("") == extended_resource("nothing") == ""


def test_a_group_may_name_its_own_resource():
    own = settings(group={"gpu": {"resource": "example.com/card"}})
    assert card_resource(own, "gpu", "w") == "example.com/card"
    assert card_resource(settings(), "gpu", "w") == "nvidia.com/gpu"
    with pytest.raises(DriverError, match="no extended resource"):
        card_resource(settings(), "cpu", "w")


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"namespace": "No_Name"}, "namespace"),
        ({"namespace": ""}, "namespace"),
        ({"image": "no image"}, "image"),
        ({"queue": "Q"}, "queue"),
        ({"run_as": -2}, "run_as"),
        ({"run_as": 0, "non_root": True}, "run_as"),
        ({"shared_claim": "c"}, "shared_dir"),
        ({"shared_claim": "c", "shared_dir": "rel"}, "shared_dir"),
        ({"group": {"tpu": {}}}, "group"),
        ({"group": {"cpu": {"selector": {"a b": "c"}}}}, "group.cpu"),
        ({"group": {"cpu": {"tolerations": ["a=b:Never"]}}}, "group.cpu"),
        ({"group": {"cpu": {"colour": "red"}}}, "site.k"),
        ({"image_patience": "soon"}, "image_patience"),
        ({"colour": "red"}, "site.k"),
    ],
)
def test_settings_that_are_wrong_are_named(given, where):
    with pytest.raises(InputError) as caught:
        settings(**given)
    assert where in caught.value.where
