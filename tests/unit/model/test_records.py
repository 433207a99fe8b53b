"""The few derivations that the records carry."""

import pytest

from fenglin.model.allocation import Usage
from fenglin.model.reason import SITE_FAULTS, Reason
from fenglin.model.site import Flavor, Site
from fenglin.model.states import ComputeClass, JobState
from fenglin.quantities.resources import Resources


def test_usage_adds_up_but_memory_peaks():
    both = Usage(1, 2, 3, 4, 50) + Usage(10, 20, 30, 40, 5)
    assert both == Usage(11, 22, 33, 44, 50)


def test_terminal_states():
    assert {s for s in JobState if s.terminal} == {"succeeded", "failed", "cancelled"}


def test_faults_of_a_site_may_pass():
    assert all(reason.transient for reason in SITE_FAULTS)
    assert not Reason.NO_SITE_CAN_HOLD.transient


def test_flavor_by_name():
    flavor = Flavor("f", ComputeClass.AI, Resources(1_000))
    site = Site("s", "p", "mock", flavors=(flavor,))
    assert site.flavor("f") is flavor
    with pytest.raises(KeyError):
        site.flavor("g")
