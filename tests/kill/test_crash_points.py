"""Killed at every named point, over and over on one folder: nothing lost, nothing done twice."""

import pytest

from fenglin.ports.crashpoint import POINTS


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_doubled_when_the_hub_dies_at(point, campaign, cycles, record_property):
    reached = [campaign.die_at(point) for _ in range(cycles)]

    assert all(reached), f"{point} was not reached in every cycle: {reached}"
    record_property("kill", {"point": point, **campaign.judge()})
