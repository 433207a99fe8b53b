"""Days in the lives of hubs, one for each seed. A violation prints how to see it again."""

import os

import pytest

from fenglin.testing.dst.run import report, run_seed
from fenglin.testing.dst.world import FULL, SMALL

FULL_SEEDS = int(os.environ.get("FENGLIN_DST_FULL", "12"))
SMALL_SEEDS = int(os.environ.get("FENGLIN_DST_SMALL", "488"))
FULL_PER_TEST, SMALL_PER_TEST = 2, 20


def seeds_of(total, per_test):
    return [range(first, min(first + per_test, total)) for first in range(0, total, per_test)]


def name_of(seeds):
    return f"{seeds.start}-{seeds.stop - 1}"


def run_all(seeds, size, record_property):
    outcomes = []
    for seed in seeds:
        outcome = run_seed(seed, size)
        assert outcome.violation is None, report(outcome)
        outcomes.append(outcome)
    record_property(
        "dst",
        {
            "size": size.name,
            "seeds": len(outcomes),
            "faults": sum(len(one.struck) for one in outcomes),
            "checks": sum(sum(one.checks.values()) for one in outcomes),
            **{
                name: sum(one.figures[name] for one in outcomes)
                for name in ("jobs", "tasks", "commits", "hubs")
            },
        },
    )
    return outcomes


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", seeds_of(FULL_SEEDS, FULL_PER_TEST), ids=name_of)
def test_a_whole_day_breaks_no_promise(seeds, record_property):
    for outcome in run_all(seeds, FULL, record_property):
        assert outcome.figures["jobs"] >= 200
        assert len(outcome.struck) >= 20
        assert outcome.virtual_s >= 86_400


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seeds", seeds_of(SMALL_SEEDS, SMALL_PER_TEST), ids=name_of)
def test_an_hour_breaks_no_promise(seeds, record_property):
    run_all(seeds, SMALL, record_property)
