import pytest

from fenglin.drivers.ray import driver
from fenglin.drivers.ray.settings import read_settings
from fenglin.errors import InputError
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass, PlacementKind
from fenglin.quantities.resources import Resources

FLAVORS = (Flavor("cpu", ComputeClass.GENERAL, Resources(2_000, 2**30)),)
PLAIN = {"flavors": FLAVORS, "nodes": (Node("cpu-0", "cpu"),), "address": "http://head:8265/"}


def test_a_plain_block():
    read = read_settings(PLAIN, "site.rays")
    assert (read.address, read.poll_ms, read.lost_after_ms) == ("http://head:8265", 2_000, 90_000)


@pytest.mark.parametrize(
    ("more", "where", "says"),
    [
        ({"address": "head:8265"}, "site.rays.address", "not the address"),
        ({"address": "ray://head:10001"}, "site.rays.address", "not the address"),
        ({"address": "http://user:secret@head:8265"}, "site.rays.address", "not the address"),
        ({"resource": {"gpu": "x"}}, "site.rays.resource", "no flavor 'gpu'"),
        ({"resource": {"cpu": "a b"}}, "site.rays.resource.cpu", "not a Ray resource"),
        ({"token_file": "/nowhere/token"}, "site.rays.token_file", "no file"),
        ({"python": "-c"}, "site.rays.python", "not a program"),
        ({"scratch": "tmp"}, "site.rays.scratch", "absolute"),
        ({"poll": "soon"}, "site.rays.poll", "soon"),
        ({"pack": 3}, "site.rays", "pack"),
    ],
)
def test_a_wrong_setting_is_named(more, where, says):
    with pytest.raises(InputError, match=says) as caught:
        read_settings({**PLAIN, **more}, "site.rays")
    assert caught.value.where == where


def test_ray_picks_the_node():
    assert driver.placement is PlacementKind.DELEGATED
