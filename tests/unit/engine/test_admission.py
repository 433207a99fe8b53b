"""What is refused before it is stored: that which no site could ever hold."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fenglin.engine.admission import Admission
from fenglin.errors import InputError
from fenglin.model.job import DataNeed, Topology
from fenglin.planner.policy import BALANCED
from fenglin.quantities.resources import Resources
from fenglin.testing.builders import a_job, a_site


@pytest.fixture
def check(world):
    """Submit a job with these wishes to a pool of one site, `site`, of three nodes."""
    admission = Admission(world.pool(sites=(a_site(nodes=3),)), BALANCED, frozenset({"default"}))
    return lambda **wishes: admission.check(replace(a_job(), **wishes))


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        ({"resources": Resources(10**9)}, "needs 1000000 cores"),
        ({"nodes": 1_000}, "needs 1000 nodes"),
        ({"regions": ("eu",)}, "the job allows only eu, it declares no region"),
        ({"require": (("tier", "gold"),)}, "needs tier=gold"),
        (
            {"nodes": 2, "topology": Topology.BLOCK},
            "needs 2 nodes of one block, its largest block has 1",
        ),
    ],
)
def test_what_can_never_start_is_told_why(check, wishes, why):
    with pytest.raises(InputError, match="can ever hold") as caught:
        check(**wishes)
    assert f"site/std: {why}" in caught.value.hint


@pytest.mark.parametrize(
    ("wishes", "where"),
    [
        ({"sites": ("sight",)}, "sites"),
        ({"near": "sight"}, "near"),
        ({"data": (DataNeed("a", 1, ("site",)), DataNeed("b", 1, ("sight",)))}, "data[1].sites"),
        ({"account": "nobody"}, "account"),
    ],
)
def test_names_that_do_not_exist_are_told_with_their_place(check, wishes, where):
    with pytest.raises(InputError, match="does not exist") as caught:
        check(**wishes)
    assert caught.value.where == where


def test_what_fits_is_taken(check):
    check(near="site", latency_ms=1, data=(DataNeed("a", 2**40, ("site",)),), sites=("site",))


def test_what_no_driver_can_do_is_told_at_once(world):
    """A job with an image never waits for a site that will not learn to run one."""
    bare = replace(a_site(), capabilities=("arrays", "inputs"))
    admission = Admission(world.pool(sites=(bare,)), BALANCED, frozenset({"default"}))
    admission.check(a_job(tasks=2))
    with pytest.raises(InputError, match="can ever hold") as caught:
        admission.check(replace(a_job(), image="debian:12"))
    assert "site/std: the site cannot run container images" in caught.value.hint
