"""Small pools and made-up workloads for simulated runs."""

from __future__ import annotations

import pytest

from fenglin.model.site import Flavor, Node, Price, Site
from fenglin.model.states import ComputeClass
from fenglin.planner.policy import built_in
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.outcome import Kept
from fenglin.simulator.pool.world import Setting, World
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import Workload

GIB = 2**30


def site(name="here", nodes=2, cores=4, **more):
    """Return a site of equal nodes that costs one yuan per core-hour."""
    flavor = Flavor(
        "std",
        ComputeClass.GENERAL,
        Resources(cores * 1_000, cores * GIB, cores * GIB),
        price=Price(core_hour_micro=1_000_000),
        speed_milli=more.pop("speed_milli", 1_000),
        power_watts=more.pop("power_watts", 0),
    )
    places = tuple(Node(f"n{i}", "std") for i in range(nodes))
    return Site(name, f"provider-{name}", "mock", flavors=(flavor,), nodes=places, **more)


@pytest.fixture
def make_site():
    """Return the function that makes a site."""
    return site


@pytest.fixture
def simulate():
    """Run jobs on sites; return what was kept, and the tally."""

    def run(jobs, sites=None, policy="balanced", watch=None, **setting):
        kept = Kept()
        workload = Workload("made up", lambda: iter(jobs), Findings("made up"))
        chosen = policy if not isinstance(policy, str) else built_in(policy)
        world = World(Setting(tuple(sites or [site()]), chosen, **setting), workload, kept,
                      watch=watch)  # fmt: skip
        return kept, world.run()

    return run
