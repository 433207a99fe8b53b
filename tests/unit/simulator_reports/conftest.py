"""Small runs, and pages that are taken apart."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple

import pytest

from fenglin.model.site import Flavor, Node, Price, Site
from fenglin.model.states import ComputeClass
from fenglin.planner.policy import built_in
from fenglin.quantities.resources import Resources
from fenglin.simulator.pool.drive import Answer, Request
from fenglin.simulator.pool.outcome import JobOutcome, RunOutcome, Sample, Several
from fenglin.simulator.pool.summary import Summary
from fenglin.simulator.pool.world import Setting, World
from fenglin.simulator.reports.series import Series
from fenglin.simulator.sources import Source
from fenglin.simulator.trace import Findings
from fenglin.simulator.workload import Workload

GIB = 2**30


def site(name="here", nodes=2, flavors=("std",)):
    """Return a site of equal nodes, `nodes` of each flavor, with a price, power and a grid."""
    kinds = tuple(
        Flavor(flavor, ComputeClass.GENERAL, Resources(4_000, 4 * GIB),
               price=Price(core_hour_micro=1_000_000), power_watts=400)
        for flavor in flavors
    )  # fmt: skip
    places = tuple(Node(f"{flavor}{at}", flavor) for flavor in flavors for at in range(nodes))
    return Site(name, "p", "mock", flavors=kinds, nodes=places, carbon_g_kwh=500)


class Run(NamedTuple):
    """What a page is made of."""

    request: Request
    answer: Answer
    series: Series


@pytest.fixture(scope="session")
def make_site():
    """Return the function that makes a site."""
    return site


@pytest.fixture(scope="session")
def run():
    """Return the function that runs jobs, and keeps what a page needs."""

    def simulate(jobs, sites=None, workload="made up", findings=()):
        sites = tuple(sites or [site()])
        summary, series = Summary(), Series(sites)
        source = Workload(workload, lambda: iter(jobs), Findings(workload))
        tally = World(Setting(sites, built_in("balanced")), source, Several(summary, series)).run()
        figures = summary.figures() | {
            "policy": "balanced", "workload": workload, "seed": 7, "cycles": tally.cycles,
            "seconds": 0.1, "cpu_s": 0.1, "jobs_per_s": 10.0, "skipped": 0,
        }  # fmt: skip
        request = Request("pool.toml", Source(workload, seed=7))
        return Run(request, Answer(figures, summary, list(findings)), series)

    return simulate


@pytest.fixture
def row():
    """Return the functions that make rows with what matters in them."""

    class Rows:
        @staticmethod
        def job(queue="q", wait_ms=0, ended_ms=1, state="succeeded"):
            return JobOutcome(1, "", "", queue, "a", state, "", 1, 0, 0, ended_ms, wait_ms,
                              1, 0, 1, 0, 0, 0, -1)  # fmt: skip

        @staticmethod
        def run(started_ms, ended_ms, queue="q", node="std0", cost_micro=0, reason=""):
            return RunOutcome(1, 1, queue, "here", "std", (node,), 1, 1, started_ms, ended_ms,
                              cost_micro, 0, reason)  # fmt: skip

        @staticmethod
        def sample(at_ms, waiting=0, used=0.0):
            return Sample(at_ms, waiting, waiting, 0, (used, 0.0, 0.0, 0.0))

    return Rows


class Parts(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.text = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def parts_of():
    """Return the function that takes a page apart."""
    return Parts
