"""The same promises with the state in PostgreSQL, where a hub also has to get its lease again."""

import os

import pytest

from fenglin.ports.crashpoint import POINTS, RARE_POINTS

ROUNDS = int(os.environ.get("FENGLIN_POSTGRES_ROUNDS", "1"))
# In the midst of a migration or a copy hubs are killed in test_rare_points.
POINTS_HERE = sorted({*POINTS, *RARE_POINTS} - {"c14", "c15"})
SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_doubled_wherever_the_hub_dies(seed, grown, record_property):
    grown.begin()
    points = list(POINTS_HERE)
    reached = []
    for _ in range(ROUNDS):
        grown.random.shuffle(points)
        reached += [(point, grown.die_at(point)) for point in points]

    assert all(was for _, was in reached), f"not reached: {reached}"
    record_property("kill", {"point": f"postgres {seed}", **grown.judge()})


def test_nothing_is_lost_or_doubled_at_moments_that_nobody_chose(grown, cycles, record_property):
    grown.begin()
    killed = [grown.die_at_random() for _ in range(cycles + 1)]

    assert all(killed), killed
    record_property("kill", {"point": "postgres random", **grown.judge()})
