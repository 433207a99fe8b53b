"""Settings of ssh sites: what is refused, and how hosts become nodes."""

import pytest

from fenglin.drivers.ssh.settings import read_settings
from fenglin.errors import InputError
from fenglin.model.site import Flavor, Node
from fenglin.model.states import ComputeClass
from fenglin.quantities.resources import Resources


def flavor(name):
    return Flavor(name, ComputeClass.GENERAL, Resources(1_000))


ONE = {"flavors": (flavor("std"),), "nodes": (Node("std-0", "std"), Node("std-1", "std"))}


def read(*hosts, **more):
    return read_settings({**ONE, "hosts": list(hosts), **more}, "site.lab")


def test_hosts_become_nodes_in_order():
    places = read({"address": "a"}, {"address": "b", "port": 2222, "user": "u"}, user="me").places
    assert str(places["std-0"]) == "me@a:22"
    assert str(places["std-1"]) == "u@b:2222"


def test_a_host_may_be_several_nodes_of_one_connection():
    places = read({"address": "a", "count": 2}).places
    assert places["std-0"] == places["std-1"]


def test_hosts_name_their_flavors():
    both = {
        "flavors": (flavor("big"), flavor("small")),
        "nodes": (Node("big-0", "big"), Node("small-0", "small")),
    }
    hosts = [{"address": "s", "flavor": "small"}, {"address": "b", "flavor": "big"}]
    places = read_settings({**both, "hosts": hosts}, "w").places
    assert {name: place.address for name, place in places.items()} == {"big-0": "b", "small-0": "s"}
    with pytest.raises(InputError, match="names no flavor"):
        read_settings({**both, "hosts": [{"address": "s"}]}, "w")


def test_jump_hosts_may_stand_behind_others():
    jumps = {"inner": {"address": "i", "jump": "outer"}, "outer": {"address": "o", "user": "gate"}}
    place = read({"address": "a", "jump": "inner", "count": 2}, jumps=jumps).places["std-0"]
    assert (place.jump.address, place.jump.jump.address) == ("i", "o")
    assert place.jump.jump.user == "gate"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"hosts": []}, "needs hosts"),
        ({"hosts": [{"address": "a"}]}, "2 nodes and 1 hosts"),
        ({"hosts": [{"address": "a", "count": 3}]}, "2 nodes and 3 hosts"),
        ({"hosts": [{"port": 22}]}, "missing required field `address`"),
        ({"hosts": [{"address": "a", "password": "x"}]}, "unknown field `password`"),
        ({"hosts": [{"address": "a", "port": 0}]}, "port is out of range"),
        ({"hosts": [{"address": "a", "flavor": "big"}]}, "no flavor 'big'"),
        ({"hosts": [{"address": "a", "jump": "x"}]}, "no jump host 'x'"),
        ({"hosts": [{"address": "a", "key_file": "/nowhere/id"}]}, "no key file"),
        ({"hosts": [{"address": "a", "host_key": "MD5:00"}]}, "not a fingerprint"),
        ({"nice": 20}, "nice is out of range"),
        ({"concurrency": 0}, "concurrency is out of range"),
        ({"root": ""}, "root is not a path"),
        ({"python": "-c"}, "python is not a path"),
        ({"python": "py\nthon"}, "python is not a path"),
        ({"pass_env": ["FENGLIN_TOKEN"]}, "cannot be passed on"),
        ({"pass_env": ["A=B"]}, "cannot be passed on"),
        ({"log_cap": "much"}, "much"),
        ({"wrong": 1}, "unknown field `wrong`"),
        (
            {
                "hosts": [{"address": "a", "jump": "x"}],
                "jumps": {"x": {"address": "b", "jump": "x"}},
            },
            "leads to itself",
        ),
    ],
)
def test_refused(settings, what):
    with pytest.raises(InputError) as caught:
        read_settings({**ONE, "hosts": [{"address": "a", "count": 2}], **settings}, "site.lab")
    assert what in caught.value.what
    assert caught.value.where.startswith("site.lab")


@pytest.mark.parametrize(
    "address",
    ["-oProxyCommand=x", "a;b", "$(id)", "`id`", "a|b", "a b", "a\n", "a\0", "u@a", "a:22", "[::1]",
     "a/../b", "ssh://a", "", "例子", "a" * 300, ".a", "a-", "fe80::1%eth0"],
)  # fmt: skip
def test_addresses_that_are_none(address):
    with pytest.raises(InputError, match="not an address"):
        read({"address": address, "count": 2})


@pytest.mark.parametrize("user", ["-l", "a b", "$(id)", "a\nb", "root;id", "a/b"])
def test_users_that_are_none(user):
    with pytest.raises(InputError, match="not a user name"):
        read({"address": "a", "user": user, "count": 2})


@pytest.mark.parametrize("address", ["node1", "node-1.example.org", "10.0.0.1", "fe80::1", "::1"])
def test_addresses(address):
    assert read({"address": address, "count": 2}).places["std-0"].address == address
