"""Killed at moments that nobody chose: the points have names only where we thought of them."""

import pytest

SEEDS = range(4)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_doubled_when_the_hub_dies_at_a_random_moment(
    seed, campaign, cycles, record_property
):
    # One cycle more than at a point, so that the moments are 50 and more.
    killed = [campaign.die_at_random() for _ in range(cycles + 1)]

    assert all(killed), f"seed {seed}: {killed}"
    record_property("kill", {"point": f"random {seed}", **campaign.judge()})
